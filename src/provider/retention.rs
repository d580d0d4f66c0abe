//! To whom an upstream object and its data belong, and what becomes of them when the project goes.
//!
//! `Delete`: everything is owned by the project, and garbage collection follows it. `Retain`: nothing is; objects belong
//! to the project by their labels alone, so a new project of the same name finds them and goes on with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::{DynamicObject, TypeMeta};
use serde_json::{Map, Value, json};

use super::Lifecycle;
use super::diagnosis::ClaimSeen;
use crate::api::DeletionPolicy;
use crate::plan::Identity;
use crate::plan::inputs::SecretData;
use crate::plan::names::ObjectName;
use crate::render::{labels, owner_reference};

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

/// An object that nobody applies, and that shall go with the project or stay.
#[derive(Clone, Debug, PartialEq)]
pub enum Tie {
    /// Of generated keys.
    Secret(DynamicObject),
    /// A volume that outlives its upstream object: a Tenant leaves its claims behind, unlike a Cluster.
    Claim(DynamicObject),
}

impl Tie {
    /// What to apply to a Secret; `None` where it is as the policy says.
    pub fn of_secret(
        identity: &Identity,
        policy: DeletionPolicy,
        name: &ObjectName,
        secret: &SecretData,
    ) -> Option<Self> {
        // Of a project that is gone: it goes, too, and its keys are no other's.
        if secret.owner.as_ref().is_some_and(|owner| *owner != identity.uid) {
            return None;
        }
        let owned = secret.owner.as_deref() == Some(identity.uid.as_str());
        let owners = owners(identity, policy, owned)?;
        Some(Self::Secret(object(identity, "Secret", name.as_str(), &secret.uid, owners)))
    }

    /// What to apply to a claim; `None` where it is as the policy says.
    pub fn of_claim(identity: &Identity, policy: DeletionPolicy, claim: &ClaimSeen) -> Option<Self> {
        let owners = owners(identity, policy, claim.owners.contains(&identity.uid))?;
        // A second owner, not the controller: the StatefulSet controller looks for that one.
        let owners = owners.map(|owner| OwnerReference { controller: None, ..owner });
        Some(Self::Claim(object(identity, "PersistentVolumeClaim", &claim.name, &claim.uid, owners)))
    }

    pub fn body(&self) -> &DynamicObject {
        match self {
            Self::Secret(body) | Self::Claim(body) => body,
        }
    }
}

/// The owners to apply, if there is a difference. Applying none takes an owner back.
#[allow(clippy::option_option)] // nothing to do, or no owner
fn owners(identity: &Identity, policy: DeletionPolicy, owned: bool) -> Option<Option<OwnerReference>> {
    match (policy, owned) {
        (DeletionPolicy::Delete, false) => Some(Some(owner_reference(identity))),
        (DeletionPolicy::Retain, true) => Some(None),
        (DeletionPolicy::Delete, true) | (DeletionPolicy::Retain, false) => None,
    }
}

fn object(identity: &Identity, kind: &str, name: &str, uid: &str, owner: Option<OwnerReference>) -> DynamicObject {
    DynamicObject {
        types: Some(TypeMeta { api_version: "v1".to_owned(), kind: kind.to_owned() }),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(identity.namespace.clone()),
            // Of this very object, or an apply would make an empty one.
            uid: Some(uid.to_owned()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn identity() -> Identity {
        Identity::of(&testing::project()).unwrap()
    }

    #[test]
    fn what_is_retained_has_no_owner() {
        let identity = identity();
        let of = |deletion| {
            let lifecycle = Lifecycle { deletion, ..Lifecycle::default() };
            metadata(&identity, &identity.name.database(), ("postgresql", "database"), lifecycle)
        };
        assert!(!of(DeletionPolicy::Retain).contains_key("ownerReferences"));
        assert_eq!(of(DeletionPolicy::Delete)["ownerReferences"][0]["uid"], identity.uid.as_str());
    }

    #[test]
    fn the_keys_of_a_project_that_goes_are_not_its_successor_s() {
        let identity = identity();
        let tie = |owner: Option<&str>| {
            let secret = SecretData { owner: owner.map(str::to_owned), ..SecretData::default() };
            Tie::of_secret(&identity, DeletionPolicy::Delete, &identity.name.jwt(), &secret)
        };
        assert!(tie(None).is_some());
        assert_eq!((tie(Some("another project's uid")), tie(Some(&identity.uid))), (None, None));
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
        let owner = |tie: &Option<Tie>| tie.as_ref().unwrap().body().metadata.owner_references.clone();
        let tied = Tie::of_claim(&identity, DeletionPolicy::Delete, &seen(&[]));
        assert_eq!(owner(&tied).unwrap()[0].uid, uid);
        assert_eq!(owner(&tied).unwrap()[0].controller, None);
        assert_eq!(Tie::of_claim(&identity, DeletionPolicy::Delete, &seen(&[uid])), None);
        assert_eq!(owner(&Tie::of_claim(&identity, DeletionPolicy::Retain, &seen(&["set", uid]))), None);
        assert_eq!(Tie::of_claim(&identity, DeletionPolicy::Retain, &seen(&["set"])), None);
    }

    #[test]
    fn keys_follow_the_policy() {
        let identity = identity();
        let name = identity.name.jwt();
        let secret = |owner: Option<&str>| SecretData {
            owner: owner.map(str::to_owned),
            uid: "s".to_owned(),
            ..SecretData::default()
        };
        let tie = |policy, owner| Tie::of_secret(&identity, policy, &name, &secret(owner));
        let uid = identity.uid.as_str();
        let tied = tie(DeletionPolicy::Delete, None).unwrap();
        assert_eq!(tied.body().metadata.uid.as_deref(), Some("s"));
        assert_eq!(tied.body().metadata.owner_references.as_ref().unwrap()[0].uid, uid);
        assert_eq!(tie(DeletionPolicy::Retain, Some(uid)).unwrap().body().metadata.owner_references, None);
        assert_eq!(tie(DeletionPolicy::Delete, Some(uid)), None);
        assert_eq!(tie(DeletionPolicy::Retain, None), None);
    }
}
