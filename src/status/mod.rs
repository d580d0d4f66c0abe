//! From what one pass found to the status that users read. Pure.
//!
//! Conditions are ordered checks: the first that is not True is the message of the project. A transition time moves
//! only when a condition's status does, so that equal findings give an equal status, and nothing is written.

mod component;
mod database;
mod dependencies;
mod news;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{DatabaseImage, KeysStatus, Phase, SupabaseProjectStatus};
use crate::bucket::Checked;
use crate::cluster::{Rollout, Trouble};
use crate::components::Component;
use crate::plan::{Plan, WorkloadPlan};
use crate::reason::{ConditionType, Problem, Progress, Reason};
use crate::sql::{Initialized, Inspection};
use component::{component_statuses, is_failure, verdict as component};
use database::{initialized, left_out, server};
use dependencies::{dependencies, endpoints};
pub use news::{is_ready, is_warning, same, transitions};

/// Everything that one pass found out.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What is wrong with the project itself.
    pub spec: Option<Problem>,
    pub plan: Option<Plan>,
    pub postgresql: Progress<Inspection>,
    pub s3: Progress<Checked>,
    pub keys: Progress<KeysStatus>,
    pub database: Progress<Initialized>,
    pub objects: Progress<()>,
    pub rollouts: BTreeMap<Component, Rollout>,
    /// What is wrong with pods, cleared of secrets.
    pub troubles: Vec<Trouble>,
    /// Components whose schema is being migrated.
    pub migrating: Vec<Component>,
    /// Components that others wait for, in a bring-up.
    pub awaited: Vec<Component>,
    /// What components that have tenants were told.
    pub tenants: BTreeMap<Component, Progress<()>>,
    /// Opening Storage's tables to a `service_role` that cannot bypass row level security; not started where it can.
    pub admission: Progress<()>,
    pub usable: Progress<()>,
    /// What serves, but not as it should.
    pub degraded: Vec<Problem>,
    pub suspension: Option<Suspension>,
    /// Managed data would still go with the project, which is to leave them behind.
    pub still_owned: bool,
    /// What a look into the image of a managed database told in this pass.
    pub database_image: Option<DatabaseImage>,
    pub deleting: bool,
}

/// How far a project is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspension {
    Stopping,
    Stopped,
}

impl Findings {
    /// Whether an answer is still to come, as after a restart or a changed Secret.
    pub fn is_undecided(&self) -> bool {
        self.postgresql == Progress::Running
            || self.s3 == Progress::Running
            || self.keys == Progress::Running
            || self.database == Progress::Running
            || self.tenants.values().any(|tenant| *tenant == Progress::Running)
            || self.admission == Progress::Running
            || self.usable == Progress::Running
    }

    /// The components that the project shall have.
    fn wanted(&self) -> impl Iterator<Item = &WorkloadPlan> {
        self.plan.iter().flat_map(|plan| plan.workloads.values())
    }

    /// Whether every component has its Deployment, and all of them are so.
    fn all(&self, is: impl Fn(&Rollout) -> bool) -> bool {
        let of = |settings: &WorkloadPlan| self.rollouts.get(&settings.workload.component);
        self.plan.is_some() && self.wanted().all(|settings| of(settings).is_some_and(&is))
    }

    /// Whether a step, or what a component was told, failed.
    fn has_failed(&self) -> bool {
        let steps = [
            self.spec.as_ref(),
            self.postgresql.failed(),
            self.s3.failed(),
            self.keys.failed(),
            self.database.failed(),
            self.objects.failed(),
            self.admission.failed(),
        ];
        let tenants = self.tenants.values().map(Progress::failed);
        steps.into_iter().chain(tenants).any(|failure| failure.is_some())
    }

