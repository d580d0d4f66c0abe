//! Databases and object stores that other operators run: the real CloudNativePG, and a stand-in of the MinIO operator
//! with real MinIO servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use supabase_operator::kind::Upstream;

use super::harness::{Stack, assert_contains, eventually, kubectl, managed_spec, run};

/// A statement in the primary's own database.
fn sql(stack: &Stack, statement: &str) -> String {
    let primary = "cnpg.io/cluster=orders-db,cnpg.io/instanceRole=primary";
    let pod = kubectl(&["-n", &stack.namespace, "get", "pods", "-l", primary, "-o", "name"]);
    let psql = ["psql", "-U", "postgres", "-Atc", statement];
    kubectl(&[&["-n", &stack.namespace, "exec", pod.trim(), "-c", "postgres", "--"][..], &psql].concat())
}

/// Prints what a user sees: docs/managed.md shows it.
fn describe(stack: &Stack) {
    println!("{}", kubectl(&["-n", &stack.namespace, "get", "sbp", "orders"]));
    let described = kubectl(&["-n", &stack.namespace, "describe", "sbp", "orders"]);
    println!("{}", described.split_once("Conditions:").map_or("", |(_, rest)| rest));
}

async fn names<K>(stack: &Stack) -> Vec<String>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(Client::try_default().await.unwrap(), &stack.namespace);
    api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect()
}

async fn upstream(stack: &Stack, kind: Upstream, name: &str) -> Option<DynamicObject> {
    let client = Client::try_default().await.unwrap();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &stack.namespace, &kind.resource());
    match api.get_opt(name).await {
        // The kind has only just come.
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        found => found.unwrap(),
    }
}

/// Component pods by uid with their restarts.
async fn serving(stack: &Stack) -> Vec<(String, i32)> {
    let api: Api<Pod> = Api::namespaced(Client::try_default().await.unwrap(), &stack.namespace);
    let ours = ListParams::default().labels("supabase-operator.dev/project=orders,app.kubernetes.io/component");
    let restarts = |pod: &Pod| {
        let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        containers.map(|container| container.restart_count).sum()
    };
    let mut pods: Vec<(String, i32)> =
        api.list(&ours).await.unwrap().iter().map(|pod| (pod.uid().unwrap(), restarts(pod))).collect();
    pods.sort();
    pods
}

/// What the API server holds of what was asked upstream: any write, of whomever, changes it.
async fn versions_upstream(stack: &Stack) -> Vec<Option<String>> {
    let cluster = upstream(stack, Upstream::Cluster, "orders-db").await.unwrap();
    let tenant = upstream(stack, Upstream::MinioTenant, "orders-minio").await.unwrap();
    vec![cluster.resource_version(), tenant.resource_version()]
}

