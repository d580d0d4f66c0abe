//! What the watches saw, in as few bytes as the decisions need: no object is kept, only [`Seen`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::api::apps::v1::DeploymentStatus;
use kube::ResourceExt;
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::Value;

use crate::render::{Digest, Kind, PROJECT_LABEL, digest};

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
}

impl Rollout {
    /// Every wanted pod runs the newest version and is available, and no old one is left.
    pub fn is_complete(&self) -> bool {
        self.observed && self.updated >= self.wanted && self.available >= self.wanted && self.total == self.updated
    }
}

impl Seen {
    pub fn of(kind: Kind, object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let managers = metadata.managed_fields.as_deref().unwrap_or_default();
        Self {
            uid: metadata.uid.clone().unwrap_or_default().into(),
            version: version(metadata),
            owner: controller(metadata).map(Into::into),
            fields: digest::owned(&value(object), managers),
            editor: managers
                .iter()
                .filter(|entry| entry.manager.as_deref() != Some(crate::render::MANAGER))
                .filter(|entry| entry.subresource.as_deref() != Some("status"))
                .max_by_key(|entry| entry.time.clone())
                .and_then(|entry| entry.manager.clone())
                .map(Into::into),
            deleting: metadata.deletion_timestamp.is_some(),
            rollout: (kind == Kind::Deployment).then(|| rollout(object)),
        }
    }

    /// Whether the two differ in nothing that a decision is made from.
    fn same(&self, other: &Self) -> bool {
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

/// The project whose label an object carries.
pub fn project_of(metadata: &ObjectMeta) -> Option<ProjectKey> {
    let name = metadata.labels.as_ref()?.get(PROJECT_LABEL)?.clone();
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
    }
}

#[derive(Default)]
struct Objects {
    known: HashMap<ProjectKey, BTreeMap<ObjectKey, Seen>>,
    /// Where an object is filed: somebody may change the label by which it was.
    filed: HashMap<Box<str>, (ProjectKey, ObjectKey)>,
}

impl Objects {
    fn get(&self, project: &ProjectKey, key: &ObjectKey) -> Option<&Seen> {
        self.known.get(project)?.get(key)
    }

    fn insert(&mut self, project: &ProjectKey, key: ObjectKey, seen: Seen) {
        self.filed.insert(seen.uid.clone(), (project.clone(), key.clone()));
        let uid = seen.uid.clone();
        let replaced = self.known.entry(project.clone()).or_default().insert(key, seen);
        if let Some(old) = replaced.filter(|old| old.uid != uid) {
            self.filed.remove(&old.uid);
        }
    }

    fn remove(&mut self, uid: &str) -> Option<ProjectKey> {
        let (project, key) = self.filed.remove(uid)?;
        let known = self.known.get_mut(&project)?;
        known.remove(&key);
        if known.is_empty() {
            self.known.remove(&project);
        }
        Some(project)
    }
}

/// Secrets by namespace and name.
type SecretKey = (String, String);

/// The memory of the watches.
#[derive(Default)]
pub struct Stores {
    objects: RwLock<Objects>,
    secrets: RwLock<HashMap<SecretKey, u64>>,
    references: RwLock<HashMap<SecretKey, HashSet<ProjectKey>>>,
}

// A thread that panicked while it held a lock has not left these maps half-written: every change is one insert.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Stores {
    pub fn object(&self, project: &ProjectKey, key: &ObjectKey) -> Option<Seen> {
        read(&self.objects).get(project, key).cloned()
    }

    /// Every object that carries the project's label.
    pub fn objects(&self, project: &ProjectKey) -> Vec<(ObjectKey, Seen)> {
        let objects = read(&self.objects);
        let of_project = objects.known.get(project).into_iter().flatten();
        of_project.map(|(key, seen)| (key.clone(), seen.clone())).collect()
    }

    pub fn rollout(&self, project: &ProjectKey, name: &str) -> Option<Rollout> {
        let key = ObjectKey { kind: Kind::Deployment, name: name.to_owned() };
        read(&self.objects).get(project, &key)?.rollout
    }

