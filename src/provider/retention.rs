//! To whom an upstream object and its data belong, and what becomes of them when the project goes.
//!
//! `Delete`: everything is owned by the project, and garbage collection follows it. `Retain`: nothing is; objects belong
//! to the project by their labels alone, so a new project of the same name finds them and goes on with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};

use super::diagnosis::ClaimSeen;
use super::{Lifecycle, live};
use crate::api::{DeletionPolicy, GROUP};
use crate::plan::Identity;
use crate::plan::names::ObjectName;
use crate::reason::{Problem, Reason};
use crate::render::{MANAGED_BY, PROJECT_LABEL, labels, owner_reference};

/// Whose object has the name that we need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Absent,
    /// This project's, or retained from an earlier one of the same name.
    Ours,
    /// Going away; wait for it.
    Leaving,
    Foreign(Problem),
}

/// Reads the owner and the labels of a live object.
pub fn standing(identity: &Identity, kind: &str, live: Option<&Value>) -> Standing {
    let Some(live) = live else { return Standing::Absent };
    if live::is_deleting(live) {
        return Standing::Leaving;
    }
    let Some(owner) = live::items(live, "/metadata/ownerReferences").find(|owner| live::flag(owner, "/controller"))
    else {
        let label = |name: &str| live.pointer("/metadata/labels").and_then(|labels| labels.get(name)?.as_str());
        let ours = label(MANAGED_BY.0) == Some(MANAGED_BY.1) && label(PROJECT_LABEL) == Some(identity.name.as_str());
        return if ours { Standing::Ours } else { Standing::Foreign(name_taken(identity, kind, live)) };
    };
    let earlier = live::text(owner, "/kind") == "SupabaseProject"
        && live::text(owner, "/apiVersion").starts_with(GROUP)
        && live::text(owner, "/name") == identity.name.as_str();
    match live::text(owner, "/uid") {
        uid if uid == identity.uid => Standing::Ours,
        // Its owner is gone, and garbage collection is on its way.
        _ if earlier => Standing::Leaving,
        _ => Standing::Foreign(name_taken(identity, kind, live)),
    }
}

fn name_taken(identity: &Identity, kind: &str, live: &Value) -> Problem {
    let (namespace, name, project) = (&identity.namespace, live::text(live, "/metadata/name"), &identity.name);
    let (manager, value) = MANAGED_BY;
    Problem::new(
        Reason::NameTaken,
        format!(
            "{kind} {namespace}/{name} exists and does not belong to this project; give the project another name, or, if it has no other owner, hand it over with the labels {manager}={value} and {PROJECT_LABEL}={project}"
        ),
    )
}

/// Metadata of an object that carries data, with `name` and `component` as the recommended labels of that name.
pub fn metadata(
    identity: &Identity,
    object: &ObjectName,
    part: (&str, &str),
    lifecycle: Lifecycle,
) -> Map<String, Value> {
    let mut labels = labels(identity, None);
    labels.insert("app.kubernetes.io/name".to_owned(), part.0.to_owned());
    labels.insert("app.kubernetes.io/component".to_owned(), part.1.to_owned());
    let mut metadata = Map::from_iter([
        ("name".to_owned(), json!(object.as_str())),
        ("namespace".to_owned(), json!(identity.namespace)),
        ("labels".to_owned(), json!(labels)),
    ]);
    if lifecycle.deletion == DeletionPolicy::Delete {
        metadata.insert("ownerReferences".to_owned(), json!([owner_reference(identity)]));
    }
    metadata
}

