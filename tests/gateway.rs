//! Drives a real Envoy (environment variable `ENVOY`) with the rendered gateway configuration.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "gateway/harness.rs"]
mod harness;
#[path = "gateway/lifecycle.rs"]
mod lifecycle;
#[path = "gateway/rows.rs"]
mod rows;
#[path = "gateway/table.rs"]
mod table;

use futures::StreamExt;
use harness::{Gateway, envoy, services};
use rows::keys;
use serde_json::Value;
use supabase_operator::gateway::{Keys, Upstreams};
use tokio_tungstenite::connect_async;

const ANON: (&str, &str) = ("apikey", "sb_publishable_one");
const SERVICE: (&str, &str) = ("apikey", "sb_secret_one");

#[tokio::test]
async fn key_in_the_query_counts_and_is_stripped() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    for (sent, seen) in [
        ("/rest/v1/t?apikey=sb_publishable_one", "/t"),
        ("/rest/v1/t?a=eq.1&apikey=sb_publishable_one&b=is.null", "/t?a=eq.1&b=is.null"),
        ("/rest/v1/t?apikey=sb_publishable_one&apikey=x&apikey", "/t"),
        ("/rest/v1/t?xapikey=1&apikey=legacy.anon.jwt", "/t?xapikey=1"),
    ] {
        let reply = gateway.get(sent, &[]).await;
        assert_eq!(reply.status, 200, "{sent}");
        assert_eq!(reply.seen()["target"], seen);
    }
    // The header wins; an empty one does not.
    let reply = gateway.get("/rest/v1/t?apikey=sb_secret_one", &[ANON]).await;
    assert_eq!(reply.seen()["headers"]["authorization"], "Bearer internal.anon.jwt");
    let reply = gateway.get("/rest/v1/t?apikey=sb_secret_one", &[("apikey", "")]).await;
    assert_eq!(reply.seen()["headers"]["authorization"], "Bearer internal.service.jwt");
    for bad in ["?apikey=", "?apikey", "?apikey=sb_secret_on", "?Apikey=sb_secret_one"] {
        let reply = gateway.get(&format!("/rest/v1/t{bad}"), &[]).await;
        assert_eq!(reply.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn only_the_apikey_decides() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    let anon = ("apikey", "legacy.anon.jwt");
    let status = async |path: &str, headers: &[(&str, &str)]| gateway.get(path, headers).await.status;
    for token in ["Bearer legacy.service.jwt", "Bearer sb_secret_one"] {
        let token = ("authorization", token);
        for path in ["/pg/tables", "/rest/v1/", "/rest/v1"] {
            assert_eq!(status(path, &[anon, token]).await, 403, "{path}");
            assert_eq!(status(path, &[token]).await, 401, "{path}");
        }
    }
    // Two headers are one value with a comma.
    assert_eq!(status("/pg/tables", &[ANON, SERVICE]).await, 401);
    // An opaque token of another role is replaced by what the key is worth.
    let reply = gateway.get("/rest/v1/t", &[ANON, ("authorization", "bearer sb_secret_one")]).await;
    assert_eq!(reply.seen()["headers"]["authorization"], "Bearer internal.anon.jwt");
    let reply = gateway.get("/rest/v1/t", &[ANON, ("authorization", "")]).await;
    assert_eq!(reply.seen()["headers"]["authorization"], "Bearer internal.anon.jwt");
    let reply = gateway.get("/storage/v1/object", &[("authorization", "")]).await;
    assert_eq!(reply.seen()["headers"].get("authorization"), None);
    // Functions refuse what contradicts itself.
    let function = "/functions/v1/hello";
    assert_eq!(status(function, &[ANON, ("authorization", "Bearer sb_secret_one")]).await, 401);
    assert_eq!(status(function, &[ANON, ("authorization", "Bearer sb_secret_x")]).await, 401);
    let reply = gateway.get(function, &[("authorization", "Bearer sb_secret_one")]).await;
    assert_eq!(reply.seen()["headers"]["sb-api-key"], "internal.service.jwt");
    assert_eq!(reply.seen()["headers"]["authorization"], "Bearer sb_secret_one");
}

#[tokio::test]
async fn missing_keys_open_nothing() {
    let Some(envoy) = envoy() else { return };
    let upstreams = services().await;
    let none = Gateway::start(&envoy, &upstreams, &Keys::default()).await;
    for key in ["", "sb_publishable_one", "nil", "null"] {
        for path in ["/rest/v1/t", "/pg/tables", "/realtime/v1/websocket", "/auth/v1/user"] {
            assert_eq!(none.get(path, &[("apikey", key)]).await.status, 401, "{path} {key}");
        }
    }
    assert_eq!(none.get("/", &[]).await.status, 403);

    let untranslated = Keys { anon_jwt: String::new(), service_jwt: String::new(), ..keys() };
    let gateway = Gateway::start(&envoy, &upstreams, &untranslated).await;
    for path in ["/rest/v1/t", "/realtime/v1/websocket", "/storage/v1/x", "/functions/v1/x"] {
        assert_eq!(gateway.get(path, &[SERVICE]).await.status, 503, "{path}");
        let legacy = gateway.get(path, &[("apikey", "legacy.service.jwt")]).await;
        assert_eq!(legacy.status, 200, "{path}");
    }
}

#[tokio::test]
async fn preflight_needs_no_key_and_refusals_are_readable() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    let origin = ("origin", "https://app.example");
    let preflight = [origin, ("access-control-request-method", "PATCH")];
    for path in ["/rest/v1/t", "/auth/v1/user", "/storage/v1/x", "/functions/v1/x"] {
        let reply = gateway.send("OPTIONS", path, &preflight).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(["PATCH", "DELETE", "HEAD"].iter().all(|method| methods.contains(method)));
        let headers = reply.header("access-control-allow-headers").unwrap();
        for name in [
            "apikey",
            "authorization",
            "x-client-info",
            "prefer",
            "accept-profile",
            "content-profile",
            "range",
            "x-upsert",
            "tus-resumable",
            "upload-offset",
        ] {
            assert!(headers.split(", ").any(|header| header == name), "{name}");
        }
    }
    for (path, key, status) in
        [("/rest/v1/t", ANON, 200), ("/rest/v1/t", ("apikey", "x"), 401), ("/rest/v1/", ANON, 403)]
    {
        let reply = gateway.get(path, &[origin, key]).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("content-range") && exposed.contains("location"));
    }
    let reply = gateway.send("OPTIONS", "/pg/tables", &preflight).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("access-control-allow-origin"), None);
    let reply = gateway.get("/pg/tables", &[origin, SERVICE]).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn odd_paths_reach_nothing_they_should_not() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    let tenants = [
        "/realtime/v1/api/tenants",
        "/realtime/v1//api//tenants/x",
        "//realtime/v1/api/tenants",
        "/realtime/v1/./api/tenants",
        "/realtime/v1/x/../api/tenants",
        "/realtime/v1/api/%74enants",
        "/realtime/v1/api/broadcast/../tenants",
        "/realtime/v1/%61pi/tenants",
        "/realtime/v1/api/tenants%3bx",
        "/realtime/v1/api/openapi",
        "/realtime/v1/api",
        "/realtime/v1/api/broadcasts",
        "/realtime/v1/api/new",
        "/realtime/v1/%2e/api/tenants",
        "/mcp",
        "/api/mcp",
        "/api//mcp",
        "/x/../mcp",
    ];
    for path in tenants {
        assert_eq!(gateway.get(path, &[SERVICE]).await.status, 403, "{path}");
    }
    for path in
        ["/realtime/v1%2Fapi/tenants", "/realtime/v1/api%2ftenants", "/rest/v1/%5c", "/rest/v1/..%2f..%2fpg/tables"]
    {
        assert_eq!(gateway.get(path, &[SERVICE]).await.status, 400, "{path}");
    }
    // Authorised as what they become.
    for path in
        ["/auth/v1/verify/../../../pg/tables", "/storage/v1/%2e%2e/%2e%2e/pg/tables", "/storage/v1/../../pg/tables"]
    {
        assert_eq!(gateway.get(path, &[ANON]).await.status, 403, "{path}");
        assert_eq!(gateway.get(path, &[]).await.status, 401, "{path}");
    }
    // Open rows are open to the end of a segment.
    for path in ["/auth/v1/verifyx", "/auth/v1/authorized", "/auth/v1/sso/saml/acsx", "/auth/v1/verify/../admin/users"]
    {
        assert_eq!(gateway.get(path, &[]).await.status, 401, "{path}");
    }
    // No service sees a tenant path however it is spelled.
    let reply = gateway.get("/realtime/v1/API/tenants", &[SERVICE]).await;
    assert_eq!(reply.seen()["target"], "/socket/API/tenants");
    assert_eq!(gateway.get("/rest/v1/t", &[SERVICE, ("a_b", "1")]).await.status, 400);
}

