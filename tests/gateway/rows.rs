//! Every row of the route table and every kind of key: what comes of them, whichever gateway it is.

use serde_json::Value;
use supabase_operator::gateway::{self, Dashboard, Documents, Keys, Route};
use supabase_operator::sensitive::Sensitive;

/// A table with everything that a project may have.
pub fn table() -> Vec<Route> {
    let public_url = "https://api.example.com/base";
    let mut table = gateway::oauth_server_routes(public_url);
    table.extend(gateway::routes("demo", public_url));
    table
}

pub fn keys() -> Keys {
    let list = |key: &str| vec![key.to_owned()];
    Keys {
        publishable: list("sb_publishable_one"),
        secret: list("sb_secret_one"),
        anon: list("legacy.anon.jwt"),
        service: list("legacy.service.jwt"),
        anon_jwt: "internal.anon.jwt".to_owned(),
        service_jwt: "internal.service.jwt".to_owned(),
        dashboard: Some(Dashboard { username: "admin".to_owned(), password: Sensitive::new("secret") }),
    }
}

/// A template of a mail, larger than what Envoy serves by default.
pub fn documents() -> Documents {
    Documents::from([("invite.html".to_owned(), format!("<p>{}</p>", "welcome ".repeat(1500)))])
}

/// What a client sends: `apikey`, `authorization`.
pub const KINDS: [(&str, Option<&str>, Option<&str>); 8] = [
    ("none", None, None),
    ("publishable", Some("sb_publishable_one"), None),
    ("secret", Some("sb_secret_one"), Some("Bearer sb_secret_one")),
    ("anon", Some("legacy.anon.jwt"), Some("Bearer legacy.anon.jwt")),
    ("service", Some("legacy.service.jwt"), None),
    ("user", Some("sb_publishable_one"), Some("Bearer user.own.jwt")),
    ("forged", Some("sb_secret_forged"), Some("Bearer sb_secret_forged")),
    ("unknown", Some("some.other.jwt"), None),
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Class {
    Open,
    Key,
    Service,
    Meta,
    Realtime,
    Storage,
    Functions,
    Nobody,
    Dashboard,
}

/// Class, what the client asks for, which service gets it as what.
pub const ROWS: [(Class, &str, &str, &str); 36] = [
    (Class::Open, "/auth/v1/verify?token=1", "auth", "/verify?token=1"),
    (Class::Open, "/auth/v1/callback", "auth", "/callback"),
    (Class::Open, "/auth/v1/authorize?provider=x", "auth", "/authorize?provider=x"),
    (Class::Open, "/auth/v1/.well-known/jwks.json", "auth", "/.well-known/jwks.json"),
    (
        Class::Open,
        "/.well-known/oauth-authorization-server/base/auth/v1",
        "auth",
        "/.well-known/oauth-authorization-server",
    ),
    (Class::Open, "/auth/v1/sso/saml/acs", "auth", "/sso/saml/acs"),
    (Class::Open, "/auth/v1/sso/saml/metadata", "auth", "/sso/saml/metadata"),
    (Class::Open, "/auth/v1/oauth/authorize?client_id=x", "auth", "/oauth/authorize?client_id=x"),
    (Class::Open, "/auth/v1/oauth/token", "auth", "/oauth/token"),
    (Class::Open, "/auth/v1/oauth/userinfo", "auth", "/oauth/userinfo"),
    (Class::Open, "/auth/v1/.well-known/openid-configuration", "auth", "/.well-known/openid-configuration"),
    (Class::Key, "/auth/v1/user", "auth", "/user"),
    (Class::Key, "/auth/v1/", "auth", "/"),
    (Class::Key, "/auth/v1/sso/saml", "auth", "/sso/saml"),
    (Class::Service, "/rest/v1/", "rest", "/"),
    (Class::Service, "/rest/v1", "rest", "/"),
    (Class::Service, "/rest/v1/?select=x", "rest", "/?select=x"),
    (Class::Key, "/rest/v1/todos?select=*", "rest", "/todos?select=*"),
    (Class::Key, "/rest/v1/rpc/f", "rest", "/rpc/f"),
    (Class::Key, "/graphql/v1", "rest", "/rpc/graphql"),
    (Class::Key, "/graphql/v1/x", "rest", "/rpc/graphql/x"),
    (Class::Nobody, "/realtime/v1/api/openapi", "", ""),
    (Class::Nobody, "/realtime/v1/api/tenants/x", "", ""),
    (Class::Realtime, "/realtime/v1/api/broadcast", "realtime", "/api/broadcast"),
    (Class::Realtime, "/realtime/v1/api/broadcast/t/events/e", "realtime", "/api/broadcast/t/events/e"),
    (Class::Nobody, "/realtime/v1/api", "", ""),
    (Class::Nobody, "/realtime/v1/api/ping", "", ""),
    (Class::Realtime, "/realtime/v1/websocket?vsn=1", "realtime", "/socket/websocket?vsn=1"),
    (Class::Storage, "/storage/v1/object/b/o.txt", "storage", "/object/b/o.txt"),
    (Class::Storage, "/storage/v1/s3/b?list-type=2", "storage", "/s3/b?list-type=2"),
    (Class::Functions, "/functions/v1/hello/x?y=1", "functions", "/hello/x?y=1"),
    (Class::Meta, "/pg/tables", "meta", "/tables"),
    (Class::Nobody, "/api/mcp", "", ""),
    (Class::Nobody, "/mcp", "", ""),
    (Class::Dashboard, "/", "studio", "/"),
    (Class::Dashboard, "/project/default?x=1", "studio", "/project/default?x=1"),
];

/// The JWT that a key stands for; `None` for what the gateway does not know.
fn worth(kind: &str) -> Option<&'static str> {
    match kind {
        "publishable" | "user" => Some("internal.anon.jwt"),
        "secret" => Some("internal.service.jwt"),
        "anon" => Some("legacy.anon.jwt"),
        "service" => Some("legacy.service.jwt"),
        _ => None,
    }
}

