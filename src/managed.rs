//! The database and the object store that others run for a project. One step of a pass: asks their operators, heals what
//! they leave stuck, and says whether they can be used.

mod owners;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::events::EventType;
use serde_json::Value;

use crate::api::{DatabaseImage, DeletionPolicy, SupabaseProjectSpec, SupabaseProjectStatus};
use crate::cluster::{Applied, ApplyError, Cluster, ObjectKey, Outcome, Source, SourceKey};
use crate::controller::Error;
use crate::keyring;
use crate::kind::{Kind, Upstream};
use crate::plan::inputs::{Provision, Secrets};
use crate::plan::names::ObjectName;
use crate::plan::{BucketEndpoint, DatabaseEndpoint, Identity};
use crate::provider::database::probe::{self, Probed};
use crate::provider::diagnosis::Surroundings;
use crate::provider::{Availability, Inputs, Lifecycle, Observation, Patience, Remedy, Wanted, database, objectstore};
use crate::reason::{ConditionType, Problem, Progress, Reason};
use crate::render::Manifest;

/// After this time without a cause found, waiting becomes failing.
const DEADLINE: Duration = Duration::from_secs(600);
/// Between two lists of what lies behind an upstream object, however often its status changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// For what no watch tells: a webhook that answers again, a foreign Tenant that is gone.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// What is remembered between passes.
#[derive(Default)]
pub struct Looked {
    surroundings: HashMap<Upstream, (Instant, Surroundings)>,
    /// Since when each is not well. The transition time of its condition starts anew when waiting becomes failing.
    unwell: HashMap<Upstream, Timestamp>,
    /// What the volumes of the object store were told about the project's deletion.
    claims: Option<DeletionPolicy>,
}

/// Where a dependency is, and what keeps it from being used.
#[derive(Debug)]
pub struct Asked<E> {
    pub provision: Provision<E>,
    pub obstacle: Option<Obstacle>,
}

/// What is to be said of a dependency that others run.
#[derive(Debug)]
pub enum Obstacle {
    /// It serves, but not as it should.
    Degraded(Problem),
    Waiting(Problem),
    Failed(Problem),
    /// Stopped because the project is.
    Suspended,
}

/// Asks for one project.
pub struct Managed<'a> {
    pub cluster: &'a Cluster,
    pub identity: &'a Identity,
    pub spec: &'a SupabaseProjectSpec,
    pub status: Option<&'a SupabaseProjectStatus>,
    pub secrets: &'a Secrets,
    pub lifecycle: Lifecycle,
    pub applied: &'a mut Applied,
    pub looked: &'a mut Looked,
    /// When to ask again at the latest.
    pub again: Option<Duration>,
    /// What a look into the database's image told just now.
    pub image: Option<DatabaseImage>,
    /// The Job that looks.
    pub probing: Option<ObjectName>,
    /// Data are to outlive the project, and would still go with it.
    pub still_owned: bool,
}

impl<E> Asked<E> {
    fn own() -> Self {
        Self { provision: Provision::Own, obstacle: None }
    }

    fn of(endpoint: Result<Option<E>, Problem>, availability: Availability<E>) -> Self {
        let obstacle = match availability {
            Availability::Ready(_) => None,
            Availability::Degraded(_, problem) => Some(Obstacle::Degraded(problem)),
            Availability::Waiting(reason, message) => Some(Obstacle::Waiting(Problem::new(reason, message))),
            Availability::Failed(problem) => Some(Obstacle::Failed(problem)),
            Availability::Suspended => Some(Obstacle::Suspended),
        };
        match endpoint {
            Ok(endpoint) => Self { provision: Provision::Managed(endpoint), obstacle },
            Err(problem) => Self { provision: Provision::Managed(None), obstacle: Some(Obstacle::Failed(problem)) },
        }
    }
}

