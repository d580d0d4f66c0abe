//! Every component together: the order in which they come, and what is said of one that does not.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Stack, complete_spec, eventually, operator_requests, plain_spec};

/// Components by wave, and what Auth and Realtime need before they serve.
const WAVES: [&[&str]; 5] = [
    &["orders-gateway", "orders-auth"],
    &["orders-postgrest"],
    &["orders-realtime", "orders-storage", "orders-imgproxy"],
    &["orders-meta"],
    &["orders-studio", "orders-functions"],
];

const CONDITIONS: [&str; 9] = [
    "GatewayReady",
    "AuthReady",
    "PostgRESTReady",
    "RealtimeReady",
    "StorageAPIReady",
    "ImgproxyReady",
    "MetaReady",
    "StudioReady",
    "FunctionsReady",
];

#[tokio::test]
async fn a_bring_up_goes_in_waves_with_few_writes_and_ends_with_every_condition() {
    let stack = Stack::complete("complete").await;
    // An earlier run's namespace may have been ending until then.
    let created = stack.projects().get("orders").await.unwrap().metadata.creation_timestamp.unwrap().0;
    let since = created.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let requests: Vec<String> =
        operator_requests(&since).into_iter().filter(|request| request.contains(&stack.namespace)).collect();
    let order: Vec<&str> = requests
        .iter()
        .filter_map(|request| request.strip_prefix(&format!("patch deployments {}/", stack.namespace)))
        .map(str::trim)
        .collect();
    let mut rest = order.as_slice();
    for wave in WAVES {
        let (mut now, later) = rest.split_at(wave.len());
        let mut sorted = now.to_vec();
        sorted.sort_unstable();
        let mut wanted = wave.to_vec();
        wanted.sort_unstable();
        now = &sorted;
        assert_eq!(now, wanted, "of {order:?}");
        rest = later;
    }
    assert!(rest.is_empty(), "each Deployment is written once: {order:?}");
    for component in ["auth", "realtime"] {
        let position = |start: String| requests.iter().position(|request| request.starts_with(&start)).unwrap();
        let job = position(format!("patch jobs {}/orders-{component}-", stack.namespace));
        let deployment = position(format!("patch deployments {}/orders-{component} ", stack.namespace));
        assert!(job < deployment, "{component} serves after its migration");
    }
    let writes = |verb: &str| requests.iter().filter(|request| request.starts_with(verb)).count();
    let status = requests.iter().filter(|request| request.ends_with(" status")).count();
    let objects = stack.children().await.len();
    println!("{objects} objects, {} PATCHes, {status} status writes", writes("patch ") - status);
    assert!(status <= 6, "{status} status writes");
    for type_ in CONDITIONS {
        assert_eq!(stack.condition(type_).await.unwrap().status, "True", "{type_}");
    }
    let jobs = stack.children().await.into_iter().filter(|(kind, _)| kind.as_str() == "Job").count();
    assert_eq!(jobs, 0, "a migration that was done leaves no Job");
    stack.remove().await;
}

