use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::components::any_object;

/// The PostgreSQL database: either run by CloudNativePG for this project (`managed`, the default), or an existing one
/// (`secretRef`).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("!(has(self.managed) && has(self.secretRef))").message("database is either managed or the one of secretRef; remove one of the two"))]
#[x_kube(validation = kube::core::Rule::new("has(self.secretRef) || (!has(self.sslMode) && !has(self.caSecretRef) && !has(self.privileges))").message("sslMode, caSecretRef and privileges are for a database of your own (secretRef); a managed one is always verified, by its superuser"))]
#[x_kube(validation = kube::core::Rule::new("(has(self.sslMode) && self.sslMode in ['verify-ca', 'verify-full']) == has(self.caSecretRef)").message("sslMode verify-ca and verify-full need caSecretRef, the CA that signed the server's certificate; the other modes use none"))]
pub struct DatabaseSpec {
    /// A PostgreSQL cluster of the project's own, run by CloudNativePG. Default, when there is no `secretRef`: one
    /// instance with 10Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabaseSpec>,

    /// Secret in the project's namespace with the keys `host`, `port`, `database`, `username` and `password`.
    /// With it the operator creates the roles, schemas and grants that Supabase needs, and gives each service a role and
    /// a password of its own; `privileges` says what the user must be able to do. The Secret is only read, never changed,
    /// and no service gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// What the user of the Secret may do, and so how the database is initialised. `Superuser`: everything works.
    /// `ManagedService` (Amazon RDS, Cloud SQL, Azure): a user with CREATEROLE that owns the database; what the server
    /// refuses turns off exactly what needs it. `Prepared`: an administrator has run the SQL that `supabase-operator sql`
    /// prints, and the database is only verified. `Auto`: the first of the three that fits the user. Default: `Auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Privileges>,

    /// How connections to the database are encrypted and verified: `disable`, `require` (encrypted, the server is not
    /// verified), `verify-ca` (signed by the CA) or `verify-full` (and issued for this host; the one to choose:
    /// postgres-meta verifies nothing in any other mode). Default: `require`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<SslMode>,

    /// The CA that signed the server's certificate, for `verify-ca` and `verify-full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
}

/// What the user of an existing database may do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileges {
    #[default]
    Auto,
    Superuser,
    ManagedService,
    Prepared,
}

/// A PostgreSQL cluster that the operator asks CloudNativePG for: the Cluster `<project>-db`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.postgresUID) == has(self.postgresGID)").message("postgresUID and postgresGID belong together; set both or none"))]
#[x_kube(validation = kube::core::Rule::new("!has(oldSelf.postgresUID) || (has(self.postgresUID) && self.postgresUID == oldSelf.postgresUID && self.postgresGID == oldSelf.postgresGID)").message("postgresUID and postgresGID own the files of the database and cannot change"))]
pub struct ManagedDatabaseSpec {
    /// Who runs it. Default: `CloudNativePG`, whose operator must be installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<DatabaseProvider>,

    /// Number of PostgreSQL instances: one primary, the others are standbys that take over. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub instances: Option<i32>,

    /// The volume of each instance. Default: 10Gi of the default StorageClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<VolumeSpec>,

    /// PostgreSQL image. Its tag must start with the version of PostgreSQL. An image that the operator does not know is
    /// run once, by a Job, to learn whom it runs PostgreSQL as and which libraries it has. Default: the image that the
    /// cluster has, and for a new one `docker.io/supabase/postgres:15.14.1.021`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = kube::core::Rule::new("!self.matches('\\\\s')").message("imageName must not contain white space"))]
    pub image_name: Option<String>,

    /// Numeric user that PostgreSQL runs as, from the image (`id postgres`); cannot change later. Default: what is
    /// known of the image, or what a Job that runs it once tells (`status.databaseImage`).
    #[serde(rename = "postgresUID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub postgres_uid: Option<i64>,

    /// Numeric group of `postgresUID`.
    #[serde(rename = "postgresGID", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub postgres_gid: Option<i64>,

    /// Settings of PostgreSQL, as in postgresql.conf, for example `max_connections: "200"`. Those that CloudNativePG
    /// keeps for itself are refused. A wrong name or value keeps PostgreSQL from starting.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 128))]
    pub parameters: BTreeMap<String, String>,

    /// Libraries that PostgreSQL loads at start; replaces the default as a whole. Default: what the image is known to
    /// bring of `pg_stat_statements`, `pgaudit`, `pg_cron` and `pg_net`; none for an unknown image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    pub shared_preload_libraries: Option<Vec<String>>,

    /// CPU and memory of each instance; replaces the default as a whole. Default: requests of 250m CPU and 512Mi, a
    /// limit of 1Gi of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Where the instances run. Default: anywhere, on different nodes if possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<DatabaseAffinity>,
}

/// Operators that can run a database.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatabaseProvider {
    #[default]
    #[serde(rename = "CloudNativePG")]
    CloudNativePg,
}

/// A volume.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Size, a whole number of `Mi`, `Gi` or `Ti`. It can grow where the StorageClass can, and never shrinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    #[x_kube(validation = kube::core::Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0").message("size cannot shrink"))]
    pub size: Option<String>,

    /// StorageClass of the volume; has an effect on new volumes only. Default: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// Where database instances run; the fields are CloudNativePG's.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseAffinity {
    /// Whether two instances may share a `topologyKey`: `preferred` (if there is no other place) or `required` (never).
    /// Default: `preferred`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_anti_affinity_type: Option<AntiAffinity>,

    /// Node label that says what instances are kept apart by. Default: `kubernetes.io/hostname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: Option<String>,

    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,

    /// Rules about nodes beyond `nodeSelector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub node_affinity: Option<Value>,

    /// Taints of nodes that the instances tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
}

/// How strictly instances are kept apart.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AntiAffinity {
    Preferred,
    Required,
}

/// A Secret in the project's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A PEM bundle of CA certificates in a Secret of the project's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key that holds the PEM bundle. Default: `ca.crt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

impl CaSecretRef {
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("ca.crt")
    }
}

/// TLS modes, in libpq's words.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    Disable,
    #[default]
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// Whether the server's certificate is checked against a CA.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}