    /// What is wrong with a component that does not serve.
    fn failure(&self, component: Component) -> Option<&Trouble> {
        let serves = self.rollouts.get(&component).is_some_and(|rollout| rollout.available > 0);
        let trouble = self.troubles.iter().find(|trouble| trouble.component == component.name());
        trouble.filter(|trouble| !serves || trouble.migrating)
    }
}

/// Status of one condition.
struct Verdict {
    type_: &'static str,
    /// `None` is Unknown.
    holds: Option<bool>,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(type_: &'static str, holds: Option<bool>, reason: Reason, message: impl Into<String>) -> Self {
        Self { type_, holds, reason, message: message.into() }
    }

    fn of<T>(type_: &'static str, progress: &Progress<T>, running: (Reason, &str), done: (Reason, String)) -> Self {
        match progress {
            Progress::NotStarted => Self::new(type_, None, Reason::Waiting, "a step before this one is not done"),
            Progress::Running => Self::new(type_, None, running.0, running.1),
            Progress::Waiting(problem) => Self::new(type_, None, problem.reason, &problem.message),
            Progress::Done(_) => Self::new(type_, Some(true), done.0, done.1),
            Progress::Failed(problem) => Self::new(type_, Some(false), problem.reason, &problem.message),
        }
    }
}

/// Composes the status. `old` is the last one, for what must not change without need.
pub fn report(
    old: &SupabaseProjectStatus,
    generation: i64,
    findings: &Findings,
    now: Timestamp,
) -> SupabaseProjectStatus {
    let mut verdicts = steps(findings);
    if findings.suspension.is_some() {
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.reason == Reason::Waiting) {
            verdict.reason = Reason::Suspended;
            "the project is suspended".clone_into(&mut verdict.message);
        }
    }
    let components: Vec<Verdict> = findings.wanted().map(|settings| component(findings, settings)).collect();
    let ready = ready(findings, &verdicts, &components);
    let phase = phase(old, findings, &ready);
    let message = ready.message.clone();
    let summary = summary(findings, &ready);
    verdicts.extend(components);
    // The project is ready without them.
    verdicts.extend(findings.plan.iter().flat_map(|plan| &plan.left_out).map(left_out));
    let mut all = vec![ready];
    all.extend(summary);
    all.extend(verdicts);
    SupabaseProjectStatus {
        phase: Some(phase),
        message: Some(message),
        // Who waits for this before a deletion must not be told too early.
        observed_generation: if findings.still_owned { old.observed_generation } else { Some(generation) },
        release: release(old, findings),
        conditions: all.into_iter().map(|verdict| condition(old, generation, verdict, now)).collect(),
        components: component_statuses(old, findings),
        dependencies: Some(dependencies(old, findings, now)),
        endpoints: findings.plan.as_ref().map(endpoints).or_else(|| old.endpoints.clone()),
        database_image: findings.database_image.clone().or_else(|| old.database_image.clone()),
        keys: findings.keys.done().cloned().or_else(|| old.keys.clone()),
    }
}

/// The steps of the bring-up, in order.
fn steps(findings: &Findings) -> Vec<Verdict> {
    let bucket = |checked: &Checked| {
        let proof = "an object was put, read and deleted";
        let trust = "it exists; the Storage API alone has the right to use it, and shows that it can before Ready";
        if checked.proven { proof } else { trust }.to_owned()
    };
    vec![
        Verdict::of(
            ConditionType::PostgreSqlConnected.as_str(),
            &findings.postgresql,
            (Reason::Connecting, "connecting to PostgreSQL"),
            (Reason::Connected, findings.postgresql.done().map(|seen| server(seen, findings)).unwrap_or_default()),
        ),
        Verdict::of(
            ConditionType::S3Connected.as_str(),
            &findings.s3,
            (Reason::Connecting, "connecting to S3"),
            (Reason::Connected, "the S3 server answers".to_owned()),
        ),
        Verdict::of(
            ConditionType::BucketReady.as_str(),
            &findings.s3,
            (Reason::PreparingBucket, "looking for the bucket"),
            (Reason::BucketUsable, findings.s3.done().map(bucket).unwrap_or_default()),
        ),
        Verdict::of(
            ConditionType::SecretsReady.as_str(),
            &findings.keys,
            (Reason::MakingKeys, "making the project's keys"),
            (Reason::KeysPresent, "the project's keys exist and fit together".to_owned()),
        ),
        Verdict::of(
            ConditionType::DatabaseInitialized.as_str(),
            &findings.database,
            (Reason::InitializingDatabase, "making roles, schemas and grants"),
            (Reason::DatabaseInitialized, findings.database.done().map(initialized).unwrap_or_default()),
        ),
        Verdict::of(
            ConditionType::NetworkReady.as_str(),
            &findings.objects,
            (Reason::Progressing, &applying(findings)),
            (Reason::NetworkApplied, "every object is applied".to_owned()),
        ),
    ]
}