fn is_service(kind: &str) -> bool {
    matches!(kind, "secret" | "service")
}

pub fn status(class: Class, kind: &str) -> u16 {
    match class {
        Class::Open | Class::Storage => 200,
        Class::Key | Class::Realtime if worth(kind).is_some() => 200,
        Class::Service | Class::Meta if is_service(kind) => 200,
        Class::Service | Class::Meta if worth(kind).is_some() => 403,
        Class::Functions if kind != "forged" => 200,
        Class::Nobody => 403,
        _ => 401,
    }
}

fn authorization(class: Class, kind: &str, sent: Option<&str>) -> Option<String> {
    let translated = !matches!(class, Class::Open | Class::Meta | Class::Functions);
    match worth(kind) {
        Some(jwt) if translated && kind != "user" => Some(format!("Bearer {jwt}")),
        _ => sent.map(str::to_owned),
    }
}

/// What a client of this kind sends: its own, and what only the gateway may say.
pub fn sent<'a>(apikey: Option<&'a str>, authorization: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut headers = vec![
        ("sb-api-key", "forged"),
        ("x-api-key", "forged"),
        ("x-forwarded-host", "forged"),
        ("x-forwarded-proto", "ftp"),
    ];
    headers.extend(apikey.map(|key| ("apikey", key)));
    headers.extend(authorization.map(|value| ("authorization", value)));
    headers
}

/// What the service saw of a request that passed: `service`, `target` and `headers`.
pub fn check_seen(row: (Class, &str, &str, &str), kind: (&str, Option<&str>, Option<&str>), seen: &Value) {
    let ((class, path, service, target), (kind, apikey, sent)) = (row, kind);
    let case = format!("{class:?} {path} {kind}");
    assert_eq!(seen["service"], service, "{case}");
    assert_eq!(seen["target"], target, "{case}");
    assert_eq!(header(seen, "authorization"), authorization(class, kind, sent).as_deref(), "{case}");
    assert_eq!(header(seen, "apikey"), apikey, "{case}");
    other_headers(class, kind, seen, &case);
}

pub fn header<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    seen["headers"].get(name).and_then(Value::as_str)
}

fn other_headers(class: Class, kind: &str, seen: &Value, case: &str) {
    let internal = match kind {
        "none" | "unknown" => None,
        kind if is_service(kind) => Some("internal.service.jwt"),
        _ => Some("internal.anon.jwt"),
    };
    let functions = class == Class::Functions;
    assert_eq!(header(seen, "sb-api-key"), internal.filter(|_| functions), "{case}");
    let x_api_key = match class {
        Class::Realtime => worth(kind),
        Class::Functions => Some("forged"),
        _ => None,
    };
    assert_eq!(header(seen, "x-api-key"), x_api_key, "{case}");
    let host = if class == Class::Realtime { "demo.realtime" } else { "client.example" };
    assert_eq!(header(seen, "host"), Some(host), "{case}");
    assert_eq!(header(seen, "x-forwarded-host"), Some("client.example"), "{case}");
    assert_eq!(header(seen, "x-forwarded-proto"), Some("https"), "{case}");
    assert_eq!(header(seen, "x-forwarded-port"), Some("443"), "{case}");
    let prefix = (class == Class::Storage).then_some("/storage/v1");
    assert_eq!(header(seen, "x-forwarded-prefix"), prefix, "{case}");
    let graphql = seen["target"].as_str().is_some_and(|target| target.starts_with("/rpc/graphql"));
    let profile = graphql.then_some("graphql_public");
    assert_eq!(header(seen, "content-profile"), profile, "{case}");
    assert_eq!(header(seen, "x-envoy-retry-on"), None, "{case}");
}
