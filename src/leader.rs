//! The leader lease: one instance of the operator writes, the others keep their watches warm.
//!
//! The rules are those of client-go's leader election. A holder renews; an instance that is not the holder takes the
//! lease when it was given back, or has not moved for [`DURATION`] by this instance's own clock, so that clocks need not
//! agree. Every write carries the resourceVersion that was read: two instances cannot both succeed. A holder stops
//! writing well before others may take over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{CallError, Leading, bounded};
use crate::config;

/// A lease that has not moved for so long is anybody's.
const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long stops writing.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two renewals of the holder.
const RENEWAL: Duration = Duration::from_secs(5);
/// Between two looks of everybody else.
const LOOK: Duration = Duration::from_secs(2);
/// For one call.
const CALL: Duration = Duration::from_secs(4);

/// A lease that is being held or waited for.
pub struct Leadership {
    pub leading: Leading,
    task: Option<JoinHandle<()>>,
}

impl Leadership {
    /// Takes part until `goodbye`, then gives the lease back.
    pub fn seek(client: Client, settings: &config::Lease, goodbye: CancellationToken) -> Self {
        let (sender, leading) = watch::channel(false);
        let candidate = Candidate {
            api: Api::namespaced(client, &settings.namespace),
            settings: settings.clone(),
            held: None,
            seen: None,
        };
        let task = tokio::spawn(candidate.run(sender, goodbye));
        Self { leading, task: Some(task) }
    }

    /// Waits until the lease is given back. An instance whose part in the election ended without being asked to must
    /// end too: it would believe for ever what was true last.
    pub async fn ended(&mut self) {
        let Some(task) = &mut self.task else { return };
        if let Err(error) = task.await {
            tracing::error!(%error, "leader election ended unexpectedly");
        }
        self.task = None;
    }
}

struct Candidate {
    api: Api<Lease>,
    settings: config::Lease,
    /// The lease as we last wrote it, and when that began.
    held: Option<(Lease, Instant)>,
    /// Version of somebody else's lease, and since when it has been so.
    seen: Option<(String, Instant)>,
}

impl Candidate {
    async fn run(mut self, leading: watch::Sender<bool>, goodbye: CancellationToken) {
        loop {
            let began = Instant::now();
            match tokio::time::timeout(CALL, self.attempt()).await {
                Ok(Ok(Some(lease))) => self.held = Some((lease, began)),
                Ok(Ok(None)) => self.held = None,
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => tracing::warn!("the lease could not be renewed: no answer within {} s", CALL.as_secs()),
            }
            let holds = self.held.as_ref().is_some_and(|(_, since)| since.elapsed() < DEADLINE);
            leading.send_if_modified(|leads| std::mem::replace(leads, holds) != holds);
            let healthy = holds && self.held.as_ref().is_some_and(|(_, since)| *since == began);
            tokio::select! {
                () = tokio::time::sleep(if healthy { RENEWAL } else { LOOK }) => {}
                () = goodbye.cancelled() => break,
            }
        }
        leading.send_replace(false);
        if tokio::time::timeout(CALL, self.give_back()).await.is_err() {
            tracing::warn!("the lease was not given back; it runs out by itself");
        }
    }

    /// Renews or takes the lease. `None`: somebody else has it.
    async fn attempt(&mut self) -> Result<Option<Lease>, CallError> {
        if let Some((lease, _)) = self.held.clone() {
            match self.write(lease, true).await {
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                answer => return answer.map(Some),
            }
        }
        let Some(lease) = self.read().await? else {
            return match self.create().await {
                Err(error) if error.is_already_exists() => Ok(None),
                answer => answer.map(Some),
            };
        };
        if !self.may_take(&lease) {
            return Ok(None);
        }
        match self.write(lease, true).await {
            Err(error) if error.is_conflict() => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn may_take(&mut self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder.is_empty() || holder == self.settings.identity {
            return true;
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= DURATION,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    async fn read(&self) -> Result<Option<Lease>, CallError> {
        let config::Lease { namespace, name, .. } = &self.settings;
        bounded("read", "Lease", namespace, name, self.api.get_opt(name)).await
    }

    async fn create(&self) -> Result<Lease, CallError> {
        let config::Lease { namespace, name, .. } = &self.settings;
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(self.spec(None, true)) };
        bounded("create", "Lease", namespace, name, self.api.create(&PostParams::default(), &lease)).await
    }

    async fn write(&self, mut lease: Lease, hold: bool) -> Result<Lease, CallError> {
        let config::Lease { namespace, name, .. } = &self.settings;
        lease.spec = Some(self.spec(lease.spec.as_ref(), hold));
        bounded("write", "Lease", namespace, name, self.api.replace(name, &PostParams::default(), &lease)).await
    }

    fn spec(&self, old: Option<&LeaseSpec>, hold: bool) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let identity = if hold { self.settings.identity.clone() } else { String::new() };
        let same = old.and_then(|old| old.holder_identity.as_deref()) == Some(identity.as_str());
        let transitions = old.and_then(|old| old.lease_transitions).unwrap_or_default();
        LeaseSpec {
            acquire_time: old.filter(|_| same).and_then(|old| old.acquire_time.clone()).or(Some(now.clone())),
            renew_time: Some(now),
            holder_identity: Some(identity),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(if same || !hold { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }

    async fn give_back(self) {
        let Some((lease, _)) = self.held.clone() else { return };
        if let Err(error) = self.write(lease, false).await {
            tracing::warn!(%error, "the lease was not given back; it runs out by itself");
        }
    }
}
