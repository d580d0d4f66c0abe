//! postgres-meta: the database management API. Facts: its `src/server/constants.ts`.

use super::connection::database_authority;
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::api::SslMode;
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::sql::Role;

pub static WORKLOAD: Workload = Workload {
    component: Component::Meta,
    name: "meta",
    field: "meta",
    title: "postgres-meta",
    condition: "MetaReady",
    image_key: "meta",
    wave: 3,
    settings: |spec| Settings::of(spec.meta.as_ref()),
    upstream: Some(Upstream::Meta),
    port: 8080,
    more_ports: &[],
    user: 1000,
    probes: Probes { port: 8080, ready: "/health", live: Some("/health"), start_seconds: 120 },
    command: Command::Image,
    migration: None,
    writable: &[],
    configuration,
    // It idles at 230 MiB; a large result set needs the rest.
    size: Size { cpu: "50m", memory: "256Mi", memory_limit: "512Mi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration::default();
    let database = &plan.database;
    config.set("PG_META_HOST", "0.0.0.0");
    config.set("PG_META_PORT", WORKLOAD.port.to_string());
    config.set("PG_META_DB_HOST", &database.host);
    config.set("PG_META_DB_PORT", database.port.to_string());
    config.set("PG_META_DB_NAME", &database.database);
    config.set("PG_META_DB_USER", Role::MetaAdmin.name());
    config.set("PG_META_DB_SSL_MODE", database.ssl_mode.as_str());
    if let Some(authority) = database_authority(plan) {
        // Not in PG_META_DB_SSL_ROOT_CERT: a variable has at most 128 KiB, and the bundle of RDS is larger.
        config.set("NODE_EXTRA_CA_CERTS", authority);
    }
    // Studio's connections, whose strings say nothing of TLS, follow this variable.
    match database.ssl_mode {
        SslMode::Disable => {}
        SslMode::Require => config.set("PGSSLMODE", "no-verify"),
        SslMode::VerifyCa | SslMode::VerifyFull => config.set("PGSSLMODE", "require"),
    }
    // The variable must be percent-encoded; generated passwords are letters and digits.
    if let Some(password) = credentials.passwords.get(&Role::MetaAdmin) {
        config.set_secret("PG_META_DB_PASSWORD", password);
    }
    config.set_secret("CRYPTO_KEY", &credentials.meta_crypto_key);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn logs_in_with_a_role_of_its_own() {
        let credentials = testing::credentials();
        let config = configuration(&testing::plan(), &credentials);
        assert_eq!(config.plain["PG_META_DB_USER"], "supabase_meta_admin");
        assert_eq!(config.secret["PG_META_DB_PASSWORD"], credentials.passwords[&Role::MetaAdmin]);
        assert_eq!(config.secret["CRYPTO_KEY"], credentials.meta_crypto_key);
    }
}
