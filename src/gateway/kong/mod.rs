//! The route table as Kong's declarative configuration (3.9, without a database, expressions router).
//!
//! In: the table, the services of the project, its keys, its documents. Out: one JSON file with everything in it, keys
//! too. Kong refuses the whole file for one mistake, so a mistake opens nothing.
//!
//! Who passes, and with which headers and path, is decided by `gate.lua` in one global `post-function`: key-auth, acl
//! and request-transformer together cannot say it. It is the last plugin before the service, so cors has answered
//! preflights and basic-auth has asked for the dashboard's password. What an earlier plugin lets through by mistake
//! still meets the gate, and an error in Lua is Kong's answer 500.
//!
//! Where Kong differs from Envoy:
//! - It reads the file at its start only: new keys or routes are a rollout.
//! - `Access-Control-Allow-Origin` is `*`, not the page's own origin, and is there even if no origin was sent.
//! - A service that is down is 502, or 503 while its name does not resolve, in Kong's own words; Kong answers many
//!   malformed requests by itself.
//! - Its timeouts are between two bytes, never for a whole request.
//! - A failed read is repeated for its error, up to three times, but never for functions: not even a connection.
//! - It adds `x-forwarded-path`, `x-real-ip` and `via` on the way to the service, and drops a client's
//!   `x-forwarded-prefix`.
//! - A path that is no UTF-8 is 404.
//! - Probes are in its access log.

mod environment;
mod lua;

use serde_json::{Map, Value, json};

pub use environment::{KONG_DIR, KONG_FILE, KONG_PREFIX, KONG_STATUS_PORT, kong_environment};

use super::verdict::{NO_ROUTE, Verdict, verdict};
use super::{
    Access, Address, DOCUMENTS_PATH, Dashboard, Documents, Keys, Match, READY_PATH, Route, Timeouts, Translation,
    Upstream, Upstreams, cors,
};

const GATE: &str = concat!(include_str!("../keys.lua"), include_str!("gate.lua"));
const ENTRANCE: &str = include_str!("entrance.lua");
const ANSWERS: &str = include_str!("answers.lua");

const CORS: &str = "cors";
const BASIC_AUTH: &str = "basic-auth";
const TERMINATION: &str = "request-termination";
const PRE_FUNCTION: &str = "pre-function";
const POST_FUNCTION: &str = "post-function";
/// Every plugin that the file names; Kong loads no other.
const PLUGINS: [&str; 5] = [CORS, BASIC_AUTH, TERMINATION, PRE_FUNCTION, POST_FUNCTION];

/// Kong has no word for "without limit"; this is the most that it takes.
const LONGEST_MILLISECONDS: u32 = 2_147_483_646;

/// The declarative configuration, for a Secret. It holds keys and the dashboard's password.
pub fn kong_file(routes: &[Route], upstreams: &Upstreams, keys: &Keys, documents: &Documents) -> String {
    let mut file = File::default();
    file.answer("ready", &exactly(READY_PATH), &[]);
    file.gate.insert("ready".to_owned(), json!({"ready": true}));
    for (number, (name, html)) in documents.iter().enumerate() {
        let path = format!("{DOCUMENTS_PATH}/{name}");
        let content = termination(200, "text/html; charset=utf-8", html);
        file.answer(&format!("document-{number}"), &exactly(&path), &[content]);
    }
    for (number, route) in routes.iter().enumerate() {
        let name = format!("{number:02}-{}", route.upstream.cluster());
        match (verdict(route, upstreams, keys), upstreams.get(&route.upstream)) {
            (Verdict::Forward { users }, Some(address)) => file.forward(&name, route, address, users),
            (Verdict::Forward { .. }, None) => file.refuse(&name, &expression(&route.path), 404, NO_ROUTE),
            (Verdict::Refuse { status, message }, _) => file.refuse(&name, &expression(&route.path), status, &message),
        }
    }
    // Reached when a table has no row for `/`.
    file.refuse("rest", &expression(&Match::Prefix("/".to_owned())), 404, NO_ROUTE);
    file.finish(keys)
}

/// The parts of the file. Routes are in the order of the table until [`File::finish`] makes priorities of it.
#[derive(Default)]
struct File<'a> {
    routes: Vec<Value>,
    services: Vec<Value>,
    /// What the gate reads about a route, by its name.
    gate: Map<String, Value>,
    /// Names of routes whose services may not speak to other origins.
    same_origin: Map<String, Value>,
    users: Option<&'a Dashboard>,
}

impl<'a> File<'a> {
    /// A route without a service, which Kong would answer with an error of its own.
    fn answer(&mut self, name: &str, expression: &str, plugins: &[Value]) {
        let mut route =
            Map::from_iter([("name".to_owned(), json!(name)), ("expression".to_owned(), json!(expression))]);
        if !plugins.is_empty() {
            route.insert("plugins".to_owned(), json!(plugins));
        }
        self.routes.push(Value::Object(route));
    }

    fn refuse(&mut self, name: &str, expression: &str, status: u16, message: &str) {
        let body = json!({"message": message}).to_string();
        self.answer(name, expression, &[cors_plugin(), termination(status, "application/json", &body)]);
    }

