//! A namespace, a project of it, and the words to apply what is rendered and to observe what becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy, ValidationDirective,
};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use supabase_operator::api::{DatabaseSpec, StorageSpec, SupabaseProject};
use supabase_operator::cluster::surroundings;
use supabase_operator::plan::inputs::{SecretData, Secrets};
use supabase_operator::plan::names::{ObjectName, ProjectName};
use supabase_operator::plan::{BucketEndpoint, DatabaseEndpoint, Identity};
use supabase_operator::provider::diagnosis::Surroundings;
use supabase_operator::provider::objectstore::{self, StoreKeys, StorePlan, mint};
use supabase_operator::provider::{
    Availability, Body, BodyKind, Inputs, Lifecycle, Observation, Patience, Remedy, Upstream, database,
};
use supabase_operator::render::{MANAGER, digest};

/// A cold bootstrap takes 20 s on an idle machine of two cores.
const PATIENCE: Duration = Duration::from_secs(240);

pub struct Place {
    pub client: Client,
    pub identity: Identity,
}

impl Place {
    /// An empty namespace that enforces the Pod Security Standard `restricted`; what an earlier run left is removed.
    pub async fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_default().await.expect("run this inside of the test cluster");
        let namespace = format!("managed-{name}");
        let uid = "11111111-2222-3333-4444-555555555555".to_owned();
        let identity = Identity { name: ProjectName::parse("orders").unwrap(), namespace, uid };
        let place = Self { client, identity };
        place.remove().await;
        let namespaces: Api<Namespace> = Api::all(place.client.clone());
        let gone = || async { namespaces.get_opt(&place.identity.namespace).await.unwrap().is_none().then_some(()) };
        eventually(PATIENCE, "the namespace of an earlier run is gone", gone).await;
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": place.identity.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        let parameters = PatchParams::apply("test").force();
        namespaces.patch(&place.identity.namespace, &parameters, &Patch::Apply(namespace)).await.unwrap();
        place
    }

    /// The same namespace, another project.
    pub fn named(&self, name: &str, uid: &str) -> Self {
        let name = ProjectName::parse(name).unwrap();
        let identity = Identity { name, namespace: self.identity.namespace.clone(), uid: uid.to_owned() };
        Self { client: self.client.clone(), identity }
    }

    pub async fn remove(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(&self.identity.namespace, &DeleteParams::default()).await;
    }

    fn projects(&self) -> Api<SupabaseProject> {
        Api::namespaced(self.client.clone(), &self.identity.namespace)
    }

    /// A `SupabaseProject` that can own objects; its uid.
    pub async fn owner(&self) -> String {
        let name = self.identity.name.as_str();
        let project = json!({
            "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject", "metadata": {"name": name}, "spec": {},
        });
        let parameters = PatchParams::apply("test").force();
        self.projects().patch(name, &parameters, &Patch::Apply(project)).await.unwrap().uid().unwrap()
    }

    pub async fn delete_project(&self) {
        self.projects().delete(self.identity.name.as_str(), &DeleteParams::background()).await.unwrap();
    }

    #[allow(clippy::unused_self, reason = "reads as what a place has")]
    pub fn database(&self, yaml: &str) -> database::Provider {
        let spec = DatabaseSpec { managed: Some(serde_saphyr::from_str(yaml).unwrap()), ..DatabaseSpec::default() };
        database::Provider::of(Some(&spec)).unwrap()
    }

    #[allow(clippy::unused_self, reason = "reads as what a place has")]
    pub fn store(&self, yaml: &str) -> objectstore::Provider {
        let spec = StorageSpec { managed: Some(serde_saphyr::from_str(yaml).unwrap()), ..StorageSpec::default() };
        objectstore::Provider::of(Some(&spec)).unwrap()
    }

    /// Makes the Secret of generated keys, as the operator does before the first Tenant.
    pub async fn keys(&self, plan: &StorePlan) -> StoreKeys {
        let mut entropy = |bytes: &mut [u8]| rand::fill(bytes);
        let body = plan.keys_secret(&mint(&mut entropy));
        self.apply(&body).await;
        let secrets = self.secrets(std::slice::from_ref(&body.name)).await;
        plan.keys(&secrets).unwrap().unwrap()
    }

    fn resource(kind: BodyKind) -> ApiResource {
        match kind {
            BodyKind::Secret => ApiResource::erase::<Secret>(&()),
            BodyKind::Upstream(upstream) => upstream.resource(),
        }
    }

    fn dynamic(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.identity.namespace, resource)
    }

    pub async fn try_apply(&self, body: &Body) -> Result<DynamicObject, kube::Error> {
        let parameters =
            PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply(MANAGER).force() };
        let api = self.dynamic(&Self::resource(body.kind));
        api.patch(body.name.as_str(), &parameters, &Patch::Apply(&body.body)).await
    }

    pub async fn apply(&self, body: &Body) -> DynamicObject {
        self.try_apply(body).await.unwrap_or_else(|error| panic!("{body:?}: {error}"))
    }

    /// Applies what was applied before. The version may move only because somebody wrote the status between the two.
    pub async fn apply_again(&self, body: &Body) {
        let api = self.dynamic(&Self::resource(body.kind));
        eventually(Duration::from_secs(30), "an apply between two writes of the status", || async {
            let before = api.get(body.name.as_str()).await.unwrap();
            let after = self.apply(body).await;
            let written = before.metadata.resource_version != after.metadata.resource_version;
            assert_eq!(before.metadata.generation, after.metadata.generation, "{body:?}");
            assert_eq!(ours(&before), ours(&after), "{body:?}");
            // What the operator compares instead of applying, also after a restart.
            let live = serde_json::to_value(&after).unwrap();
            assert_eq!(digest::owned(&live, after.managed_fields()), Some(digest::desired(&body.body)), "{body:?}");
            let others = before.data["status"] != after.data["status"];
            assert!(!written || others, "{body:?}: a second apply wrote something");
            (!written).then_some(())
        })
        .await;
    }

    pub async fn apply_claim(&self, body: &Value) {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let parameters = PatchParams::apply(MANAGER).force();
        let name = body["metadata"]["name"].as_str().unwrap();
        claims.patch(name, &parameters, &Patch::Apply(body)).await.unwrap();
    }

    pub async fn delete(&self, body: &Body) {
        let api = self.dynamic(&Self::resource(body.kind));
        api.delete(body.name.as_str(), &DeleteParams::background()).await.unwrap();
    }

    pub async fn withdraw(&self, kind: Upstream, name: &ObjectName) {
        self.dynamic(&kind.resource()).delete(name.as_str(), &DeleteParams::background()).await.unwrap();
    }

    pub async fn take(&self, remedy: &Remedy) {
        let namespace = &self.identity.namespace;
        match remedy {
            Remedy::DeleteJob { name, uid } => {
                let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
                jobs.delete(name, &precisely(uid, PropagationPolicy::Background)).await.unwrap();
            }
            Remedy::DeleteStatefulSetOrphaning { name, uid } => {
                let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), namespace);
                sets.delete(name, &precisely(uid, PropagationPolicy::Orphan)).await.unwrap();
            }
        }
    }

    pub async fn live(&self, inputs: &Inputs) -> Option<Value> {
        let live = self.dynamic(&inputs.upstream.resource()).get_opt(inputs.name.as_str()).await.unwrap();
        live.map(|live| serde_json::to_value(live).unwrap())
    }

    pub async fn around(&self, inputs: &Inputs) -> Surroundings {
        surroundings(&self.client, &self.identity.namespace, inputs).await.unwrap()
    }

    async fn secrets(&self, names: &[ObjectName]) -> Secrets {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let mut secrets = Secrets::new();
        for name in names {
            let data = api.get_opt(name.as_str()).await.unwrap().map(|secret| {
                let keys: BTreeMap<_, _> =
                    secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
                Arc::new(SecretData { keys, ..SecretData::default() })
            });
            secrets.insert(name.to_string(), data);
        }
        secrets
    }

    /// `ahead`: as if so much time had passed.
    pub async fn observe_database(
        &self,
        provider: &database::Provider,
        lifecycle: Lifecycle,
        ahead: Duration,
    ) -> Observation<DatabaseEndpoint> {
        let inputs = provider.inputs(&self.identity);
        let live = self.live(&inputs).await;
        let plan = provider.plan(&self.identity, lifecycle, live.as_ref()).unwrap();
        let secrets = self.secrets(&inputs.secrets).await;
        let patience = patience(live.as_ref(), ahead);
        let first = plan.observe(live.as_ref(), &Surroundings::default(), &secrets, &patience);
        if !first.look_closer {
            return first;
        }
        plan.observe(live.as_ref(), &self.around(&inputs).await, &secrets, &patience)
    }

    pub async fn observe_store(
        &self,
        provider: &objectstore::Provider,
        lifecycle: Lifecycle,
        ahead: Duration,
    ) -> Observation<BucketEndpoint> {
        let inputs = provider.inputs(&self.identity);
        let live = self.live(&inputs).await;
        let plan = provider.plan(&self.identity, lifecycle, live.as_ref(), &[]).unwrap();
        let secrets = self.secrets(&inputs.secrets).await;
        let patience = patience(live.as_ref(), ahead);
        let first = plan.observe(live.as_ref(), &Surroundings::default(), &secrets, &patience);
        if !first.look_closer {
            return first;
        }
        plan.observe(live.as_ref(), &self.around(&inputs).await, &secrets, &patience)
    }

    pub async fn database_ready(&self, provider: &database::Provider, lifecycle: Lifecycle) -> DatabaseEndpoint {
        eventually(PATIENCE, "the database is ready", || async {
            match self.observe_database(provider, lifecycle, Duration::ZERO).await.availability {
                Availability::Ready(endpoint) => Some(endpoint),
                _ => None,
            }
        })
        .await
    }

    pub async fn store_ready(&self, provider: &objectstore::Provider, lifecycle: Lifecycle) -> BucketEndpoint {
        eventually(PATIENCE, "the object store is ready", || async {
            match self.observe_store(provider, lifecycle, Duration::ZERO).await.availability {
                Availability::Ready(endpoint) => Some(endpoint),
                _ => None,
            }
        })
        .await
    }

    pub async fn pods(&self) -> Vec<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
    }

    /// Names and uids.
    pub async fn claims(&self) -> Vec<(String, Option<String>)> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        api.list(&ListParams::default()).await.unwrap().iter().map(|claim| (claim.name_any(), claim.uid())).collect()
    }
}

/// Our fields, and when we last wrote.
fn ours(object: &DynamicObject) -> Vec<Value> {
    let entries = object.managed_fields().iter().filter(|entry| entry.manager.as_deref() == Some(MANAGER));
    entries.map(|entry| serde_json::to_value(entry).unwrap()).collect()
}

fn precisely(uid: &str, propagation: PropagationPolicy) -> DeleteParams {
    let parameters = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
    parameters.preconditions(kube::api::Preconditions { uid: Some(uid.to_owned()), resource_version: None })
}

fn patience(live: Option<&Value>, ahead: Duration) -> Patience {
    let made = live.and_then(|live| live["metadata"]["creationTimestamp"].as_str()?.parse().ok());
    let now = Timestamp::now().checked_add(ahead).unwrap();
    Patience { now, deadline: Duration::from_secs(600), since: made }
}

pub async fn eventually<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
