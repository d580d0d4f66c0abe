//! What the operator does not do: calls without need, differences between printing and applying, secrets where they do
//! not belong.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use supabase_operator::offline;

use super::harness::{
    OPERATOR_NAMESPACE, Stack, eventually, kubectl, now, operator_metric, operator_requests, plain_spec, run,
};

#[tokio::test]
async fn a_steady_project_costs_no_call() {
    let stack = Stack::ready("silence").await;
    settle(&stack).await;
    let reconciles = operator_metric("supabase_operator_reconciles_total").await;
    let requests = operator_metric("supabase_operator_api_requests_total").await;
    let since = now();
    // An annotation is a reason to look at the project, and no reason to do anything.
    for turn in 0..5 {
        kubectl(&["-n", &stack.namespace, "annotate", "sbp/orders", "--overwrite", &format!("turn={turn}")]);
        eventually(Duration::from_secs(10), "a reconcile", || async {
            let count = operator_metric("supabase_operator_reconciles_total").await;
            (count >= reconciles + f64::from(turn + 1)).then_some(())
        })
        .await;
    }
    let of_this_project: Vec<String> =
        operator_requests(&since).into_iter().filter(|request| request.contains(&stack.namespace)).collect();
    assert_eq!(of_this_project, Vec::<String>::new(), "calls of five reconciles");
    // The client's own count agrees, but for the lease.
    let lease_calls = operator_metric("supabase_operator_api_requests_total").await - requests;
    assert!(lease_calls <= 8.0, "{lease_calls} calls in all");

    let versions = stack.versions().await;
    let project = stack.projects().get("orders").await.unwrap().metadata.resource_version;
    stack.project(&plain_spec());
    stack.project(&plain_spec());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(versions, stack.versions().await);
    assert_eq!(project, stack.projects().get("orders").await.unwrap().metadata.resource_version);

    restart_writes_nothing(&stack).await;
    lost_keys_are_not_made_anew(&stack).await;
    stack.remove().await;
}

/// Until nothing of this project has been asked or written for three seconds.
async fn settle(stack: &Stack) {
    eventually(Duration::from_secs(60), "silence", || async {
        let since = now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let of_this_project = operator_requests(&since).iter().any(|request| request.contains(&stack.namespace));
        (!of_this_project).then_some(())
    })
    .await;
}

async fn restart_writes_nothing(stack: &Stack) {
    let since = now();
    restart_operator(stack).await;
    let reads = ["get ", "list "];
    let writes: Vec<String> = operator_requests(&since)
        .into_iter()
        .filter(|request| !reads.iter().any(|read| request.starts_with(read)))
        .collect();
    assert_eq!(writes, Vec::<String>::new(), "writes of a restart");
}

