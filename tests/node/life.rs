//! A project's life: change, damage, loss of the database, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::harness::{Stack, assert_contains, eventually, kubectl, plain_spec};

#[tokio::test]
async fn damage_is_repaired_and_told_once() {
    let stack = Stack::ready("repair").await;

    stack.deployments().delete("orders-meta", &DeleteParams::default()).await.unwrap();
    repaired(&stack, "Deployment orders-meta was deleted by somebody else").await;
    stack.wait_for("MetaReady", "True").await;

    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(stack.client.clone(), &stack.namespace);
    let somebody = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let wrong = json!({"spec": {"selector": {"supabase-operator.dev/project": "nobody"}}});
    services.patch("orders-postgrest", &somebody, &Patch::Merge(wrong)).await.unwrap();
    repaired(&stack, "Service orders-postgrest was changed by somebody; the change was undone").await;
    let selector = services.get("orders-postgrest").await.unwrap().spec.unwrap().selector.unwrap();
    assert_eq!(selector["supabase-operator.dev/project"], "orders");

    kubectl(&["-n", &stack.namespace, "scale", "deployment/orders-postgrest", "--replicas=0"]);
    repaired(&stack, "Deployment orders-postgrest was changed by").await;
    let replicas = stack.deployments().get("orders-postgrest").await.unwrap().spec.replicas;
    assert_eq!(replicas, Some(1));
    stack.wait_for("Ready", "True").await;

    // What somebody adds without touching our fields is left alone.
    let label = json!({"metadata": {"labels": {"theirs": "yes"}}});
    services.patch("orders-meta", &somebody, &Patch::Merge(label)).await.unwrap();
    // A label of ours that is removed makes the object invisible to our watch: it comes back all the same.
    kubectl(&["-n", &stack.namespace, "label", "service/orders-gateway", "app.kubernetes.io/managed-by-"]);
    eventually(Duration::from_secs(20), "the label is back", || async {
        let labels = services.get("orders-gateway").await.unwrap().metadata.labels?;
        labels.contains_key("app.kubernetes.io/managed-by").then_some(())
    })
    .await;
    let theirs = services.get("orders-meta").await.unwrap().metadata.labels.unwrap();
    assert_eq!(theirs["theirs"], "yes");
    stack.remove().await;
}

async fn repaired(stack: &Stack, note: &str) {
    let events = eventually(Duration::from_secs(20), note, || async {
        let events = stack.events("Repaired").await;
        let told: Vec<_> =
            events.into_iter().filter(|event| event.note.as_deref().unwrap_or_default().contains(note)).collect();
        (!told.is_empty()).then_some(told)
    })
    .await;
    // Long enough for a second one, were there a loop.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(events.len(), 1, "{note}");
    assert!(events[0].series.is_none(), "told more than once: {note}");
}

#[tokio::test]
async fn losing_the_database_is_said_and_forgiven() {
    let stack = Stack::ready("database-loss").await;
    stack.sql("CREATE TABLE public.kept (id int); INSERT INTO public.kept VALUES (7)");
    let pods_before =
        kubectl(&["-n", &stack.namespace, "get", "pods", "-l", "supabase-operator.dev/project=orders", "-o", "name"]);
    kubectl(&["-n", &stack.namespace, "scale", "deployment/postgres", "--replicas=0"]);
    let ready = stack.wait_for("Ready", "False").await;
    assert!(ready.message.contains("PostgREST") || ready.message.contains("postgres."), "{}", ready.message);
    let _message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabaseUnreachable", &["orders-postgres", "cannot reach"]).await;
    assert_eq!(stack.condition("Degraded").await.unwrap().status, "True");
    let get = kubectl(&["-n", &stack.namespace, "get", "sbp", "orders"]);
    assert_contains(&get, &["False", "Failed"]);

    kubectl(&["-n", &stack.namespace, "scale", "deployment/postgres", "--replicas=1"]);
    stack.wait_for("Ready", "True").await;
    assert_eq!(stack.condition("Degraded").await.unwrap().status, "False");
    assert_eq!(stack.sql("SELECT id FROM public.kept").trim(), "7");
    let pods_after =
        kubectl(&["-n", &stack.namespace, "get", "pods", "-l", "supabase-operator.dev/project=orders", "-o", "name"]);
    assert_eq!(pods_before, pods_after, "no pod was replaced for it");
    stack.remove().await;
}

