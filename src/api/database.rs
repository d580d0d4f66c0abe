use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An existing PostgreSQL database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("(has(self.sslMode) && self.sslMode in ['verify-ca', 'verify-full']) == has(self.caSecretRef)").message("sslMode verify-ca and verify-full need caSecretRef, the CA that signed the server's certificate; the other modes use none"))]
pub struct DatabaseSpec {
    /// Secret in the project's namespace with the keys `host`, `port`, `database`, `username` and `password`.
    /// With it the operator creates the roles, schemas and grants that Supabase needs, and gives each service a role and
    /// a password of its own; `privileges` says what the user must be able to do. The Secret is only read, never changed,
    /// and no service gets it.
    pub secret_ref: SecretRef,

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
