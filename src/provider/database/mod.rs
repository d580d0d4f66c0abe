//! Managed databases. One provider today; every question goes through the enum, so that a second one is a compile error
//! in each place that must know of it.

pub mod cnpg;
pub mod images;
mod observation;
mod parameters;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::diagnosis::Surroundings;
use super::{Inputs, Lifecycle, Observation, Patience, Wanted};
use crate::api::{DatabaseProvider, DatabaseSpec, ManagedDatabaseSpec};
use crate::plan::inputs::Secrets;
use crate::plan::{DatabaseEndpoint, Identity};
use crate::reason::Problem;

/// Who runs the database of a project, with the settings for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    CloudNativePg(ManagedDatabaseSpec),
}

/// A managed database with every setting resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabasePlan {
    Cluster(cnpg::ClusterPlan),
}

impl Provider {
    /// `None` where the database is the user's own.
    pub fn of(spec: Option<&DatabaseSpec>) -> Option<Self> {
        let managed = match spec {
            Some(spec) if spec.secret_ref.is_some() => return None,
            Some(spec) => spec.managed.clone().unwrap_or_default(),
            None => ManagedDatabaseSpec::default(),
        };
        Some(match managed.provider.unwrap_or_default() {
            DatabaseProvider::CloudNativePg => Self::CloudNativePg(managed),
        })
    }

    pub fn inputs(&self, identity: &Identity) -> Inputs {
        match self {
            Self::CloudNativePg(_) => cnpg::inputs(identity),
        }
    }

    /// `live` is the upstream object, where there is one: what the spec leaves open stays as it is there.
    ///
    /// # Errors
    /// Settings that cannot be, with the field and the remedy.
    pub fn plan(
        &self,
        identity: &Identity,
        lifecycle: Lifecycle,
        live: Option<&Value>,
    ) -> Result<DatabasePlan, Problem> {
        match self {
            Self::CloudNativePg(spec) => cnpg::plan(identity, spec, lifecycle, live).map(DatabasePlan::Cluster),
        }
    }
}

impl DatabasePlan {
    pub fn render(&self) -> Wanted {
        match self {
            Self::Cluster(plan) => cnpg::render(plan),
        }
    }

    pub fn observe(
        &self,
        live: Option<&Value>,
        around: &Surroundings,
        secrets: &Secrets,
        patience: &Patience,
    ) -> Observation<DatabaseEndpoint> {
        match self {
            Self::Cluster(plan) => observation::observe(plan, live, around, secrets, patience),
        }
    }
}
