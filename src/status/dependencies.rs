//! The two parts of a status beside its conditions that are about addresses: what the project uses, and where it is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Findings;
use crate::api::{Dependencies, DependencyStatus, Endpoints, SupabaseProjectStatus};
use crate::components::Component;
use crate::plan::Plan;
use crate::reason::Problem;

/// Where the parts of a project are reached.
pub fn endpoints(plan: &Plan) -> Endpoints {
    let url = |component, path: &str| plan.has(component).then(|| format!("{}{path}", plan.public_url));
    Endpoints {
        api: plan.public_url.clone(),
        auth: url(Component::Auth, "/auth/v1"),
        rest: url(Component::Postgrest, "/rest/v1"),
        realtime: url(Component::Realtime, "/realtime/v1"),
        storage: url(Component::Storage, "/storage/v1"),
        functions: url(Component::Functions, "/functions/v1"),
        studio: url(Component::Studio, "/"),
    }
}

/// What the project depends on, as it was last seen.
pub fn dependencies(old: &SupabaseProjectStatus, findings: &Findings, now: Timestamp) -> Dependencies {
    let old = old.dependencies.clone().unwrap_or_default();
    let postgresql = findings.postgresql.done().map(|inspection| inspection.latency.0);
    let s3 = findings.s3.done().map(|checked| checked.latency.0);
    Dependencies {
        postgresql: dependency(old.postgresql, postgresql, findings.postgresql.failed(), now),
        s3: dependency(old.s3, s3, findings.s3.failed(), now),
    }
}

fn dependency(
    old: Option<DependencyStatus>,
    latency: Option<std::time::Duration>,
    failed: Option<&Problem>,
    now: Timestamp,
) -> Option<DependencyStatus> {
    let (connected, error) = match (latency, failed) {
        (Some(_), _) => (true, None),
        (None, Some(problem)) => (false, Some(problem.message.clone())),
        (None, None) => return old,
    };
    if let Some(old) = &old
        && old.connected == connected
        && old.error == error
    {
        return Some(old.clone());
    }
    Some(DependencyStatus {
        connected,
        error,
        latency_ms: latency.map(|latency| i64::try_from(latency.as_millis()).unwrap_or(i64::MAX)),
        last_connected_time: if connected { Some(Time(now)) } else { old.and_then(|old| old.last_connected_time) },
    })
}
