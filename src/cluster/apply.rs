//! Writing a project's objects: server-side apply of what differs, removal of what is no longer rendered.
//!
//! An object of somebody else is never taken over: a name that we have not seen as ours is created with a
//! `resourceVersion` that no object has. The API server ignores it on creation and answers 409 if the name is taken.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};

use super::Cluster;
use super::call::{CallError, bounded};
use super::seen::{ObjectKey, ProjectKey, Seen, controller, project_of};
use crate::plan::Identity;
use crate::plan::names::ObjectName;
use crate::reason::{Problem, Reason};
use crate::render::{Digest, MANAGED_BY, MANAGER, Manifest, PROJECT_LABEL, RenderError};

/// What was applied for a project; kept between passes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Digest that was last sent or found as wanted, and when it was sent.
    sent: HashMap<ObjectKey, (Digest, Option<Instant>)>,
    /// Digest of our fields in the answer where it is not what was sent: the server rewrites some values
    /// (`0.5` CPU becomes `500m`). Seeing this one again is no drift.
    rewritten: HashMap<ObjectKey, (Digest, Digest)>,
}

/// Between two repairs of one object: somebody who insists must not be answered at the speed of the watch.
const REPAIR_INTERVAL: Duration = Duration::from_secs(5);

/// One object that was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub key: ObjectKey,
    pub cause: ChangeCause,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ChangeCause {
    /// The project wants it so since now.
    Wanted,
    /// It was as wanted, and somebody removed it.
    Removed,
    /// It was as wanted, and somebody changed it.
    Edited(Option<Box<str>>),
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl ApplyError {
    /// What the API server has against the content of an object, in its own words; `None` where trying again may help.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Call(error) => error.refusal(),
            Self::Render(_) => None,
        }
    }

    /// The kind of the object is not served any more, or its namespace is gone.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Call(error) => error.is_not_found(),
            Self::Render(_) => false,
        }
    }

    /// What the API server says of a webhook that it could not ask.
    pub fn webhook_failure(&self) -> Option<String> {
        match self {
            Self::Call(error) => error.webhook_failure(),
            Self::Render(_) => None,
        }
    }
}

/// How far an apply came.
#[derive(Debug)]
pub enum Outcome {
    /// Every object is as rendered; these were written.
    Applied(Vec<Change>),
    /// These were written; another repair has to wait this long.
    Postponed(Vec<Change>, Duration),
    /// Objects of an earlier project of the same name are still being removed.
    Waiting,
    /// An object of somebody else has a name that we need.
    Blocked(Problem),
}

/// How the write of one object ended.
enum Written {
    Live(Box<DynamicObject>),
    Blocked(Problem),
}

/// Who has the name of an object.
enum Holder {
    Nobody,
    /// This project, with the object of this uid.
    Us(String),
    Other(Problem),
}