#[tokio::test]
async fn websocket_carries_one_translated_key() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    let url = format!("ws://127.0.0.1:{}/realtime/v1/websocket", gateway.layout.port);
    assert!(connect_async(&url).await.is_err());
    for (query, target, token) in [
        ("vsn=2.0.0&apikey=sb_publishable_one", "vsn=2.0.0&apikey=internal.anon.jwt", "internal.anon.jwt"),
        ("apikey=sb_secret_one&vsn=2&apikey=x", "apikey=internal.service.jwt&vsn=2", "internal.service.jwt"),
        ("apikey=legacy.anon.jwt", "apikey=legacy.anon.jwt", "legacy.anon.jwt"),
    ] {
        let (mut socket, _) = connect_async(format!("{url}?{query}")).await.unwrap();
        let hello = socket.next().await.unwrap().unwrap();
        let seen: Value = serde_json::from_str(hello.to_text().unwrap()).unwrap();
        assert_eq!(seen["target"], format!("/socket/websocket?{target}"));
        assert_eq!(seen["headers"]["x-api-key"], token);
        assert_eq!(seen["headers"]["host"], "demo.realtime");
    }
}

#[tokio::test]
async fn absent_services_say_so() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &Upstreams::new(), &keys()).await;
    for (path, name) in [
        ("/auth/v1/verify", "Auth"),
        ("/auth/v1/user", "Auth"),
        ("/rest/v1/", "PostgREST"),
        ("/graphql/v1", "PostgREST"),
        ("/pg/x", "Meta"),
        ("/realtime/v1/websocket", "Realtime"),
        ("/storage/v1/x", "Storage"),
        ("/functions/v1/x", "Functions"),
    ] {
        for key in [("apikey", ""), ("apikey", "x"), ANON, SERVICE] {
            let reply = gateway.get(path, &[key, ("origin", "https://a")]).await;
            assert_eq!(reply.status, 503, "{path}");
            assert_eq!(reply.message(), format!("{name} is not part of this project"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.header("access-control-allow-origin"), Some("https://a"));
        }
    }
    let preflight = [("origin", "https://a"), ("access-control-request-method", "POST")];
    let reply = gateway.send("OPTIONS", "/rest/v1/t", &preflight).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://a"));
    for path in ["/", "/project/default", "/auth/v1"] {
        let reply = gateway.get(path, &[]).await;
        assert_eq!((reply.status, reply.message().as_str()), (404, "no route matched"));
    }
    assert_eq!(gateway.get("/realtime/v1/api/tenants", &[SERVICE]).await.status, 403);
}