/// What the objects that are not applied yet wait for.
fn applying(findings: &Findings) -> String {
    let titles = |components: &[Component]| {
        let titles: Vec<&str> = components.iter().map(|component| component.workload().title).collect();
        titles.join(", ")
    };
    if !findings.awaited.is_empty() {
        return format!("the others wait for {}", titles(&findings.awaited));
    }
    if !findings.migrating.is_empty() {
        return format!("migrating the schema of {}", titles(&findings.migrating));
    }
    "applying objects".to_owned()
}

/// The release that runs: another one counts from when its last wave was applied.
fn release(old: &SupabaseProjectStatus, findings: &Findings) -> Option<String> {
    let new = findings.plan.as_ref().filter(|_| findings.objects.done().is_some());
    new.map(|plan| plan.release.name.clone()).or_else(|| old.release.clone())
}

fn ready(findings: &Findings, steps: &[Verdict], components: &[Verdict]) -> Verdict {
    let type_ = ConditionType::Ready.as_str();
    if findings.deleting {
        return Verdict::new(type_, Some(false), Reason::Deleting, "the project is being deleted");
    }
    if let Some(problem) = &findings.spec {
        return Verdict::new(type_, Some(false), problem.reason, &problem.message);
    }
    match findings.suspension {
        Some(Suspension::Stopping) => {
            return Verdict::new(type_, Some(false), Reason::Suspending, "the project is being suspended");
        }
        Some(Suspension::Stopped) => {
            let message = "the project is suspended; set spec.suspend to false to wake it";
            return Verdict::new(type_, Some(false), Reason::Suspended, message);
        }
        None => {}
    }
    let undone = |verdict: &&Verdict| verdict.holds != Some(true);
    // What failed says more than what is waited for.
    let step = steps.iter().find(|step| step.holds == Some(false)).or_else(|| steps.iter().find(undone));
    // A component that fails is why the step behind it does not come.
    let broken = components.iter().find(|component| component.holds == Some(false) && is_failure(component.reason));
    if let Some(step) = broken.filter(|_| step.is_none_or(|step| step.holds != Some(false))).or(step) {
        return Verdict::new(type_, Some(false), step.reason, &step.message);
    }
    let missing: Vec<&Verdict> = components.iter().filter(undone).collect();
    if let Some(first) = missing.first() {
        let messages: Vec<&str> = missing.iter().map(|verdict| verdict.message.as_str()).collect();
        return Verdict::new(type_, Some(false), first.reason, messages.join("; "));
    }
    Verdict {
        // Not usable is not ready, whatever the reason.
        holds: Some(findings.usable.done().is_some()),
        ..Verdict::of(
            type_,
            &findings.usable,
            (Reason::ProbingGateway, "sending requests through the gateway"),
            (Reason::Usable, "requests through the gateway are answered".to_owned()),
        )
    }
}