impl Cluster {
    /// Brings objects of a project to what was rendered.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn apply(
        &self,
        identity: &Identity,
        manifests: &[Manifest],
        applied: &mut Applied,
    ) -> Result<Outcome, ApplyError> {
        let project = identity.key();
        let mut changes = Vec::new();
        let mut postponed: Option<Duration> = None;
        for manifest in manifests {
            let key = ObjectKey { kind: manifest.kind, name: manifest.name.to_string() };
            let seen = self.stores.object(&project, &key);
            if let Some(seen) = &seen {
                if seen.deleting {
                    continue;
                }
                match seen.owner.as_deref() {
                    Some(owner) if owner == identity.uid => {}
                    // It carries our labels and is controlled by another uid: garbage collection is on its way.
                    Some(_) => return Ok(Outcome::Waiting),
                    // An earlier project of this name left it behind for us.
                    None if manifest.durable => {}
                    None => return Ok(Outcome::Blocked(name_taken(identity, key.kind.as_str(), &key.name))),
                }
                if applied.is_current(&key, manifest.digest, seen) {
                    applied.found(key, manifest.digest);
                    continue;
                }
            }
            let cause = applied.cause(&key, manifest.digest, seen.as_ref());
            if let Some(wait) = applied.pause(&key, &cause) {
                postponed = Some(postponed.map_or(wait, |known| known.min(wait)));
                continue;
            }
            let live = match self.write(identity, manifest, seen.map(|seen| seen.uid)).await? {
                Written::Live(live) => live,
                Written::Blocked(problem) => return Ok(Outcome::Blocked(problem)),
            };
            let answer = Seen::of(manifest.kind, &live);
            self.stores.saw(manifest.kind, &live);
            applied.remember(key.clone(), manifest.digest, &answer);
            changes.push(Change { key, cause });
        }
        Ok(match postponed {
            Some(wait) => Outcome::Postponed(changes, wait),
            None => Outcome::Applied(changes),
        })
    }

    async fn write(
        &self,
        identity: &Identity,
        manifest: &Manifest,
        uid: Option<Box<str>>,
    ) -> Result<Written, ApplyError> {
        let mut object = manifest.object()?;
        if let Some(uid) = uid {
            // The very object that we saw, not one that somebody made in its place since.
            object.metadata.uid = Some(uid.into());
            match self.patch(identity, manifest, &object).await {
                Err(error) if error.is_conflict() => object.metadata.uid = None,
                answer => return Ok(Written::Live(Box::new(answer?))),
            }
        }
        object.metadata.resource_version = Some("1".to_owned());
        match self.patch(identity, manifest, &object).await {
            Err(error) if error.is_conflict() => {}
            answer => return Ok(Written::Live(Box::new(answer?))),
        }
        // Someone has the name: somebody else, or ourselves before the watch said so.
        match self.who_has(identity, manifest).await? {
            Holder::Other(problem) => return Ok(Written::Blocked(problem)),
            Holder::Us(uid) => {
                object.metadata.resource_version = None;
                object.metadata.uid = Some(uid);
            }
            // Gone since: still nobody else's object that is made in this instant.
            Holder::Nobody => {}
        }
        Ok(Written::Live(Box::new(self.patch(identity, manifest, &object).await?)))
    }

    async fn patch(
        &self,
        identity: &Identity,
        manifest: &Manifest,
        object: &DynamicObject,
    ) -> Result<DynamicObject, CallError> {
        self.gate()?;
        let name = manifest.name.as_str();
        let parameters = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(object);
        let api = self.api(identity, manifest);
        bounded("apply", manifest.kind.as_str(), &identity.namespace, name, api.patch(name, &parameters, &patch)).await
    }

    fn api(&self, identity: &Identity, manifest: &Manifest) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &identity.namespace, &manifest.kind.resource())
    }

    async fn who_has(&self, identity: &Identity, manifest: &Manifest) -> Result<Holder, CallError> {
        let (kind, name) = (manifest.kind.as_str(), manifest.name.as_str());
        let api = self.api(identity, manifest);
        let live = bounded("read", kind, &identity.namespace, name, api.get_metadata_opt(name)).await?;
        let Some(metadata) = live.map(|live| live.metadata) else { return Ok(Holder::Nobody) };
        let ours = match controller(&metadata) {
            Some(owner) => owner == identity.uid,
            None => manifest.durable && project_of(&metadata) == Some(identity.key()),
        };
        Ok(match metadata.uid.clone() {
            Some(uid) if ours => Holder::Us(uid),
            _ if manifest.durable && controller(&metadata).is_none() => Holder::Other(left_over(identity, kind, name)),
            _ => Holder::Other(name_taken(identity, kind, name)),
        })
    }

    /// Removes what belongs to the project and is not among `wanted`. What is called as one of `kept`, and what holds
    /// data, stays.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn prune(
        &self,
        identity: &Identity,
        wanted: impl Iterator<Item = &Manifest>,
        kept: &[ObjectName],
    ) -> Result<(), CallError> {
        let wanted: HashSet<ObjectKey> =
            wanted.map(|manifest| ObjectKey { kind: manifest.kind, name: manifest.name.to_string() }).collect();
        for (key, seen) in self.stores.objects(&identity.key()) {
            let ours = seen.owner.as_deref() == Some(identity.uid.as_str());
            let holds_data = key.kind.upstream().is_some() || kept.iter().any(|name| name.as_str() == key.name);
            if ours && !holds_data && !wanted.contains(&key) && !seen.deleting {
                self.delete(identity, &key.kind.resource(), &key.name, &seen.uid, DeleteParams::background()).await?;
            }
        }
        Ok(())
    }

    /// Deletes this very object; one that is gone, or another one of its name, is no error.
    pub(super) async fn delete(
        &self,
        identity: &Identity,
        resource: &ApiResource,
        name: &str,
        uid: &str,
        parameters: DeleteParams,
    ) -> Result<(), CallError> {
        self.gate()?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &identity.namespace, resource);
        let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let parameters = DeleteParams { preconditions, ..parameters };
        let call = api.delete(name, &parameters);
        match bounded("delete", &resource.kind, &identity.namespace, name, call).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