    fn forward(&mut self, name: &str, route: &Route, address: &Address, users: Option<&'a Dashboard>) {
        let mut plugins = Vec::new();
        if route.cors {
            plugins.push(cors_plugin());
        } else {
            self.same_origin.insert(name.to_owned(), Value::Bool(true));
        }
        if users.is_some() {
            plugins.push(json!({"name": BASIC_AUTH, "config": {"hide_credentials": true}}));
        }
        self.users = self.users.or(users);
        self.gate.insert(name.to_owned(), row(route));
        self.services.push(service(name, route, address));
        self.routes.push(json!({
            "name": name,
            "service": name,
            "expression": expression(&route.path),
            // The gate rewrites paths, also those that are not just shorter.
            "strip_path": false,
            "preserve_host": true,
            // Uploads, downloads and events pass as they come, without disk.
            "request_buffering": false,
            "response_buffering": false,
            "plugins": plugins,
        }));
    }

    fn finish(mut self, keys: &Keys) -> String {
        let count = self.routes.len();
        for (number, route) in self.routes.iter_mut().enumerate() {
            // The highest priority is asked first.
            route["priority"] = json!(count - number);
        }
        let consumers: Vec<Value> = self.users.into_iter().map(consumer).collect();
        let gate =
            lua::chunk(&[("ROLES", roles(keys)), ("JWTS", jwts(keys)), ("ROWS", Value::Object(self.gate))], GATE);
        let answers = lua::chunk(&[("SAME_ORIGIN", Value::Object(self.same_origin))], ANSWERS);
        let file = json!({
            "_format_version": "3.0",
            "_transform": true,
            "consumers": consumers,
            "services": self.services,
            "routes": self.routes,
            "plugins": [
                {"name": PRE_FUNCTION, "config": {"access": [ENTRANCE]}},
                {"name": POST_FUNCTION, "config": {"access": [gate], "header_filter": [answers]}},
            ],
        });
        format!("{file:#}\n")
    }
}

/// Kong hashes the password itself when it reads the file.
fn consumer(dashboard: &Dashboard) -> Value {
    let credential = json!({"username": dashboard.username, "password": dashboard.password.expose()});
    json!({"username": "DASHBOARD", "basicauth_credentials": [credential]})
}

fn service(name: &str, route: &Route, address: &Address) -> Value {
    let Timeouts { total, idle } = route.timeouts;
    let limit = [total, idle].into_iter().filter(|seconds| *seconds > 0).min();
    let patience = limit.map_or(LONGEST_MILLISECONDS, |seconds| seconds.saturating_mul(1000).min(LONGEST_MILLISECONDS));
    // A plain IPv6 address cannot be told from a port in a URL.
    let brackets = address.host.contains(':') && !address.host.starts_with('[');
    let host = if brackets { format!("[{}]", address.host) } else { address.host.clone() };
    json!({
        "name": name,
        "url": format!("http://{host}:{}", address.port),
        "connect_timeout": 5000,
        "read_timeout": patience,
        "write_timeout": patience,
        // Functions run user code, where even a read may do something.
        "retries": if route.upstream == Upstream::Functions { 0 } else { 3 },
    })
}

/// What the gate knows about a route.
fn row(route: &Route) -> Value {
    let access = match route.access {
        Access::Open => "open",
        Access::Key => "key",
        Access::Dashboard => "dashboard",
        Access::Service | Access::Nobody => "service",
    };
    let mode = match route.translation {
        Translation::None => "none",
        Translation::Jwt => "jwt",
        Translation::Realtime => "realtime",
        Translation::Functions => "functions",
    };
    let (Match::Exact(matched) | Match::Prefix(matched) | Match::Segment(matched)) = &route.path;
    let headers: Map<String, Value> =
        route.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "access": access,
        "mode": mode,
        "matched": matched,
        "rewrite": route.rewrite,
        "host": route.host,
        "headers": headers,
    })
}

/// Which role a key has. A key that is in two lists has the stronger one, as with Envoy.
fn roles(keys: &Keys) -> Value {
    let anon = keys.publishable.iter().chain(&keys.anon).map(|key| (key, "anon"));
    let service = keys.secret.iter().chain(&keys.service).map(|key| (key, "service"));
    let roles = anon.chain(service).filter(|(key, _)| !key.is_empty());
    Value::Object(roles.map(|(key, role)| (key.clone(), json!(role))).collect())
}

fn jwts(keys: &Keys) -> Value {
    let jwts = [("anon", &keys.anon_jwt), ("service", &keys.service_jwt)];
    let jwts = jwts.into_iter().filter(|(_, jwt)| !jwt.is_empty());
    Value::Object(jwts.map(|(role, jwt)| (role.to_owned(), json!(jwt))).collect())
}

fn termination(status: u16, content_type: &str, body: &str) -> Value {
    let config = json!({"status_code": status, "content_type": content_type, "body": body});
    json!({"name": TERMINATION, "config": config})
}

/// Any origin: keys are the protection, cookies play no part.
fn cors_plugin() -> Value {
    json!({"name": CORS, "config": {
        "origins": ["*"],
        "methods": cors::METHODS,
        "headers": cors::ALLOWED,
        "exposed_headers": cors::EXPOSED,
        "max_age": cors::MAX_AGE_SECONDS,
    }})
}

fn exactly(path: &str) -> String {
    expression(&Match::Exact(path.to_owned()))
}

/// In parentheses: Kong appends a condition of its own.
fn expression(path: &Match) -> String {
    let quoted = |path: &str| format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""));
    match path {
        Match::Exact(path) => format!("(http.path == {})", quoted(path)),
        Match::Prefix(path) => format!("(http.path ^= {})", quoted(path)),
        Match::Segment(path) => {
            format!("(http.path == {} || http.path ^= {})", quoted(path), quoted(&format!("{path}/")))
        }
    }
}
