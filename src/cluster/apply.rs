//! Writing a project's objects: server-side apply of what differs, removal of what is no longer rendered.
//!
//! An object of somebody else is never taken over: a name that we have not seen as ours is created with a
//! `resourceVersion` that no object has. The API server ignores it on creation and answers 409 if the name is taken.

use std::collections::{HashMap, HashSet};

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};

use super::Cluster;
use super::call::{CallError, bounded};
use super::stores::{ObjectKey, ProjectKey, Seen, controller};
use crate::plan::Identity;
use crate::plan::names::ObjectName;
use crate::reason::{Problem, Reason};
use crate::render::{Digest, MANAGER, Manifest, RenderError};

/// What was applied for a project; kept between passes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Digest that was last sent.
    sent: HashMap<ObjectKey, Digest>,
    /// Digest of our fields in the answer where it is not what was sent: the server rewrites some values
    /// (`0.5` CPU becomes `500m`). Seeing this one again is no drift.
    rewritten: HashMap<ObjectKey, (Digest, Digest)>,
}

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

/// Result of an apply: what was written, or the object that stands in the way.
pub type ApplyResult = Result<Result<Vec<Change>, Problem>, ApplyError>;

impl Cluster {
    /// Brings a project's objects to what was rendered. `kept` are objects of the project that are not rendered.
    ///
    /// # Errors
    /// The API server refused or did not answer. A name that somebody else has is a [`Problem`], not an error.
    pub async fn apply(
        &self,
        identity: &Identity,
        manifests: &[Manifest],
        kept: &[ObjectName],
        applied: &mut Applied,
    ) -> ApplyResult {
        let project = identity.key();
        let mut changes = Vec::new();
        for manifest in manifests {
            let key = ObjectKey { kind: manifest.kind, name: manifest.name.to_string() };
            let seen = self.stores.object(&project, &key);
            if let Some(taken) = seen.as_ref().and_then(|seen| taken(identity, &key, seen)) {
                return Ok(Err(taken));
            }
            if seen.as_ref().is_some_and(|seen| seen.deleting || applied.is_current(&key, manifest.digest, seen)) {
                applied.sent.insert(key, manifest.digest);
                continue;
            }
            let cause = applied.cause(&key, manifest.digest, seen.as_ref());
            let live = match self.write(identity, manifest, seen.is_some()).await? {
                Ok(live) => live,
                Err(problem) => return Ok(Err(problem)),
            };
            let answer = Seen::of(manifest.kind, &live);
            self.stores.saw(manifest.kind, &live);
            applied.remember(key.clone(), manifest.digest, &answer);
            changes.push(Change { key, cause });
        }
        self.prune(identity, manifests, kept).await?;
        Ok(Ok(changes))
    }

    async fn write(
        &self,
        identity: &Identity,
        manifest: &Manifest,
        exists: bool,
    ) -> Result<Result<DynamicObject, Problem>, ApplyError> {
        let mut object = manifest.object()?;
        if !exists {
            object.metadata.resource_version = Some("1".to_owned());
            match self.patch(identity, manifest, &object).await {
                Err(error) if error.is_conflict() => {}
                answer => return Ok(Ok(answer?)),
            }
            // Someone has the name: somebody else, or ourselves before the watch said so.
            object.metadata.resource_version = None;
            if let Some(problem) = self.who_has(identity, manifest).await? {
                return Ok(Err(problem));
            }
        }
        Ok(Ok(self.patch(identity, manifest, &object).await?))
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

    async fn who_has(&self, identity: &Identity, manifest: &Manifest) -> Result<Option<Problem>, CallError> {
        let (kind, name) = (manifest.kind.as_str(), manifest.name.as_str());
        let api = self.api(identity, manifest);
        let live = bounded("read", kind, &identity.namespace, name, api.get_metadata_opt(name)).await?;
        let ours = live.is_none_or(|live| controller(&live.metadata).as_deref() == Some(identity.uid.as_str()));
        Ok((!ours).then(|| name_taken(identity, kind, name)))
    }

    async fn prune(&self, identity: &Identity, manifests: &[Manifest], kept: &[ObjectName]) -> Result<(), CallError> {
        let wanted: HashSet<ObjectKey> = manifests
            .iter()
            .map(|manifest| ObjectKey { kind: manifest.kind, name: manifest.name.to_string() })
            .collect();
        for (key, seen) in self.stores.objects(&identity.key()) {
            let ours = seen.owner.as_deref() == Some(identity.uid.as_str());
            let keep = wanted.contains(&key) || kept.iter().any(|name| name.as_str() == key.name);
            if !ours || keep || seen.deleting {
                continue;
            }
            self.gate()?;
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &identity.namespace, &key.kind.resource());
            let parameters = DeleteParams {
                preconditions: Some(Preconditions { uid: Some(seen.uid.to_string()), resource_version: None }),
                ..DeleteParams::background()
            };
            let call = api.delete(&key.name, &parameters);
            match bounded("delete", key.kind.as_str(), &identity.namespace, &key.name, call).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// An object that carries our labels and yet belongs to somebody else.
fn taken(identity: &Identity, key: &ObjectKey, seen: &Seen) -> Option<Problem> {
    let ours = seen.owner.as_deref() == Some(identity.uid.as_str());
    (!ours && !seen.deleting).then(|| name_taken(identity, key.kind.as_str(), &key.name))
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
        if self.sent.get(key) != Some(&desired) {
            return ChangeCause::Wanted;
        }
        match seen {
            None => ChangeCause::Removed,
            Some(seen) => ChangeCause::Edited(seen.editor.clone()),
        }
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
        self.sent.insert(key, desired);
    }
}

impl Identity {
    pub fn key(&self) -> ProjectKey {
        ProjectKey { namespace: self.namespace.clone(), name: self.name.to_string() }
    }
}
