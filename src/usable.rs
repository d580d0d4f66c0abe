//! The last step before Ready: real requests through the project's gateway, with the project's own keys.

use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use crate::components::gateway::internal_url;
use crate::plan::Identity;
use crate::plan::keys::Credentials;
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
    key: Option<&'a Sensitive>,
    status: StatusCode,
    /// Part of the body.
    contains: &'static str,
}

fn probes(credentials: &Credentials) -> Vec<Probe<'_>> {
    let function = format!("/rest/v1/rpc/{PROBE_FUNCTION}");
    let call =
        |what, key| Probe { what, path: function.clone(), key: Some(key), status: StatusCode::OK, contains: "true" };
    vec![
        call("the REST API with the anon key", &credentials.anon_key),
        call("the REST API with the publishable key", &credentials.publishable_key),
        Probe {
            what: "the REST API without a key",
            path: function.clone(),
            key: None,
            status: StatusCode::UNAUTHORIZED,
            contains: "",
        },
        Probe {
            what: "the OpenAPI root with the service_role key",
            path: "/rest/v1/".to_owned(),
            key: Some(&credentials.service_role_key),
            status: StatusCode::OK,
            contains: "swagger",
        },
        Probe {
            what: "the OpenAPI root with the secret key",
            path: "/rest/v1/".to_owned(),
            key: Some(&credentials.secret_key),
            status: StatusCode::OK,
            contains: "swagger",
        },
        Probe {
            what: "postgres-meta with the secret key",
            path: "/pg/health".to_owned(),
            key: Some(&credentials.secret_key),
            status: StatusCode::OK,
            contains: "date",
        },
    ]
}

/// A service that has just come up is unknown to the gateway for seconds: its name is looked up again after at most
/// five. What is refused for longer is worth telling.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the gateway what a client would ask.
///
/// # Errors
/// The first answer that a client could not use.
pub async fn probe(client: &Client, identity: &Identity, credentials: &Credentials) -> Result<(), Problem> {
    let started = Instant::now();
    loop {
        match ask_all(client, &internal_url(identity), credentials).await {
            Err(_) if started.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}

async fn ask_all(client: &Client, gateway: &str, credentials: &Credentials) -> Result<(), Problem> {
    for probe in probes(credentials) {
        ask(client, gateway, &probe).await?;
    }
    Ok(())
}

async fn ask(client: &Client, gateway: &str, probe: &Probe<'_>) -> Result<(), Problem> {
    let Probe { what, path, key, status, contains } = probe;
    let mut request =
        client.get(format!("{gateway}{path}")).header("Accept-Profile", PROBE_SCHEMA).timeout(REQUEST_LIMIT);
    if let Some(key) = key {
        request = request.header("apikey", key.expose());
    }
    let unreachable = |error: reqwest::Error| {
        // Without the URL: it is in the message already, and could carry a key.
        let error = error.without_url();
        Problem::new(Reason::GatewayUnreachable, format!("{what}: no answer from {gateway}: {error}"))
    };
    let mut answer = request.send().await.map_err(unreachable)?;
    let got = answer.status();
    let mut body = Vec::new();
    // The gateway's image is the tenant's choice: what it sends is not trusted to end.
    while body.len() < BODY_LIMIT {
        let Some(chunk) = answer.chunk().await.map_err(unreachable)? else { break };
        body.extend_from_slice(&chunk);
    }
    let body = String::from_utf8_lossy(&body);
    if got == *status && body.contains(contains) {
        return Ok(());
    }
    let said: String = body.chars().take(200).collect();
    Err(Problem::new(
        Reason::GatewayRefused,
        format!("{what}: {gateway}{path} answered {got} instead of {status}: {said}"),
    ))
}
