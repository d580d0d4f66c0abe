//! Managed databases. One provider today; every question goes through the enum, so that a second one is a compile error
//! in each place that must know of it.

pub mod cnpg;
pub mod images;
mod observation;
mod parameters;
pub mod probe;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::diagnosis::Surroundings;
use super::{Inputs, Lifecycle, Observation, Patience, Wanted};
use crate::api::{DatabaseImage, DatabaseProvider, DatabaseSpec, ManagedDatabaseSpec};
use crate::plan::inputs::Secrets;
use crate::plan::names::ProjectName;
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

    /// The image of which must be known, and is not, as whom it runs PostgreSQL.
    pub fn unknown_image(&self, live: Option<&Value>) -> Option<String> {
        match self {
            Self::CloudNativePg(spec) => cnpg::unknown_image(spec, live),
        }
    }

    /// The same, knowing what a look into its image told; what the spec says stays.
    #[must_use]
    pub fn informed(self, seen: &DatabaseImage) -> Self {
        match self {
            Self::CloudNativePg(spec) => Self::CloudNativePg(ManagedDatabaseSpec {
                postgres_uid: spec.postgres_uid.or(Some(seen.postgres_uid)),
                postgres_gid: spec.postgres_gid.or(Some(seen.postgres_gid)),
                shared_preload_libraries: spec
                    .shared_preload_libraries
                    .or_else(|| Some(seen.preload_libraries.clone()).filter(|libraries| !libraries.is_empty())),
                ..spec
            }),
        }
    }

    pub fn inputs(&self, project: &ProjectName) -> Inputs {
        match self {
            Self::CloudNativePg(_) => cnpg::inputs(project),
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

impl Provider {
    /// How to log in; `None` until its operator has said so, which is long before the database answers.
    ///
    /// # Errors
    /// A Secret of its operator does not say what it should.
    pub fn endpoint(&self, identity: &Identity, secrets: &Secrets) -> Result<Option<DatabaseEndpoint>, Problem> {
        match self {
            Self::CloudNativePg(_) => cnpg::endpoint(identity, secrets),
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