/// What to apply to a claim that outlives its upstream object, so that it goes or stays as the policy says; `None` where
/// it is as it should be. A Tenant leaves its claims behind, unlike a Cluster, which takes them along.
///
/// It is a second owner, not the controller: the StatefulSet controller looks for that one.
pub fn claim(identity: &Identity, policy: DeletionPolicy, claim: &ClaimSeen) -> Option<Value> {
    let owned = claim.owners.contains(&identity.uid);
    let mut metadata = json!({"name": claim.name, "namespace": identity.namespace, "uid": claim.uid});
    match (policy, owned) {
        (DeletionPolicy::Delete, false) => {
            let reference = OwnerReference { controller: None, ..owner_reference(identity) };
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("ownerReferences".to_owned(), json!([reference]));
            }
        }
        // Applying without the owner takes it back.
        (DeletionPolicy::Retain, true) => {}
        (DeletionPolicy::Delete, true) | (DeletionPolicy::Retain, false) => return None,
    }
    Some(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn identity() -> Identity {
        Identity::of(&testing::project()).unwrap()
    }

    fn object(owners: &Value, labels: &Value) -> Value {
        json!({"metadata": {"name": "demo-db", "labels": labels, "ownerReferences": owners}})
    }

    fn owner(kind: &str, name: &str, uid: &str) -> Value {
        json!([{"apiVersion": "supabase-operator.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true}])
    }

    #[test]
    fn a_retained_cluster_belongs_to_the_next_project_of_its_name() {
        let identity = identity();
        let retained = metadata(&identity, &identity.name.database(), ("postgresql", "database"), Lifecycle::default());
        assert!(!retained.contains_key("ownerReferences"));
        let later = Identity { uid: "another".to_owned(), ..identity };
        assert_eq!(standing(&later, "Cluster", Some(&json!({"metadata": retained}))), Standing::Ours);
    }

    #[test]
    fn an_object_of_somebody_else_is_never_taken_over() {
        let identity = identity();
        let ours =
            json!({"app.kubernetes.io/managed-by": "supabase-operator", "supabase-operator.dev/project": "demo"});
        let theirs =
            json!({"app.kubernetes.io/managed-by": "supabase-operator", "supabase-operator.dev/project": "other"});
        for foreign in
            [object(&json!([]), &json!({})), object(&json!([]), &theirs), object(&owner("Other", "demo", "u"), &ours)]
        {
            let Standing::Foreign(problem) = standing(&identity, "Cluster", Some(&foreign)) else {
                panic!("{foreign}")
            };
            assert_eq!(problem.reason, Reason::NameTaken);
            assert!(problem.message.contains("tenant/demo-db"), "{}", problem.message);
        }
    }

    #[test]
    fn what_an_earlier_project_takes_along_is_waited_for() {
        let identity = identity();
        let earlier = object(&owner("SupabaseProject", "demo", "earlier"), &json!({}));
        assert_eq!(standing(&identity, "Cluster", Some(&earlier)), Standing::Leaving);
        let deleting = json!({"metadata": {"deletionTimestamp": "2026-11-23T12:00:00Z"}});
        assert_eq!(standing(&identity, "Cluster", Some(&deleting)), Standing::Leaving);
        let owned = object(&owner("SupabaseProject", "demo", &identity.uid), &json!({}));
        assert_eq!(standing(&identity, "Cluster", Some(&owned)), Standing::Ours);
        assert_eq!(standing(&identity, "Cluster", None), Standing::Absent);
    }

    #[test]
    fn claims_follow_the_policy_and_are_written_only_when_it_changed() {
        let identity = identity();
        let seen = |owners: &[&str]| ClaimSeen {
            name: "data0-demo-minio-p0-0".to_owned(),
            uid: "c".to_owned(),
            bound: true,
            owners: owners.iter().map(|owner| (*owner).to_owned()).collect(),
        };
        let uid = identity.uid.as_str();
        let tied = claim(&identity, DeletionPolicy::Delete, &seen(&[])).unwrap();
        assert_eq!(tied["metadata"]["ownerReferences"][0]["uid"], uid);
        assert!(tied["metadata"]["ownerReferences"][0]["controller"].is_null());
        assert_eq!(claim(&identity, DeletionPolicy::Delete, &seen(&[uid])), None);
        let released = claim(&identity, DeletionPolicy::Retain, &seen(&["set", uid])).unwrap();
        assert!(released["metadata"]["ownerReferences"].is_null());
        assert_eq!(claim(&identity, DeletionPolicy::Retain, &seen(&["set"])), None);
    }
}