    /// Takes in an object from a watch or from the answer to a write, whichever is newer.
    /// Returns the projects whose decisions it may change.
    pub fn saw(&self, kind: Kind, object: &DynamicObject) -> Vec<ProjectKey> {
        let key = ObjectKey { kind, name: object.name_any() };
        let seen = Seen::of(kind, object);
        let mut objects = write(&self.objects);
        let project = project_of(&object.metadata);
        let mut changed = Vec::new();
        let filed = objects.filed.get(&seen.uid).map(|(project, _)| project.clone());
        if filed.is_some() && filed != project {
            changed.extend(objects.remove(&seen.uid));
        }
        let Some(project) = project else { return changed };
        let old = objects.get(&project, &key);
        if old.is_some_and(|old| old.version >= seen.version) {
            return changed;
        }
        if old.is_none_or(|old| !old.same(&seen)) {
            changed.push(project.clone());
        }
        objects.insert(&project, key, seen);
        changed
    }

    /// Takes in that an object is gone. A newer object of the same name stays.
    pub fn gone(&self, metadata: &ObjectMeta) -> Option<ProjectKey> {
        write(&self.objects).remove(metadata.uid.as_deref().unwrap_or_default())
    }

    /// uids of every known object of a kind and namespace.
    pub fn uids(&self, kind: Kind, namespace: Option<&str>) -> HashSet<Box<str>> {
        let objects = read(&self.objects);
        let inside = |project: &ProjectKey| namespace.is_none_or(|namespace| namespace == project.namespace);
        let of_kind = objects.filed.iter().filter(|(_, (project, key))| key.kind == kind && inside(project));
        of_kind.map(|(uid, _)| uid.clone()).collect()
    }

    /// After a new list: forgets what was known before it and was not in it. What was written since stays.
    pub fn forget(&self, uids: impl IntoIterator<Item = Box<str>>) -> Vec<ProjectKey> {
        let mut objects = write(&self.objects);
        uids.into_iter().filter_map(|uid| objects.remove(&uid)).collect()
    }

    pub fn secret_version(&self, namespace: &str, name: &str) -> Option<u64> {
        read(&self.secrets).get(&(namespace.to_owned(), name.to_owned())).copied()
    }

    /// Takes in the version of a Secret, or that it is gone. Returns the projects that refer to it.
    pub fn saw_secret(&self, namespace: &str, name: &str, version: Option<u64>) -> Vec<ProjectKey> {
        let key = (namespace.to_owned(), name.to_owned());
        let old = match version {
            Some(version) => write(&self.secrets).insert(key.clone(), version),
            None => write(&self.secrets).remove(&key),
        };
        if old == version {
            return Vec::new();
        }
        read(&self.references).get(&key).into_iter().flatten().cloned().collect()
    }

    /// After a new list: forgets Secrets that were not in it.
    pub fn retain_secrets(&self, namespace: Option<&str>, listed: &HashSet<SecretKey>) -> Vec<ProjectKey> {
        let gone: Vec<SecretKey> = read(&self.secrets)
            .keys()
            .filter(|key| namespace.is_none_or(|namespace| namespace == key.0) && !listed.contains(*key))
            .cloned()
            .collect();
        gone.iter().flat_map(|(namespace, name)| self.saw_secret(namespace, name, None)).collect()
    }

    /// Remembers which Secrets a project refers to, so that their changes reach it.
    pub fn refer(&self, project: &ProjectKey, names: &[String]) {
        let known = {
            let references = read(&self.references);
            let refers = |name: &String| {
                let key = (project.namespace.clone(), name.clone());
                references.get(&key).is_some_and(|projects| projects.contains(project))
            };
            names.iter().all(refers)
        };
        if !known {
            let mut references = write(&self.references);
            for name in names {
                let key = (project.namespace.clone(), name.clone());
                references.entry(key).or_default().insert(project.clone());
            }
        }
    }

