//! What is read and done about other operators' objects besides applying them.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Cluster;
use super::call::{CallError, bounded};
use super::seen::ObjectKey;
use crate::kind::{Kind, Upstream};
use crate::plan::Identity;
use crate::plan::names::ObjectName;
use crate::provider::diagnosis::{ClaimSeen, EventSeen, StatefulSetSeen, Surroundings};
use crate::provider::retention::Tie;
use crate::provider::{Inputs, Remedy};
use crate::render::MANAGER;

/// Reasons of Events that tell what keeps a Pod from being made. Those of other reasons are not listed: a namespace may
/// have thousands.
const TELLING: [&str; 2] = ["ProvisioningFailed", "FailedCreate"];

/// Field manager of owner references that come and go with `spec.deletionPolicy`: an apply of one manager must not give
/// up the fields of another.
const RETENTION_MANAGER: &str = "supabase-operator-retention";

impl Cluster {
    /// Lists what lies behind an upstream object, and what Events say of it: its own status does not say why
    /// it is not ready.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn surroundings(&self, namespace: &str, inputs: &Inputs) -> Result<Surroundings, CallError> {
        let parameters = ListParams::default().labels(&inputs.selector);
        let jobs = self.list::<Job>("Jobs", namespace, &parameters).await?;
        let pods = self.list::<Pod>("Pods", namespace, &parameters).await?;
        let stateful_sets = self.list::<StatefulSet>("StatefulSets", namespace, &ListParams::default()).await?;
        let mut events = Vec::new();
        for reason in TELLING {
            let parameters = ListParams::default().fields(&format!("reason={reason}"));
            events.extend(self.list::<Event>("Events", namespace, &parameters).await?);
        }
        let name = inputs.name.as_str();
        Ok(Surroundings {
            jobs: jobs.iter().map(Into::into).collect(),
            pods: pods.iter().map(Into::into).collect(),
            // That these have the label of their Tenant is not promised anywhere.
            stateful_sets: stateful_sets
                .iter()
                .map(StatefulSetSeen::from)
                .filter(|set| set.name.contains(name))
                .collect(),
            claims: self.claims(namespace, inputs).await?,
            // Everything behind an upstream object has its name in its own.
            events: events.iter().map(EventSeen::from).filter(|event| event.name.contains(name)).collect(),
        })
    }

    /// The volumes behind an upstream object.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn claims(&self, namespace: &str, inputs: &Inputs) -> Result<Vec<ClaimSeen>, CallError> {
        let parameters = ListParams::default().labels(&inputs.selector);
        let claims = self.list::<PersistentVolumeClaim>("PersistentVolumeClaims", namespace, &parameters).await?;
        Ok(claims.iter().map(Into::into).collect())
    }

    async fn list<K>(&self, kinds: &str, namespace: &str, parameters: &ListParams) -> Result<Vec<K>, CallError>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let objects = bounded("list", kinds, namespace, "", api.list(parameters)).await?;
        Ok(objects.items)
    }

    /// Takes a remedy.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn heal(&self, identity: &Identity, remedy: &Remedy) -> Result<(), CallError> {
        let (resource, name, uid, parameters) = match remedy {
            Remedy::DeleteJob { name, uid } => (ApiResource::erase::<Job>(&()), name, uid, DeleteParams::background()),
            Remedy::DeleteStatefulSetOrphaning { name, uid } => {
                let orphan = Some(PropagationPolicy::Orphan);
                let parameters = DeleteParams { propagation_policy: orphan, ..DeleteParams::default() };
                (ApiResource::erase::<StatefulSet>(&()), name, uid, parameters)
            }
        };
        self.delete(identity, &resource, name, uid, parameters).await
    }

    /// Deletes an upstream object, which leaves its data.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn withdraw(&self, identity: &Identity, kind: Upstream, name: &ObjectName) -> Result<(), CallError> {
        let key = ObjectKey { kind: Kind::Upstream(kind), name: name.to_string() };
        match self.stores.object(&identity.key(), &key) {
            Some(seen) if !seen.deleting => {
                self.delete(identity, &kind.resource(), name.as_str(), &seen.uid, DeleteParams::background()).await
            }
            _ => Ok(()),
        }
    }

    /// Makes an object go with its project, or stay.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn tie(&self, identity: &Identity, tie: &Tie) -> Result<(), CallError> {
        self.gate()?;
        let resource = match tie {
            Tie::Secret(_) => ApiResource::erase::<Secret>(&()),
            Tie::Claim(_) => ApiResource::erase::<PersistentVolumeClaim>(&()),
        };
        let body = tie.body();
        let name = body.metadata.name.clone().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &identity.namespace, &resource);
        let parameters = PatchParams::apply(RETENTION_MANAGER).force();
        let patch = Patch::Apply(body);
        let call = api.patch(&name, &parameters, &patch);
        match bounded("change the owner of", &resource.kind, &identity.namespace, &name, call).await {
            // It is gone, or another one by now.
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Takes the pods of a Deployment away. Their number is not ours any more by that, so the next apply sets it again.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn rest(&self, identity: &Identity, name: &ObjectName) -> Result<(), CallError> {
        self.gate()?;
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &identity.namespace);
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": 0}}));
        let call = api.patch(name.as_str(), &parameters, &patch);
        match bounded("scale", "Deployment", &identity.namespace, name.as_str(), call).await {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Ends what runs once: a migration that was cut off is done again when its component comes back.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn end_jobs(&self, identity: &Identity) -> Result<(), CallError> {
        for (key, seen) in self.stores.objects(&identity.key()) {
            if key.kind == Kind::Job && seen.owner.as_deref() == Some(identity.uid.as_str()) && !seen.deleting {
                let parameters = DeleteParams::background();
                self.delete(identity, &key.kind.resource(), &key.name, &seen.uid, parameters).await?;
            }
        }
        Ok(())
    }
}
