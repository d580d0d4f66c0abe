//! The reconcile: one pass over one project, from what it refers to, to the status that its users read.
//!
//! A pass reads stores, asks for the results of checks, applies what differs, and reports. It waits for nothing outside
//! of the API server; whatever it lacks wakes it when it is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use crate::api::{KeysStatus, SupabaseProject, SupabaseProjectStatus};
use crate::bucket::{self, Checked};
use crate::checks::{Answer, Check, DOUBTFUL, Question, Runner, STEADY, STEADY_BUCKET};
use crate::cluster::{Applied, ApplyError, CallError, Change, ChangeCause, Cluster, Outcome, ProjectKey, Rollout};
use crate::components::{COMPONENTS, Component};
use crate::keyring::{self, KeyringError};
use crate::plan::inputs::{self, Secrets};
use crate::plan::keys::Credentials;
use crate::plan::{self, Identity, Plan};
use crate::reason::{Problem, Progress, Reason};
use crate::render::{self, Digest, Manifest};
use crate::sql::{self, Inspection};
use crate::status::{self, Findings};
use crate::telemetry::Metrics;
use crate::usable;

/// What every pass needs.
pub struct Context {
    pub cluster: Cluster,
    pub runner: Runner,
    pub http: reqwest::Client,
    pub metrics: Arc<Metrics>,
    memories: Mutex<HashMap<ProjectKey, Arc<Memory>>>,
}

/// What is remembered of a project between passes. All of it can be lost: a restart asks anew and writes nothing.
#[derive(Default)]
struct Memory {
    uid: String,
    connection: Check<Inspection>,
    bucket: Check<Checked>,
    initialization: Check<()>,
    usable: Check<()>,
    pass: tokio::sync::Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    applied: Applied,
    /// The status that was last written, which a store may not show yet, and when.
    status: Option<(SupabaseProjectStatus, Instant)>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Render(#[from] render::RenderError),
    #[error(transparent)]
    Keys(#[from] KeyringError),
}

impl Error {
    fn is_namespace_ending(&self) -> bool {
        let call = match self {
            Self::Call(error) | Self::Apply(ApplyError::Call(error)) | Self::Keys(KeyringError::Call(error)) => error,
            Self::Apply(ApplyError::Render(_)) | Self::Render(_) | Self::Keys(_) => return false,
        };
        call.is_namespace_ending()
    }
}

/// Between two writes of a status that only tells of progress. What breaks or becomes ready is written at once.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// For what no watch tells: a foreign object in our way may be gone.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(10);

impl Context {
    pub fn new(cluster: Cluster, runner: Runner, http: reqwest::Client, metrics: Arc<Metrics>) -> Self {
        Self { cluster, runner, http, metrics, memories: Mutex::default() }
    }

    fn memory(&self, identity: &Identity) -> Arc<Memory> {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = memories.entry(identity.key()).or_default();
        if memory.uid != identity.uid {
            *memory = Arc::new(Memory { uid: identity.uid.clone(), ..Memory::default() });
        }
        memory.clone()
    }

    /// Forgets every project, when another instance may write from now on.
    pub fn forget_all(&self) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets a project that is gone.
    pub fn forget(&self, project: &SupabaseProject) {
        let Ok(identity) = Identity::of(project) else { return };
        let key = identity.key();
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.cluster.stores.forget_project(&key);
        self.cluster.secrets.forget(&key.namespace, &inputs::references(&identity.name, &project.spec));
    }
}

/// One pass over one project.
///
/// # Errors
/// What was tried could not be done. Waiting for something, and finding something wrong, are no errors.
pub async fn reconcile(project: Arc<SupabaseProject>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.cluster.is_leading() {
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let result = pass(&project, &context).await;
    let outcome = match &result {
        Ok(_) => "done",
        Err(_) => "failed",
    };
    context.metrics.reconciled(outcome, started.elapsed());
    result
}

/// After an error: again soon. The controller keeps at most one such wait for each project.
#[allow(clippy::needless_pass_by_value)] // kube's signature
pub fn on_error(project: Arc<SupabaseProject>, error: &Error, _: Arc<Context>) -> Action {
    let metadata = &project.metadata;
    tracing::warn!(%error, namespace = metadata.namespace, name = metadata.name, "reconcile failed; it is tried again");
    Action::requeue(Duration::from_secs(5))
}

async fn pass(project: &SupabaseProject, context: &Context) -> Result<Action, Error> {
    let identity = match Identity::of(project) {
        Ok(identity) => identity,
        Err(problem) => {
            // Only an object that is older than the CRD's rule: there is no name under which to report.
            tracing::warn!(message = problem.message, "a project cannot be served");
            return Ok(Action::await_change());
        }
    };
    let memory = context.memory(&identity);
    let mut remembered = memory.pass.lock().await;
    let mut pass = Pass {
        project,
        context,
        identity: &identity,
        key: identity.key(),
        memory: &memory,
        findings: Findings::default(),
        again: None,
    };
    pass.findings.rollouts = pass.rollouts();
    if project.metadata.deletion_timestamp.is_some() {
        pass.findings.deleting = true;
    } else if let Err(error) = pass.converge(&mut remembered.applied).await {
        // The project goes with its namespace; its removal is the next that is heard of it.
        if error.is_namespace_ending() {
            return Ok(Action::await_change());
        }
        // What the API server refuses is told; an API server that does not answer is not, nor is half a finding.
        if pass.findings.objects.failed().is_some() {
            pass.report(&mut remembered).await?;
        }
        return Err(error);
    }
    pass.report(&mut remembered).await?;
    Ok(pass.next())
}

/// One pass in progress: what it found out so far, and when the next one is due at the latest.
struct Pass<'a> {
    project: &'a SupabaseProject,
    context: &'a Context,
    identity: &'a Identity,
    key: ProjectKey,
    memory: &'a Memory,
    findings: Findings,
    again: Option<Duration>,
}

impl Pass<'_> {
    /// inputs → plan → dependencies → keys → database → render → apply → usable, as far as it goes.
    async fn converge(&mut self, applied: &mut Applied) -> Result<(), Error> {
        let names = inputs::references(&self.identity.name, &self.project.spec);
        let secrets = self.context.cluster.fetch(&self.key, &names).await?;
        let plan = match plan::plan(self.project, &secrets) {
            Ok(plan) => plan,
            Err(blocked) => {
                self.findings.spec = blocked.spec;
                self.findings.postgresql = blocked.database.map_or(Progress::NotStarted, Progress::Failed);
                self.findings.s3 = blocked.storage.map_or(Progress::NotStarted, Progress::Failed);
                return Ok(());
            }
        };
        self.findings.plan = Some(plan.clone());
        if !self.dependencies(&plan) {
            return Ok(());
        }
        let Some(credentials) = self.keys(&secrets).await? else { return Ok(()) };
        if !self.database(&plan, &credentials) {
            return Ok(());
        }
        let manifests = render::render(&plan, &credentials)?;
        self.apply(&manifests, applied).await?;
        self.usable(&credentials, &manifests);
        Ok(())
    }

    fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Takes a check's answer, and remembers when to ask again.
    fn take<T>(&mut self, answer: Answer<T>) -> Progress<T> {
        self.look_again(answer.again);
        answer.progress
    }

    fn rollouts(&self) -> BTreeMap<Component, Rollout> {
        let rollout = |component: Component| {
            let name = self.identity.name.component(component);
            Some((component, self.context.cluster.stores.rollout(&self.key, name.as_str())?))
        };
        COMPONENTS.iter().filter_map(|workload| rollout(workload.component)).collect()
    }

    /// A question about this project. A success is not believed for long while a component is unwell.
    fn question(&self, fingerprint: Digest, steady: Duration) -> Question<'_> {
        let suffers = |rollout: &Rollout| rollout.wanted > 0 && rollout.available == 0;
        let fresh = if self.findings.rollouts.values().any(suffers) { DOUBTFUL } else { steady };
        Question { project: &self.key, fingerprint, fresh, past_holds: false }
    }

