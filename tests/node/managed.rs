//! Databases and object stores that other operators run: the real CloudNativePG, and a stand-in of the MinIO operator
//! with real MinIO servers.

use std::time::Duration;

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
    api.get_opt(name).await.unwrap()
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
    let generation = |object: Option<DynamicObject>| object.unwrap().metadata.generation;
    let before = (
        generation(upstream(&stack, Upstream::Cluster, "orders-db").await),
        generation(upstream(&stack, Upstream::MinioTenant, "orders-minio").await),
    );
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
    let after = (
        generation(upstream(&stack, Upstream::Cluster, "orders-db").await),
        generation(upstream(&stack, Upstream::MinioTenant, "orders-minio").await),
    );
    assert_eq!(before, after);

    let mut asleep = managed_spec();
    asleep["suspend"] = json!(true);
    stack.project(&asleep);
    stack.wait_for_reason("Ready", "Suspended", &["set spec.suspend to false"]).await;
    assert_eq!(names::<Pod>(&stack).await, Vec::<String>::new());
    assert_eq!(names::<PersistentVolumeClaim>(&stack).await, claims);

    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;
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
    stack.project(&managed_spec());
    stack.wait_for("Ready", "True").await;
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
    let shrink = json!({
        "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
        "metadata": {"name": "second", "namespace": stack.namespace},
        "spec": {"storage": {"managed": {"size": "1Mi"}}},
    });
    let refused = run(&["kubectl", "apply", "-f", "-"], Some(&shrink.to_string()));
    assert_contains(&String::from_utf8_lossy(&refused.stderr), &["size cannot shrink"]);
    stack.remove().await;
}