#[tokio::test]
async fn every_field_of_the_spec_has_its_effect() {
    let stack = Stack::ready("fields").await;
    let mut spec = plain_spec();
    spec["publicUrl"] = json!("https://api.orders.example.com");
    spec["gateway"] = json!({"replicas": 2});
    spec["postgrest"] = json!({
        "replicas": 2, "schemas": ["api", "public"], "maxRows": 2,
        "extraEnv": [{"name": "PGRST_LOG_LEVEL", "value": "info"}, {"name": "PGRST_DB_EXTRA_SEARCH_PATH", "value": "extensions"}],
    });
    spec["meta"] = json!({
        "replicas": 0, "image": "docker.io/supabase/postgres-meta:v9",
        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "1Gi"}},
    });
    stack.sql("CREATE SCHEMA api; GRANT USAGE ON SCHEMA api TO anon; CREATE TABLE api.rows AS SELECT generate_series(1, 5) AS id; GRANT SELECT ON api.rows TO anon");
    stack.project(&spec);
    let deployment = |name: &'static str| {
        let api = stack.deployments();
        async move { api.get(name).await.unwrap().spec }
    };
    let meta = eventually(Duration::from_secs(30), "meta is scaled to zero", || async {
        Some(deployment("orders-meta").await).filter(|spec| spec.replicas == Some(0))
    })
    .await;
    let container = meta.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("docker.io/supabase/postgres-meta:v9"));
    let resources = container.resources.unwrap();
    assert_eq!(resources.requests.unwrap()["cpu"].0, "500m");
    assert_eq!(resources.limits.unwrap()["memory"].0, "1Gi");
    let _meta = stack.wait_for_reason("MetaReady", "ScaledToZero", &["spec.meta.replicas is 0"]).await;
    assert_eq!(stack.wait_for("Ready", "False").await.reason, "ScaledToZero");

    // Back to one, with the default image: everything else keeps.
    spec["meta"] = json!({});
    stack.project(&spec);
    stack.wait_for("Ready", "True").await;
    eventually(Duration::from_secs(60), "two pods of PostgREST and of the gateway", || async {
        let status = stack.projects().get("orders").await.unwrap().status?;
        let two = |name: &str| {
            status.components.get(name).is_some_and(|component| component.ready_replicas == 2 && component.ready)
        };
        (two("postgrest") && two("gateway")).then_some(())
    })
    .await;
    let anon = stack.key("orders-api-keys", "anon-key").await;
    let rows = reqwest::Client::new()
        .get(format!("{}/rest/v1/rows", stack.gateway()))
        .header("apikey", &anon)
        .send()
        .await
        .unwrap();
    assert_eq!(rows.status(), 200, "schema api is the default one");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&rows.text().await.unwrap()).unwrap();
    assert_eq!(rows.len(), 2, "maxRows");
    assert_eq!(stack.key("orders-api-keys", "url").await, "https://api.orders.example.com");
    let status = stack.projects().get("orders").await.unwrap().status.unwrap();
    assert_eq!(status.endpoints.unwrap().rest.unwrap(), "https://api.orders.example.com/rest/v1");
    let postgrest = deployment("orders-postgrest").await.template.spec.unwrap().containers.remove(0);
    let env: Vec<(String, Option<String>)> =
        postgrest.env.unwrap().into_iter().map(|env| (env.name, env.value)).collect();
    assert!(env.contains(&("PGRST_DB_EXTRA_SEARCH_PATH".to_owned(), Some("extensions".to_owned()))));
    stack.remove().await;
}

/// A rollout of the gateway cuts no request: neither those under way nor those of clients that keep their connection.
#[tokio::test]
async fn requests_survive_a_rollout_of_the_gateway() {
    let stack = Stack::ready("rollout").await;
    stack.sql(
        "CREATE FUNCTION public.slow() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN 1; END $$; NOTIFY pgrst, 'reload schema'",
    );
    let anon = stack.key("orders-api-keys", "anon-key").await;
    let url = format!("{}/rest/v1/rpc/slow", stack.gateway());
    let client = reqwest::Client::new();
    let call = move || {
        let request = client.post(&url).header("apikey", &anon);
        async move { request.send().await.map(|answer| answer.status().as_u16()) }
    };
    eventually(Duration::from_secs(20), "the function is served", || async {
        (call().await.ok()? == 200).then_some(())
    })
    .await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (call, stop, served) = (call.clone(), stop.clone(), served.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let status = call().await.expect("a request was cut");
                    assert_eq!(status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    kubectl(&["-n", &stack.namespace, "rollout", "restart", "deployment/orders-gateway"]);
    kubectl(&["-n", &stack.namespace, "rollout", "status", "deployment/orders-gateway", "--timeout=120s"]);
    eventually(Duration::from_secs(90), "the old pod is gone", || async {
        let pods = kubectl(&[
            "-n",
            &stack.namespace,
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/component=gateway",
            "-o",
            "name",
        ]);
        (pods.lines().count() == 1).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) >= 8, "{} requests were served", served.load(Ordering::Relaxed));
    // `rollout restart` wrote an annotation into the template: not ours, not undone.
    assert!(stack.events("Repaired").await.is_empty());
    stack.remove().await;
}

#[tokio::test]
async fn a_deleted_keys_secret_comes_back_as_it_was() {
    let stack = Stack::ready("keys").await;
    let secrets: Api<Secret> = Api::namespaced(stack.client.clone(), &stack.namespace);
    for name in ["orders-jwt", "orders-database-roles", "orders-api-keys", "orders-gateway"] {
        let before = secrets.get(name).await.unwrap();
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
        let again = eventually(Duration::from_secs(20), name, || async {
            secrets.get_opt(name).await.unwrap().filter(|again| again.metadata.uid != before.metadata.uid)
        })
        .await;
        assert_eq!(before.data, again.data, "{name}");
    }
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

#[tokio::test]
async fn deleting_a_project_removes_its_objects_and_nothing_of_the_user_s() {
    let stack = Stack::ready("deletion").await;
    stack.sql("CREATE TABLE public.kept (id int)");
    let project = stack.projects().get("orders").await.unwrap();
    assert!(project.metadata.finalizers.is_none(), "nothing can wedge the deletion");
    stack.projects().delete("orders", &DeleteParams::default()).await.unwrap();
    eventually(Duration::from_secs(90), "every child is gone", || async {
        stack.children().await.is_empty().then_some(())
    })
    .await;
    let secrets = kubectl(&["-n", &stack.namespace, "get", "secrets", "-o", "name"]);
    assert_contains(&secrets, &["secret/orders-postgres", "secret/orders-s3"]);
    assert!(!secrets.contains("orders-jwt"));
    assert_eq!(stack.sql("SELECT count(*) FROM public.kept").trim(), "0");
    assert_eq!(stack.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'authenticator'").trim(), "1");

    // The same project again takes the same database.
    stack.project(&plain_spec());
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}
