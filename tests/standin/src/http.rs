//! What every stand-in answers: an echo of the request, and the report of its checks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::checks::Checks;

/// What arrived, so that a test of a gateway can look at it.
pub fn echo(component: &'static str, request: &Request) -> Value {
    let headers: BTreeMap<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    json!({
        "standin": true,
        "component": component,
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query().unwrap_or_default(),
        "headers": headers,
    })
}

/// Routes, and the echo for all others.
pub fn with_echo(router: Router, checks: &Arc<Checks>) -> Router {
    let component = checks.component;
    router.fallback(move |request: Request| async move { Json(echo(component, &request)) })
}

/// Adds the report.
pub fn with_report(router: Router, checks: &Arc<Checks>) -> Router {
    let checks = checks.clone();
    router.route("/_standin/report", get(move || async move { Json(checks.report()) }))
}

/// Serves until the process is told to end.
pub async fn serve(checks: &Checks, address: IpAddr, port: u16, router: Router) {
    let address = SocketAddr::new(address, port);
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = checks.record("listen", listener.map_err(|error| format!("cannot listen on {address}: {error}")));
    checks.stop_at_failures();
    eprintln!("{}", json!({"component": checks.component, "standin": true, "listening": address.to_string()}));
    axum::serve(listener.unwrap(), router).with_graceful_shutdown(terminated()).await.unwrap();
}

/// Open websockets must not keep a pod that is told to end: the process does not wait for them.
async fn terminated() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tokio::spawn(async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        std::process::exit(0);
    });
}

pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

/// The token of `Authorization: Bearer …`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    header(headers, header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
}

pub fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// A client for requests to peers; CA files that Node would read are read too.
pub fn client(extra_ca: Option<&str>) -> reqwest::Client {
    let mut builder = reqwest::Client::builder().timeout(std::time::Duration::from_secs(10)).no_proxy();
    let pem = extra_ca.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    for certificate in reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default() {
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().unwrap()
}