/// What may be handed over.
fn left_over(identity: &Identity, kind: &str, name: &str) -> Problem {
    let ((manager, value), project, namespace) = (MANAGED_BY, &identity.name, &identity.namespace);
    Problem::new(
        Reason::NameTaken,
        format!(
            "{kind} {namespace}/{name} exists and does not belong to this project; hand it over with the labels {manager}={value} and {PROJECT_LABEL}={project}, or give the project another name"
        ),
    )
}

fn name_taken(identity: &Identity, kind: &str, name: &str) -> Problem {
    let namespace = &identity.namespace;
    Problem::new(
        Reason::NameTaken,
        format!(
            "{kind} {namespace}/{name} exists and does not belong to this project; remove or rename it, or give the project another name"
        ),
    )
}

impl Applied {
    fn is_current(&self, key: &ObjectKey, desired: Digest, seen: &Seen) -> bool {
        let Some(live) = seen.fields else { return false };
        live == desired || self.rewritten.get(key) == Some(&(desired, live))
    }

    fn cause(&self, key: &ObjectKey, desired: Digest, seen: Option<&Seen>) -> ChangeCause {
        if self.sent.get(key).is_none_or(|(sent, _)| *sent != desired) {
            return ChangeCause::Wanted;
        }
        match seen {
            None => ChangeCause::Removed,
            Some(seen) => ChangeCause::Edited(seen.editor.clone()),
        }
    }

    /// How long a repair must wait.
    fn pause(&self, key: &ObjectKey, cause: &ChangeCause) -> Option<Duration> {
        if *cause == ChangeCause::Wanted {
            return None;
        }
        let (_, sent) = self.sent.get(key)?;
        Some(REPAIR_INTERVAL.saturating_sub((*sent)?.elapsed())).filter(|wait| !wait.is_zero())
    }

    /// An object that was as wanted without our doing: a later difference is somebody's.
    fn found(&mut self, key: ObjectKey, desired: Digest) {
        let entry = self.sent.entry(key).or_insert((desired, None));
        entry.0 = desired;
    }

    fn remember(&mut self, key: ObjectKey, desired: Digest, answer: &Seen) {
        match answer.fields {
            Some(live) if live != desired => {
                tracing::debug!(kind = key.kind.as_str(), name = key.name, "the API server rewrites what is applied");
                self.rewritten.insert(key.clone(), (desired, live));
            }
            _ => {
                self.rewritten.remove(&key);
            }
        }
        self.sent.insert(key, (desired, Some(Instant::now())));
    }
}

impl Identity {
    pub fn key(&self) -> ProjectKey {
        ProjectKey { namespace: self.namespace.clone(), name: self.name.to_string() }
    }
}
