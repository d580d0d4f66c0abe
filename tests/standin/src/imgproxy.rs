//! Poses as imgproxy: fetches the source of a URL and gives its bytes.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::checks::{Checks, Environment};
use crate::http::{client, echo, with_report};
use crate::values::{boolean, port, writable};

pub async fn run(environment: Environment, words: &[&str]) {
    let checks = Arc::new(Checks::new("imgproxy"));
    let port = check(&checks, &environment);
    checks.stop_at_failures();
    let Some(port) = port else { return };
    // The image's own probe: exit status alone.
    if words == ["health"] {
        let url = format!("http://127.0.0.1:{port}/health");
        let healthy = client(None).get(url).send().await.is_ok_and(|answer| answer.status().is_success());
        std::process::exit(i32::from(!healthy));
    }
    let client = client(environment.get("SSL_CERT_FILE"));
    let router = Router::new().route("/health", get(|| async { "imgproxy is running" }));
    let router = with_report(router, &checks).fallback(move |request: Request| transform(client.clone(), request));
    crate::http::serve(&checks, std::net::Ipv4Addr::UNSPECIFIED.into(), port, router).await;
}

fn check(checks: &Checks, environment: &Environment) -> Option<u16> {
    environment.check_rendered(checks, &["IMGPROXY_"], &[]);
    let port = checks.variable(environment, "IMGPROXY_BIND", |value| {
        value.rsplit_once(':').ok_or_else(|| "must be :PORT".to_owned()).and_then(|(_, number)| port(number))
    });
    checks.variable_if_set(environment, "IMGPROXY_LOCAL_FILESYSTEM_ROOT", |path| {
        std::fs::read_dir(path).map(drop).map_err(|error| format!("cannot read {path}: {error}"))
    });
    checks.variable_if_set(environment, "IMGPROXY_MAX_SRC_RESOLUTION", |value| {
        value.parse::<f64>().map(drop).map_err(|_| "is not a number".to_owned())
    });
    for name in ["IMGPROXY_KEY", "IMGPROXY_SALT"] {
        checks.variable_if_set(environment, name, |_| -> Result<(), _> {
            Err("must be absent: Storage does not sign its requests".to_owned())
        });
    }
    for name in ["IMGPROXY_USE_ETAG", "IMGPROXY_AUTO_WEBP", "IMGPROXY_IGNORE_SSL_VERIFICATION"] {
        checks.variable_if_set(environment, name, boolean);
    }
    checks.record("write to /tmp", writable("/tmp"));
    port
}

/// `/<signature>/<options>/plain/<escaped source>`, the extension after `@` left out.
fn source(path: &str) -> Option<String> {
    let (_, escaped) = path.split_once("/plain/")?;
    let escaped = escaped.rsplit_once('@').map_or(escaped, |(source, _)| source);
    percent_decode_str(escaped).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

async fn transform(client: reqwest::Client, request: Request) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let Some(source) = source(&path) else { return Json(echo("imgproxy", &request)).into_response() };
    if let Some(file) = source.strip_prefix("local://") {
        return match tokio::fs::read(file).await {
            Ok(bytes) => bytes.into_response(),
            Err(_) => (StatusCode::NOT_FOUND, "Invalid source image").into_response(),
        };
    }
    let fetched = async {
        let answer = client.get(source).send().await?.error_for_status()?;
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        Ok::<_, reqwest::Error>((kind, answer.bytes().await?))
    };
    match fetched.await {
        Ok((Some(kind), bytes)) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Ok((None, bytes)) => bytes.into_response(),
        // A presigned source is a secret for its lifetime: its URL stays out of the answer.
        Err(error) => {
            let error = error.without_url().to_string();
            (StatusCode::NOT_FOUND, Json(json!({"standin": true, "error": error}))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_what_follows_plain() {
        let path = "/insecure/rs:fill:10:10/plain/http%3A%2F%2Fminio%3A9000%2Fb%2Fk%3FX-Amz-Date=1@webp";
        assert_eq!(source(path).as_deref(), Some("http://minio:9000/b/k?X-Amz-Date=1"));
        assert_eq!(source("/health2"), None);
    }

    #[test]
    fn a_key_is_refused_because_storage_does_not_sign() {
        let checks = Checks::new("imgproxy");
        check(&checks, &Environment::from([("IMGPROXY_BIND", ":5001"), ("IMGPROXY_KEY", "00ff")]));
        assert!(checks.failures().iter().any(|outcome| outcome.check == "IMGPROXY_KEY"));
    }
}