/// A new operator, which has looked at every project once.
async fn restart_operator(stack: &Stack) {
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "restart", "deployment/supabase-operator"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/supabase-operator", "--timeout=120s"]);
    eventually(Duration::from_secs(90), "the old operator is gone", || async {
        let pods = kubectl(&["-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "name"]);
        (pods.lines().count() == 1).then_some(())
    })
    .await;
    let since = now();
    eventually(Duration::from_secs(60), "the new operator leads and reconciles", || async {
        (operator_metric("supabase_operator_reconciles_total").await > 0.0).then_some(())
    })
    .await;
    settle(stack).await;
    drop(since);
}

/// An operator that does not remember the keys says so, rather than locking every app out with new ones.
async fn lost_keys_are_not_made_anew(stack: &Stack) {
    let anon = stack.key("orders-api-keys", "anon-key").await;
    let backup = kubectl(&["-n", &stack.namespace, "get", "secret", "orders-jwt", "-o", "json"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=0"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "wait", "--for=delete", "pod", "--all", "--timeout=60s"]);
    kubectl(&["-n", &stack.namespace, "delete", "secret", "orders-jwt"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=1"]);
    let message = stack.wait_for_reason("SecretsReady", "KeysMissing").await;
    assert!(message.contains("test-silence/orders-jwt") && message.contains("restore"), "{message}");
    let mut backup: Value = serde_json::from_str(&backup).unwrap();
    backup["metadata"] = json!({"name": "orders-jwt", "namespace": stack.namespace});
    stack.apply(&backup.to_string());
    stack.wait_for("Ready", "True").await;
    assert_eq!(anon, stack.key("orders-api-keys", "anon-key").await);
}

/// `supabase-operator render`, given the cluster's project and Secrets, prints what the cluster holds.
#[tokio::test]
async fn what_is_printed_is_what_the_cluster_holds() {
    let stack = Stack::ready("render").await;
    let mut documents = kubectl(&["-n", &stack.namespace, "get", "sbp", "orders", "-o", "json"]);
    for secret in ["orders-postgres", "orders-s3", "orders-jwt", "orders-database-roles"] {
        documents.push_str("\n---\n");
        documents.push_str(&kubectl(&["-n", &stack.namespace, "get", "secret", secret, "-o", "json"]));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), documents).unwrap();
    let printed: Vec<Value> = serde_saphyr::from_multiple(&offline::render(file.path()).unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for object in &printed {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let live = kubectl(&["-n", &stack.namespace, "get", kind, name, "-o", "json"]);
        contains(&format!("{kind}/{name}"), &serde_json::from_str(&live).unwrap(), object);
        names.insert(format!("{kind}/{name}"));
    }
    let live: BTreeSet<String> = stack
        .children()
        .await
        .iter()
        .map(|child| format!("{}/{}", child.types.as_ref().unwrap().kind, child.metadata.name.as_deref().unwrap()))
        .filter(|name| !["Secret/orders-jwt", "Secret/orders-database-roles"].contains(&name.as_str()))
        .collect();
    assert_eq!(names, live);
    stack.remove().await;
}

/// Everything that is wanted is there; the server may add defaults to objects, not items to lists.
fn contains(path: &str, live: &Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                contains(&format!("{path}/{name}"), live.get(name).unwrap_or(&Value::Null), wanted);
            }
        }
        (Value::Array(live), Value::Array(wanted)) => {
            assert_eq!(live.len(), wanted.len(), "{path}");
            for (index, (live, wanted)) in live.iter().zip(wanted).enumerate() {
                contains(&format!("{path}[{index}]"), live, wanted);
            }
        }
        _ => assert_eq!(live, wanted, "{path}"),
    }
}

/// Every value of every Secret of a project, looked for in everything else that the cluster and the operator show.
#[tokio::test]
async fn no_secret_value_leaves_its_secret() {
    let stack = Stack::ready("leaks").await;
    stack.database_secret(&[("password", "a-wrong-password-that-is-refused")]);
    stack.wait_for_reason("PostgreSQLConnected", "DatabaseAuthenticationFailed").await;
    stack.database_secret(&[]);
    stack.wait_for("Ready", "True").await;

    let secrets: Api<Secret> = Api::namespaced(stack.client.clone(), &stack.namespace);
    let mut values: BTreeSet<String> = BTreeSet::from(["a-wrong-password-that-is-refused".to_owned()]);
    for secret in secrets.list(&ListParams::default()).await.unwrap() {
        for (key, value) in secret.data.unwrap_or_default() {
            let public =
                ["host", "port", "database", "username", "endpoint", "region", "bucket", "url", "ca.crt", "tls.crt"];
            if !public.contains(&key.as_str()) {
                values.insert(String::from_utf8(value.0).unwrap());
            }
        }
    }
    assert!(values.len() > 15, "{} values", values.len());

    let kinds =
        "pods,deployments,replicasets,services,serviceaccounts,configmaps,events,supabaseprojects,endpointslices";
    let mut shown = kubectl(&["-n", &stack.namespace, "get", kinds, "-o", "json"]);
    shown.push_str(&kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "deployment/supabase-operator", "--tail=-1"]));
    for component in ["gateway", "postgrest", "meta"] {
        shown.push_str(&kubectl(&[
            "-n",
            &stack.namespace,
            "logs",
            &format!("deployment/orders-{component}"),
            "--tail=-1",
        ]));
    }
    shown.push_str(&kubectl(&["-n", &stack.namespace, "logs", "deployment/postgres", "--tail=-1"]));
    let arguments = run(&["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], None).stdout;
    // A kubectl of this test would show what it was given.
    shown.push_str(&String::from_utf8_lossy(&arguments));
    for value in values {
        assert!(!shown.contains(&value), "a Secret's value of {} characters is shown", value.len());
    }
    stack.remove().await;
}

/// Two instances: one writes. When it goes, the other goes on.
#[tokio::test]
async fn a_second_instance_takes_over() {
    let stack = Stack::ready("leader").await;
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=2"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/supabase-operator", "--timeout=120s"]);
    let holder = || {
        kubectl(&[
            "-n",
            OPERATOR_NAMESPACE,
            "get",
            "lease",
            "supabase-operator",
            "-o",
            "jsonpath={.spec.holderIdentity}",
        ])
    };
    let first = holder();
    kubectl(&["-n", OPERATOR_NAMESPACE, "delete", "pod", &first, "--grace-period=0", "--force"]);
    let mut spec = plain_spec();
    spec["postgrest"] = json!({"maxRows": 3});
    stack.project(&spec);
    eventually(Duration::from_secs(60), "the other instance applies the change", || async {
        let map = kubectl(&[
            "-n",
            &stack.namespace,
            "get",
            "configmap",
            "orders-postgrest",
            "-o",
            "jsonpath={.data.PGRST_DB_MAX_ROWS}",
        ]);
        (map == "3").then_some(())
    })
    .await;
    assert_ne!(first, holder());
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=1"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", "deployment/supabase-operator", "--timeout=120s"]);
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}
