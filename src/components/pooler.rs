//! Supavisor: a pooler for clients that speak PostgreSQL. Facts: its `docs/configuration/env.md`.
//!
//! Its tables live in a schema of the project's own database; its tenant is written through its API ([`tenant`]).

use serde_json::json;

use super::connection::{Driver, database_authority, url};
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::api::SslMode;
use crate::plan::Plan;
use crate::plan::keys::{Credentials, Purpose};
use crate::sensitive::Sensitive;
use crate::sql::Role;

pub static WORKLOAD: Workload = Workload {
    component: Component::Pooler,
    name: "pooler",
    field: "pooler",
    title: "the connection pooler",
    condition: "PoolerReady",
    image_key: "pooler",
    wave: 4,
    settings: |spec| Settings::optional(spec.pooler.as_ref().map(|pooler| &pooler.component)),
    upstream: None,
    port: 4000,
    more_ports: &[("session", 5432), ("transaction", 6543)],
    user: 65534,
    // Its health says 503 while its database is away, which is no reason to restart it.
    probes: Probes { port: 4000, ready: "/api/health", live: None, start_seconds: 180 },
    command: Command::Program("/app/bin/server", Vec::new),
    migration: Some(&["/app/bin/migrate"]),
    writable: &[],
    configuration,
    size: Size { cpu: "200m", memory: "256Mi", memory_limit: "512Mi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration { pod_fields: &[("NODE_IP", "status.podIP")], ..Configuration::default() };
    config.set("PORT", WORKLOAD.port.to_string());
    config.set("PROXY_PORT_SESSION", "5432");
    config.set("PROXY_PORT_TRANSACTION", "6543");
    config.set("REGION", "local");
    // Any value turns it on: replicas find each other through the database.
    config.set("CLUSTER_POSTGRES", "true");
    config.set("ERL_AFLAGS", "-proto_dist inet_tcp");
    config.set("DB_POOL_SIZE", "5");
    // The image's own default is above the hard limit of many nodes.
    config.set("RLIMIT_NOFILE", "4096");
    config.set("RELEASE_TMP", "/tmp");
    config.set("HOME", "/tmp");
    if let Some(authority) = database_authority(plan) {
        config.set("GLOBAL_UPSTREAM_CA_PATH", authority);
    }
    config.set_secret("DATABASE_URL", &url(plan, credentials, Role::PoolerAdmin, "ecto", Driver::Ecto));
    for (name, purpose) in [
        ("API_JWT_SECRET", Purpose::PoolerApi),
        ("METRICS_JWT_SECRET", Purpose::PoolerMetrics),
        ("SECRET_KEY_BASE", Purpose::PoolerSecretBase),
        ("VAULT_ENC_KEY", Purpose::PoolerVault),
        ("RELEASE_COOKIE", Purpose::PoolerCookie),
    ] {
        config.set_secret(name, &credentials.derived(purpose));
    }
    config
}

/// Body of `PUT /api/tenants/<project id>`: clients log in as `<role>.<project id>`, and their passwords are looked up
/// in the database.
pub fn tenant(plan: &Plan, credentials: &Credentials) -> Sensitive {
    let database = &plan.database;
    let password = credentials.passwords.get(&Role::Pgbouncer).map(Sensitive::expose).unwrap_or_default();
    let body = json!({"tenant": {
        "db_host": database.host,
        "db_port": database.port,
        "db_database": database.database,
        "ip_version": "auto",
        "enforce_ssl": false,
        "upstream_ssl": database.ssl_mode != SslMode::Disable,
        "upstream_verify": if database.ssl_mode.verifies() { "peer" } else { "none" },
        "require_user": false,
        "auth_query": "SELECT * FROM pgbouncer.get_auth($1)",
        "default_pool_size": plan.pooler.default_pool_size,
        "default_max_clients": plan.pooler.max_client_connections,
        "users": [{
            "db_user": Role::Pgbouncer.name(),
            "db_password": password,
            "mode_type": "transaction",
            "pool_size": plan.pooler.default_pool_size,
            "is_manager": true,
        }],
    }});
    Sensitive::new(body.to_string())
}