    /// Forgets a project that is gone. Its objects go when the watches say so.
    pub fn forget_project(&self, project: &ProjectKey) {
        write(&self.references).retain(|_, projects| {
            projects.remove(project);
            !projects.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(version: &str, uid: &str, available: i32) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "demo-meta", "namespace": "tenant", "uid": uid, "resourceVersion": version, "generation": 2,
                "labels": {PROJECT_LABEL: "demo"},
            },
            "spec": {"replicas": 2},
            "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available},
        }))
        .unwrap()
    }

    fn project() -> ProjectKey {
        ProjectKey { namespace: "tenant".to_owned(), name: "demo".to_owned() }
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let stores = Stores::default();
        assert_eq!(stores.saw(Kind::Deployment, &deployment("10", "a", 2)), [project()]);
        assert_eq!(stores.saw(Kind::Deployment, &deployment("9", "a", 0)), []);
        assert_eq!(stores.saw(Kind::Deployment, &deployment("9", "earlier", 0)), [], "nor one of an earlier object");
        assert!(stores.rollout(&project(), "demo-meta").unwrap().is_complete());
    }

    #[test]
    fn a_change_that_matters_to_no_decision_wakes_nobody() {
        let stores = Stores::default();
        stores.saw(Kind::Deployment, &deployment("10", "a", 2));
        assert_eq!(stores.saw(Kind::Deployment, &deployment("11", "a", 2)), []);
        assert_eq!(stores.saw(Kind::Deployment, &deployment("12", "a", 1)), [project()]);
    }

    #[test]
    fn the_end_of_an_old_object_does_not_hide_its_successor() {
        let stores = Stores::default();
        stores.saw(Kind::Deployment, &deployment("10", "old", 2));
        stores.saw(Kind::Deployment, &deployment("12", "new", 2));
        assert_eq!(stores.gone(&deployment("11", "old", 2).metadata), None);
        assert!(stores.rollout(&project(), "demo-meta").is_some());
        assert_eq!(stores.gone(&deployment("13", "new", 2).metadata), Some(project()));
        assert!(stores.rollout(&project(), "demo-meta").is_none());
    }

    #[test]
    fn objects_that_a_new_list_lacks_are_forgotten() {
        let stores = Stores::default();
        stores.saw(Kind::Deployment, &deployment("10", "a", 2));
        assert!(stores.uids(Kind::Service, None).is_empty());
        assert!(stores.uids(Kind::Deployment, Some("other")).is_empty());
        let known = stores.uids(Kind::Deployment, Some("tenant"));
        assert_eq!(stores.forget(known), [project()]);
        assert!(stores.objects(&project()).is_empty());
    }

    #[test]
    fn an_object_whose_label_was_changed_is_missed_by_its_project() {
        for other in [None, Some("another")] {
            let stores = Stores::default();
            stores.saw(Kind::Deployment, &deployment("10", "a", 2));
            let mut relabelled = deployment("11", "a", 2);
            let labels = relabelled.metadata.labels.as_mut().unwrap();
            labels.remove(PROJECT_LABEL);
            labels.extend(other.map(|name| (PROJECT_LABEL.to_owned(), name.to_owned())));
            assert!(stores.saw(Kind::Deployment, &relabelled).contains(&project()));
            assert!(stores.objects(&project()).is_empty());
        }
    }

    #[test]
    fn a_secret_wakes_exactly_the_projects_that_refer_to_it() {
        let stores = Stores::default();
        stores.refer(&project(), &["orders-s3".to_owned()]);
        assert_eq!(stores.saw_secret("tenant", "orders-s3", Some(1)), [project()]);
        assert_eq!(stores.saw_secret("tenant", "orders-s3", Some(1)), []);
        assert_eq!(stores.saw_secret("other", "orders-s3", Some(1)), []);
        assert_eq!(stores.retain_secrets(None, &HashSet::new()), [project()]);
        stores.forget_project(&project());
        assert_eq!(stores.saw_secret("tenant", "orders-s3", Some(2)), []);
    }

    #[test]
    fn a_rollout_with_an_old_pod_left_is_not_complete() {
        let mut rollout = Rollout { wanted: 1, updated: 1, available: 1, total: 2, observed: true };
        assert!(!rollout.is_complete());
        rollout.total = 1;
        assert!(rollout.is_complete());
        rollout.observed = false;
        assert!(!rollout.is_complete());
    }
}
