//! PostgREST: the REST API. Facts: `docs.postgrest.org/en/stable/references/configuration.html`.

use super::connection::database_authority;
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::sql::Role;

/// Admin server: `/live` and `/ready`. Not part of the Service.
const ADMIN_PORT: u16 = 3001;

pub static WORKLOAD: Workload = Workload {
    component: Component::Postgrest,
    name: "postgrest",
    field: "postgrest",
    title: "PostgREST",
    condition: "PostgRESTReady",
    image_key: "postgrest",
    wave: 1,
    settings: |spec| Settings::of(spec.postgrest.as_ref().map(|postgrest| &postgrest.component)),
    upstream: Some(Upstream::Rest),
    port: 3000,
    more_ports: &[],
    user: 1000,
    // Until the first connection to the database both answer nothing at all, so the start has a budget of its own.
    probes: Probes { port: ADMIN_PORT, ready: "/ready", live: Some("/live"), start_seconds: 300 },
    command: Command::Image,
    migration: None,
    writable: &[],
    configuration,
    size: Size { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration::default();
    let database = &plan.database;
    // libpq's own variables instead of a URI: nothing in them needs escaping.
    config.set("PGRST_DB_URI", "postgresql://");
    config.set("PGHOST", &database.host);
    config.set("PGPORT", database.port.to_string());
    config.set("PGDATABASE", &database.database);
    config.set("PGUSER", Role::Authenticator.name());
    config.set("PGSSLMODE", database.ssl_mode.as_str());
    if let Some(password) = credentials.passwords.get(&Role::Authenticator) {
        config.set_secret("PGPASSWORD", password);
    }
    // With a CA at hand libpq verifies in mode `require` too, which nobody asked for.
    if let Some(authority) = database_authority(plan) {
        config.set("PGSSLROOTCERT", authority);
    }
    config.set("PGRST_DB_SCHEMAS", plan.postgrest.schemas.join(","));
    config.set("PGRST_DB_EXTRA_SEARCH_PATH", "public,extensions");
    config.set("PGRST_DB_ANON_ROLE", Role::Anon.name());
    config.set("PGRST_DB_MAX_ROWS", plan.postgrest.max_rows.to_string());
    config.set("PGRST_SERVER_PORT", WORKLOAD.port.to_string());
    config.set("PGRST_ADMIN_SERVER_PORT", ADMIN_PORT.to_string());
    config.set("PGRST_OPENAPI_SERVER_PROXY_URI", format!("{}/rest/v1", plan.public_url));
    config.set_secret("PGRST_JWT_SECRET", &credentials.jwks);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SslMode;
    use crate::testing;

    #[test]
    fn logs_in_as_authenticator_and_never_as_the_administrator() {
        let plan = testing::plan();
        let config = configuration(&plan, &testing::credentials());
        assert_eq!(config.plain["PGUSER"], "authenticator");
        assert_ne!(config.secret["PGPASSWORD"], plan.database.password);
        assert!(config.plain.values().all(|value| value != &plan.database.username));
    }

    #[test]
    fn verifies_the_server_with_the_mounted_ca() {
        let mut plan = testing::plan();
        plan.database.ssl_mode = SslMode::VerifyFull;
        plan.database.ca = Some("PEM".to_owned());
        let config = configuration(&plan, &testing::credentials());
        assert_eq!(config.plain["PGSSLMODE"], "verify-full");
        assert_eq!(config.plain["PGSSLROOTCERT"], "/etc/supabase/authorities/database.crt");
        assert!(config.names_authorities());
    }

    #[test]
    fn accepts_every_token_that_the_jwks_verifies() {
        let credentials = testing::credentials();
        let config = configuration(&testing::plan(), &credentials);
        assert_eq!(config.secret["PGRST_JWT_SECRET"], credentials.jwks);
    }
}
