//! Logs, metrics, health. In: what happened. Out: what operators of the operator read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging to standard error.
///
/// # Errors
/// The filter is malformed.
pub fn start_log(format: LogFormat, level: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(level)?).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.init(),
    }
    Ok(())
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verb {
    verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Every metric. Labels are closed sets: no names of users' objects.
pub struct Metrics {
    registry: Registry,
    requests: Family<Verb, Counter>,
    reconciles: Family<Outcome, Counter>,
    duration: Histogram,
    leading: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("supabase_operator");
        let requests = Family::<Verb, Counter>::default();
        let reconciles = Family::<Outcome, Counter>::default();
        let duration = Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]);
        let leading = Gauge::default();
        registry.register("api_requests", "Requests to the API server by verb", requests.clone());
        registry.register("reconciles", "Finished reconciles by outcome", reconciles.clone());
        registry.register("reconcile_duration_seconds", "Time that a reconcile took", duration.clone());
        registry.register("leading", "1 while this instance has the lease", leading.clone());
        Self { registry, requests, reconciles, duration, leading }
    }
}

impl Metrics {
    pub fn request(&self, verb: &'static str) {
        self.requests.get_or_create(&Verb { verb }).inc();
    }

    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub fn leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }
}

/// What the probes and scrapers ask.
#[derive(Clone, Default)]
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
}

impl Telemetry {
    /// Every watch has seen a whole list: this instance could serve.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }
}

async fn readyz(State(telemetry): State<Telemetry>) -> (StatusCode, &'static str) {
    if telemetry.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the first lists are not read yet")
    }
}

async fn metrics(
    State(telemetry): State<Telemetry>,
) -> Result<([(header::HeaderName, &'static str); 1], String), StatusCode> {
    let mut text = String::new();
    // Writing to a String cannot fail.
    encode(&mut text, &telemetry.metrics.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let telemetry = Telemetry::default();
        telemetry.metrics.request("patch");
        telemetry.metrics.reconciled("converged", Duration::from_millis(3));
        let (_, text) = metrics(State(telemetry.clone())).await.unwrap();
        assert!(text.contains("supabase_operator_api_requests_total{verb=\"patch\"} 1"), "{text}");
        assert!(text.contains("supabase_operator_reconciles_total{outcome=\"converged\"} 1"), "{text}");
    }

    #[tokio::test]
    async fn not_ready_before_the_first_lists() {
        let telemetry = Telemetry::default();
        assert_eq!(readyz(State(telemetry.clone())).await.0, StatusCode::SERVICE_UNAVAILABLE);
        telemetry.set_ready();
        assert_eq!(readyz(State(telemetry)).await.0, StatusCode::OK);
    }
}
