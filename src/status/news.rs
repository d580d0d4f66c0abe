//! What two statuses have to say to each other: whether they differ, and what of the difference is worth an Event.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::SupabaseProjectStatus;
use crate::reason::{ConditionType, Reason};

/// Whether a status says Ready.
pub fn is_ready(status: &SupabaseProjectStatus) -> bool {
    let ready = ConditionType::Ready.as_str();
    status.conditions.iter().any(|condition| condition.type_ == ready && condition.status == "True")
}

/// Conditions worth an Event: what broke, what healed, and that the project became ready.
pub fn transitions<'a>(old: &SupabaseProjectStatus, new: &'a SupabaseProjectStatus) -> Vec<&'a Condition> {
    let news = |condition: &&Condition| {
        let before = old.conditions.iter().find(|before| before.type_ == condition.type_);
        let was = before.map_or("Unknown", |before| before.status.as_str());
        let ready = condition.type_ == ConditionType::Ready.as_str();
        if is_suspension(condition) {
            // Once for the project: its components have nothing to add.
            return ready && before.is_none_or(|before| before.reason != condition.reason);
        }
        match condition.status.as_str() {
            "True" => was != "True" && (ready || before.is_some_and(is_problem)),
            "False" if was == "True" => true,
            // Still starting is no news; another problem than before is.
            "False" => is_problem(condition) && before.is_none_or(|before| before.reason != condition.reason),
            _ => false,
        }
    };
    let told = |condition: &&Condition| !SUMMARIES.iter().any(|summary| summary.as_str() == condition.type_);
    new.conditions.iter().filter(told).filter(news).collect()
}

/// Conditions that repeat what others say.
const SUMMARIES: [ConditionType; 5] = [
    ConditionType::Progressing,
    ConditionType::Available,
    ConditionType::Degraded,
    ConditionType::BucketReady,
    ConditionType::SecretsReady,
];

/// Whether a condition's news are for somebody to look after.
pub fn is_warning(condition: &Condition) -> bool {
    condition.status != "True" && !is_suspension(condition) && condition.reason != Reason::Deleting.as_str()
}

fn is_suspension(condition: &Condition) -> bool {
    [Reason::Suspending, Reason::Suspended].iter().any(|reason| reason.as_str() == condition.reason)
}

/// Whether a False condition tells of something that will not pass by itself.
fn is_problem(condition: &Condition) -> bool {
    if condition.status != "False" {
        return false;
    }
    let passing = [
        Reason::Waiting,
        Reason::Connecting,
        Reason::MakingKeys,
        Reason::Migrating,
        Reason::PreparingTenant,
        Reason::InitializingDatabase,
        Reason::PreparingBucket,
        Reason::Progressing,
        Reason::ProbingGateway,
        Reason::ComponentsStarting,
        Reason::ComponentUnavailable,
        Reason::DatabaseStarting,
        Reason::StorageStarting,
    ];
    !is_suspension(condition) && passing.iter().all(|reason| reason.as_str() != condition.reason)
}

/// Whether two reports say the same. Transition times follow from the rest and are not compared.
pub fn same(a: &SupabaseProjectStatus, b: &SupabaseProjectStatus) -> bool {
    let plain = |status: &SupabaseProjectStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    plain(a) == plain(b)
}
