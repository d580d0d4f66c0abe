//! Drives a strict model of Kong with the rendered configuration, from the same table as the test with a real Envoy.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "kong/api_keys.rs"]
mod api_keys;
#[path = "kong/model.rs"]
mod model;
#[path = "kong/router.rs"]
mod router;
#[path = "gateway/rows.rs"]
mod rows;
#[path = "kong/schema.rs"]
mod schema;

use std::collections::BTreeSet;

use model::{Kong, Reply};
use rows::{Class, KINDS, ROWS, check_seen, documents, header, keys, sent, status, table};
use serde_json::Value;
use supabase_operator::gateway::{
    self, Access, Address, Dashboard, Documents, Keys, READY_PATH, Route, Upstream, Upstreams,
};
use supabase_operator::sensitive::Sensitive;

const ANON: (&str, &str) = ("apikey", "sb_publishable_one");
const SERVICE: (&str, &str) = ("apikey", "sb_secret_one");

fn services() -> Upstreams {
    let address = |upstream: Upstream| Address { host: upstream.cluster().to_owned(), port: 80 };
    Upstream::ALL.into_iter().map(|upstream| (upstream, address(upstream))).collect()
}

fn file(upstreams: &Upstreams, keys: &Keys) -> Value {
    serde_json::from_str(&gateway::kong_file(&table(), upstreams, keys, &documents())).unwrap()
}

fn start(file: &Value) -> Kong {
    Kong::start(&file.to_string(), &gateway::kong_environment()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn kong() -> Kong {
    start(&file(&services(), &keys()))
}

fn refusal(reply: &Reply, case: &str) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{case}");
    assert!(!reply.message().is_empty(), "{case}");
}

#[test]
fn every_row_with_every_kind_of_key() {
    let kong = kong();
    for row @ (class, path, ..) in ROWS {
        for kind in KINDS {
            let case = format!("{class:?} {path} {kind:?}");
            let reply = kong.get(path, &sent(kind.1, kind.2));
            assert_eq!(reply.status, status(class, kind.0), "{case}: {reply:?}");
            if reply.status == 200 {
                check_seen(row, kind, &reply.seen);
            } else if class != Class::Dashboard {
                refusal(&reply, &case);
            }
        }
    }
}

#[test]
fn dashboard_wants_its_password() {
    let kong = kong();
    // admin:wrong, admin:secret
    let wrong = ("authorization", "Basic YWRtaW46d3Jvbmc=");
    let right = ("authorization", "Basic YWRtaW46c2VjcmV0");
    let reply = kong.get("/project", &[wrong]);
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    for credentials in [vec![right], vec![("proxy-authorization", right.1), ("authorization", "Bearer x")]] {
        let reply = kong.get("/project", &credentials);
        assert_eq!((reply.status, &reply.seen["target"]), (200, &"/project".into()));
        for hidden in ["authorization", "proxy-authorization", "x-consumer-username", "x-credential-identifier"] {
            assert_eq!(header(&reply.seen, hidden), None, "{hidden}");
        }
    }
    assert_eq!(kong.get("/pg/tables", &[right]).status, 401);
}

#[test]
fn dashboard_without_a_usable_login_is_closed() {
    let good = keys().dashboard.unwrap();
    for dashboard in [
        None,
        Some(Dashboard { username: "a:b".to_owned(), ..good.clone() }),
        Some(Dashboard { username: String::new(), ..good.clone() }),
        Some(Dashboard { password: Sensitive::new(""), ..good }),
    ] {
        let file = file(&services(), &Keys { dashboard, ..keys() });
        assert!(file["consumers"].as_array().unwrap().is_empty());
        let kong = start(&file);
        for headers in [&[][..], &[("authorization", "Basic Og==")], &[SERVICE]] {
            assert_eq!(kong.get("/", headers).status, 403);
        }
    }
}

#[test]
fn preflight_needs_no_key_and_refusals_are_readable() {
    let kong = kong();
    let origin = ("origin", "https://app.example");
    let preflight = [origin, ("access-control-request-method", "PATCH")];
    for path in ["/rest/v1/t", "/auth/v1/user", "/storage/v1/x", "/functions/v1/x"] {
        let reply = kong.send("OPTIONS", path, &preflight);
        assert_eq!((reply.status, reply.seen.is_null()), (200, true), "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(["PATCH", "DELETE", "HEAD"].iter().all(|method| methods.contains(method)));
        let headers: Vec<&str> = reply.header("access-control-allow-headers").unwrap().split(',').collect();
        assert!(["apikey", "authorization", "prefer", "tus-resumable"].iter().all(|name| headers.contains(name)));
    }
    for (path, key, status) in
        [("/rest/v1/t", ANON, 200), ("/rest/v1/t", ("apikey", "x"), 401), ("/rest/v1/", ANON, 403)]
    {
        let reply = kong.get(path, &[origin, key]);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, Some("*")));
        assert!(reply.header("access-control-expose-headers").unwrap().contains("content-range"));
    }
    let reply = kong.send("OPTIONS", "/pg/tables", &preflight);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (401, None));
    // OPTIONS that is no preflight needs a key as everything else.
    assert_eq!(kong.send("OPTIONS", "/rest/v1/t", &[origin]).status, 401);
    // The service's own words about other origins are taken away.
    let reply = kong.get("/pg/tables", &[origin, SERVICE]);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
}

