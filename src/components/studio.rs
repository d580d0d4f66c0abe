//! Studio: the dashboard. Facts: `docker/CONFIG.md` of github.com/supabase/supabase.

use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload, gateway};
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::sql::Role;

const SNIPPETS: &str = "/app/snippets";
const FUNCTIONS: &str = "/app/edge-functions";

pub static WORKLOAD: Workload = Workload {
    component: Component::Studio,
    name: "studio",
    field: "studio",
    title: "Studio",
    condition: "StudioReady",
    image_key: "studio",
    wave: 4,
    settings: |spec| Settings::of(spec.studio.as_ref().map(|studio| &studio.component)),
    upstream: Some(Upstream::Studio),
    port: 3000,
    more_ports: &[],
    user: 1000,
    probes: Probes {
        port: 3000,
        ready: "/api/platform/profile",
        live: Some("/api/platform/profile"),
        start_seconds: 180,
    },
    command: Command::Image,
    migration: None,
    writable: &[SNIPPETS, FUNCTIONS, "/app/apps/studio/.next/cache"],
    configuration,
    size: Size { cpu: "100m", memory: "256Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration::default();
    let database = &plan.database;
    let meta = plan.identity.name.component(Component::Meta);
    // Next.js binds to this name; Kubernetes would put the pod's there.
    config.set("HOSTNAME", "0.0.0.0");
    config.set("PORT", WORKLOAD.port.to_string());
    config.set("STUDIO_PG_META_URL", format!("http://{meta}:{}", Component::Meta.workload().port));
    config.set("POSTGRES_HOST", &database.host);
    config.set("POSTGRES_PORT", database.port.to_string());
    config.set("POSTGRES_DB", &database.database);
    config.set("POSTGRES_USER_READ_WRITE", Role::MetaAdmin.name());
    config.set("SUPABASE_URL", gateway::internal_url(&plan.identity));
    config.set("SUPABASE_PUBLIC_URL", &plan.studio.public_url);
    config.set("DEFAULT_ORGANIZATION_NAME", &plan.studio.organization);
    config.set("DEFAULT_PROJECT_NAME", &plan.studio.project);
    config.set("PGRST_DB_SCHEMAS", plan.postgrest.schemas.join(","));
    config.set("PGRST_DB_MAX_ROWS", plan.postgrest.max_rows.to_string());
    config.set("PGRST_DB_EXTRA_SEARCH_PATH", "public,extensions");
    config.set("SNIPPETS_MANAGEMENT_FOLDER", SNIPPETS);
    config.set("EDGE_FUNCTIONS_MANAGEMENT_FOLDER", FUNCTIONS);
    // There is no Logflare.
    config.set("ENABLED_FEATURES_LOGS_ALL", "false");
    if let Some(password) = credentials.passwords.get(&Role::MetaAdmin) {
        config.set_secret("POSTGRES_PASSWORD", password);
    }
    config.set_secret("PG_META_CRYPTO_KEY", &credentials.meta_crypto_key);
    config.set_secret("AUTH_JWT_SECRET", &credentials.jwt_secret);
    config.set_secret("SUPABASE_ANON_KEY", &credentials.anon_key);
    config.set_secret("SUPABASE_SERVICE_KEY", &credentials.service_role_key);
    config.set_secret("SUPABASE_PUBLISHABLE_KEY", &credentials.publishable_key);
    config.set_secret("SUPABASE_SECRET_KEY", &credentials.secret_key);
    config
}
