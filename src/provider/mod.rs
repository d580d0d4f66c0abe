//! Who runs a managed database and a managed object store: other operators, asked through their own objects.
//!
//! A provider answers four questions, all with values and without I/O: which Secrets and which upstream object it reads
//! ([`Inputs`]), what the settings resolve to (`plan`), which objects ask for it (`render`), and whether it can be used
//! (`observe`). The rest of the code sees [`DatabaseEndpoint`](crate::plan::DatabaseEndpoint) and
//! [`BucketEndpoint`](crate::plan::BucketEndpoint), and does not know who runs what is behind them.
//!
//! Three rules make a repeated apply of what is rendered a no-op: nothing empty, no field that an upstream webhook
//! rewrites, no atomic list whose items upstream fills with defaults.

pub mod database;
pub mod diagnosis;
mod live;
pub mod objectstore;
mod quantity;
pub mod retention;

use std::time::Duration;

use jiff::Timestamp;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::api::DeletionPolicy;
use crate::plan::names::ObjectName;
use crate::reason::{Problem, Reason};

/// Objects of other operators that a project asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    Cluster,
    MinioTenant,
    RustfsTenant,
}

impl Upstream {
    pub const ALL: [Self; 3] = [Self::Cluster, Self::MinioTenant, Self::RustfsTenant];

    pub fn group(self) -> &'static str {
        match self {
            Self::Cluster => "postgresql.cnpg.io",
            Self::MinioTenant => "minio.min.io",
            Self::RustfsTenant => "rustfs.com",
        }
    }

    pub fn version(self) -> &'static str {
        match self {
            Self::Cluster => "v1",
            Self::MinioTenant => "v2",
            Self::RustfsTenant => "v1alpha1",
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::MinioTenant | Self::RustfsTenant => "Tenant",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::MinioTenant | Self::RustfsTenant => "tenants",
        }
    }

    pub fn api_version(self) -> String {
        format!("{}/{}", self.group(), self.version())
    }

    pub fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group(), self.version(), self.kind());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }

    fn operator(self) -> &'static str {
        match self {
            Self::Cluster => "the CloudNativePG operator (1.30 or newer)",
            Self::MinioTenant => "the MinIO operator (7.1 or newer)",
            Self::RustfsTenant => "the RustFS operator",
        }
    }

    /// The API server does not serve this kind.
    pub fn missing(self) -> Problem {
        let instead = match self {
            Self::Cluster => "spec.database.secretRef",
            Self::MinioTenant | Self::RustfsTenant => "spec.storage.secretRef",
        };
        Problem::new(
            Reason::ProviderMissing,
            format!(
                "the cluster has no {}.{}; install {}, or point {instead} at what you have",
                self.plural(),
                self.group(),
                self.operator()
            ),
        )
    }
}

/// What a provider reads of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Secrets that may not exist yet.
    pub secrets: Vec<ObjectName>,
    pub upstream: Upstream,
    pub name: ObjectName,
    /// Selects the Pods, Jobs, `StatefulSets` and claims behind the upstream object.
    pub selector: String,
}

/// Kind of a rendered object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyKind {
    Secret,
    Upstream(Upstream),
}

/// One object as it shall be.
#[derive(Clone, PartialEq)]
pub struct Body {
    pub kind: BodyKind,
    pub name: ObjectName,
    pub body: Value,
}

/// Some bodies are Secrets.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

/// What a provider wants of the cluster. Upstream objects hold data: one is removed only if it stands in `withdraw`.
#[derive(Debug, Default, PartialEq)]
pub struct Wanted {
    /// In the order in which they are applied.
    pub apply: Vec<Body>,
    /// To delete in the background; their data stay.
    pub withdraw: Vec<(Upstream, ObjectName)>,
}

/// What a project says about the life of its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    pub deletion: DeletionPolicy,
    pub suspended: bool,
}

