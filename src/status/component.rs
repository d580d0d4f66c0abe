//! What is said of one component: its condition, and its entry in `status.components`.

use std::collections::BTreeMap;

use super::{Findings, Verdict};
use crate::api::{ComponentPhase, ComponentStatus, SupabaseProjectStatus};
use crate::cluster::Rollout;
use crate::components::{Component, Workload};
use crate::plan::WorkloadPlan;
use crate::reason::{Progress, Reason};
use crate::sql::Feature;

pub fn verdict(findings: &Findings, settings: &WorkloadPlan) -> Verdict {
    let Workload { condition: type_, title, field, component, .. } = *settings.workload;
    if findings.suspension.is_some() {
        return Verdict::new(type_, Some(false), Reason::Suspended, format!("{title}: the project is suspended"));
    }
    if let Some(trouble) = findings.failure(component) {
        return Verdict::new(type_, Some(false), trouble.reason, format!("{title}: {}", trouble.message));
    }
    if findings.migrating.contains(&component) {
        return Verdict::new(type_, None, Reason::Migrating, format!("{title}: its schema is being migrated"));
    }
    if settings.replicas == 0 {
        let message = format!("{title} has no pods because spec.{field}.replicas is 0");
        return Verdict::new(type_, Some(false), Reason::ScaledToZero, message);
    }
    let Some(rollout) = findings.rollouts.get(&component) else {
        return Verdict::new(type_, None, Reason::Waiting, format!("{title} is not deployed yet"));
    };
    let pods = format!("{} of {} pods available", rollout.available, rollout.wanted);
    if rollout.available == 0 {
        return Verdict::new(type_, Some(false), Reason::ComponentUnavailable, format!("{title}: {pods}"));
    }
    match findings.tenants.get(&component) {
        Some(Progress::Failed(problem)) => {
            return Verdict::new(type_, Some(false), problem.reason, &problem.message);
        }
        Some(Progress::Running | Progress::Waiting(_)) => {
            return Verdict::new(type_, None, Reason::PreparingTenant, format!("{title}: its tenant is being written"));
        }
        _ => {}
    }
    match &findings.admission {
        Progress::Failed(problem) if component == Component::Storage => {
            return Verdict::new(type_, Some(false), problem.reason, &problem.message);
        }
        Progress::Running | Progress::Waiting(_) if component == Component::Storage => {
            let message = format!("{title}: its tables are being opened to service_role");
            return Verdict::new(type_, None, Reason::Progressing, message);
        }
        _ => {}
    }
    if rollout.is_complete() {
        let limit = findings.database.done().and_then(|database| database.limit(Feature::PostgresChanges));
        let limit = limit.filter(|_| component == Component::Realtime).map(|limit| format!("; {}", limit.text()));
        return Verdict::new(type_, Some(true), Reason::Available, pods + &limit.unwrap_or_default());
    }
    let stuck = findings.troubles.iter().find(|trouble| trouble.component == component.name());
    let why = stuck.map(|trouble| format!("; {}", trouble.message)).unwrap_or_default();
    let new = rollout.updated.min(rollout.available);
    Verdict::new(type_, Some(true), Reason::Progressing, format!("{pods}, {new} of them new{why}"))
}

/// Whether a component will not serve by waiting.
pub fn is_failure(reason: Reason) -> bool {
    !matches!(reason, Reason::ComponentUnavailable | Reason::ScaledToZero | Reason::Suspended)
}

pub fn component_statuses(old: &SupabaseProjectStatus, findings: &Findings) -> BTreeMap<String, ComponentStatus> {
    let Some(plan) = &findings.plan else { return old.components.clone() };
    let deployed = |(component, rollout): (&Component, &Rollout)| {
        let wanted = plan.workloads.get(component)?;
        let key = wanted.workload.field.to_owned();
        let complete = rollout.is_complete();
        let phase = match rollout.available {
            _ if rollout.wanted == 0 => ComponentPhase::ScaledToZero,
            _ if complete => ComponentPhase::Running,
            1.. => ComponentPhase::Deploying,
            _ => ComponentPhase::Unavailable,
        };
        let status = ComponentStatus {
            phase,
            ready: complete && rollout.wanted > 0,
            version: wanted.image.clone(),
            replicas: rollout.wanted,
            ready_replicas: rollout.available,
        };
        Some((key, status))
    };
    findings.rollouts.iter().filter_map(deployed).collect()
}
