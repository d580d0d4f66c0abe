//! Poses as Kong without a database: checks its settings and its declarative file. It proxies nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::checks::{Checks, Environment};
use crate::http::{answer, with_echo, with_report};
use crate::values::{is, port, writable};

/// Paths that need a route (`supabase.md` 4.1), and those that must end in 403.
const PATHS: &[&str] = &[
    "/auth/v1/verify",
    "/auth/v1/callback",
    "/auth/v1/authorize",
    "/auth/v1/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/auth/v1/sso/saml/acs",
    "/auth/v1/sso/saml/metadata",
    "/auth/v1/",
    "/rest/v1/",
    "/graphql/v1",
    "/realtime/v1/api",
    "/realtime/v1/",
    "/storage/v1/",
    "/functions/v1/",
    "/pg/",
];
const FORBIDDEN: &[&str] = &["/realtime/v1/api/tenants", "/realtime/v1/api/openapi"];

pub async fn run(environment: Environment, words: &[&str]) {
    let checks = Arc::new(Checks::new("kong"));
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "kong").collect();
    if words == ["health"] {
        return;
    }
    let started = (words == ["docker-start"] || words == ["start"]).then_some(());
    checks.record("arguments", started.ok_or("must be docker-start"));
    let file = check(&checks, &environment);
    checks.stop_at_failures();
    let Some((status_port, file)) = file else { return };

    let status = json!({"standin": true, "server": {"connections_active": 0}});
    let router = Router::new()
        .route("/status", get(move || async move { answer(200, status) }))
        .route("/status/ready", get(|| async { answer(200, json!({"message": "ready"})) }));
    let address = std::net::Ipv4Addr::UNSPECIFIED.into();
    let proxy_port = listen_port(environment.get("KONG_PROXY_LISTEN").unwrap_or("0.0.0.0:8000")).unwrap_or(8000);
    tokio::spawn({
        let checks = checks.clone();
        let urls: Vec<String> =
            array(&file["services"]).filter_map(|service| service["url"].as_str()).map(str::to_owned).collect();
        async move { check_hosts(&checks, urls).await }
    });
    let proxy = with_echo(with_report(Router::new(), &checks), &checks);
    tokio::join!(
        crate::http::serve(&checks, address, status_port, with_report(router, &checks)),
        crate::http::serve(&checks, address, proxy_port, proxy),
    );
}

fn check(checks: &Checks, environment: &Environment) -> Option<(u16, Value)> {
    environment.check_rendered(checks, &["KONG_"], &[]);
    checks.variable(environment, "KONG_DATABASE", is("off"));
    checks.variable(environment, "KONG_DNS_ORDER", Ok);
    let status_port = checks.variable(environment, "KONG_STATUS_LISTEN", listen_port);
    checks.variable_if_set(environment, "KONG_PROXY_LISTEN", listen_port);
    checks.variable(environment, "KONG_ADMIN_LISTEN", |value| {
        let local = value == "off" || value.starts_with("127.0.0.1:") || value.starts_with("localhost:");
        local.then_some(()).ok_or_else(|| "must be off or on localhost".to_owned())
    });
    checks.record("KONG_PREFIX", writable(environment.get("KONG_PREFIX").unwrap_or("/usr/local/kong")));
    checks.record("write to /tmp", writable("/tmp"));
    let text = checks.variable(environment, "KONG_DECLARATIVE_CONFIG", |path| {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))
    })?;
    checks.record("placeholders in the file", placeholders(&text));
    // Not the parser's message: it may quote the file, and the file holds keys.
    let parsed = serde_saphyr::from_str::<Value>(&text).map_err(|_| "is neither YAML nor JSON");
    let file = checks.record("file", parsed)?;
    checks
        .record("_format_version", file["_format_version"].is_string().then_some(()).ok_or("is missing, or no string"));
    if plugins(&file).iter().any(|plugin| plugin["name"] == "key-auth" || plugin["name"] == "acl") {
        check_consumers(checks, &file);
    }
    check_plugins(checks, environment, &file);
    check_routes(checks, environment, &file);
    Some((status_port?, file))
}

fn listen_port(value: &str) -> Result<u16, String> {
    let first = value.split([',', ' ']).next().unwrap_or_default();
    port(first.rsplit(':').next().unwrap_or_default())
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// `$(…)` is Kong's own template language; `${…}` and `$SUPABASE_…` are what nobody replaced.
fn placeholders(text: &str) -> Result<(), &'static str> {
    let shell = text.split('$').skip(1).any(|rest| {
        rest.starts_with('{') || rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').count() > 3
    });
    if shell { Err("a placeholder was not replaced") } else { Ok(()) }
}

