//! Every row of the route table against every kind of key.

use serde_json::Value;

use super::harness::{Gateway, Reply, envoy, keys, services};

/// What a client sends: `apikey`, `authorization`.
const KINDS: [(&str, Option<&str>, Option<&str>); 8] = [
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
enum Class {
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
const ROWS: [(Class, &str, &str, &str); 28] = [
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
    (Class::Key, "/auth/v1/user", "auth", "/user"),
    (Class::Key, "/auth/v1/", "auth", "/"),
    (Class::Key, "/auth/v1/sso/saml", "auth", "/sso/saml"),
    (Class::Service, "/rest/v1/", "rest", "/"),
    (Class::Service, "/rest/v1", "rest", "/"),
    (Class::Service, "/rest/v1/?select=x", "rest", "/?select=x"),
    (Class::Key, "/rest/v1/todos?select=*", "rest", "/todos?select=*"),
    (Class::Key, "/rest/v1/rpc/f", "rest", "/rpc/f"),
    (Class::Key, "/graphql/v1", "rest", "/rpc/graphql"),
    (Class::Nobody, "/realtime/v1/api/openapi", "", ""),
    (Class::Nobody, "/realtime/v1/api/tenants/x", "", ""),
    (Class::Realtime, "/realtime/v1/api/broadcast", "realtime", "/api/broadcast"),
    (Class::Nobody, "/realtime/v1/api/ping", "", ""),
    (Class::Realtime, "/realtime/v1/websocket?vsn=1", "realtime", "/socket/websocket?vsn=1"),
    (Class::Storage, "/storage/v1/object/b/o.txt", "storage", "/object/b/o.txt"),
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

fn status(class: Class, kind: &str) -> u16 {
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

#[tokio::test]
async fn every_row_with_every_kind_of_key() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    for (class, path, service, target) in ROWS {
        for (kind, apikey, sent) in KINDS {
            let case = format!("{class:?} {path} {kind}");
            let mut headers = vec![
                ("sb-api-key", "forged"),
                ("x-api-key", "forged"),
                ("x-forwarded-host", "forged"),
                ("x-forwarded-proto", "ftp"),
            ];
            headers.extend(apikey.map(|key| ("apikey", key)));
            headers.extend(sent.map(|value| ("authorization", value)));
            let reply = gateway.get(path, &headers).await;
            assert_eq!(reply.status, status(class, kind), "{case}: {reply:?}");
            if reply.status == 200 {
                let seen = reply.seen();
                assert_eq!(seen["service"], service, "{case}");
                assert_eq!(seen["target"], target, "{case}");
                let expected = authorization(class, kind, sent);
                assert_eq!(header(&seen, "authorization"), expected.as_deref(), "{case}");
                assert_eq!(header(&seen, "apikey"), apikey, "{case}");
                other_headers(class, kind, &seen, &case);
            } else if class != Class::Dashboard {
                refusal(&reply, &case);
            }
        }
    }
    let errors = gateway.output("stderr");
    assert!(!errors.contains("Deprecated"), "{errors}");
}

fn header<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
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
    let profile = (seen["target"] == "/rpc/graphql").then_some("graphql_public");
    assert_eq!(header(seen, "content-profile"), profile, "{case}");
    assert_eq!(header(seen, "x-envoy-retry-on"), None, "{case}");
}

fn refusal(reply: &Reply, case: &str) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{case}");
    assert!(!reply.message().is_empty(), "{case}");
}

#[tokio::test]
async fn dashboard_wants_its_password() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    // admin:wrong, admin:secret
    let wrong = ("authorization", "Basic YWRtaW46d3Jvbmc=");
    let right = ("authorization", "Basic YWRtaW46c2VjcmV0");
    let reply = gateway.get("/project", &[wrong]).await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    let reply = gateway.get("/project", &[right]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(header(&reply.seen(), "authorization"), None);
    assert_eq!(gateway.get("/pg/tables", &[right]).await.status, 401);
}
