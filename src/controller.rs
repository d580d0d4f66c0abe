//! The reconcile: one pass over one project, from what it refers to, to the status that its users read.
//!
//! A pass reads stores, asks for the results of checks, applies what differs, and reports. It waits for nothing outside
//! of the API server; whatever it lacks wakes it when it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;

use crate::api::{SupabaseProject, SupabaseProjectStatus};
use crate::bucket::Checked;
use crate::checks::{Check, Runner};
use crate::cluster::{Applied, ApplyError, CallError, Cluster, ProjectKey};
use crate::keyring::KeyringError;
use crate::managed::Looked;
use crate::pass::Pass;
use crate::plan::releases::Catalogue;
use crate::plan::{Identity, inputs};
use crate::render;
use crate::sql::{Initialized, Inspection};
use crate::telemetry::Metrics;

/// What every pass needs.
pub struct Context {
    pub cluster: Cluster,
    pub runner: Runner,
    pub http: reqwest::Client,
    pub metrics: Arc<Metrics>,
    pub catalogue: Arc<Catalogue>,
    memories: Mutex<HashMap<ProjectKey, Arc<Memory>>>,
}

/// What is remembered of a project between passes. All of it can be lost: a restart asks anew and writes nothing.
#[derive(Default)]
pub struct Memory {
    uid: String,
    pub connection: Check<Inspection>,
    pub bucket: Check<Checked>,
    pub initialization: Check<Initialized>,
    pub realtime: Check<()>,
    pub pooler: Check<()>,
    pub admission: Check<()>,
    pub reload: Check<()>,
    pub usable: Check<()>,
    pass: tokio::sync::Mutex<Remembered>,
}

#[derive(Default)]
pub struct Remembered {
    pub applied: Applied,
    pub looked: Looked,
    pub status: Option<Written>,
}

/// The status that was last written, which a store may not show yet.
pub struct Written {
    pub status: SupabaseProjectStatus,
    pub at: Instant,
    /// How long mere progress waits to be told after it.
    pub interval: Duration,
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

impl Context {
    pub fn new(
        cluster: Cluster,
        runner: Runner,
        http: reqwest::Client,
        metrics: Arc<Metrics>,
        catalogue: Arc<Catalogue>,
    ) -> Self {
        Self { cluster, runner, http, metrics, catalogue, memories: Mutex::default() }
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
        let references = inputs::references(&identity.name, &project.spec);
        self.cluster.secrets.forget(&key.namespace, &references.secrets);
        self.cluster.config_maps.forget(&key.namespace, &references.config_maps);
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
    let mut pass = Pass::new(project, context, &identity, &memory);
    if project.metadata.deletion_timestamp.is_some() {
        pass.findings.deleting = true;
    } else if let Err(error) = pass.converge(&mut remembered).await {
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
