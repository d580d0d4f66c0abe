//! The last step before Ready: real requests through the project's gateway, with the project's own keys.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};

use crate::components::Component;
use crate::components::gateway::internal_url;
use crate::plan::keys::Credentials;
use crate::plan::{Login, Plan};
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
use crate::sql::{PROBE_FUNCTION, PROBE_SCHEMA};

const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are looked at.
const BODY_LIMIT: usize = 64 * 1024;

/// One request and the answer that a usable project gives.
struct Probe<'a> {
    what: &'static str,
    path: String,
    key: Key<'a>,
    status: StatusCode,
    /// Part of the body.
    contains: &'static str,
}

/// What a request is sent with.
enum Key<'a> {
    Nothing,
    Api(&'a Sensitive),
    /// An API key, and the wish for a websocket.
    Socket(&'a Sensitive),
    Dashboard(Login),
}

fn probes<'a>(plan: &Plan, credentials: &'a Credentials) -> Vec<Probe<'a>> {
    let Credentials { anon_key, publishable_key, service_role_key, secret_key, .. } = credentials;
    let probe = |what, path: &str, key, status, contains| Probe { what, path: path.to_owned(), key, status, contains };
    let ok = |what, path: &str, key, contains| probe(what, path, key, StatusCode::OK, contains);
    let refused = |what, path: &str| probe(what, path, Key::Nothing, StatusCode::UNAUTHORIZED, "");
    let function = format!("/rest/v1/rpc/{PROBE_FUNCTION}");
    let of = |component| match component {
        Component::Auth => vec![
            ok("Auth with the anon key", "/auth/v1/health", Key::Api(anon_key), "GoTrue"),
            ok("Auth with the publishable key", "/auth/v1/health", Key::Api(publishable_key), "GoTrue"),
            refused("Auth without a key", "/auth/v1/health"),
        ],
        Component::Postgrest => vec![
            ok("the REST API with the anon key", &function, Key::Api(anon_key), "true"),
            ok("the REST API with the publishable key", &function, Key::Api(publishable_key), "true"),
            refused("the REST API without a key", &function),
            ok("the OpenAPI root with the service_role key", "/rest/v1/", Key::Api(service_role_key), "swagger"),
            ok("the OpenAPI root with the secret key", "/rest/v1/", Key::Api(secret_key), "swagger"),
        ],
        Component::Realtime => vec![probe(
            "a websocket of Realtime with the publishable key",
            "/realtime/v1/websocket?vsn=1.0.0",
            Key::Socket(publishable_key),
            StatusCode::SWITCHING_PROTOCOLS,
            "",
        )],
        Component::Storage => {
            vec![ok("the buckets with the secret key", "/storage/v1/bucket", Key::Api(secret_key), "[")]
        }
        Component::Meta => vec![ok("postgres-meta with the secret key", "/pg/health", Key::Api(secret_key), "date")],
        Component::Studio => vec![
            ok("Studio with its login", "/api/platform/profile", Key::Dashboard(plan.dashboard(credentials)), ""),
            refused("Studio without its login", "/api/platform/profile"),
        ],
        Component::Functions => {
            vec![ok("Edge Functions", "/functions/v1/_internal/health", Key::Api(anon_key), "healthy")]
        }
        // Nothing leads to these through the gateway.
        Component::Gateway | Component::Imgproxy | Component::Pooler => Vec::new(),
    };
    plan.workloads.keys().flat_map(|component| of(*component)).collect()
}

