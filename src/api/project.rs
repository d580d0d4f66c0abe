use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ComponentSpec, DatabaseSpec, PostgrestSpec, StorageSpec, SupabaseProjectStatus};

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
#[x_kube(validation = kube::core::Rule::new("(has(self.database) && has(self.database.secretRef)) == (has(oldSelf.database) && has(oldSelf.database.secretRef))").message("a database cannot change between managed and your own (secretRef): its data would stay behind; make a new project and move them"))]
#[x_kube(validation = kube::core::Rule::new("(has(self.storage) && has(self.storage.secretRef)) == (has(oldSelf.storage) && has(oldSelf.storage.secretRef))").message("storage cannot change between managed and your own (secretRef): its files would stay behind; make a new project and move them"))]
pub struct SupabaseProjectSpec {
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

    /// The API gateway (Envoy): the only door to the project's services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ComponentSpec>,

    /// PostgREST: the REST API of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgrest: Option<PostgrestSpec>,

    /// postgres-meta: the database management API, behind the service key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<ComponentSpec>,
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
