//! Whether a Cluster of CloudNativePG can be used. Read are the fields that held on a live cluster: `Initialized` comes
//! before initdb has run, `Ready` stays True while hibernated, and there is no observed generation.

use serde_json::Value;

use super::super::diagnosis::{Fields, JobSeen, Surroundings};
use super::super::{Availability, Doubt, Observation, Patience, Remedy, live, next_look, settled};
use super::cnpg::{ClusterPlan, HIBERNATION, endpoint};
use crate::plan::DatabaseEndpoint;
use crate::plan::inputs::Secrets;
use crate::reason::{Problem, Reason};

pub const FIELDS: Fields = Fields {
    image: "spec.database.managed.imageName",
    storage_class: "spec.database.managed.storage.storageClassName",
    resources: "spec.database.managed.resources",
    failed: Reason::DatabaseFailed,
    settings: "spec.database.managed (parameters, sharedPreloadLibraries, postgresUID)",
};

const BOOTSTRAPPING: &str = "Setting up primary";
const UNRECOVERABLE: &str = "Cluster is unrecoverable and needs manual intervention";

/// Phases that CloudNativePG does not leave by itself (`api/v1/cluster_types.go` of 1.30).
const FAILURES: &[&str] = &[
    UNRECOVERABLE,
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    "Cluster cannot proceed to reconciliation due to an error while interacting with plugins",
    "Cluster has incomplete or invalid image catalog",
    "Cluster cannot execute instance online upgrade due to missing architecture binary",
    "Unable to create required cluster objects",
    "Invalid cluster definition",
    "Not enough disk space",
];

pub fn observe(
    plan: &ClusterPlan,
    live: Option<&Value>,
    around: &Surroundings,
    secrets: &Secrets,
    patience: &Patience,
) -> Observation<DatabaseEndpoint> {
    let object = format!("Cluster {}/{}", plan.identity.namespace, plan.name);
    let waiting = |what: &str| Availability::Waiting(Reason::DatabaseStarting, format!("{object} {what}"));
    let Some(live) = live else { return settled(waiting("is being made")) };
    if live::is_deleting(live) {
        return settled(waiting("is being deleted; it is made anew after that"));
    }
    if plan.lifecycle.suspended {
        let stopping = Availability::Waiting(Reason::Suspended, format!("{object} is being stopped"));
        return settled(if live::is_true(live, HIBERNATION) { Availability::Suspended } else { stopping });
    }
    if live::condition(live, HIBERNATION).is_some() {
        return settled(waiting(&format!("is hibernated; remove its annotation {HIBERNATION} to wake it")));
    }
    if !is_serving(live) {
        return unavailable(plan, live, around, patience, &object);
    }
    match endpoint(&plan.identity, secrets) {
        Err(problem) => settled(Availability::Failed(problem)),
        Ok(None) => settled(waiting(&format!(
            "has not made its Secrets {} and {} yet",
            plan.identity.name.database_superuser(),
            plan.identity.name.database_ca()
        ))),
        Ok(Some(endpoint)) => match shortfall(plan, live, &object) {
            None => settled(Availability::Ready(endpoint)),
            Some(message) => degraded(plan, live, around, patience, endpoint, message),
        },
    }
}

/// The primary is elected, stays, and answers its operator.
fn is_serving(live: &Value) -> bool {
    let primary = live::text(live, "/status/currentPrimary");
    !primary.is_empty()
        && primary == live::text(live, "/status/targetPrimary")
        && live::items(live, "/status/instancesStatus/healthy").any(|pod| pod.as_str() == Some(primary))
}

/// What is missing of what was asked for. `Ready` may be left over from before our last change: the counts are not.
fn shortfall(plan: &ClusterPlan, live: &Value, object: &str) -> Option<String> {
    let ready = live::number(live, "/status/readyInstances");
    let phase = live::text(live, "/status/phase");
    let image = live::text(live, "/status/image");
    if ready != i64::from(plan.instances) {
        return Some(format!("{object}: {ready} of {} instances are ready ({phase})", plan.instances));
    }
    if image != plan.image {
        return Some(format!("{object} runs {image} and is to run {} ({phase})", plan.image));
    }
    (!live::is_true(live, "Ready")).then(|| format!("{object} serves and is not ready: {phase}"))
}

fn degraded(
    plan: &ClusterPlan,
    live: &Value,
    around: &Surroundings,
    patience: &Patience,
    endpoint: DatabaseEndpoint,
    message: String,
) -> Observation<DatabaseEndpoint> {
    let cause = around.cause(&plan.identity.namespace, &FIELDS).map(|cause| format!("{message}; {}", cause.message));
    let (look_closer, again) = next_look(live, patience);
    let problem = Problem::new(Reason::DatabaseDegraded, cause.unwrap_or(message));
    Observation { availability: Availability::Degraded(endpoint, problem), remedy: None, look_closer, again }
}

fn unavailable(
    plan: &ClusterPlan,
    live: &Value,
    around: &Surroundings,
    patience: &Patience,
    object: &str,
) -> Observation<DatabaseEndpoint> {
    let (phase, why) = (live::text(live, "/status/phase"), live::text(live, "/status/phaseReason"));
    let said = match (phase, why) {
        ("", _) => "CloudNativePG has not answered; is its operator running?".to_owned(),
        (phase, "") => phase.to_owned(),
        (phase, why) => format!("{phase}: {why}"),
    };
    let remedy = remedy(plan, live, around);
    let cause = around.cause(&plan.identity.namespace, &FIELDS);
    if FAILURES.contains(&phase) {
        let message = format!("{object}: {said}; correct spec.database.managed, or look at the log of CloudNativePG");
        // A cause that was found says more than the phase.
        let problem = cause.unwrap_or_else(|| Problem::new(Reason::DatabaseFailed, message));
        let (_, again) = next_look(live, patience);
        return Observation { availability: Availability::Failed(problem), remedy, look_closer: true, again };
    }
    let waiting = (Reason::DatabaseStarting, format!("{object}: {said}"));
    Doubt { live, patience, cause, waiting, failed: Reason::DatabaseFailed }.observation(remedy)
}

/// No bootstrap has ever succeeded: there are no data that could be lost.
pub fn is_unborn(live: &Value) -> bool {
    let phase = live::text(live, "/status/phase");
    [BOOTSTRAPPING, UNRECOVERABLE].contains(&phase) && live::text(live, "/status/currentPrimary").is_empty()
}

/// A bootstrap keeps what its Job was made with: a corrected spec needs a new Job. Only while no bootstrap has ever
/// succeeded, so there is nothing to lose.
fn remedy(plan: &ClusterPlan, live: &Value, around: &Surroundings) -> Option<Remedy> {
    if !is_unborn(live) {
        return None;
    }
    let name = format!("{}-1-initdb", plan.name);
    let job = around.jobs.iter().find(|job| job.name == name && !job.succeeded)?;
    let failing = job.failed > 0 || around.is_stuck(&format!("{name}-"));
    let outdated = job.image != plan.image || live::written(live) > job.created;
    (failing && outdated).then(|| {
        let JobSeen { name, uid, .. } = job.clone();
        Remedy::DeleteJob { name, uid }
    })
}
