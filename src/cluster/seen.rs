//! What is remembered of a live object: as few bytes as the decisions need.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DeploymentStatus;
use kube::ResourceExt;
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::Value;

use crate::kind::Kind;
use crate::provider::live;
use crate::render::{Digest, MANAGED_BY, MIGRATION, PROJECT_LABEL, VERSION_LABEL, digest};

/// A project by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectKey {
    pub namespace: String,
    pub name: String,
}

/// An object of a project; the namespace is the project's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: Kind,
    pub name: String,
}

/// What is remembered of a live object.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub uid: Box<str>,
    /// `resourceVersion`; since Kubernetes 1.35 its order is documented, and it always was a number.
    pub version: u64,
    /// uid of the controlling owner.
    pub owner: Option<Box<str>>,
    /// Digest of the fields that we applied; `None` if we never did.
    pub fields: Option<Digest>,
    /// Who last changed it besides us.
    pub editor: Option<Box<str>>,
    pub deleting: bool,
    pub rollout: Option<Rollout>,
    /// Of a Job: whether it succeeded.
    pub succeeded: bool,
    /// Of another operator's object: what decisions are made from ([`live::facts`]).
    pub live: Option<Arc<Value>>,
}

/// Where the pods of a Deployment stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    pub wanted: i32,
    pub updated: i32,
    pub available: i32,
    pub total: i32,
    /// Whether the deployment controller has seen the newest spec.
    pub observed: bool,
    /// Digest of the release's name that it was applied with.
    pub release: Option<Digest>,
    /// The migration that it was applied with.
    pub migration: Option<Digest>,
}

impl Rollout {
    /// Every wanted pod runs the newest version and is available, and no old one is left.
    pub fn is_complete(&self) -> bool {
        self.observed && self.updated >= self.wanted && self.available >= self.wanted && self.total == self.updated
    }
}

impl Seen {
    pub fn of(kind: Kind, object: &DynamicObject) -> Self {
        let (metadata, value) = (&object.metadata, value(object));
        let managers = metadata.managed_fields.as_deref().unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default().into(),
            version: version(metadata),
            owner: controller(metadata).map(Into::into),
            fields: digest::owned(&value, managers),
            editor: managers
                .iter()
                .filter(|entry| entry.manager.as_deref() != Some(crate::render::MANAGER))
                .filter(|entry| entry.subresource.as_deref() != Some("status"))
                .max_by_key(|entry| entry.time.clone())
                .and_then(|entry| entry.manager.clone())
                .map(Into::into),
            deleting: metadata.deletion_timestamp.is_some(),
            rollout: (kind == Kind::Deployment).then(|| rollout(object)),
            succeeded: kind == Kind::Job && has_condition(object, "Complete").is_some(),
            live: kind.upstream().map(|_| Arc::new(live::facts(&value))),
        }
    }

    /// Whether the two differ in nothing that a decision is made from.
    pub fn same(&self, other: &Self) -> bool {
        Self { version: 0, editor: None, ..self.clone() } == Self { version: 0, editor: None, ..other.clone() }
    }
}

/// uid of the controlling owner.
pub fn controller(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}

pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// The project whose labels an object carries.
pub fn project_of(metadata: &ObjectMeta) -> Option<ProjectKey> {
    let labels = metadata.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY.0).is_some_and(|manager| manager == MANAGED_BY.1);
    let name = labels.get(PROJECT_LABEL).filter(|_| ours)?.clone();
    Some(ProjectKey { namespace: metadata.namespace.clone()?, name })
}

fn value(object: &DynamicObject) -> Value {
    let mut value = object.data.clone();
    if let (Some(fields), Ok(metadata)) = (value.as_object_mut(), serde_json::to_value(&object.metadata)) {
        fields.insert("metadata".to_owned(), metadata);
    }
    value
}

fn rollout(object: &DynamicObject) -> Rollout {
    let status = object.data.get("status").cloned().unwrap_or_default();
    let status: DeploymentStatus = serde_json::from_value(status).unwrap_or_default();
    let wanted = object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    Rollout {
        wanted: i32::try_from(wanted).unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        total: status.replicas.unwrap_or_default(),
        observed: status.observed_generation >= object.metadata.generation,
        release: object.labels().get(VERSION_LABEL).map(|name| Digest::of_bytes(name.as_bytes())),
        migration: object.annotations().get(MIGRATION).and_then(|text| Digest::from_hex(text)),
    }
}

/// The message of a condition that is True.
pub fn has_condition<'a>(object: &'a DynamicObject, type_: &str) -> Option<&'a str> {
    let conditions = object.data.pointer("/status/conditions")?.as_array()?;
    let condition = conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(type_))?;
    let holds = condition.get("status").and_then(Value::as_str) == Some("True");
    holds.then(|| condition.get("message").and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_with_an_old_pod_left_is_not_complete() {
        let mut rollout =
            Rollout { wanted: 1, updated: 1, available: 1, total: 2, observed: true, ..Rollout::default() };
        assert!(!rollout.is_complete());
        rollout.total = 1;
        assert!(rollout.is_complete());
        rollout.observed = false;
        assert!(!rollout.is_complete());
    }
}
