//! One pass over one project, from what it refers to, to the status that its users read.
//!
//! It reads stores, asks for the results of checks, applies what differs, and reports. It waits for nothing outside of
//! the API server; whatever it lacks wakes it when it is there.

mod questions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;

use crate::api::{KeysStatus, SupabaseProject};
use crate::cluster::{Change, ChangeCause, Cluster, Outcome, ProjectKey, Rollout};
use crate::components::{COMPONENTS, Component};
use crate::controller::{Context, Error, Memory, Remembered, Written};
use crate::keyring;
use crate::managed::{self, Asked, Managed, Obstacle};
use crate::plan::inputs::{self, Inputs, Provision, Secrets};
use crate::plan::keys::Credentials;
use crate::plan::names::ObjectName;
use crate::plan::{self, BucketEndpoint, DatabaseEndpoint, Identity, Plan};
use crate::provider::Lifecycle;
use crate::reason::{Problem, Progress, Reason};
use crate::render::waves::{self, Selection};
use crate::render::{self, Manifest};
use crate::status::{self, Findings, Suspension};

/// One pass in progress: what it found out so far, and when the next one is due at the latest.
pub struct Pass<'a> {
    project: &'a SupabaseProject,
    context: &'a Context,
    identity: &'a Identity,
    key: ProjectKey,
    memory: &'a Memory,
    pub findings: Findings,
    again: Option<Duration>,
    /// A Job that looks into the image of the database, and is not rendered.
    probing: Option<ObjectName>,
    /// Somebody looks after the database, and will notice that it is gone.
    attended: bool,
}

/// Between two writes of a status that only tells of progress, three times as long from one to the next. What breaks or
/// becomes ready is written at once.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(4);
const LONGEST_PROGRESS_INTERVAL: Duration = Duration::from_secs(60);
/// For what no watch tells: a foreign object in our way may be gone.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(10);

impl<'a> Pass<'a> {
    pub fn new(project: &'a SupabaseProject, context: &'a Context, identity: &'a Identity, memory: &'a Memory) -> Self {
        let key = identity.key();
        let findings = Findings { rollouts: rollouts(&context.cluster, identity), ..Findings::default() };
        Self { project, context, identity, key, memory, findings, again: None, probing: None, attended: false }
    }

    /// inputs → managed dependencies → plan → dependencies → keys → database → render → apply → services, as far as it
    /// goes.
    ///
    /// # Errors
    /// What was tried could not be done.
    pub async fn converge(&mut self, remembered: &mut Remembered) -> Result<(), Error> {
        let references = inputs::references(&self.identity.name, &self.project.spec);
        let (secrets, config_maps) = self.context.cluster.fetch(&self.key, &references).await?;
        let lifecycle = self.lifecycle().await?;
        keyring::retain(&self.context.cluster, self.identity, &secrets, lifecycle.deletion).await?;
        let (database, bucket) = Box::pin(self.managed(&secrets, lifecycle, remembered)).await?;
        let obstacles = (database.obstacle, bucket.obstacle);
        let catalogue = self.context.catalogue.clone();
        let (database, bucket) = (database.provision, bucket.provision);
        self.attended = matches!(database, Provision::Managed(_));
        let inputs = Inputs { secrets, config_maps, catalogue, database, bucket };
        let plan = match plan::plan(self.project, &inputs) {
            Ok(plan) => Some(plan),
            Err(blocked) => {
                self.findings.spec = blocked.spec;
                self.findings.postgresql = blocked.database.map_or(Progress::NotStarted, Progress::Failed);
                self.findings.s3 = blocked.storage.map_or(Progress::NotStarted, Progress::Failed);
                None
            }
        };
        self.findings.plan.clone_from(&plan);
        let usable = self.obstacles(obstacles.0, obstacles.1);
        let Some(plan) = plan.filter(|_| self.findings.suspension.is_none()) else { return Ok(()) };
        // Pods that start before what they need only crash. Those that run are looked after.
        let runs = self.findings.rollouts.values().any(|rollout| rollout.wanted > 0);
        if !self.dependencies(&plan) || !(usable || runs) {
            return Ok(());
        }
        let Some(credentials) = self.keys(&inputs.secrets).await? else { return Ok(()) };
        self.findings.troubles = self.troubles(&plan, &credentials);
        let Some(database) = self.database(&plan, &credentials, usable) else { return Ok(()) };
        let plan = plan.within(&database.limits);
        self.findings.plan = Some(plan.clone());
        let manifests = render::render(&plan, &credentials, &database.incarnation)?;
        let digests = manifests.iter().map(|manifest| manifest.digest.to_hex()).collect::<String>();
        Box::pin(self.apply(&plan, manifests, remembered)).await?;
        let gone = [self.findings.postgresql.waiting(), self.findings.database.waiting()];
        if !usable || gone.iter().any(Option::is_some) {
            return Ok(());
        }
        self.tenants(&plan, &credentials);
        self.make_up(&plan, &credentials, &database, &digests);
        self.usable(&plan, &credentials, &digests);
        Ok(())
    }

