//! Auth (GoTrue). Facts: its `internal/conf/configuration.go`.

use super::connection::{Driver, database_authority, url};
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::sql::Role;

pub static WORKLOAD: Workload = Workload {
    component: Component::Auth,
    name: "auth",
    field: "auth",
    title: "Auth",
    condition: "AuthReady",
    image_key: "auth",
    wave: 0,
    settings: |spec| Settings::of(spec.auth.as_ref().map(|auth| &auth.component)),
    upstream: Some(Upstream::Auth),
    port: 9999,
    more_ports: &[],
    user: 1000,
    probes: Probes { port: 9999, ready: "/health", live: Some("/health"), start_seconds: 300 },
    command: Command::Program("auth", || vec!["serve".to_owned()]),
    // Its migrations take no lock: replicas that start together would race.
    migration: Some(&["auth", "migrate"]),
    writable: &[],
    configuration,
    size: Size { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration { authorities: database_authority(plan).is_some(), ..Configuration::default() };
    let external = format!("{}/auth/v1", plan.public_url);
    config.set("GOTRUE_API_HOST", "0.0.0.0");
    config.set("GOTRUE_API_PORT", WORKLOAD.port.to_string());
    config.set("API_EXTERNAL_URL", &external);
    config.set("GOTRUE_JWT_ISSUER", &external);
    config.set("GOTRUE_JWT_AUD", "authenticated");
    config.set("GOTRUE_JWT_DEFAULT_GROUP_NAME", "authenticated");
    config.set("GOTRUE_JWT_ADMIN_ROLES", "service_role");
    config.set("GOTRUE_JWT_EXP", "3600");
    config.set("GOTRUE_SITE_URL", &plan.public_url);
    config.set("GOTRUE_DB_DRIVER", "postgres");
    config.set("GOTRUE_DB_NAMESPACE", "auth");
    // Without it there is no limit.
    config.set("GOTRUE_DB_MAX_POOL_SIZE", "10");
    config.set("GOTRUE_DB_CLEANUP_ENABLED", "true");
    // An absolute path replaces that of the external URL.
    for kind in ["INVITE", "CONFIRMATION", "RECOVERY", "EMAIL_CHANGE"] {
        config.set(&format!("GOTRUE_MAILER_URLPATHS_{kind}"), "/auth/v1/verify");
    }
    config.set_secret("GOTRUE_DB_DATABASE_URL", &url(plan, credentials, Role::AuthAdmin, "postgres", Driver::Libpq));
    config.set_secret("GOTRUE_JWT_SECRET", &credentials.jwt_secret);
    config.set_secret("GOTRUE_JWT_KEYS", &credentials.signing_keys);
    config
}
