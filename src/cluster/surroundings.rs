//! What lies behind an upstream object, read when its own status does not say why it is not ready.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use super::call::{CallError, bounded};
use crate::provider::Inputs;
use crate::provider::diagnosis::{EventSeen, StatefulSetSeen, Surroundings};

/// Events of all objects of a namespace are listed, as many as these.
const EVENTS: u32 = 200;

/// Lists what belongs to the object of `inputs`, and the latest Events of its namespace.
///
/// # Errors
/// The API server refused or did not answer.
pub async fn surroundings(client: &Client, namespace: &str, inputs: &Inputs) -> Result<Surroundings, CallError> {
    let parameters = ListParams::default().labels(&inputs.selector);
    let all = ListParams::default();
    let events = ListParams::default().limit(EVENTS);
    let jobs = list::<Job>(client, "Job", namespace, &parameters).await?;
    let pods = list::<Pod>(client, "Pod", namespace, &parameters).await?;
    let stateful_sets = list::<StatefulSet>(client, "StatefulSet", namespace, &all).await?;
    let claims = list::<PersistentVolumeClaim>(client, "PersistentVolumeClaim", namespace, &parameters).await?;
    let events = list::<Event>(client, "Event", namespace, &events).await?;
    let name = inputs.name.as_str();
    Ok(Surroundings {
        jobs: jobs.iter().map(Into::into).collect(),
        pods: pods.iter().map(Into::into).collect(),
        // That these have the label of their Tenant is not promised anywhere.
        stateful_sets: stateful_sets.iter().map(StatefulSetSeen::from).filter(|set| set.name.contains(name)).collect(),
        claims: claims.iter().map(Into::into).collect(),
        // Everything behind an upstream object has its name in its own.
        events: events.iter().map(EventSeen::from).filter(|event| event.name.contains(name)).collect(),
    })
}

async fn list<K>(
    client: &Client,
    kind: &'static str,
    namespace: &str,
    parameters: &ListParams,
) -> Result<Vec<K>, CallError>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let objects = bounded("list", kind, namespace, "", api.list(parameters)).await?;
    Ok(objects.items)
}