impl Managed<'_> {
    /// The database, where it is a managed one.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn database(&mut self) -> Result<Asked<DatabaseEndpoint>, Error> {
        let Some(mut provider) = database::Provider::of(self.spec.database.as_ref()) else { return Ok(Asked::own()) };
        let inputs = provider.inputs(&self.identity.name);
        let endpoint = provider.endpoint(self.identity, self.secrets);
        let live = match self.live(&inputs) {
            Ok(live) => live,
            Err(problem) => return Ok(Asked::of(endpoint, Availability::Failed(problem))),
        };
        if self.lifecycle.suspended && live.is_none() {
            return Ok(Asked::of(endpoint, Availability::Suspended));
        }
        self.note_owner(live.as_deref());
        if let Some(image) = provider.unknown_image(live.as_deref()) {
            let told = self.status.and_then(|status| status.database_image.clone());
            let probed = match told.filter(|told| told.image == image) {
                Some(told) => Some(Probed::Known(told)),
                // A database that is put to sleep runs no image.
                None if live.is_some() && self.spec.suspend == Some(true) => None,
                None => Some(self.look_into(&image).await?),
            };
            provider = match probed {
                None => provider,
                Some(Probed::Known(seen)) => provider.informed(&seen),
                Some(Probed::Failed(problem)) => return Ok(Asked::of(endpoint, Availability::Failed(problem))),
                Some(Probed::Waiting) => {
                    let message = format!("looking into the image {image}, which is not a known one");
                    return Ok(Asked::of(endpoint, Availability::Waiting(Reason::DatabaseStarting, message)));
                }
            };
        }
        let plan = match provider.plan(self.identity, self.lifecycle, live.as_deref()) {
            Ok(plan) => plan,
            Err(problem) => return Ok(Asked::of(endpoint, Availability::Failed(problem))),
        };
        let patience = self.patience(inputs.upstream, ConditionType::PostgreSqlConnected);
        let secrets = self.secrets;
        let observe = |live: Option<&Value>, around: &Surroundings| plan.observe(live, around, secrets, &patience);
        let availability = self.ask(&inputs, &plan.render(), observe).await?;
        Ok(Asked::of(endpoint, availability))
    }

    /// The object store, where it is a managed one.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn bucket(&mut self) -> Result<Asked<BucketEndpoint>, Error> {
        let Some(provider) = objectstore::Provider::of(self.spec.storage.as_ref()) else { return Ok(Asked::own()) };
        let inputs = provider.inputs(&self.identity.name);
        let endpoint = provider.endpoint(self.identity, self.secrets);
        let live = match self.live(&inputs) {
            Ok(live) => live,
            Err(problem) => return Ok(Asked::of(endpoint, Availability::Failed(problem))),
        };
        self.note_owner(live.as_deref());
        // Whether there is a Tenant or not: before it is let go of by its project its volumes are, and they are there
        // while it is not.
        self.settle_claims(&inputs, DeletionPolicy::Retain).await?;
        if self.lifecycle.suspended && live.is_none() {
            return Ok(Asked::of(endpoint, Availability::Suspended));
        }
        let neighbours = self.cluster.stores.names(inputs.upstream, &self.identity.namespace);
        let plan = match provider.plan(self.identity, self.lifecycle, live.as_deref(), &neighbours) {
            Ok(plan) => plan,
            Err(problem) => {
                self.look_again(RETRY_INTERVAL);
                // Two were made at once, and this one has nothing to lose.
                if problem.reason == Reason::NameTaken
                    && live.as_deref().is_some_and(|live| !objectstore::has_served(live))
                {
                    self.cluster.withdraw(self.identity, inputs.upstream, &inputs.name).await?;
                }
                return Ok(Asked::of(endpoint, Availability::Failed(problem)));
            }
        };
        if live.is_none() {
            let claims = self.cluster.claims(&self.identity.namespace, &inputs).await?;
            if let Err(problem) = plan.fits(claims.len()) {
                return Ok(Asked::of(endpoint, Availability::Failed(problem)));
            }
        }
        let keys = match objectstore::keys(self.identity, self.secrets) {
            Ok(Some(keys)) => keys,
            Ok(None) => {
                keyring::make_store_keys(self.cluster, self.identity).await?;
                let waiting = Availability::Waiting(Reason::StorageStarting, "its keys are being made".to_owned());
                return Ok(Asked::of(endpoint, waiting));
            }
            Err(problem) => return Ok(Asked::of(endpoint, Availability::Failed(problem))),
        };
        let patience = self.patience(inputs.upstream, ConditionType::S3Connected);
        let secrets = self.secrets;
        let observe = |live: Option<&Value>, around: &Surroundings| plan.observe(live, around, secrets, &patience);
        let availability = self.ask(&inputs, &plan.render(&keys), observe).await?;
        if availability.endpoint().is_some() {
            self.settle_claims(&inputs, DeletionPolicy::Delete).await?;
        }
        Ok(Asked::of(endpoint, availability))
    }

    /// What is in an image, from a Job that runs it once.
    async fn look_into(&mut self, image: &str) -> Result<Probed, Error> {
        let inputs = probe::inputs(self.identity, image);
        self.probing = Some(inputs.name.clone());
        match self.apply(inputs.upstream, &[probe::job(self.identity, image)]).await? {
            Progress::Failed(problem) => return Ok(Probed::Failed(problem)),
            Progress::Waiting(_) => return Ok(Probed::Waiting),
            Progress::Done(()) | Progress::Running | Progress::NotStarted => {}
        }
        let around = self.cluster.surroundings(&self.identity.namespace, &inputs).await?;
        let probed = probe::observe(image, &around, &self.identity.namespace);
        match &probed {
            Probed::Known(seen) => self.image = Some(seen.clone()),
            Probed::Waiting | Probed::Failed(_) => self.look_again(RETRY_INTERVAL),
        }
        Ok(probed)
    }

    fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// The upstream object as it was last seen.
    fn live(&self, inputs: &Inputs) -> Result<Option<std::sync::Arc<Value>>, Problem> {
        let Inputs { upstream, name, .. } = inputs;
        let project = self.identity.key();
        let source = SourceKey {
            source: Source::Upstream(*upstream),
            namespace: project.namespace.clone(),
            name: name.to_string(),
        };
        self.cluster.stores.refer(&project, &[source]);
        if !self.cluster.stores.is_served(*upstream) {
            return Err(upstream.missing());
        }
        let key = ObjectKey { kind: Kind::Upstream(*upstream), name: name.to_string() };
        Ok(self.cluster.stores.object(&project, &key).and_then(|seen| seen.live))
    }

    fn patience(&mut self, upstream: Upstream, condition: ConditionType) -> Patience {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        let since = conditions
            .filter(|known| known.type_ == condition.as_str() && known.status != "True")
            .map(|known| known.last_transition_time.0)
            .next();
        let now = Timestamp::now();
        let since = since.map(|since| *self.looked.unwell.entry(upstream).or_insert(since));
        Patience { now, deadline: DEADLINE, since }
    }

    /// Applies what is wanted, and observes what became of it.
    async fn ask<E>(
        &mut self,
        inputs: &Inputs,
        wanted: &Wanted,
        observe: impl Fn(Option<&Value>, &Surroundings) -> Observation<E>,
    ) -> Result<Availability<E>, Error> {
        let refused = match self.apply(inputs.upstream, &wanted.apply).await? {
            Progress::Waiting(problem) => return Ok(Availability::Waiting(problem.reason, problem.message)),
            Progress::Failed(problem) => Some(problem),
            Progress::Done(()) | Progress::Running | Progress::NotStarted => None,
        };
        for (kind, name) in &wanted.withdraw {
            self.cluster.withdraw(self.identity, *kind, name).await?;
        }
        let live = self.live(inputs).ok().flatten();
        let mut observation = observe(live.as_deref(), &Surroundings::default());
        if observation.look_closer {
            observation = observe(live.as_deref(), &self.surroundings(inputs).await?);
        } else {
            self.looked.surroundings.remove(&inputs.upstream);
        }
        if observation.availability.endpoint().is_some() {
            self.looked.unwell.remove(&inputs.upstream);
        }
        // What was refused has corrected nothing.
        if let Some(remedy) = observation.remedy.as_ref().filter(|_| refused.is_none()) {
            self.heal(inputs, remedy).await?;
        }
        if let Some(after) = observation.again {
            self.look_again(after);
        }
        Ok(match (refused, observation.availability) {
            (None, availability) => availability,
            // What there was goes on.
            (Some(problem), Availability::Ready(endpoint) | Availability::Degraded(endpoint, _)) => {
                Availability::Degraded(endpoint, problem)
            }
            (Some(problem), _) => Availability::Failed(problem),
        })
    }

    async fn apply(&mut self, upstream: Upstream, manifests: &[Manifest]) -> Result<Progress<()>, Error> {
        let progress = match self.cluster.apply(self.identity, manifests, self.applied).await {
            Ok(Outcome::Applied(_)) => Progress::Done(()),
            Ok(Outcome::Postponed(_, until)) => {
                self.look_again(until);
                Progress::Done(())
            }
            Ok(Outcome::Waiting) => Progress::Waiting(Problem::new(
                Reason::Waiting,
                "what an earlier project of this name had is being removed",
            )),
            Ok(Outcome::Blocked(problem)) => Progress::Failed(problem),
            // No watch has told it yet.
            Err(error) if error.is_not_found() => Progress::Failed(upstream.missing()),
            Err(error) => Progress::Failed(refusal(&error).ok_or(error)?),
        };
        if progress.done().is_none() {
            self.look_again(RETRY_INTERVAL);
        }
        Ok(progress)
    }

    async fn surroundings(&mut self, inputs: &Inputs) -> Result<Surroundings, Error> {
        if let Some((at, known)) = self.looked.surroundings.get(&inputs.upstream)
            && at.elapsed() < LOOK_INTERVAL
        {
            return Ok(known.clone());
        }
        let around = self.cluster.surroundings(&self.identity.namespace, inputs).await?;
        self.looked.surroundings.insert(inputs.upstream, (Instant::now(), around.clone()));
        Ok(around)
    }

    async fn heal(&mut self, inputs: &Inputs, remedy: &Remedy) -> Result<(), Error> {
        self.cluster.heal(self.identity, remedy).await?;
        // What was listed holds what is gone now.
        self.looked.surroundings.remove(&inputs.upstream);
        self.look_again(LOOK_INTERVAL);
        let object = match remedy {
            Remedy::DeleteJob { name, .. } => format!("Job {name}"),
            Remedy::DeleteStatefulSetOrphaning { name, .. } => format!("StatefulSet {name}"),
        };
        let note = format!("{object} kept what {} was wrong with before; it was deleted, to be made anew", inputs.name);
        let action = format!("Delete {object}");
        self.cluster.tell(self.identity, EventType::Normal, Reason::Repaired.as_str(), &action, note).await;
        Ok(())
    }
}

/// Writes down what a managed dependency says. True: it can be used.
pub fn take_down<T>(obstacle: Option<Obstacle>, progress: &mut Progress<T>, degraded: &mut Vec<Problem>) -> bool {
    *progress = match obstacle {
        None => return true,
        Some(Obstacle::Degraded(problem)) => {
            degraded.push(problem);
            return true;
        }
        Some(Obstacle::Waiting(problem)) => Progress::Waiting(problem),
        Some(Obstacle::Failed(problem)) => Progress::Failed(problem),
        Some(Obstacle::Suspended) => {
            Progress::Waiting(Problem::new(Reason::Suspended, "stopped with the project; the data are kept"))
        }
    };
    false
}

/// What keeps an object from being written, where it is the object or the webhook of its operator.
fn refusal(error: &ApplyError) -> Option<Problem> {
    if let Some(refusal) = error.refusal() {
        return Some(Problem::new(Reason::ApplyFailed, refusal));
    }
    let said = error.webhook_failure()?;
    Some(Problem::new(
        Reason::ProviderUnavailable,
        format!("{said}; look after the operator that this webhook belongs to, the change is made when it answers"),
    ))
}