/// A crash loop is told with the program's own last words, a migration that fails too; and mending is enough.
#[tokio::test]
async fn a_program_that_ends_again_and_again_is_quoted() {
    let stack = Stack::new("crash").await;
    stack.postgres(None);
    stack.database_secret(&[]);
    stack.storage_secret(&[]);
    let mut spec = plain_spec();
    spec["auth"] = complete_spec()["auth"].clone();
    spec["auth"]["extraEnv"] = json!([{"name": "GOTRUE_DB_DRIVER", "value": "mysql"}]);
    spec["imgproxy"] = complete_spec()["imgproxy"].clone();
    spec["imgproxy"]["extraEnv"] = json!([{"name": "IMGPROXY_MAX_SRC_RESOLUTION", "value": "large"}]);
    stack.project(&spec);
    let _migration = stack.wait_for_reason("AuthReady", "MigrationFailed", &["Auth", "GOTRUE_DB_DRIVER"]).await;
    let project = stack.projects().get("orders").await.unwrap().status.unwrap();
    assert_eq!(serde_json::to_value(project.phase).unwrap(), "Failed");
    assert!(project.message.unwrap().contains("GOTRUE_DB_DRIVER"));

    spec["auth"]["extraEnv"] = json!([]);
    stack.project(&spec);
    let message =
        stack.wait_for_reason("ImgproxyReady", "ComponentCrashing", &["IMGPROXY_MAX_SRC_RESOLUTION", "code 1"]).await;
    assert!(message.starts_with("imgproxy: "), "{message}");

    spec["imgproxy"]["extraEnv"] = json!([]);
    stack.project(&spec);
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

/// An image that is not there is told, and the pods that serve go on.
#[tokio::test]
async fn a_bad_image_of_a_running_component_changes_nothing_for_its_users() {
    let stack = Stack::ready("image").await;
    let mut spec = plain_spec();
    spec["meta"] = json!({"image": "docker.io/supabase/postgres-meta:never-made"});
    stack.project(&spec);
    let told = stack.wait_for_reason("MetaReady", "Progressing", &["1 of 1 pods available", "never-made"]).await;
    assert!(told.contains("cannot be had"), "{told}");
    assert_eq!(stack.condition("Ready").await.unwrap().status, "True");
    spec["meta"] = json!({});
    stack.project(&spec);
    eventually(Duration::from_secs(60), "the message is gone", || async {
        let condition = stack.condition("MetaReady").await?;
        (condition.reason == "Available").then_some(())
    })
    .await;
    stack.remove().await;
}

/// What is switched off goes with its objects and its routes, and comes back.
#[tokio::test]
async fn a_component_that_is_switched_off_is_gone() {
    let stack = Stack::complete("switch").await;
    let mut spec = complete_spec();
    spec["studio"] = json!({"enabled": false});
    spec["imgproxy"] = json!({"enabled": false});
    spec["functions"] = json!({"enabled": false});
    stack.project(&spec);
    eventually(Duration::from_secs(60), "no object of them", || async {
        let left = stack.children().await.into_iter().any(|(_, child)| {
            let name = child.metadata.name.unwrap_or_default();
            ["orders-studio", "orders-imgproxy", "orders-functions", "orders-dashboard"].contains(&name.as_str())
        });
        (!left).then_some(())
    })
    .await;
    let get = |path: &str| {
        let url = format!("{}{path}", stack.gateway());
        async move { reqwest::get(url).await.unwrap().status().as_u16() }
    };
    eventually(Duration::from_secs(60), "their routes are shut", || async {
        (get("/functions/v1/hello").await == 503 && get("/").await == 404).then_some(())
    })
    .await;
    stack.wait_for("Ready", "True").await;
    assert!(stack.condition("StudioReady").await.is_none());
    let storage = stack.deployments().get("orders-storage").await.unwrap();
    let config: k8s_openapi::api::core::v1::ConfigMap =
        kube::Api::namespaced(stack.client.clone(), &stack.namespace).get("orders-storage").await.unwrap();
    assert_eq!(config.data.unwrap()["IMAGE_TRANSFORMATION_ENABLED"], "false");
    assert!(storage.status.unwrap().available_replicas.unwrap_or_default() > 0);

    stack.project(&complete_spec());
    let ready = || async {
        let status: Value = serde_json::to_value(stack.projects().get("orders").await.unwrap().status?).ok()?;
        let running = |name: &str| status["components"][name]["phase"] == "Running";
        (running("studio") && running("functions") && running("imgproxy")).then_some(())
    };
    eventually(Duration::from_secs(120), "they are back", ready).await;
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

/// The pooler comes when it is asked for, and knows its tenant; two replicas of Realtime find each other.
#[tokio::test]
async fn the_pooler_and_a_second_realtime_come_when_asked_for() {
    let stack = Stack::ready("pooler").await;
    let mut spec = plain_spec();
    let small = json!({"requests": {"cpu": "5m", "memory": "16Mi"}});
    spec["pooler"] = json!({"enabled": true, "resources": small});
    spec["realtime"] = json!({"replicas": 2, "resources": small});
    stack.project(&spec);
    let _pooler = stack.wait_for("PoolerReady", "True").await;
    stack.wait_for("RealtimeReady", "True").await;
    let two = || async {
        let status = stack.projects().get("orders").await.unwrap().status?;
        status.components.get("realtime").filter(|component| component.ready_replicas == 2).map(drop)
    };
    eventually(Duration::from_secs(90), "two replicas of Realtime", two).await;
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}