/// A service that has just come up is unknown to the gateway for seconds: its name is looked up again after at most
/// five. What is refused for longer is worth telling.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the gateway what a client would ask.
///
/// # Errors
/// The first answer that a client could not use.
pub async fn probe(client: &Client, plan: &Plan, credentials: &Credentials) -> Result<(), Problem> {
    let started = Instant::now();
    loop {
        match ask_all(client, plan, credentials).await {
            Err(_) if started.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

async fn ask_all(client: &Client, plan: &Plan, credentials: &Credentials) -> Result<(), Problem> {
    let gateway = internal_url(&plan.identity);
    for probe in probes(plan, credentials) {
        ask(client, &gateway, &probe).await?;
    }
    if plan.has(Component::Storage) && plan.bucket.login.keys().is_none() {
        upload(client, &gateway, &credentials.secret_key).await?;
    }
    Ok(())
}

/// The beginning of a body. The gateway's image is the tenant's choice: what it sends is not trusted to end.
async fn text(answer: &mut reqwest::Response) -> reqwest::Result<String> {
    let mut body = Vec::new();
    while body.len() < BODY_LIMIT {
        let Some(chunk) = answer.chunk().await? else { break };
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Name of the bucket that an upload is tried in; it is there for moments.
const PROBE_BUCKET: &str = "supabase-operator-probe";

/// Puts a file through Storage, reads and deletes it: nobody but its pods can show that they may use the bucket.
async fn upload(client: &Client, gateway: &str, key: &Sensitive) -> Result<(), Problem> {
    let bucket = format!("{gateway}/storage/v1/bucket");
    let object = format!("{gateway}/storage/v1/object/{PROBE_BUCKET}/probe");
    let new = format!(r#"{{"id": "{PROBE_BUCKET}", "name": "{PROBE_BUCKET}", "public": false}}"#);
    for (what, method, url, body, content) in [
        // There is one already where an earlier probe was cut off.
        ("make a bucket", Method::POST, bucket.clone(), Some(new), "application/json"),
        ("upload a file", Method::POST, object.clone(), Some("probe".to_owned()), "text/plain"),
        ("read it", Method::GET, object.clone(), None, ""),
        ("delete it", Method::DELETE, object, None, ""),
        ("delete the bucket", Method::DELETE, format!("{bucket}/{PROBE_BUCKET}"), None, ""),
    ] {
        let mut request = client.request(method, &url).header("apikey", key.expose()).timeout(REQUEST_LIMIT);
        if let Some(body) = body {
            request = request.header("content-type", content).header("x-upsert", "true").body(body);
        }
        let unreachable = |error: reqwest::Error| {
            let error = error.without_url();
            Problem::new(Reason::GatewayUnreachable, format!("Storage, {what}: no answer from {gateway}: {error}"))
        };
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let said: String = text(&mut answer).await.map_err(unreachable)?.chars().take(200).collect();
        if !status.is_success() && !said.contains("already exists") {
            return Err(Problem::new(
                Reason::GatewayRefused,
                format!(
                    "Storage cannot {what}: {status} {said}; look at the rights of its service account, and at the log of its pods"
                ),
            ));
        }
    }
    Ok(())
}

async fn ask(client: &Client, gateway: &str, probe: &Probe<'_>) -> Result<(), Problem> {
    let Probe { what, path, key, status, contains } = probe;
    let mut request =
        client.get(format!("{gateway}{path}")).header("Accept-Profile", PROBE_SCHEMA).timeout(REQUEST_LIMIT);
    match key {
        Key::Nothing => {}
        Key::Api(key) => request = request.header("apikey", key.expose()),
        Key::Socket(key) => {
            request = request
                .header("apikey", key.expose())
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                // Any 16 bytes: it only shows that the server speaks the protocol (RFC 6455).
                .header("sec-websocket-key", "c3VwYWJhc2Utb3BlcmF0b3I=");
        }
        Key::Dashboard(Login { username, password }) => {
            request = request.basic_auth(username, Some(password.expose()));
        }
    }
    let unreachable = |error: reqwest::Error| {
        // Without the URL: it is in the message already, and could carry a key.
        let error = error.without_url();
        Problem::new(Reason::GatewayUnreachable, format!("{what}: no answer from {gateway}: {error}"))
    };
    let mut answer = request.send().await.map_err(unreachable)?;
    let got = answer.status();
    if got == *status && contains.is_empty() {
        return Ok(());
    }
    let body = text(&mut answer).await.map_err(unreachable)?;
    if got == *status && body.contains(contains) {
        return Ok(());
    }
    let said: String = body.chars().take(200).collect();
    let wanted = if got == *status { format!("with {contains:?} in it") } else { format!("{status}") };
    Err(Problem::new(
        Reason::GatewayRefused,
        format!("{what}: {gateway}{path} answered {got} instead of {wanted}: {said}"),
    ))
}
