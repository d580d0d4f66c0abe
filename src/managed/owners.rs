//! What goes with the project and what stays: the owners of upstream objects and of the volumes behind them.

use serde_json::Value;

use super::Managed;
use crate::api::DeletionPolicy;
use crate::controller::Error;
use crate::provider::retention::Tie;
use crate::provider::{Inputs, live};

impl Managed<'_> {
    pub(super) fn note_owner(&mut self, live: Option<&Value>) {
        let owned = live.is_some_and(|live| live::items(live, "/metadata/ownerReferences").next().is_some());
        self.still_owned |= owned && self.lifecycle.deletion == DeletionPolicy::Retain;
    }

    /// Whether there is a Tenant or not: before it is let go of by its project, its volumes are, and they are there while
    /// it is not.
    pub(super) async fn release_claims(&mut self, inputs: &Inputs) -> Result<(), Error> {
        if self.lifecycle.deletion == DeletionPolicy::Retain && self.looked.claims != Some(DeletionPolicy::Retain) {
            self.claims(inputs).await?;
            self.looked.claims = Some(DeletionPolicy::Retain);
        }
        Ok(())
    }

    pub(super) async fn tie_claims(&mut self, inputs: &Inputs) -> Result<(), Error> {
        if self.lifecycle.deletion == DeletionPolicy::Delete && self.looked.claims != Some(DeletionPolicy::Delete) {
            self.claims(inputs).await?;
            self.looked.claims = Some(DeletionPolicy::Delete);
        }
        Ok(())
    }

    async fn claims(&self, inputs: &Inputs) -> Result<(), Error> {
        for claim in self.cluster.claims(&self.identity.namespace, inputs).await? {
            if let Some(tie) = Tie::of_claim(self.identity, self.lifecycle.deletion, &claim) {
                self.cluster.tie(self.identity, &tie).await?;
            }
        }
        Ok(())
    }
}
