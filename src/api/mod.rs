//! The Kubernetes API of the operator: types, their documentation and their validation rules.
//!
//! Nothing else lives here. Defaults are resolved in [`crate::plan`], never written into the schema, so that a newer
//! operator improves an old object and GitOps tools see no drift. Doc comments become `kubectl explain`.

mod components;
mod database;
mod project;
mod status;
mod storage;

pub use components::{ComponentSpec, PostgrestSpec};
pub use database::{
    AntiAffinity, CaSecretRef, DatabaseAffinity, DatabaseProvider, DatabaseSpec, ManagedDatabaseSpec, SecretRef,
    SslMode, VolumeSpec,
};
pub use project::{DeletionPolicy, SupabaseProject, SupabaseProjectSpec};
pub use status::{
    ComponentPhase, ComponentStatus, Dependencies, DependencyStatus, Endpoints, KeysStatus, Phase,
    SupabaseProjectStatus,
};
pub use storage::{ManagedStorageSpec, StorageProvider, StorageSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// API group of every kind that this operator serves, and prefix of its labels and annotations.
pub const GROUP: &str = "supabase-operator.dev";

/// Every `CustomResourceDefinition`, in the order in which `supabase-operator crds` prints them.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![SupabaseProject::crd()]
}
