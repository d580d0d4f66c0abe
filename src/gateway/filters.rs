//! The HTTP filters of the gateway and their settings per route.
//!
//! In: who may pass, and the keys. Out: fragments of Envoy's configuration. The gate (Lua) only
//! names the role of a request; RBAC compares it and refuses by default, because Envoy lets a
//! request continue when a script fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::{Access, Dashboard, Keys, Translation, cors};

pub(super) const CORS: &str = "envoy.filters.http.cors";
pub(super) const LUA: &str = "envoy.filters.http.lua";
pub(super) const RBAC: &str = "envoy.filters.http.rbac";
pub(super) const BASIC_AUTH: &str = "envoy.filters.http.basic_auth";
const ROUTER: &str = "envoy.filters.http.router";

const GATE: &str = concat!(include_str!("keys.lua"), include_str!("gate.lua"));
const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// A user list that nobody can log in with, for the routes that bring none.
const NO_USERS: &str = "nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The chain in its order. CORS comes first: a preflight carries no key, and a refusal must be
/// readable by the page that caused it.
pub(super) fn chain() -> Value {
    json!([
        {"name": CORS, "typed_config": {"@type": format!("{EXTENSIONS}.cors.v3.Cors")}},
        {"name": LUA, "typed_config": {
            "@type": format!("{EXTENSIONS}.lua.v3.Lua"),
            "default_source_code": {"inline_string": GATE},
        }},
        // No policy allows anything, so a route without its own rule is closed.
        {"name": RBAC, "typed_config": {
            "@type": format!("{EXTENSIONS}.rbac.v3.RBAC"),
            "rules": {"action": "ALLOW", "policies": {}},
        }},
        {"name": BASIC_AUTH, "disabled": true, "typed_config": {
            "@type": format!("{EXTENSIONS}.basic_auth.v3.BasicAuth"),
            "users": {"inline_string": NO_USERS},
        }},
        {"name": ROUTER, "typed_config": {"@type": format!("{EXTENSIONS}.router.v3.Router")}},
    ])
}

/// What the gate reads about a route.
pub(super) fn metadata(access: Access, translation: Translation) -> Value {
    let access = match access {
        Access::Open | Access::Dashboard => "open",
        Access::Key => "key",
        Access::Service | Access::Nobody => "service",
    };
    let mode = match translation {
        Translation::None => "none",
        Translation::Jwt => "jwt",
        Translation::Realtime => "realtime",
        Translation::Functions => "functions",
    };
    json!({"filter_metadata": {LUA: {"access": access, "mode": mode}}})
}

/// Makes the gate answer with an error, whoever asks.
pub(super) fn answer(status: u16, message: &str) -> Value {
    let body = json!({"message": message}).to_string();
    json!({"filter_metadata": {LUA: {
        "access": "service",
        "status": status.to_string(),
        "body": body,
    }}})
}

/// The rule of a route. `none` is the gate's word for a request without a key: an open route
/// wants it too, so that no request gets around the gate's cleaning of headers.
pub(super) fn rbac(access: Access) -> Value {
    let roles = match access {
        Access::Open | Access::Dashboard => "none|anon|service",
        Access::Key => "anon|service",
        Access::Service => "service",
        Access::Nobody => return rbac_of(&json!({})),
    };
    rbac_of(&json!({"role": {
        "permissions": [{"any": true}],
        "principals": [{"sourced_metadata": {
            "metadata_source": "DYNAMIC",
            "metadata_matcher": {
                "filter": "supabase.gateway",
                "path": [{"key": "role"}],
                "value": {"string_match": {"safe_regex": {"regex": roles}}},
            },
        }}],
    }}))
}

fn rbac_of(policies: &Value) -> Value {
    json!({
        "@type": format!("{EXTENSIONS}.rbac.v3.RBACPerRoute"),
        "rbac": {"rules": {"action": "ALLOW", "policies": policies}},
    })
}

/// The keys, as the gate reads them.
pub(super) fn keys(keys: &Keys) -> Value {
    let usable = |list: &[String]| -> Vec<String> { list.iter().filter(|key| !key.is_empty()).cloned().collect() };
    json!({
        "@type": format!("{EXTENSIONS}.lua.v3.LuaPerRoute"),
        "filter_context": {
            "publishable": usable(&keys.publishable),
            "secret": usable(&keys.secret),
            "anon": usable(&keys.anon),
            "service": usable(&keys.service),
            "anon_jwt": keys.anon_jwt,
            "service_jwt": keys.service_jwt,
        },
    })
}

/// The dashboard's user list, of a usable dashboard: Envoy refuses a whole route configuration for an odd name.
pub(super) fn basic_auth(dashboard: &Dashboard) -> Value {
    let hash = STANDARD.encode(Sha1::digest(dashboard.password.expose()));
    json!({
        "@type": format!("{EXTENSIONS}.basic_auth.v3.BasicAuthPerRoute"),
        "users": {"inline_string": format!("{}:{{SHA}}{hash}", dashboard.username)},
    })
}

pub(super) fn disabled() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
        "disabled": true,
        // Envoy wants something to disable.
        "config": {},
    })
}

/// Any origin: keys are the protection, cookies play no part.
pub(super) fn cors_policy() -> Value {
    json!({
        "@type": format!("{EXTENSIONS}.cors.v3.CorsPolicy"),
        "allow_origin_string_match": [{"safe_regex": {"regex": ".*"}}],
        "allow_methods": cors::METHODS.join(", "),
        "allow_headers": cors::ALLOWED.join(", "),
        "expose_headers": cors::EXPOSED.join(", "),
        "max_age": cors::MAX_AGE_SECONDS.to_string(),
    })
}