    /// What the spec says of the project's life. A project that is to be suspended first loses its pods: until none is
    /// left, what they use goes on.
    async fn lifecycle(&mut self) -> Result<Lifecycle, Error> {
        let lifecycle = Lifecycle::of(&self.project.spec);
        if !lifecycle.suspended {
            return Ok(lifecycle);
        }
        let cluster = &self.context.cluster;
        for (component, rollout) in &self.findings.rollouts {
            if rollout.wanted > 0 {
                cluster.rest(self.identity, &self.identity.name.component(*component)).await?;
            }
        }
        cluster.end_jobs(self.identity).await?;
        let at_rest = self.findings.rollouts.values().all(|rollout| rollout.wanted == 0 && rollout.total == 0);
        self.findings.suspension = Some(if at_rest { Suspension::Stopped } else { Suspension::Stopping });
        Ok(Lifecycle { suspended: at_rest, ..lifecycle })
    }

    async fn managed(
        &mut self,
        secrets: &Secrets,
        lifecycle: Lifecycle,
        remembered: &mut Remembered,
    ) -> Result<(Asked<DatabaseEndpoint>, Asked<BucketEndpoint>), Error> {
        let written = remembered.status.as_ref().map(|written| &written.status);
        let mut ask = Managed {
            cluster: &self.context.cluster,
            identity: self.identity,
            spec: &self.project.spec,
            status: written.or(self.project.status.as_ref()),
            secrets,
            lifecycle,
            applied: &mut remembered.applied,
            looked: &mut remembered.looked,
            again: None,
            image: None,
            probing: None,
            still_owned: false,
        };
        let asked = (ask.database().await?, ask.bucket().await?);
        self.findings.database_image = ask.image;
        self.findings.still_owned = ask.still_owned;
        self.probing = ask.probing;
        if let Some(after) = ask.again {
            self.look_again(after);
        }
        Ok(asked)
    }

    /// Takes down what keeps managed dependencies from being used. True: nothing does.
    fn obstacles(&mut self, database: Option<Obstacle>, bucket: Option<Obstacle>) -> bool {
        let findings = &mut self.findings;
        let busy = [&database, &bucket].into_iter().any(|obstacle| matches!(obstacle, Some(Obstacle::Waiting(_))));
        if busy && findings.suspension.is_some() {
            findings.suspension = Some(Suspension::Stopping);
        }
        let database = managed::take_down(database, &mut findings.postgresql, &mut findings.degraded);
        let bucket = managed::take_down(bucket, &mut findings.s3, &mut findings.degraded);
        database && bucket
    }

    fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
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
            Progress::Running | Progress::Waiting(_) | Progress::NotStarted => (Progress::Running, None),
        };
        self.findings.keys = progress;
        Ok(credentials)
    }

    async fn apply(&mut self, plan: &Plan, manifests: Vec<Manifest>, remembered: &mut Remembered) -> Result<(), Error> {
        let mut kept = render::generated_names(self.identity).to_vec();
        kept.push(self.identity.name.object_store_configuration());
        kept.extend(self.probing.clone());
        let written = remembered.status.as_ref().map(|written| &written.status);
        let last = written.or(self.project.status.as_ref());
        let in_waves = last.and_then(|status| status.release.as_deref()) != Some(plan.release.name.as_str());
        let cluster = &self.context.cluster;
        let succeeded = cluster.stores.succeeded(&self.key);
        let Selection { now, held, migrating, awaited } =
            waves::select(plan, manifests, &self.findings.rollouts, &succeeded, in_waves);
        self.findings.objects = Progress::Running;
        self.findings.migrating = migrating;
        self.findings.awaited = awaited;
        match cluster.apply(self.identity, &now, &mut remembered.applied).await {
            Ok(Outcome::Applied(changes)) => {
                self.tell_repairs(&changes).await;
                cluster.prune(self.identity, now.iter().chain(&held), &kept).await?;
                if held.is_empty() {
                    self.findings.objects = Progress::Done(());
                }
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
        self.findings.rollouts = rollouts(&self.context.cluster, self.identity);
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

    /// Writes the status if it says something new.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn report(&mut self, remembered: &mut Remembered) -> Result<(), Error> {
        let old = match &remembered.status {
            Some(written) => written.status.clone(),
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
        let wait = remembered
            .status
            .as_ref()
            .map_or(Duration::ZERO, |written| written.interval.saturating_sub(written.at.elapsed()));
        if news.is_empty() && !wait.is_zero() {
            self.look_again(wait);
            return Ok(());
        }
        self.context.cluster.write_status(self.identity, &new).await?;
        let told = !news.is_empty();
        for condition in news {
            let kind = if status::is_warning(condition) { EventType::Warning } else { EventType::Normal };
            let note = format!("{}: {}", condition.type_, condition.message);
            self.context.cluster.tell(self.identity, kind, &condition.reason, &condition.type_, note).await;
        }
        let last = remembered.status.as_ref().filter(|_| !told).map(|written| written.interval * 3);
        let interval = last.unwrap_or(PROGRESS_INTERVAL).min(LONGEST_PROGRESS_INTERVAL);
        remembered.status = Some(Written { status: new, at: Instant::now(), interval });
        Ok(())
    }

    /// Everything else that could change something wakes the project.
    pub fn next(&self) -> Action {
        self.again.map_or_else(Action::await_change, |again| Action::requeue(again.max(Duration::from_millis(100))))
    }
}

fn rollouts(cluster: &Cluster, identity: &Identity) -> BTreeMap<Component, Rollout> {
    let project = identity.key();
    let rollout = |component: Component| {
        let name = identity.name.component(component);
        Some((component, cluster.stores.rollout(&project, name.as_str())?))
    };
    COMPONENTS.iter().filter_map(|workload| rollout(workload.component)).collect()
}
