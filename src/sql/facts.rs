//! What a connection sees of a server and a database. Looking changes nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use super::Role;
use super::layout::{OWNED_SCHEMAS, SHARED_SCHEMAS};

/// What was seen. Values that change by themselves are seen as what they mean, so that looking twice gives the same.
#[allow(clippy::struct_excessive_bools)] // what a server says yes or no to
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// As in `SHOW server_version`.
    pub version: String,
    /// As in `SHOW server_version_num`.
    #[serde(skip)]
    pub number: u32,
    /// Several clients share one connection to the server.
    #[serde(skip)]
    pub pooled: bool,
    /// Whether the server has the plugin `wal2json`; only a superuser's connection can tell.
    #[serde(skip)]
    pub wal2json: Option<bool>,
    pub recovering: bool,
    pub read_only: bool,
    pub tls: bool,
    pub user: User,
    /// Settings of the server by name, those that Realtime depends on and the server knows.
    pub settings: BTreeMap<String, String>,
    /// Whether Realtime finds two free replication slots.
    pub slots_free: bool,
    /// Those of [`EXTENSIONS`] that can be installed.
    pub extensions: Vec<String>,
    /// Of Supabase's roles those that exist.
    #[serde(deserialize_with = "or_empty")]
    pub roles: BTreeMap<String, SeenRole>,
    /// Of Supabase's schemas those that exist.
    #[serde(deserialize_with = "or_empty")]
    pub schemas: BTreeMap<String, SeenSchema>,
    /// Functions that Auth's migrations replace, and that do not belong to its role.
    pub foreign_auth_functions: Vec<String>,
    pub schema_reload: bool,
    pub pooler: bool,
    pub publication: bool,
    /// Whether the operator can read and write what it remembers in the database.
    pub ledger: bool,
    search_path: String,
    /// Process of the server that serves this connection. Another one with each connection, and so no fact.
    backend: Backend,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Backend(i32);

impl PartialEq for Backend {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Backend {}

/// The user of the Secret.
#[allow(clippy::struct_excessive_bools)] // PostgreSQL's own words
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub name: String,
    pub superuser: bool,
    pub create_role: bool,
    pub bypass_rls: bool,
    pub replication: bool,
    pub owns_database: bool,
    pub creates_schemas: bool,
    pub member_of: Vec<String>,
    pub grants_log_parameter: bool,
}

/// A role as it is; what a superuser can do without having the attribute counts as had.
#[allow(clippy::struct_excessive_bools)] // PostgreSQL's own words
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenRole {
    pub login: bool,
    pub inherit: bool,
    pub superuser: bool,
    pub create_role: bool,
    pub bypass_rls: bool,
    pub replication: bool,
    /// Whether the user may grant it.
    pub administered: bool,
    pub sets_log_parameter: bool,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SeenSchema {
    pub owner: String,
    /// Whether the user has the owner's rights.
    pub ours: bool,
    /// Whether the owner is the user, a superuser or the owner of the database.
    pub trusted: bool,
}

fn or_empty<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Facts {
    pub fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    pub fn role(&self, role: Role) -> Option<&SeenRole> {
        self.roles.get(role.name())
    }

    /// Whether every role and schema of Supabase exists.
    pub fn is_laid_out(&self) -> bool {
        let mut schemas = OWNED_SCHEMAS.iter().map(|(name, _)| *name).chain(SHARED_SCHEMAS.iter().copied());
        Role::ALL.iter().all(|role| self.role(*role).is_some())
            && self.roles.contains_key("postgres")
            && schemas.all(|name| self.schemas.contains_key(name))
    }

    /// Whether what this connection asked for at its start is not in effect.
    pub fn lost_its_settings(&self) -> bool {
        self.search_path != "pg_catalog"
    }

    pub fn same_backend(&self, process: i32) -> bool {
        self.backend.0 == process
    }
}

/// Extensions that users of Supabase know.
pub const EXTENSIONS: &[&str] = &[
    "http",
    "pg_cron",
    "pg_graphql",
    "pg_jsonschema",
    "pg_net",
    "pg_stat_statements",
    "pg_trgm",
    "pgaudit",
    "pgcrypto",
    "pgmq",
    "postgis",
    "supabase_vault",
    "uuid-ossp",
    "vector",
];

/// Looks at the server and the database through this connection.
pub async fn see(connection: &mut PgConnection) -> Result<Facts, sqlx::Error> {
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).chain(["postgres"]).collect();
    let schemas = OWNED_SCHEMAS.iter().map(|(name, _)| *name).chain(SHARED_SCHEMAS.iter().copied());
    let schemas: Vec<&str> = schemas.chain(["supabase_operator", "public"]).collect();
    let text: String = sqlx::query_scalar(include_str!("facts.sql"))
        .bind(roles)
        .bind(schemas)
        .bind(EXTENSIONS)
        .fetch_one(&mut *connection)
        .await?;
    let mut facts: Facts = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    facts.number = connection.server_version_num().unwrap_or_default();
    if facts.user.superuser {
        facts.wal2json = match sqlx::raw_sql("LOAD 'wal2json'").execute(connection).await {
            Ok(_) => Some(true),
            Err(sqlx::Error::Database(_)) => Some(false),
            Err(error) => return Err(error),
        };
    }
    Ok(facts)
}