    /// Connects to database and bucket. False: the project must not be touched yet. A dependency that worked before,
    /// with the same settings, does not keep a running project from being repaired.
    fn dependencies(&mut self, plan: &Plan) -> bool {
        let (runner, memory) = (&self.context.runner, self.memory);
        let database = plan.database.fingerprint();
        let answer = memory.connection.ask(runner, &self.question(database, STEADY), || {
            let (endpoint, owner) = (plan.database.clone(), self.identity.owner());
            async move { sql::inspect(&endpoint, &owner).await }
        });
        self.findings.postgresql = self.take(answer);
        let bucket = plan.bucket.fingerprint();
        let answer = memory.bucket.ask(runner, &self.question(bucket, STEADY_BUCKET), || {
            let endpoint = plan.bucket.clone();
            async move { bucket::ensure(&endpoint).await }
        });
        self.findings.s3 = self.take(answer);
        memory.connection.is_proven(database) && memory.bucket.is_proven(bucket)
    }

    async fn keys(&mut self, secrets: &Secrets) -> Result<Option<Credentials>, Error> {
        let made_before = self.project.status.as_ref().is_some_and(|status| status.keys.is_some());
        let keys = keyring::ensure(&self.context.cluster, self.identity, secrets, made_before).await?;
        let (progress, credentials) = match keys {
            Progress::Done(credentials) => {
                let status = KeysStatus {
                    signing_key_id: credentials.signing_key_id.clone(),
                    created_at: credentials.created.map(Time),
                };
                (Progress::Done(status), Some(credentials))
            }
            Progress::Failed(problem) => (Progress::Failed(problem), None),
            Progress::Running | Progress::NotStarted => (Progress::Running, None),
        };
        self.findings.keys = progress;
        Ok(credentials)
    }