/// The whole life of one project. Its namespace enforces Pod Security `restricted`.
#[tokio::test]
async fn a_project_that_asks_for_nothing_is_run_suspended_woken_retained_and_deleted() {
    let stack = Stack::new("managed").await;
    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;
    sql(&stack, "CREATE TABLE public.kept AS SELECT 1 AS id");
    let key = stack.key("orders-api-keys", "publishable-key").await;
    let claims = names::<PersistentVolumeClaim>(&stack).await;
    assert_eq!(claims.len(), 2, "{claims:?}");

    // The same three times: nothing is written upstream.
    let before = versions_upstream(&stack).await;
    for round in 0..3 {
        let mut spec = managed_spec();
        spec["meta"]["podTemplate"] = json!({"annotations": {"round": round.to_string()}});
        stack.project(&spec);
        eventually(Duration::from_secs(60), "the change is taken", || async {
            let meta = stack.deployments().get("orders-meta").await.unwrap();
            let annotations = meta.spec.template.metadata?.annotations?;
            (annotations.get("round")? == &round.to_string()).then_some(())
        })
        .await;
    }
    assert_eq!(before, versions_upstream(&stack).await);

    let mut asleep = managed_spec();
    asleep["suspend"] = json!(true);
    stack.project(&asleep);
    stack.wait_for_reason("Ready", "Suspended", &["set spec.suspend to false"]).await;
    // The last ones take their time to end.
    eventually(Duration::from_secs(60), "no pod is left", || async {
        names::<Pod>(&stack).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(names::<PersistentVolumeClaim>(&stack).await, claims);

    let woken = Instant::now();
    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;
    println!("Ready {:.0} s after waking", woken.elapsed().as_secs_f32());
    assert_eq!(sql(&stack, "SELECT id FROM public.kept").trim(), "1");

    stack.projects().delete("orders", &DeleteParams::default()).await.unwrap();
    eventually(Duration::from_secs(90), "what serves is gone", || async {
        stack.deployments().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    assert!(upstream(&stack, Upstream::Cluster, "orders-db").await.is_some());
    let mut second = managed_spec();
    second["deletionPolicy"] = json!("Delete");
    stack.project(&second);
    stack.wait_for("Ready", "True").await;
    assert_eq!(stack.key("orders-api-keys", "publishable-key").await, key, "the apps go on");
    assert_eq!(sql(&stack, "SELECT id FROM public.kept").trim(), "1");
    assert_eq!(names::<PersistentVolumeClaim>(&stack).await, claims);

    stack.projects().delete("orders", &DeleteParams::default()).await.unwrap();
    eventually(Duration::from_secs(120), "nothing is left", || async {
        let left = stack.children().await.len() + names::<PersistentVolumeClaim>(&stack).await.len();
        (left == 0 && names::<Pod>(&stack).await.is_empty()).then_some(())
    })
    .await;
    stack.remove().await;
}

/// What cannot work is told with the field to mend, and mending it is enough.
#[tokio::test]
async fn a_wrong_image_is_named_and_the_right_one_heals_it() {
    let stack = Stack::new("managed-image").await;
    let mut spec = managed_spec();
    spec["database"]["managed"]["imageName"] = json!("example.com/supabase/postgres:15.14.1.999");
    stack.project(&spec);
    eventually(Duration::from_secs(150), "the image is named", || async {
        let condition = stack.condition("PostgreSQLConnected").await?;
        let named = condition.message.contains("15.14.1.999");
        (condition.reason == "ImageUnavailable" && named && condition.message.contains("imageName")).then_some(())
    })
    .await;
    describe(&stack);
    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;

    // The same of the store: its servers are replaced once it is right again.
    let mut spec = managed_spec();
    spec["storage"]["managed"]["image"] = json!("example.com/minio/minio:nowhere");
    stack.project(&spec);
    eventually(Duration::from_secs(150), "the image of the store is named", || async {
        let condition = stack.condition("S3Connected").await?;
        let text = format!("{} {}", condition.message, stack.condition("Degraded").await?.message);
        (text.contains("nowhere") && text.contains("spec.storage.managed.image")).then_some(())
    })
    .await;
    spec["storage"]["managed"]["image"] = json!("quay.io/minio/minio:RELEASE.2025-04-08T15-41-24Z");
    stack.project(&spec);
    eventually(Duration::from_secs(120), "nothing is left of it", || async {
        let degraded = stack.condition("Degraded").await?;
        (degraded.status == "False" && stack.condition("Ready").await?.status == "True").then_some(())
    })
    .await;
    stack.remove().await;
}

/// An image that the operator does not know tells whom it runs PostgreSQL as.
#[tokio::test]
async fn an_unknown_image_is_looked_into() {
    let stack = Stack::new("managed-unknown").await;
    let mut spec = managed_spec();
    spec["database"]["managed"]["imageName"] = json!("docker.io/team/postgres:15.14");
    stack.project(&spec);
    stack.wait_for("Ready", "True").await;
    let seen = stack.projects().get("orders").await.unwrap().status.unwrap().database_image.unwrap();
    assert_eq!((seen.postgres_uid, seen.postgres_gid), (101, 102));
    assert_eq!(seen.preload_libraries, ["pg_stat_statements", "pgaudit", "pg_cron", "pg_net"]);
    let loaded = sql(&stack, "SHOW shared_preload_libraries");
    assert!(seen.preload_libraries.iter().all(|library| loaded.contains(library)), "{loaded}");
    stack.remove().await;
}

/// Three instances; the primary's pod is killed while a client writes.
#[tokio::test]
async fn a_failover_degrades_restarts_nothing_and_heals() {
    let stack = Stack::new("managed-failover").await;
    let mut spec = managed_spec();
    spec["database"]["managed"]["instances"] = json!(3);
    stack.project(&spec);
    stack.wait_for("Ready", "True").await;
    // All three instances.
    stack.wait_for("Degraded", "False").await;
    sql(&stack, "CREATE TABLE public.writes (id int); GRANT INSERT ON public.writes TO service_role");
    let serving_before = serving(&stack).await;
    let (url, key) =
        (format!("{}/rest/v1/writes", stack.gateway()), stack.key("orders-service-keys", "secret-key").await);
    let written = Arc::new(AtomicU32::new(0));
    let writer = tokio::spawn({
        let written = written.clone();
        async move {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
            loop {
                let insert = client.post(&url).header("apikey", &key).header("content-type", "application/json");
                let answer = insert.body(r#"{"id": 1}"#).send().await;
                if answer.is_ok_and(|answer| answer.status() == 201) {
                    written.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    eventually(Duration::from_secs(30), "rows are written", || async {
        (written.load(Ordering::Relaxed) > 10).then_some(())
    })
    .await;

    let primary =
        kubectl(&["-n", &stack.namespace, "get", "cluster", "orders-db", "-o", "jsonpath={.status.currentPrimary}"]);
    let killed = Instant::now();
    kubectl(&["-n", &stack.namespace, "delete", "pod", &primary, "--grace-period=0", "--force"]);
    let mut seen = BTreeSet::new();
    loop {
        let status = stack.projects().get("orders").await.unwrap().status.unwrap();
        let is = |type_: &str| status.conditions.iter().any(|known| known.type_ == type_ && known.status == "True");
        let phase = format!("{:?}", status.phase.unwrap());
        assert!(!phase.contains("Failed"), "a failover is no failure: {status:?}");
        if seen.insert((phase, is("Ready"), is("Degraded"))) {
            println!(
                "[{:5.1} s] {:?} {}",
                killed.elapsed().as_secs_f32(),
                seen.last(),
                status.message.unwrap_or_default()
            );
        }
        let degraded = seen.iter().any(|(_, _, degraded)| *degraded);
        if degraded && is("Ready") && !is("Degraded") {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(240), "not healed: {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("Ready again and not degraded after {:.0} s", killed.elapsed().as_secs_f32());
    let healed = written.load(Ordering::Relaxed);
    eventually(Duration::from_secs(30), "rows are written again", || async {
        (written.load(Ordering::Relaxed) > healed + 10).then_some(())
    })
    .await;
    writer.abort();
    let rows: u32 = sql(&stack, "SELECT count(*) FROM public.writes").trim().parse().unwrap();
    assert!(rows >= written.load(Ordering::Relaxed), "no answered write is lost");
    assert_eq!(serving_before, serving(&stack).await, "no component was restarted");
    stack.remove().await;
}

/// Their operator is away while the spec changes, and comes back.
#[tokio::test]
async fn a_change_waits_for_an_operator_that_is_away() {
    let scale = |replicas: &str| {
        let size = format!("--replicas={replicas}");
        kubectl(&["-n", "cnpg-system", "scale", "deployment/cnpg-controller-manager", &size]);
    };
    let stack = Stack::new("managed-away").await;
    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;
    scale("0");
    kubectl(&["-n", "cnpg-system", "wait", "--for=delete", "pod", "--all", "--timeout=60s"]);
    let mut spec = managed_spec();
    spec["database"]["managed"]["parameters"] = json!({"work_mem": "8MB"});
    stack.project(&spec);
    let message = stack.wait_for_reason("Degraded", "ProviderUnavailable", &["webhook"]).await;
    println!("{message}");
    describe(&stack);
    assert_eq!(stack.condition("Ready").await.unwrap().status, "True", "what runs goes on");
    scale("1");
    eventually(Duration::from_secs(120), "the change arrives", || async {
        (sql(&stack, "SHOW work_mem").trim() == "8MB").then_some(())
    })
    .await;
    stack.wait_within(120, "Degraded", "False").await;
    stack.remove().await;
}

/// A kind that the API server does not serve, then does, then does not.
#[tokio::test]
async fn an_operator_that_is_not_installed_is_named_and_its_installation_is_noticed() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vendor-crds/rustfs.com_tenants.yaml");
    let stack = Stack::new("managed-absent").await;
    let mut spec = managed_spec();
    spec["storage"]["managed"] = json!({"provider": "rustfs"});
    stack.project(&spec);
    let missing = ["tenants.rustfs.com", "install the RustFS operator"];
    stack.wait_for_reason("S3Connected", "ProviderMissing", &missing).await;
    describe(&stack);
    kubectl(&["create", "-f", file]);
    eventually(Duration::from_secs(90), "the Tenant is asked for", || async {
        upstream(&stack, Upstream::RustfsTenant, "orders-rustfs").await
    })
    .await;
    stack.wait_for_reason("S3Connected", "StorageStarting", &["orders-rustfs"]).await;
    describe(&stack);
    kubectl(&["delete", "-f", file]);
    eventually(Duration::from_secs(90), "its removal is noticed", || async {
        stack.condition("S3Connected").await.filter(|condition| condition.reason == "ProviderMissing")
    })
    .await;
    stack.remove().await;
}

/// A namespace has room for one Tenant of MinIO, and a missing StorageClass for none.
#[tokio::test]
async fn a_second_store_in_a_namespace_and_a_missing_storage_class_are_told() {
    let stack = Stack::new("managed-told").await;
    let mut spec = managed_spec();
    spec["database"]["managed"]["storage"] = json!({"storageClassName": "nowhere"});
    stack.project(&spec);
    stack.project_named("second", &managed_spec());
    eventually(Duration::from_secs(60), "the second store is refused", || async {
        let second = stack.projects().get("second").await.unwrap();
        let condition = second.status?.conditions.into_iter().find(|condition| condition.type_ == "S3Connected")?;
        (condition.reason == "NameTaken").then(|| assert_contains(&condition.message, &["orders-minio", "rustfs"]))
    })
    .await;
    eventually(Duration::from_secs(150), "the StorageClass is named", || async {
        let condition = stack.condition("PostgreSQLConnected").await?;
        (condition.reason == "VolumeUnavailable" && condition.message.contains("nowhere")).then_some(())
    })
    .await;
    describe(&stack);
    let shrink = json!({
        "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
        "metadata": {"name": "second", "namespace": stack.namespace},
        "spec": {"storage": {"managed": {"size": "1Mi"}}},
    });
    let refused = run(&["kubectl", "apply", "-f", "-"], Some(&shrink.to_string()));
    assert_contains(&String::from_utf8_lossy(&refused.stderr), &["size cannot shrink"]);
    stack.remove().await;
}