/// The conditions that sum up for tools: Progressing, Available, Degraded.
fn summary(findings: &Findings, ready: &Verdict) -> [Verdict; 3] {
    let deployed = findings.all(|_| true);
    let available = findings.all(|rollout| rollout.available > 0);
    let complete = findings.all(Rollout::is_complete);
    let failed = findings.has_failed();
    let settled = ready.holds == Some(true) && complete;
    let stopped = findings.suspension == Some(Suspension::Stopped);
    let progressing = if stopped {
        Verdict::new(ConditionType::Progressing.as_str(), Some(false), ready.reason, &ready.message)
    } else if settled {
        Verdict::new(ConditionType::Progressing.as_str(), Some(false), Reason::Reconciled, "nothing is left to do")
    } else {
        Verdict::new(ConditionType::Progressing.as_str(), Some(!failed), ready.reason, &ready.message)
    };
    let availability = if available {
        Verdict::new(
            ConditionType::Available.as_str(),
            Some(true),
            Reason::AllComponentsAvailable,
            "every component has a pod that serves",
        )
    } else {
        Verdict::new(
            ConditionType::Available.as_str(),
            Some(false),
            Reason::ComponentsStarting,
            "not every component has a pod that serves",
        )
    };
    let gone = [findings.postgresql.waiting(), findings.s3.waiting()].iter().any(Option::is_some);
    let broken = failed || gone || !available || (ready.holds != Some(true) && findings.usable.failed().is_some());
    let degradation = if deployed && broken && findings.suspension.is_none() {
        Verdict::new(ConditionType::Degraded.as_str(), Some(true), ready.reason, &ready.message)
    } else if let Some(problem) = findings.degraded.first() {
        Verdict::new(ConditionType::Degraded.as_str(), Some(true), problem.reason, &problem.message)
    } else {
        Verdict::new(ConditionType::Degraded.as_str(), Some(false), Reason::Reconciled, "nothing is known to be broken")
    };
    [progressing, availability, degradation]
}

fn phase(old: &SupabaseProjectStatus, findings: &Findings, ready: &Verdict) -> Phase {
    if findings.deleting {
        return Phase::Terminating;
    }
    match findings.suspension {
        Some(Suspension::Stopping) => return Phase::Updating,
        Some(Suspension::Stopped) => return Phase::Suspended,
        None => {}
    }
    let complete = findings.all(Rollout::is_complete);
    if ready.holds == Some(true) {
        return if complete { Phase::Running } else { Phase::Updating };
    }
    let crashing = findings.wanted().any(|settings| findings.failure(settings.workload.component).is_some());
    if crashing || findings.has_failed() {
        return Phase::Failed;
    }
    let ran_before = matches!(old.phase, Some(Phase::Running | Phase::Updating));
    let gone = findings.postgresql.waiting().is_some() || findings.s3.waiting().is_some();
    if ran_before && gone {
        return Phase::Updating;
    }
    if findings.postgresql.done().is_none() || findings.s3.done().is_none() {
        return Phase::ValidatingDependencies;
    }
    if findings.keys.done().is_none() {
        return Phase::DeployingSecrets;
    }
    if findings.database.done().is_none() {
        return Phase::InitializingDatabase;
    }
    if findings.objects.done().is_none() && findings.awaited.is_empty() && findings.migrating.is_empty() {
        return Phase::DeployingNetwork;
    }
    match (ran_before, complete) {
        (true, _) => Phase::Updating,
        (false, false) => Phase::DeployingComponents,
        (false, true) => Phase::Configuring,
    }
}

fn condition(old: &SupabaseProjectStatus, generation: i64, verdict: Verdict, now: Timestamp) -> Condition {
    let status = match verdict.holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let type_ = verdict.type_;
    let before = old.conditions.iter().find(|condition| condition.type_ == type_);
    let since =
        before.filter(|before| before.status == status).map_or(Time(now), |before| before.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_string(),
        message: verdict.message,
        observed_generation: Some(generation),
        last_transition_time: since,
    }
}

#[cfg(test)]
mod tests;
