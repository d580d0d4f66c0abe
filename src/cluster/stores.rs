//! What the watches saw, in as few bytes as the decisions need: no object is kept, only [`Seen`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::ResourceExt;
use kube::core::{DynamicObject, ObjectMeta};

use super::seen::{ObjectKey, ProjectKey, Rollout, Seen, project_of};
use super::trouble::{Trouble, Troubles};
use crate::render::Kind;

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

/// Kinds of the user's objects that a project refers to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Secret,
    ConfigMap,
}

/// One of them, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceKey {
    pub source: Source,
    pub namespace: String,
    pub name: String,
}

/// The memory of the watches.
#[derive(Default)]
pub struct Stores {
    objects: RwLock<Objects>,
    sources: RwLock<HashMap<SourceKey, u64>>,
    references: RwLock<HashMap<SourceKey, HashSet<ProjectKey>>>,
    troubles: RwLock<Troubles>,
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

    /// Names of the project's Jobs that succeeded.
    pub fn succeeded(&self, project: &ProjectKey) -> BTreeSet<String> {
        let objects = read(&self.objects);
        let of_project = objects.known.get(project).into_iter().flatten();
        of_project.filter(|(_, seen)| seen.succeeded).map(|(key, _)| key.name.clone()).collect()
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
        if kind == Kind::Deployment {
            changed.extend(self.saw_trouble(&seen.uid, Trouble::of_deployment(object)));
        }
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
        self.saw_trouble(metadata.uid.as_deref().unwrap_or_default(), None);
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

    pub fn source_version(&self, key: &SourceKey) -> Option<u64> {
        read(&self.sources).get(key).copied()
    }

    /// Takes in the version of a Secret or `ConfigMap`, or that it is gone. Returns the projects that refer to it.
    pub fn saw_source(&self, key: &SourceKey, version: Option<u64>) -> Vec<ProjectKey> {
        let old = match version {
            Some(version) => write(&self.sources).insert(key.clone(), version),
            None => write(&self.sources).remove(key),
        };
        if old == version {
            return Vec::new();
        }
        read(&self.references).get(key).into_iter().flatten().cloned().collect()
    }

    /// After a new list: forgets what was not in it.
    pub fn retain_sources(
        &self,
        source: Source,
        namespace: Option<&str>,
        listed: &HashSet<SourceKey>,
    ) -> Vec<ProjectKey> {
        let inside = |key: &SourceKey| namespace.is_none_or(|namespace| namespace == key.namespace);
        let gone: Vec<SourceKey> = read(&self.sources)
            .keys()
            .filter(|key| key.source == source && inside(key) && !listed.contains(*key))
            .cloned()
            .collect();
        gone.iter().flat_map(|key| self.saw_source(key, None)).collect()
    }

    /// Remembers what a project refers to, so that its changes reach it.
    pub fn refer(&self, project: &ProjectKey, keys: &[SourceKey]) {
        let known = {
            let references = read(&self.references);
            keys.iter().all(|key| references.get(key).is_some_and(|projects| projects.contains(project)))
        };
        if !known {
            let mut references = write(&self.references);
            for key in keys {
                references.entry(key.clone()).or_default().insert(project.clone());
            }
        }
    }

    /// Takes in what is wrong with an object, `None` if nothing is. Returns its project if that is news.
    pub fn saw_trouble(&self, uid: &str, trouble: Option<(ProjectKey, Trouble)>) -> Option<ProjectKey> {
        write(&self.troubles).saw(uid, trouble)
    }

    /// What is wrong with a project's pods.
    pub fn troubles(&self, project: &ProjectKey) -> Vec<Trouble> {
        read(&self.troubles).of(project)
    }

    /// uids of every object that something is wrong with.
    pub fn troubled(&self, namespace: Option<&str>) -> HashSet<Box<str>> {
        read(&self.troubles).uids(namespace)
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
    use crate::render::PROJECT_LABEL;
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
        let key = |source, namespace: &str| SourceKey { source, namespace: namespace.into(), name: "orders-s3".into() };
        let secret = || key(Source::Secret, "tenant");
        stores.refer(&project(), &[secret()]);
        assert_eq!(stores.saw_source(&secret(), Some(1)), [project()]);
        assert_eq!(stores.saw_source(&secret(), Some(1)), []);
        assert_eq!(stores.saw_source(&key(Source::Secret, "other"), Some(1)), []);
        assert_eq!(stores.saw_source(&key(Source::ConfigMap, "tenant"), Some(1)), [], "of another kind");
        assert_eq!(stores.retain_sources(Source::ConfigMap, None, &HashSet::new()), []);
        assert_eq!(stores.retain_sources(Source::Secret, None, &HashSet::new()), [project()]);
        stores.forget_project(&project());
        assert_eq!(stores.saw_source(&secret(), Some(2)), []);
    }
}
