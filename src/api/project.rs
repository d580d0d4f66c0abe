use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthSpec, ComponentSpec, DatabaseSpec, FunctionsSpec, GatewaySpec, PoolerSpec, PostgrestSpec, RealtimeSpec,
    StorageApiSpec, StorageSpec, StudioSpec, SupabaseProjectStatus, WorkloadSpec,
};

/// A Supabase project: its API gateway and services on a PostgreSQL database and an S3 bucket.
///
/// `Ready` is True only after real requests through the project's gateway, with the project's own keys, were answered.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "supabase-operator.dev",
    version = "v1alpha1",
    kind = "SupabaseProject",
    plural = "supabaseprojects",
    shortname = "sbp",
    category = "supabase",
    namespaced,
    doc = "A Supabase project: its API gateway and services on a PostgreSQL database and an S3 bucket. Ready is True only after real requests through the project's gateway, with the project's own keys, were answered.",
    status = "SupabaseProjectStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.endpoints.api"),
    printcolumn(
        name = "Release",
        type_ = "string",
        json_path = ".status.release",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = kube::core::Rule::new(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    )
    .message("metadata.name must be at most 40 characters: lower-case letters, digits and '-', starting with a letter, because Services are named after it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("(has(self.database) && has(self.database.secretRef)) == (has(oldSelf.database) && has(oldSelf.database.secretRef))").message("a database cannot change between managed and your own (secretRef): its data would stay behind; make a new project and move them"),
    validation = kube::core::Rule::new("(has(self.storage) && has(self.storage.secretRef)) == (has(oldSelf.storage) && has(oldSelf.storage.secretRef))").message("storage cannot change between managed and your own (secretRef): its files would stay behind; make a new project and move them"),
    validation = kube::core::Rule::new("has(self.projectId) == has(oldSelf.projectId) && (!has(self.projectId) || self.projectId == oldSelf.projectId)").message("projectId cannot change: files and tenants of the project are stored under it"),
    validation = kube::core::Rule::new("!(has(self.kong) && has(self.gateway))").message("kong and gateway exclude each other: kong is another spelling of gateway with type Kong"),
    validation = kube::core::Rule::new("!(has(self.meta) && has(self.meta.enabled) && !self.meta.enabled) || (has(self.studio) && has(self.studio.enabled) && !self.studio.enabled)").message("studio needs meta: set studio.enabled to false as well, or leave meta enabled")
)]
pub struct SupabaseProjectSpec {
    /// Id of the project: the folder of its files in the bucket, its tenant in Realtime and in the pooler. It cannot
    /// change. Default: `metadata.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("projectId must be lower-case letters, digits and '-'"))]
    pub project_id: Option<String>,

    /// The Supabase release: a tested set of images. A newer one is an upgrade; an older one is refused, because
    /// services cannot undo their migrations. `supabase-operator releases` lists them. Default: the newest when the
    /// project is made, then that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub release: Option<String>,

    /// URL under which browsers and apps reach this project, without a path, for example `https://api.example.com`.
    /// Default: the address of the gateway Service inside of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https?://[a-zA-Z0-9.-]+(:[0-9]+)?$')").message("publicUrl must be http:// or https://, a host and optionally a port, without a path or a trailing slash"))]
    pub public_url: Option<String>,

    /// The PostgreSQL database of this project. Default: one that CloudNativePG runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSpec>,

    /// The S3 bucket of this project. Default: one in a MinIO that the MinIO operator runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,

    /// What becomes of the generated keys, and of the data of a managed database and object store, when the project is
    /// deleted: `Retain` leaves them, and a new project of the same name and namespace goes on with them; `Delete`
    /// removes them with it. After a change, delete the project only when `status.observedGeneration` has followed.
    /// A database or bucket of your own (`secretRef`) is never deleted. Default: `Retain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// Stops the project and keeps its data: no component has a pod, a managed database is hibernated, a managed MinIO
    /// stopped. `false` wakes it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// The API gateway: the only door to the project's services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewaySpec>,

    /// Kong as the API gateway, as other operators spell it: the same as `gateway` with `type: Kong`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kong: Option<WorkloadSpec>,

    /// Supabase Auth (GoTrue): sign-up, sign-in and sessions of your users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,

    /// PostgREST: the REST API of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgrest: Option<PostgrestSpec>,

    /// Realtime: broadcast, presence and database changes over websockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<RealtimeSpec>,

    /// The Storage API: files in the bucket, guarded by row level security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_api: Option<StorageApiSpec>,

    /// imgproxy: image transformations for the Storage API. Without it they are switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imgproxy: Option<ComponentSpec>,

    /// postgres-meta: the database management API, behind the service key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<ComponentSpec>,

    /// Studio: the dashboard, behind a login of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub studio: Option<StudioSpec>,

    /// Edge Functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<FunctionsSpec>,

    /// Supavisor: a connection pooler for clients that speak PostgreSQL. Off by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler: Option<PoolerSpec>,
}

/// What becomes of the data of a managed database and object store when their project is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay and keep running; a new project of the same name takes them over.
    #[default]
    Retain,
    /// They are deleted with the project.
    Delete,
}
