//! What is said of the database: what it is, what it cannot do, and what is not deployed for that.

use super::{Findings, Verdict};
use crate::plan::{LeftOut, pools};
use crate::sql::{self, Initialized, Inspection};

/// The server, and what is worth knowing about it.
pub fn server(seen: &Inspection, findings: &Findings) -> String {
    let crowded = findings.plan.as_ref().and_then(|plan| sql::crowded(&seen.facts, pools::of_plan(plan)));
    let text = format!("PostgreSQL {}, profile {}", seen.version, seen.profile.as_str());
    seen.notices().chain(&crowded).fold(text, |text, notice| format!("{text}. {}", notice.text()))
}

/// What was done, and what does not work all the same.
pub fn initialized(database: &Initialized) -> String {
    let text = "roles, schemas and grants are in place".to_owned();
    database.limits.iter().fold(text, |text, limit| format!("{text}. {}", limit.text()))
}

/// A component that the database does not allow.
pub fn left_out(left_out: &LeftOut) -> Verdict {
    let LeftOut { workload, why } = left_out;
    let message = format!("{} is not deployed: {}", workload.title, why.message);
    Verdict::new(workload.condition, Some(false), why.reason, message)
}
