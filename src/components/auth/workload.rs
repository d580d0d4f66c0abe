//! How Auth runs.

use super::PORT;
use crate::components::connection::{Driver, url};
use crate::components::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
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
    port: PORT,
    more_ports: &[],
    user: 1000,
    probes: Probes { port: PORT, ready: "/health", live: Some("/health"), start_seconds: 300 },
    command: Command::Program("auth", || vec!["serve".to_owned()]),
    // Its migrations take no lock: replicas that start together would race.
    migration: Some(&["auth", "migrate"]),
    writable: &[],
    configuration,
    size: Size { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration { plain: super::base(&plan.public_url), ..Configuration::default() };
    config.plain.extend(plan.auth.plain.clone());
    config.secret.clone_from(&plan.auth.secret);
    let database = url(plan, credentials, Role::AuthAdmin, "postgres", Driver::Libpq);
    config.set_secret("GOTRUE_DB_DATABASE_URL", &database);
    config.set_secret("GOTRUE_JWT_SECRET", &credentials.jwt_secret);
    config.set_secret("GOTRUE_JWT_KEYS", &credentials.signing_keys);
    config
}
