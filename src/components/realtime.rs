//! Realtime: broadcast, presence and database changes. Facts: its `config/runtime.exs` and `ENVS.md`.
//!
//! Its own seed deletes and makes the tenant anew at every start, without TLS, so it stays off: the operator writes the
//! tenant through Realtime's API ([`tenant`]).

use serde_json::{Value, json};

use super::connection::database_authority;
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::api::SslMode;
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::{Credentials, Purpose};
use crate::sensitive::Sensitive;
use crate::sql::Role;

pub static WORKLOAD: Workload = Workload {
    component: Component::Realtime,
    name: "realtime",
    field: "realtime",
    title: "Realtime",
    condition: "RealtimeReady",
    image_key: "realtime",
    wave: 2,
    settings: |spec| Settings::of(spec.realtime.as_ref().map(|realtime| &realtime.component)),
    upstream: Some(Upstream::Realtime),
    port: 4000,
    more_ports: &[],
    // The image's own entry point wants root and sudo; the programs behind it want neither.
    user: 65534,
    probes: Probes { port: 4000, ready: "/healthcheck", live: Some("/healthcheck"), start_seconds: 300 },
    command: Command::Program("/app/bin/server", Vec::new),
    migration: Some(&["/app/bin/migrate"]),
    writable: &["/app/.pgdelta-cache"],
    configuration,
    // The other operators' 256Mi end in an OOM kill: the Erlang VM alone idles at more.
    size: Size { cpu: "200m", memory: "512Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

/// The image's default is IPv6. One fixed port, so that a network policy can name it.
const ERLANG: &str = "-proto_dist inet_tcp -kernel inet_dist_listen_min 9100 inet_dist_listen_max 9100";

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration { pod_fields: &[("POD_IP", "status.podIP")], ..Configuration::default() };
    let database = &plan.database;
    config.set("APP_NAME", "realtime");
    config.set("PORT", WORKLOAD.port.to_string());
    config.set("DB_HOST", &database.host);
    config.set("DB_PORT", database.port.to_string());
    config.set("DB_NAME", &database.database);
    config.set("DB_USER", Role::SupabaseAdmin.name());
    config.set("DB_AFTER_CONNECT_QUERY", "SET search_path TO _realtime");
    config.set("DB_SSL", (database.ssl_mode != SslMode::Disable).to_string());
    if let Some(authority) = database_authority(plan) {
        config.set("DB_SSL_CA_CERT", authority);
    }
    config.set("SELF_HOST_TENANT_NAME", &plan.project_id);
    // Replicas find each other through the database.
    config.set("CLUSTER_STRATEGIES", "POSTGRES");
    config.set("RUN_JANITOR", "true");
    config.set("DISABLE_HEALTHCHECK_LOGGING", "true");
    config.set("ERL_AFLAGS", ERLANG);
    // Where an Erlang release may write on a read-only root.
    config.set("RELEASE_TMP", "/tmp");
    config.set("HOME", "/tmp");
    config.set("ERL_CRASH_DUMP", "/tmp/erl_crash.dump");
    if let Some(password) = credentials.passwords.get(&Role::SupabaseAdmin) {
        config.set_secret("DB_PASSWORD", password);
    }
    for (name, purpose) in [
        ("API_JWT_SECRET", Purpose::RealtimeApi),
        ("METRICS_JWT_SECRET", Purpose::RealtimeMetrics),
        ("SECRET_KEY_BASE", Purpose::RealtimeSecretBase),
        ("DB_ENC_KEY", Purpose::RealtimeDatabaseEncryption),
        ("RELEASE_COOKIE", Purpose::RealtimeCookie),
    ] {
        config.set_secret(name, &credentials.derived(purpose));
    }
    config
}

/// Body of `PUT /api/tenants/<project id>`. Every such request restarts the tenant's connections.
pub fn tenant(plan: &Plan, credentials: &Credentials) -> Sensitive {
    let database = &plan.database;
    let limits = &plan.realtime;
    let password = credentials.passwords.get(&Role::SupabaseAdmin).map(Sensitive::expose).unwrap_or_default();
    let jwks: Value = serde_json::from_str(credentials.jwks.expose()).unwrap_or_default();
    let body = json!({"tenant": {
        "external_id": plan.project_id,
        "name": plan.project_id,
        "jwt_secret": credentials.jwt_secret.expose(),
        "jwt_jwks": jwks,
        "max_concurrent_users": limits.max_concurrent_users.unwrap_or(200),
        "max_events_per_second": limits.max_events_per_second.unwrap_or(100),
        "max_channels_per_client": limits.max_channels_per_client.unwrap_or(100),
        "max_joins_per_second": limits.max_joins_per_second.unwrap_or(100),
        "max_bytes_per_second": limits.max_bytes_per_second.unwrap_or(100_000),
        "extensions": [{
            "type": "postgres_cdc_rls",
            "settings": {
                "region": "local",
                "db_host": database.host,
                "db_port": database.port.to_string(),
                "db_name": database.database,
                "db_user": Role::SupabaseAdmin.name(),
                "db_password": password,
                "poll_interval_ms": 100,
                "poll_max_record_bytes": 1_048_576,
                "ssl_enforced": database.ssl_mode != SslMode::Disable,
            },
        }],
    }});
    Sensitive::new(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_secret_has_the_length_that_realtime_wants() {
        let config = configuration(&testing::plan(), &testing::credentials());
        assert_eq!(config.secret["DB_ENC_KEY"].expose().len(), 16);
        assert!(config.secret["SECRET_KEY_BASE"].expose().len() >= 64);
        assert!(config.secret["API_JWT_SECRET"].expose().len() >= 32);
        assert!(config.plain.values().all(|value| !value.is_empty()));
    }

    #[test]
    fn the_tenant_is_the_project_with_its_keys_and_its_tls() {
        let credentials = testing::credentials();
        let mut plan = testing::plan();
        plan.realtime.max_concurrent_users = Some(5);
        let body = |plan: &Plan| -> Value { serde_json::from_str(tenant(plan, &credentials).expose()).unwrap() };
        let value = body(&plan);
        assert_eq!(value["tenant"]["external_id"], "demo");
        assert_eq!(value["tenant"]["jwt_secret"], credentials.jwt_secret.expose());
        assert_eq!(value["tenant"]["jwt_jwks"]["keys"][0]["kid"], credentials.signing_key_id.as_str());
        assert_eq!(value["tenant"]["max_concurrent_users"], 5);
        assert_eq!(value["tenant"]["extensions"][0]["settings"]["ssl_enforced"], true);
        plan.database.ssl_mode = SslMode::Disable;
        assert_eq!(body(&plan)["tenant"]["extensions"][0]["settings"]["ssl_enforced"], false);
    }
}
