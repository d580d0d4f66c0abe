use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SecretRef;

/// What can be set for every component.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Container image, by tag or digest. Default: the image of the project's release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = kube::core::Rule::new("!self.matches('\\\\s')").message("image must not contain white space"))]
    pub image: Option<String>,

    /// Number of pods; 0 means none. More than one brings a `PodDisruptionBudget` along. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub replicas: Option<i32>,

    /// CPU and memory of each pod; replaces the default as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Further environment variables of the container. A variable of the same name as one that the operator sets
    /// replaces it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub extra_env: Vec<EnvVar>,

    /// Where and how the pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Settings of a component's pods, as the fields of the same names of a Pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Further labels of the pods. The operator's own cannot be replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,

    /// Further annotations of the pods. The operator's own cannot be replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,

    /// Nodes and pods to run near to, or far from. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<Value>,

    /// Taints of nodes that are tolerated. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,

    /// Labels that a node must have. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// How pods spread over zones and nodes. A constraint without a `labelSelector` is about the component's own pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// `PriorityClass` of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,

    /// Security context of the pods: each field that is set here replaces the operator's, which satisfy the Pod
    /// Security Standard `restricted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,

    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// An object whose fields are checked when it is used: spelled out wherever there is one, the schema of an affinity would
/// be most of the CRD.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// What can be set for every component that a project can do without.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSpec {
    /// Whether the project has this component. `false` removes it and closes its routes. Default: true, but false for
    /// the pooler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    #[serde(flatten)]
    pub workload: WorkloadSpec,
}

/// Settings of the API gateway.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Which gateway: `Envoy` or `Kong`. Default: `Envoy`, or `Kong` where the block `kong` is given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<GatewayType>,

    #[serde(flatten)]
    pub workload: WorkloadSpec,
}

/// Gateways to choose from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayType {
    Envoy,
    Kong,
}

/// Settings of PostgREST.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PostgrestSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Database schemas that the API serves; the first one is the default of requests that name none.
    /// `graphql_public` is always served: the operator's own readiness function lives there.
    /// Default: `public` and `graphql_public`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = kube::core::Rule::new("self.all(s, !s.contains(',') && s.trim() == s)").message("a schema name must not contain a comma or surrounding white space"))]
    pub schemas: Vec<String>,

    /// Largest number of rows that one request returns. Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rows: Option<i32>,
}

/// Settings of Realtime.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RealtimeSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Most clients that are connected at the same time. Default: 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent_users: Option<i32>,

    /// Most messages in a second, of all clients together. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_events_per_second: Option<i32>,

    /// Most channels that one client joins. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_channels_per_client: Option<i32>,

    /// Most channels that are joined in a second, by all clients together. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_joins_per_second: Option<i32>,

    /// Most bytes in a second, of all clients together. Default: 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_bytes_per_second: Option<i32>,
}

/// Settings of the Storage API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StorageApiSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Largest file that can be uploaded, as a quantity of bytes such as `50Mi` or `5G`. Default: `50Mi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size_limit: Option<Quantity>,

    /// Whether clients of the S3 protocol are served, at `/storage/v1/s3`. Their keys are in the Secret
    /// `<project>-service-keys`. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_protocol: Option<bool>,
}

/// Settings of Studio, the dashboard.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StudioSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// URL of the project's API as a browser that uses Studio reaches it, without a path. Default: `publicUrl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https?://[a-zA-Z0-9.-]+(:[0-9]+)?$')").message("studio.publicUrl must be http:// or https://, a host and optionally a port, without a path or a trailing slash"))]
    pub public_url: Option<String>,

    /// Secret with the keys `username` and `password` for the dashboard's login. Default: the operator makes one, in
    /// the Secret `<project>-dashboard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_basic_auth_secret_ref: Option<SecretRef>,

    /// Name of the organization that Studio shows. Default: `Default Organization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub organization_name: Option<String>,

    /// Name of the project that Studio shows. Default: `projectId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub project_name: Option<String>,
}

/// Settings of Edge Functions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("!(has(self.functions) && has(self.volume))").message("functions and volume exclude each other: name each function's ConfigMap, or one volume that holds a folder for each"))]
pub struct FunctionsSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Functions whose code lies in `ConfigMaps`. A changed one restarts the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub functions: Vec<FunctionSpec>,

    /// A volume with a folder for each function, `<function>/index.ts`. It is only read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<FunctionsVolume>,

    /// Secret whose keys become environment variables of every function. A changed Secret restarts the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Whether a request must carry a valid JWT, or a key of the project, before a function sees it. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_jwt: Option<bool>,
}

/// One function.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSpec {
    /// Name of the function: the first part of the path after `/functions/v1/`.
    #[schemars(length(min = 1, max = 48))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name of a function must be lower-case letters, digits and '-'"))]
    pub name: String,

    /// `ConfigMap` in the project's namespace that holds the function's files: `index.ts`, and what it imports.
    pub config_map_ref: ConfigMapRef,
}

/// A `ConfigMap` in the project's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// Name of the `ConfigMap`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A volume that holds functions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FunctionsVolume {
    /// Name of a `PersistentVolumeClaim` in the project's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,

    /// Folder in the volume. Default: its root.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub sub_path: Option<String>,
}

/// Settings of the connection pooler (Supavisor).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PoolerSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Connections to the database for each user and database. Default: 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub default_pool_size: Option<i32>,

    /// Most connections of clients. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_client_connections: Option<i32>,
}
