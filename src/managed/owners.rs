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

    /// Tells the volumes of the object store once, if this is the project's policy, what becomes of them.
    pub(super) async fn settle_claims(&mut self, inputs: &Inputs, policy: DeletionPolicy) -> Result<(), Error> {
        if self.lifecycle.deletion != policy || self.looked.claims == Some(policy) {
            return Ok(());
        }
        for claim in self.cluster.claims(&self.identity.namespace, inputs).await? {
            if let Some(tie) = Tie::of_claim(self.identity, policy, &claim) {
                self.cluster.tie(self.identity, &tie).await?;
            }
        }
        self.looked.claims = Some(policy);
        Ok(())
    }
}
