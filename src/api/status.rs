use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw. Written only when it changes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SupabaseProjectStatus {
    /// Where the project stands, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// What is being waited for, or what is wrong and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// The `metadata.generation` that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The Supabase release that runs. While another one is rolled out it is still the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,

    /// Conditions, one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// State of each component by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, ComponentStatus>,

    /// State of what the project depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,

    /// Where to reach the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,

    /// What a look into the PostgreSQL image of `database.managed` told, where it is not one that the operator knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_image: Option<DatabaseImage>,

    /// The keys in use; never their material.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysStatus>,
}

/// What is in a PostgreSQL image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseImage {
    /// The image.
    pub image: String,
    /// User that PostgreSQL runs as in it.
    #[serde(rename = "postgresUID")]
    pub postgres_uid: i64,
    /// That user's group.
    #[serde(rename = "postgresGID")]
    pub postgres_gid: i64,
    /// Libraries that it has and that are loaded at start, unless `sharedPreloadLibraries` says others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preload_libraries: Vec<String>,
}

/// Phases of a project.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    ValidatingDependencies,
    InitializingDatabase,
    DeployingSecrets,
    DeployingNetwork,
    DeployingComponents,
    Configuring,
    Running,
    Updating,
    Suspended,
    Failed,
    Terminating,
}

/// State of one component.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// `Running`, `Deploying`, `Unavailable` or `ScaledToZero`.
    pub phase: ComponentPhase,
    /// Whether every wanted pod runs the newest version and is available.
    pub ready: bool,
    /// Container image.
    pub version: String,
    /// Wanted pods.
    pub replicas: i32,
    /// Available pods.
    pub ready_replicas: i32,
}

/// Phases of a component.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentPhase {
    Deploying,
    Running,
    Unavailable,
    ScaledToZero,
}

/// State of the database and the object store.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<DependencyStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<DependencyStatus>,
}

/// State of one dependency. Written when `connected` or `error` change, never as a heartbeat.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// Whether the last attempt to use it succeeded.
    pub connected: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Duration of the attempt that last changed this state, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<i64>,
    /// When it was first seen connected after the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_connected_time: Option<Time>,
}

/// URLs of the project.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// The project URL: what supabase-js calls `supabaseUrl`.
    pub api: String,
    /// Auth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// The REST API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// Realtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realtime: Option<String>,
    /// The Storage API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Edge Functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<String>,
    /// The dashboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub studio: Option<String>,
}

/// The keys in use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeysStatus {
    /// Id (`kid`) of the ES256 key that signs tokens.
    pub signing_key_id: String,
    /// When the keys were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
}