#[test]
fn odd_paths_reach_nothing_they_should_not() {
    let kong = kong();
    for path in [
        "/realtime/v1//api//tenants/x",
        "//realtime/v1/api/tenants",
        "/realtime/v1/./api/tenants",
        "/realtime/v1/x/../api/tenants",
        "/realtime/v1/api/%74enants",
        "/realtime/v1/api/broadcast/../tenants",
        "/realtime/v1/%61pi/tenants",
        "/realtime/v1/api/tenants%3bx",
        "/realtime/v1/api/broadcasts",
        "/realtime/v1/%2e/api/tenants",
        "/api//mcp",
        "/x/../mcp",
    ] {
        assert_eq!(kong.get(path, &[SERVICE]).status, 403, "{path}");
    }
    for path in [
        "/realtime/v1%2Fapi/tenants",
        "/realtime/v1/api%2ftenants",
        "/rest/v1/%5c",
        "/rest/v1/a\\b",
        "/rest/v1/..%2f..%2fpg/tables",
    ] {
        assert_eq!(kong.get(path, &[SERVICE]).status, 400, "{path}");
    }
    for path in
        ["/auth/v1/verify/../../../pg/tables", "/storage/v1/%2e%2e/%2e%2e/pg/tables", "/storage/v1/../../pg/tables"]
    {
        assert_eq!(kong.get(path, &[ANON]).status, 403, "{path}");
        assert_eq!(kong.get(path, &[]).status, 401, "{path}");
    }
    for path in ["/auth/v1/verifyx", "/auth/v1/authorized", "/auth/v1/sso/saml/acsx", "/auth/v1/verify/../admin/users"]
    {
        assert_eq!(kong.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(kong.get("/realtime/v1/API/tenants", &[SERVICE]).seen["target"], "/socket/API/tenants");
    let reply = kong.get("/storage/v1/object/b/a%20b%C3%A9%25%0d%0a", &[SERVICE]);
    assert_eq!(reply.seen["target"], "/object/b/a%20b%C3%A9%25%0D%0A");
    assert_eq!(kong.get("/rest/v1/t", &[SERVICE, ("a_b", "1")]).status, 400);
    assert_eq!(kong.get("*", &[SERVICE]).status, 400);
    let many: Vec<String> = (0..1001).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(kong.get("/rest/v1/t", &many).status, 431);
}

#[test]
fn absent_services_say_so() {
    let kong = start(&file(&Upstreams::new(), &keys()));
    for (path, name) in [
        ("/auth/v1/verify", "Auth"),
        ("/rest/v1/", "PostgREST"),
        ("/graphql/v1", "PostgREST"),
        ("/pg/x", "Meta"),
        ("/realtime/v1/websocket", "Realtime"),
        ("/storage/v1/x", "Storage"),
        ("/functions/v1/x", "Functions"),
    ] {
        for key in [("apikey", ""), ANON, SERVICE] {
            let reply = kong.get(path, &[key]);
            assert_eq!((reply.status, reply.message()), (503, format!("{name} is not part of this project")));
            refusal(&reply, path);
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        }
    }
    for path in ["/", "/project/default", "/auth/v1"] {
        let reply = kong.get(path, &[]);
        assert_eq!((reply.status, reply.message().as_str()), (404, "no route matched"));
    }
    assert_eq!(kong.get("/realtime/v1/api/tenants", &[SERVICE]).status, 403);
    assert_eq!(kong.get(READY_PATH, &[]).status, 200);
}

#[test]
fn ready_and_documents_are_the_gateway_s_own() {
    let kong = kong();
    let reply = kong.get(READY_PATH, &[]);
    assert_eq!((reply.status, reply.body.as_str()), (200, "ready"));
    let reply = kong.get(&format!("{}/invite.html", gateway::DOCUMENTS_PATH), &[]);
    assert_eq!((reply.status, &reply.body), (200, &documents()["invite.html"]));
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(kong.get(&format!("{}/other.html", gateway::DOCUMENTS_PATH), &[]).status, 401, "Studio's");
}

/// The file with one thing changed in the program of the gate.
fn damaged(place: &str, replacement: &str) -> Kong {
    let mut file = file(&services(), &keys());
    let gate = &mut file["plugins"][1]["config"]["access"][0];
    let changed = gate.as_str().unwrap().replacen(place, replacement, 1);
    assert_ne!(changed, gate.as_str().unwrap(), "{place}");
    *gate = changed.into();
    start(&file)
}

#[test]
fn failing_gate_denies() {
    // At the beginning of the program, when it runs, and at its end.
    for place in ["local FORWARDED", "local query =", "if row.mode ~= \"none\" then\n  translate"] {
        let kong = damaged(place, &format!("do error('broken') end {place}"));
        for path in ["/rest/v1/t", "/pg/x", "/auth/v1/verify", "/storage/v1/x", "/functions/v1/x", READY_PATH] {
            let reply = kong.get(path, &[SERVICE]);
            // Readiness does not come as far as the end.
            let expected = if path == READY_PATH && place != "local FORWARDED" { 200 } else { 500 };
            assert_eq!((reply.status, reply.seen.is_null()), (expected, true), "{place} {path}: {reply:?}");
        }
    }
}

#[test]
fn route_that_the_gate_does_not_know_is_closed() {
    let mut file = file(&services(), &keys());
    let route = file["routes"].as_array_mut().unwrap().iter_mut().find(|route| route["name"] == "04-auth").unwrap();
    route["name"] = "renamed".into();
    let path = "/auth/v1/verify";
    assert_eq!(kong().get(path, &[]).status, 200);
    assert_eq!(start(&file).get(path, &[SERVICE]).status, 403);
    // Without basic-auth the gate itself keeps the dashboard closed.
    let mut file = self::file(&services(), &keys());
    for route in file["routes"].as_array_mut().unwrap() {
        if route["plugins"][0]["name"] == "basic-auth" {
            route["plugins"] = serde_json::json!([]);
        }
    }
    assert_eq!(start(&file).get("/", &[SERVICE]).status, 401);
}

#[test]
fn kong_would_refuse_what_it_does_not_know() {
    let good = file(&services(), &keys());
    let damages: [fn(&mut Value); 9] = [
        |file| file["services"][0]["timeout"] = 1.into(),
        |file| file["services"][0]["read_timeout"] = 0.into(),
        |file| file["routes"][3]["service"] = "nobody".into(),
        |file| file["routes"][3]["paths"] = serde_json::json!(["/"]),
        |file| file["routes"][3]["name"] = file["routes"][4]["name"].clone(),
        |file| file["routes"][3]["expression"] = "http.path".into(),
        |file| file["plugins"][0]["name"] = "request-transformer".into(),
        |file| file["plugins"][0]["config"] = serde_json::json!({}),
        |file| file["plugins"][0]["config"]["access"][0] = "return function(".into(),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let mut broken = good.clone();
        damage(&mut broken);
        assert!(Kong::start(&broken.to_string(), &gateway::kong_environment()).is_err(), "{number}");
    }
}

#[test]
fn table_keeps_its_order_and_every_row_has_one_route() {
    let file = file(&services(), &keys());
    let priorities: Vec<u64> = schema::list(&file["routes"]).map(|route| route["priority"].as_u64().unwrap()).collect();
    assert!(priorities.windows(2).all(|pair| pair[0] > pair[1]), "{priorities:?}");
    // The readiness, a document and what no row takes.
    assert_eq!(priorities.len(), table().len() + 3);
    let forwarded = |route: &&Route| route.access != Access::Nobody;
    assert_eq!(file["services"].as_array().unwrap().len(), table().iter().filter(forwarded).count());
}

#[test]
fn timeouts_fit_what_runs_behind() {
    let file = file(&services(), &keys());
    let service = |name: &str| {
        let named = |service: &&Value| service["url"] == format!("http://{name}:80");
        schema::list(&file["services"]).find(named).unwrap().clone()
    };
    assert_eq!(service("rest")["read_timeout"], 30_000);
    assert_eq!(service("functions")["read_timeout"], 160_000);
    assert_eq!((&service("functions")["retries"], &service("rest")["retries"]), (&0.into(), &3.into()));
    assert_eq!(service("realtime")["read_timeout"], 2_147_483_646);
}

#[test]
fn environment_has_no_secret_and_names_the_file() {
    let environment = gateway::kong_environment();
    assert_eq!(environment["KONG_DECLARATIVE_CONFIG"], format!("{}/{}", gateway::KONG_DIR, gateway::KONG_FILE));
    assert_eq!((&*environment["KONG_DATABASE"], &*environment["KONG_ADMIN_LISTEN"]), ("off", "off"));
    assert_eq!(environment["KONG_ROUTER_FLAVOR"], "expressions");
    assert!(environment.keys().all(|name| name.starts_with("KONG_")));
    // Kong takes the second word for the name of a log format.
    let format = environment["KONG_PROXY_ACCESS_LOG"].split(' ').nth(1).unwrap();
    assert!(environment["KONG_NGINX_HTTP_LOG_FORMAT"].starts_with(&format!("{format} escape=json '{{")));
    // Variables of nginx that hold keys.
    for secret in ["$request_uri", "$request\"", "$args", "$query_string", "$http_authorization", "$http_apikey"] {
        assert!(!environment["KONG_NGINX_HTTP_LOG_FORMAT"].contains(secret), "{secret}");
    }
    let unused: BTreeSet<&str> = environment["KONG_PLUGINS"].split(',').collect();
    let text = gateway::kong_file(&table(), &services(), &keys(), &Documents::new());
    assert!(unused.iter().all(|plugin| text.contains(&format!("\"name\": \"{plugin}\""))), "{unused:?}");
}

#[test]
fn output_is_deterministic() {
    let render = || gateway::kong_file(&table(), &services(), &keys(), &documents());
    assert_eq!(render(), render());
}