/// Whether a dependency can be used.
#[derive(Clone, Debug, PartialEq)]
pub enum Availability<E> {
    Ready(E),
    /// It serves, but not as it should.
    Degraded(E, Problem),
    Waiting(Reason, String),
    /// Nothing will change unless somebody does something.
    Failed(Problem),
    /// Stopped on purpose, data kept.
    Suspended,
}

impl<E> Availability<E> {
    pub fn endpoint(&self) -> Option<&E> {
        match self {
            Self::Ready(endpoint) | Self::Degraded(endpoint, _) => Some(endpoint),
            Self::Waiting(..) | Self::Failed(_) | Self::Suspended => None,
        }
    }
}

/// What was seen, and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation<E> {
    pub availability: Availability<E>,
    pub remedy: Option<Remedy>,
    /// The cause may be found in what lies behind the upstream object: list it ([`diagnosis::Surroundings`]) and
    /// observe again.
    pub look_closer: bool,
    /// Observe again after this time at the latest; `None` where an event will tell.
    pub again: Option<Duration>,
}

/// One delete that brings an upstream object out of a state that its own operator does not leave. None touches data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// In the background. Its Pods keep what the Job was made with; CloudNativePG makes a new one.
    DeleteJob { name: String, uid: String },
    /// Without its Pods, which go on; the MinIO operator makes a new one, which replaces them one by one.
    DeleteStatefulSetOrphaning { name: String, uid: String },
}

/// How long a dependency may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub now: Timestamp,
    /// After this time without a cause found, waiting becomes failing.
    pub deadline: Duration,
    /// Since when the project's condition about this dependency is not True; `None` while it is.
    pub since: Option<Timestamp>,
}

/// Scheduling, pulling and starting take their time; before it is over, nothing is a symptom.
const GRACE: Duration = Duration::from_secs(60);
/// Between two closer looks: events of the upstream object do not tell what happens behind it.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

impl Patience {
    /// Time since the upstream object was made, we last changed it, or it was last well.
    fn elapsed(&self, live: &Value) -> Duration {
        let moments = [live::created(live), live::written(live), Some(self.since.unwrap_or(self.now))];
        let start = moments.into_iter().flatten().max().unwrap_or(self.now);
        Duration::try_from(self.now.duration_since(start)).unwrap_or_default()
    }
}

/// Something that is not available: whether and why that is more than waiting.
struct Doubt<'a> {
    live: &'a Value,
    patience: &'a Patience,
    cause: Option<Problem>,
    waiting: (Reason, String),
    failed: Reason,
}

/// Whether to look behind an upstream object that is not well, and when to look at it again.
fn next_look(live: &Value, patience: &Patience) -> (bool, Option<Duration>) {
    let elapsed = patience.elapsed(live);
    // What was changed since it was made may be stuck on what was wrong before.
    let changed = live::written(live) > live::created(live);
    let look_closer = elapsed >= GRACE || changed;
    (look_closer, Some(if look_closer { LOOK_AGAIN } else { GRACE.saturating_sub(elapsed) }))
}

impl Doubt<'_> {
    fn observation<E>(self, remedy: Option<Remedy>) -> Observation<E> {
        let elapsed = self.patience.elapsed(self.live);
        let (look_closer, again) = next_look(self.live, self.patience);
        let (reason, message) = self.waiting;
        let availability = match self.cause {
            Some(problem) if elapsed >= GRACE => Availability::Failed(problem),
            Some(problem) => Availability::Waiting(reason, problem.message),
            None if elapsed >= self.patience.deadline => {
                let minutes = elapsed.as_secs() / 60;
                Availability::Failed(Problem::new(self.failed, format!("{message} (for {minutes} minutes now)")))
            }
            None => Availability::Waiting(reason, message),
        };
        Observation { availability, remedy, look_closer, again }
    }
}

/// An observation that only an event can change.
fn settled<E>(availability: Availability<E>) -> Observation<E> {
    Observation { availability, remedy: None, look_closer: false, again: None }
}
