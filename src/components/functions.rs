//! Edge Functions: edge-runtime with a main service of our own, which verifies tokens and starts the function that the
//! path names. Facts: github.com/supabase/edge-runtime, `cli/src/flags.rs`.

use serde_json::json;

use super::connection::{Driver, url};
use super::{
    Command, Component, Configuration, Content, Mount, Probes, Settings, Size, Stop, UserSecret, Workload, gateway,
};
use crate::gateway::Upstream;
use crate::plan::keys::Credentials;
use crate::plan::{FunctionsSource, Plan};
use crate::sensitive::Sensitive;
use crate::sql::Role;

const MAIN: &str = "/home/deno/main";
const FUNCTIONS: &str = "/home/deno/functions";

pub static WORKLOAD: Workload = Workload {
    component: Component::Functions,
    name: "functions",
    field: "functions",
    title: "Edge Functions",
    condition: "FunctionsReady",
    image_key: "functions",
    wave: 4,
    settings: |spec| Settings::of(spec.functions.as_ref().map(|functions| &functions.component)),
    upstream: Some(Upstream::Functions),
    port: 9000,
    more_ports: &[],
    user: 1000,
    probes: Probes { port: 9000, ready: "/_internal/health", live: None, start_seconds: 120 },
    command: Command::Arguments(&["start", "--main-service", MAIN, "-p", "9000"]),
    migration: None,
    writable: &[],
    configuration,
    // 150 MB for each function that runs.
    size: Size { cpu: "200m", memory: "256Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration { plain_content: Content::Files(MAIN), ..Configuration::default() };
    config.set("index.ts", include_str!("functions/main.ts"));
    // One place for all variables: the ConfigMap holds files.
    let mut set = |name: &str, value: &str| config.set_secret(name, &Sensitive::new(value));
    set("SUPABASE_URL", &gateway::internal_url(&plan.identity));
    set("SUPABASE_PUBLIC_URL", &plan.public_url);
    set("VERIFY_JWT", if plan.functions.verify_jwt { "true" } else { "false" });
    // The root is read-only.
    set("DENO_DIR", "/tmp/deno");
    set("HOME", "/tmp");
    let map = |key: &Sensitive| json!({"default": key.expose()}).to_string();
    set("SUPABASE_PUBLISHABLE_KEYS", &map(&credentials.publishable_key));
    set("SUPABASE_SECRET_KEYS", &map(&credentials.secret_key));
    config.set_secret("JWT_SECRET", &credentials.jwt_secret);
    config.set_secret("SUPABASE_JWKS", &credentials.jwks);
    config.set_secret("SUPABASE_ANON_KEY", &credentials.anon_key);
    config.set_secret("SUPABASE_SERVICE_ROLE_KEY", &credentials.service_role_key);
    config.set_secret("SUPABASE_DB_URL", &url(plan, credentials, Role::FunctionsAdmin, "postgresql", Driver::Libpq));
    config.user_secrets =
        plan.functions.secret.iter().map(|(name, digest)| UserSecret { name: name.clone(), digest: *digest }).collect();
    config.mounts = match &plan.functions.source {
        FunctionsSource::ConfigMaps(functions) => functions
            .iter()
            .map(|function| Mount::ConfigMap {
                name: function.config_map.clone(),
                directory: format!("{FUNCTIONS}/{}", function.name),
                content: function.content,
            })
            .collect(),
        FunctionsSource::Volume { claim, sub_path } => {
            vec![Mount::Claim { name: claim.clone(), directory: FUNCTIONS.to_owned(), sub_path: sub_path.clone() }]
        }
    };
    config
}
