//! NOT the MinIO operator: a stand-in for tests, on clusters where the real one cannot be had.
//!
//! It runs Tenants with real MinIO servers, and does what was seen of the real operator (7.1): its reaction time, its
//! order of states, what it reports wrongly, and what it does not heal. It is stricter than the real one in what it
//! accepts: a field that it does not know is an error, so that nothing is sent that nobody reads. Left out: TLS, users,
//! the sidecar, pools after the first, resizing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::missing_panics_doc)]

mod server;
mod tenant;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use supabase_operator::provider::Upstream;

/// Every event of a Tenant waits so long in the operator's queue.
const REACTION: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);

/// What is remembered of one Tenant between two looks.
struct Known {
    /// What of it was looked at: everything but its status.
    content: String,
    /// When to reconcile; `None` where only an edit helps.
    due: Option<Instant>,
}

/// How a reconcile ended.
enum Outcome {
    /// Go on soon: something is under way.
    Again(Duration),
    /// The real operator does not come back by itself.
    Stuck,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default().await.expect("KUBECONFIG names the test cluster");
    let tenants: Api<DynamicObject> = Api::all_with(client.clone(), &Upstream::MinioTenant.resource());
    let mut known: HashMap<String, Known> = HashMap::new();
    println!("minio-operator-standin: watching Tenants; this is not the MinIO operator");
    loop {
        match tenants.list(&ListParams::default()).await {
            Ok(list) => look(&client, &list.items, &mut known).await,
            Err(error) => println!("cannot list Tenants: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(client: &Client, tenants: &[DynamicObject], known: &mut HashMap<String, Known>) {
    let uid = |tenant: &DynamicObject| tenant.uid().unwrap_or_default();
    known.retain(|key, _| tenants.iter().any(|tenant| uid(tenant) == *key));
    for tenant in tenants.iter().filter(|tenant| tenant.metadata.deletion_timestamp.is_none()) {
        let content = format!("{} {:?}", tenant.data["spec"], tenant.annotations());
        let entry = known.entry(uid(tenant)).or_insert(Known { content: String::new(), due: None });
        if entry.content != content {
            entry.content = content;
            entry.due = Some(Instant::now() + REACTION);
        }
        if entry.due.is_some_and(|due| due <= Instant::now()) {
            let others: Vec<&DynamicObject> = tenants
                .iter()
                .filter(|other| other.namespace() == tenant.namespace() && uid(other) != uid(tenant))
                .collect();
            entry.due = match reconcile(client, tenant, &others).await {
                Ok(Outcome::Again(pause)) => Some(Instant::now() + pause),
                Ok(Outcome::Stuck) => None,
                Err(error) => {
                    println!("{}: {}", tenant.name_any(), error.to_string().lines().next().unwrap_or_default());
                    Some(Instant::now() + REACTION)
                }
            };
        }
    }
}

async fn reconcile(client: &Client, tenant: &DynamicObject, others: &[&DynamicObject]) -> Result<Outcome, kube::Error> {
    let spec = &tenant.data["spec"];
    let refused = tenant::refusal(spec);
    if let Some(problem) = refused {
        state(client, tenant, json!({"currentState": problem})).await?;
        return Ok(Outcome::Stuck);
    }
    let credentials = match server::credentials(client, tenant).await? {
        server::Configured::Missing => return Ok(Outcome::Again(REACTION)),
        server::Configured::Incomplete => {
            state(client, tenant, json!({"currentState": "empty tenant credentials"})).await?;
            return Ok(Outcome::Stuck);
        }
        server::Configured::Keys(keys) => keys,
    };
    // The newcomer takes the Service before it notices that it is not alone.
    state_if_new(client, tenant, json!({"currentState": "Provisioning MinIO Cluster IP Service"})).await?;
    server::services(client, tenant).await?;
    let older = others.iter().any(|other| other.metadata.creation_timestamp < tenant.metadata.creation_timestamp);
    if older {
        let problem = "Another MinIO Tenant already exists in the namespace";
        state(client, tenant, json!({"currentState": problem})).await?;
        return Ok(Outcome::Stuck);
    }
    let available = match server::stateful_set(client, tenant).await? {
        server::Rollout::Created => {
            state(client, tenant, json!({"currentState": "Provisioning MinIO Statefulset"})).await?;
            return Ok(Outcome::Again(PAUSE));
        }
        server::Rollout::Upgraded => {
            state(client, tenant, json!({"currentState": "Updating MinIO Version"})).await?;
            return Ok(Outcome::Again(REACTION * 2));
        }
        server::Rollout::Available(available) => available,
    };
    health(client, tenant, &credentials, available).await
}

async fn health(
    client: &Client,
    tenant: &DynamicObject,
    credentials: &server::Keys,
    available: i64,
) -> Result<Outcome, kube::Error> {
    let spec = &tenant.data["spec"];
    let servers = spec["pools"][0]["servers"].as_i64().unwrap_or_default();
    let was_green = tenant.data["status"]["healthStatus"] == "green";
    let bucket = spec["buckets"][0]["name"].as_str();
    let answers = available > 0 && server::bucket(client, tenant, credentials, bucket).await;
    if !answers && !was_green {
        let waiting = json!({"currentState": "Waiting for Tenant to be healthy", "availableReplicas": available});
        state(client, tenant, waiting).await?;
        return Ok(Outcome::Again(PAUSE));
    }
    if !answers {
        // Green for ever: the real operator's poll returns early when nothing answers.
        let status = json!({"currentState": "Provisioning default buckets", "availableReplicas": available});
        state(client, tenant, status).await?;
        return Ok(Outcome::Again(REACTION));
    }
    let status = json!({
        "currentState": "Initialized", "healthStatus": "green", "provisionedBuckets": true, "availableReplicas": available,
    });
    state(client, tenant, status).await?;
    Ok(Outcome::Again(if available == servers { REACTION } else { PAUSE }))
}

async fn state_if_new(client: &Client, tenant: &DynamicObject, status: Value) -> Result<(), kube::Error> {
    if tenant.data["status"]["currentState"].is_string() { Ok(()) } else { state(client, tenant, status).await }
}

/// Merges into the status, and writes nothing where that would change nothing.
async fn state(client: &Client, tenant: &DynamicObject, mut status: Value) -> Result<(), kube::Error> {
    let live = &tenant.data["status"];
    if live.is_null() {
        // Required by the schema; nobody reads them.
        let required = json!({
            "availableReplicas": 0, "certificates": {"autoCertEnabled": false}, "pools": [], "revision": 0,
            "syncVersion": "v6.0.0",
        });
        for (field, value) in required.as_object().unwrap() {
            status.as_object_mut().unwrap().entry(field).or_insert(value.clone());
        }
    }
    if status.as_object().unwrap().iter().all(|(field, value)| live[field] == *value) {
        return Ok(());
    }
    println!("{}/{}: {status}", tenant.namespace().unwrap_or_default(), tenant.name_any());
    let api: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        &tenant.namespace().unwrap_or_default(),
        &Upstream::MinioTenant.resource(),
    );
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(&tenant.name_any(), &PatchParams::default(), &patch).await.map(|_| ())
}
