//! The route table as Envoy's route configuration.
//!
//! In: the table, the services of the project, its keys. Out: one file, the only one with keys in
//! it. A row whose service is absent becomes an answer of the gateway itself; a row that cannot be
//! protected becomes a refusal.

use serde_json::{Map, Value, json};

use super::verdict::{NO_ROUTE, Verdict, verdict};
use super::{Access, DOCUMENTS_PATH, Documents, Keys, Match, READY_PATH, Route, Translation, Upstreams, cors, filters};

/// The secret file: the routes and the keys. Envoy re-reads it when it changes; requests in
/// flight and open websockets do not notice.
pub fn routes_file(routes: &[Route], upstreams: &Upstreams, keys: &Keys, documents: &Documents) -> String {
    let mut rendered = vec![ready()];
    rendered.extend(documents.iter().map(|(name, html)| document(name, html)));
    rendered.extend(routes.iter().map(|route| render(route, upstreams, keys)));
    // Reached when a table has no row for `/`.
    rendered.push(answer(&json!({"prefix": "/"}), 404, NO_ROUTE));
    let table = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "routes",
        // What a document of the API's largest size needs, encoded as it may be.
        "max_direct_response_body_size_bytes": 131_072,
        "virtual_hosts": [{
            "name": "project",
            "domains": ["*"],
            "routes": rendered,
            "retry_policy": retries(),
            "typed_per_filter_config": {
                filters::CORS: filters::cors_policy(),
                filters::LUA: filters::keys(keys),
            },
        }],
    });
    json!({"resources": [table]}).to_string()
}

/// Requests that no upstream has seen are repeated, so that a pod that goes away is not noticed.
/// The gate adds `reset` for reads.
fn retries() -> Value {
    json!({
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
    })
}

/// RBAC wants the gate's word here as well, so the answer proves that the whole chain works.
fn ready() -> Value {
    json!({
        "match": {"path": READY_PATH},
        "direct_response": {"status": 200, "body": {"inline_string": "ready"}},
        "metadata": filters::metadata(Access::Open, Translation::None),
        "typed_per_filter_config": {filters::RBAC: filters::rbac(Access::Open)},
    })
}

fn document(name: &str, html: &str) -> Value {
    json!({
        "match": {"path": format!("{DOCUMENTS_PATH}/{name}")},
        "direct_response": {"status": 200, "body": {"inline_string": html}},
        "response_headers_to_add": [set("content-type", "text/html; charset=utf-8")],
        "metadata": filters::metadata(Access::Open, Translation::None),
        "typed_per_filter_config": {filters::RBAC: filters::rbac(Access::Open)},
    })
}

/// A route that the gate answers by itself. The CORS filter ignores Envoy's direct responses, and
/// a page could read neither them nor their preflight; so this is a route to nowhere that the gate
/// answers and RBAC refuses.
fn answer(matched: &Value, status: u16, message: &str) -> Value {
    json!({
        "match": matched,
        "route": {"cluster": "none"},
        "metadata": filters::answer(status, message),
        "typed_per_filter_config": {filters::RBAC: filters::rbac(Access::Nobody)},
    })
}

fn set(name: &str, value: &str) -> Value {
    json!({
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    })
}

fn render(route: &Route, upstreams: &Upstreams, keys: &Keys) -> Value {
    let matched = match &route.path {
        Match::Exact(path) => json!({"path": path}),
        Match::Prefix(path) => json!({"prefix": path}),
        Match::Segment(path) => json!({"path_separated_prefix": path}),
    };
    match verdict(route, upstreams, keys) {
        Verdict::Refuse { status, message } => answer(&matched, status, &message),
        Verdict::Forward { users } => forward(route, &matched, users.map(filters::basic_auth)),
    }
}

fn action(route: &Route) -> Map<String, Value> {
    let mut action = Map::new();
    let mut set = |key: &str, value: Value| action.insert(key.to_owned(), value);
    set("cluster", json!(route.upstream.cluster()));
    set("timeout", json!(format!("{}s", route.timeouts.total)));
    set("idle_timeout", json!(format!("{}s", route.timeouts.idle)));
    if let Some(rewrite) = route.rewrite {
        set("prefix_rewrite", json!(rewrite));
    }
    if let Some(host) = &route.host {
        set("host_rewrite_literal", json!(host));
    }
    action
}

fn forward(route: &Route, matched: &Value, users: Option<Value>) -> Value {
    let mut filters_of_route = Map::new();
    filters_of_route.insert(filters::RBAC.to_owned(), filters::rbac(route.access));
    if !route.cors {
        filters_of_route.insert(filters::CORS.to_owned(), filters::disabled());
    }
    // A service may be more generous to other origins than the gateway is.
    let hidden: &[&str] = if route.cors { &[] } else { cors::ANSWERS };
    // Studio would take the dashboard's password for a token of its own.
    let removed = if users.is_some() { vec!["authorization"] } else { Vec::new() };
    if let Some(users) = users {
        filters_of_route.insert(filters::BASIC_AUTH.to_owned(), users);
    }

    let mut headers = vec![set("x-forwarded-host", "%REQ(:AUTHORITY)%")];
    // A percent sign starts a command of Envoy's own.
    headers.extend(route.headers.iter().map(|(name, value)| set(name, &value.replace('%', "%%"))));
    json!({
        "match": matched,
        "route": action(route),
        "request_headers_to_add": headers,
        "request_headers_to_remove": removed,
        "response_headers_to_remove": hidden,
        "metadata": filters::metadata(route.access, route.translation),
        "typed_per_filter_config": filters_of_route,
    })
}