fn check_consumers(checks: &Checks, file: &Value) {
    for (name, group) in [("anon", "anon"), ("service_role", "admin")] {
        let consumer = array(&file["consumers"]).find(|consumer| consumer["username"] == name);
        let verdict = match consumer {
            None => Err("is missing".to_owned()),
            Some(consumer) => {
                let nested = array(&consumer["acls"]).any(|acl| acl["group"] == group);
                let apart = array(&file["acls"]).any(|acl| acl["consumer"] == name && acl["group"] == group);
                let keys: Vec<&Value> = array(&consumer["keyauth_credentials"])
                    .chain(array(&file["keyauth_credentials"]).filter(|key| key["consumer"] == name))
                    .collect();
                if !(nested || apart) {
                    Err(format!("is not in the ACL group {group}"))
                } else if keys.is_empty() || keys.iter().any(|key| key["key"].as_str().is_none_or(str::is_empty)) {
                    Err("has no key, or an empty one".to_owned())
                } else {
                    Ok(())
                }
            }
        };
        checks.record(format!("consumer {name}"), verdict);
    }
}

fn routes(file: &Value) -> Vec<(&Value, Option<&Value>)> {
    let nested =
        array(&file["services"]).flat_map(|service| array(&service["routes"]).map(move |route| (route, Some(service))));
    nested.chain(array(&file["routes"]).map(|route| (route, None))).collect()
}

fn plugins(file: &Value) -> Vec<&Value> {
    array(&file["plugins"])
        .chain(array(&file["services"]).flat_map(|service| array(&service["plugins"])))
        .chain(routes(file).into_iter().flat_map(|(route, _)| array(&route["plugins"])))
        .collect()
}

fn check_plugins(checks: &Checks, environment: &Environment, file: &Value) {
    let named: BTreeSet<&str> = plugins(file).into_iter().filter_map(|plugin| plugin["name"].as_str()).collect();
    checks.variable(environment, "KONG_PLUGINS", |value| {
        let enabled: BTreeSet<&str> = value.split(',').map(str::trim).collect();
        let missing: Vec<&str> = named.difference(&enabled).copied().collect();
        let all = enabled.contains("bundled") || missing.is_empty();
        all.then_some(()).ok_or_else(|| format!("lacks {}, which the file uses", missing.join(", ")))
    });
}

fn mentions(route: &Value, path: &str) -> bool {
    let expression = route["expression"].as_str().is_some_and(|expression| expression.contains(path));
    expression
        || array(&route["paths"]).filter_map(Value::as_str).any(|found| found.contains(path.trim_end_matches('/')))
}

fn check_routes(checks: &Checks, environment: &Environment, file: &Value) {
    let routes = routes(file);
    let expressions = routes.iter().any(|(route, _)| route["expression"].is_string());
    let flavor = environment.is("KONG_ROUTER_FLAVOR", "expressions");
    let verdict = if expressions == flavor { Ok(()) } else { Err("must be expressions iff a route has an expression") };
    checks.record("KONG_ROUTER_FLAVOR", verdict);
    // Without Studio there is neither a dashboard user nor anything of Studio's to protect.
    let dashboard = array(&file["consumers"]).any(|consumer| consumer["username"] == "DASHBOARD");
    let studio = if dashboard { &["/mcp", "/"][..] } else { &[] };
    for path in PATHS.iter().chain(studio) {
        let found = routes.iter().any(|(route, _)| mentions(route, path));
        checks.record(format!("route {path}"), found.then_some(()).ok_or("is missing"));
    }
    let studio = if dashboard { &["/api/mcp"][..] } else { &[] };
    for path in FORBIDDEN.iter().chain(studio) {
        let terminated = |part: &Value| {
            array(&part["plugins"])
                .any(|plugin| plugin["name"] == "request-termination" && plugin["config"]["status_code"] == 403)
        };
        let refuses = |(route, service): &(&Value, Option<&Value>)| {
            mentions(route, path) && (terminated(route) || service.is_some_and(terminated))
        };
        let verdict = routes.iter().any(refuses).then_some(()).ok_or("must end in 403");
        checks.record(format!("refusal of {path}"), verdict);
    }
}

/// Kong resolves when it is asked: a name that does not exist is reported, and ends nothing.
async fn check_hosts(checks: &Checks, urls: Vec<String>) {
    for url in urls {
        let Ok(url) = url::Url::parse(&url) else {
            checks.observe("service URL", Err::<(), _>("is no URL"));
            continue;
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let found = tokio::net::lookup_host((host.as_str(), url.port_or_known_default().unwrap_or(80))).await;
        checks.observe(format!("host {host}"), found.map(drop).map_err(|error| error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kong_s_own_templates_are_no_placeholders() {
        assert!(placeholders("Authorization: $((headers.apikey) or 'x')").is_ok());
        assert!(placeholders("key: ${ANON_KEY}").is_err());
        assert!(placeholders("key: $SUPABASE_ANON_KEY").is_err());
    }

    #[test]
    fn ports_are_read_from_listen_settings() {
        assert_eq!(listen_port("0.0.0.0:8100"), Ok(8100));
        assert_eq!(listen_port("0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl"), Ok(8000));
        assert!(listen_port("off").is_err());
    }
}