    fn database(&mut self, plan: &Plan, credentials: &Credentials) -> bool {
        let fingerprint = plan.database.initialization_fingerprint(credentials);
        let check = &self.memory.initialization;
        let answer = check.ask(&self.context.runner, &self.question(fingerprint, STEADY), || {
            let (endpoint, owner) = (plan.database.clone(), self.identity.owner());
            let passwords = credentials.passwords.clone();
            async move { sql::initialize(&endpoint, &owner, &passwords).await }
        });
        self.findings.database = self.take(answer);
        check.is_proven(fingerprint)
    }

    async fn apply(&mut self, manifests: &[Manifest], applied: &mut Applied) -> Result<(), Error> {
        let kept = render::generated_names(self.identity);
        self.findings.objects = Progress::Running;
        match self.context.cluster.apply(self.identity, manifests, &kept, applied).await {
            Ok(Outcome::Applied(changes)) => {
                self.tell_repairs(&changes).await;
                self.findings.objects = Progress::Done(());
            }
            Ok(Outcome::Postponed(changes, until)) => {
                self.tell_repairs(&changes).await;
                self.look_again(until);
            }
            Ok(Outcome::Waiting) => self.look_again(BLOCKED_INTERVAL),
            Ok(Outcome::Blocked(problem)) => {
                self.findings.objects = Progress::Failed(problem);
                // No watch tells when a foreign object is gone.
                self.look_again(BLOCKED_INTERVAL);
            }
            Err(error) => {
                // What the API server says about a value of the user's belongs into a condition.
                if let Some(refusal) = error.refusal() {
                    self.findings.objects = Progress::Failed(Problem::new(Reason::ApplyFailed, refusal));
                }
                return Err(error.into());
            }
        }
        self.findings.rollouts = self.rollouts();
        Ok(())
    }

    async fn tell_repairs(&self, changes: &[Change]) {
        for Change { key, cause } in changes {
            let object = format!("{} {}", key.kind.as_str(), key.name);
            let note = match cause {
                ChangeCause::Wanted => continue,
                ChangeCause::Removed => format!("{object} was deleted by somebody else; it was made again"),
                ChangeCause::Edited(Some(editor)) => format!("{object} was changed by {editor}; the change was undone"),
                ChangeCause::Edited(None) => format!("{object} was changed by somebody else; the change was undone"),
            };
            let action = format!("Apply {object}");
            self.context.cluster.tell(self.identity, EventType::Normal, Reason::Repaired.as_str(), &action, note).await;
        }
    }

    fn usable(&mut self, credentials: &Credentials, manifests: &[Manifest]) {
        let rollouts = &self.findings.rollouts;
        let serves = |rollout: &Rollout| rollout.available > 0;
        if rollouts.len() < COMPONENTS.len() || !rollouts.values().all(serves) {
            return;
        }
        let complete = rollouts.values().all(Rollout::is_complete);
        let digests: String = manifests.iter().map(|manifest| manifest.digest.to_hex()).collect();
        let fingerprint = Digest::of_bytes(format!("{digests}{complete}").as_bytes());
        let question = Question { past_holds: true, ..self.question(fingerprint, STEADY) };
        let answer = self.memory.usable.ask(&self.context.runner, &question, || {
            let (http, identity, credentials) = (self.context.http.clone(), self.identity.clone(), credentials.clone());
            async move { usable::probe(&http, &identity, &credentials).await }
        });
        self.findings.usable = self.take(answer);
    }

    /// Writes the status if it says something new.
    async fn report(&mut self, remembered: &mut Remembered) -> Result<(), Error> {
        let old = match &remembered.status {
            Some((status, _)) => status.clone(),
            None => self.project.status.clone().unwrap_or_default(),
        };
        // What a ready project's status says, and what an earlier instance of us wrote, is believed until there is an
        // answer: a restart writes nothing where nothing changed.
        let inherited = remembered.status.is_none() && old.phase.is_some();
        if self.findings.is_undecided() && (inherited || status::is_ready(&old)) {
            return Ok(());
        }
        let generation = self.project.metadata.generation.unwrap_or_default();
        let new = status::report(&old, generation, &self.findings, Timestamp::now());
        if status::same(&old, &new) {
            return Ok(());
        }
        let news = status::transitions(&old, &new);
        let elapsed = remembered.status.as_ref().map_or(PROGRESS_INTERVAL, |(_, written)| written.elapsed());
        if news.is_empty() && elapsed < PROGRESS_INTERVAL {
            self.look_again(PROGRESS_INTERVAL.saturating_sub(elapsed));
            return Ok(());
        }
        self.context.cluster.write_status(self.identity, &new).await?;
        for condition in news {
            let kind = if condition.status == "True" { EventType::Normal } else { EventType::Warning };
            let note = format!("{}: {}", condition.type_, condition.message);
            self.context.cluster.tell(self.identity, kind, &condition.reason, &condition.type_, note).await;
        }
        remembered.status = Some((new, Instant::now()));
        Ok(())
    }

    /// Everything else that could change something wakes the project.
    fn next(&self) -> Action {
        self.again.map_or_else(Action::await_change, |again| Action::requeue(again.max(Duration::from_millis(100))))
    }
}
