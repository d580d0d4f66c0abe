//! The Kubernetes API of the operator: types, their documentation and their validation rules.
//!
//! Nothing else lives here. Defaults are resolved in [`crate::plan`], never written into the schema, so that a newer
//! operator improves an old object and GitOps tools see no drift. Doc comments become `kubectl explain`.

pub mod auth;
mod components;
mod database;
mod project;
mod status;
mod storage;

pub use auth::AuthSpec;
pub use components::{
    ComponentSpec, ConfigMapRef, FunctionSpec, FunctionsSpec, FunctionsVolume, GatewaySpec, GatewayType, PodTemplate,
    PoolerSpec, PostgrestSpec, RealtimeSpec, StorageApiSpec, StudioSpec, WorkloadSpec,
};
pub use database::{
    AntiAffinity, CaSecretRef, DatabaseAffinity, DatabaseProvider, DatabaseSpec, ManagedDatabaseSpec, Privileges,
    SecretRef, SslMode, VolumeSpec,
};
pub use project::{DeletionPolicy, SupabaseProject, SupabaseProjectSpec};
pub use status::{
    ComponentPhase, ComponentStatus, DatabaseImage, Dependencies, DependencyStatus, Endpoints, KeysStatus, Phase,
    SupabaseProjectStatus,
};
pub use storage::{ManagedStorageSpec, StorageProvider, StorageSpec, WorkloadIdentity};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

/// API group of every kind that this operator serves, and prefix of its labels and annotations.
pub const GROUP: &str = "supabase-operator.dev";

/// Every `CustomResourceDefinition`, in the order in which `supabase-operator crds` prints them.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    vec![SupabaseProject::crd()].into_iter().map(without_foreign_descriptions).collect()
}

/// Fields whose types are Kubernetes' own, and the same in every component. Their inner descriptions would be nine tenths
/// of the CRD; `kubectl explain pod.spec` has them.
const FOREIGN: [&str; 6] =
    ["extraEnv", "imagePullSecrets", "resources", "securityContext", "tolerations", "topologySpreadConstraints"];

fn without_foreign_descriptions(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut());
        let spec = schema.and_then(|schema| schema.properties.as_mut()?.get_mut("spec"));
        if let Some(spec) = spec {
            strip(spec, false);
        }
    }
    crd
}

fn strip(schema: &mut JSONSchemaProps, foreign: bool) {
    for (name, property) in schema.properties.iter_mut().flatten() {
        if foreign {
            property.description = None;
        }
        strip(property, foreign || FOREIGN.contains(&name.as_str()));
    }
    let items = match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => Some(item),
        _ => None,
    };
    let values = match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => Some(value),
        _ => None,
    };
    for inner in items.into_iter().chain(values) {
        if foreign {
            inner.description = None;
        }
        strip(inner, foreign);
    }
}
