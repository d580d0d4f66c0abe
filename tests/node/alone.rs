//! Tests that stop the operator or count all that it does: nothing else may run beside them.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{
    OPERATOR_NAMESPACE, Stack, apply, complete_spec, eventually, kubectl, now, operator_metric, operator_requests,
    plain_spec, run,
};
use super::silence::settle;

#[tokio::test]
async fn a_steady_project_costs_no_call() {
    let stack = Stack::complete("steady").await;
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
    stack.project(&complete_spec());
    stack.project(&complete_spec());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(versions, stack.versions().await);
    assert_eq!(project, stack.projects().get("orders").await.unwrap().metadata.resource_version);

    stack.remove().await;
}

#[tokio::test]
async fn a_restart_writes_nothing_and_loses_nothing() {
    let stack = Stack::ready("restart").await;
    settle(&stack).await;
    restart_writes_nothing(&stack).await;
    lost_keys_are_not_made_anew(&stack).await;
    stack.remove().await;
}

async fn restart_writes_nothing(stack: &Stack) {
    let since = now();
    restart_operator(stack).await;
    let reads = ["get ", "list "];
    let steady = [stack.namespace.as_str(), "demo"];
    let writes: Vec<String> = operator_requests(&since)
        .into_iter()
        .filter(|request| !reads.iter().any(|read| request.starts_with(read)))
        // Other tests' namespaces may still be ending.
        .filter(|request| steady.iter().any(|namespace| request.contains(&format!(" {namespace}/"))))
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
    eventually(Duration::from_secs(60), "the new operator leads and reconciles", || async {
        (operator_metric("supabase_operator_reconciles_total").await > 0.0).then_some(())
    })
    .await;
    settle(stack).await;
}

/// An operator that does not remember the keys says so, rather than locking every app out with new ones.
async fn lost_keys_are_not_made_anew(stack: &Stack) {
    let anon = stack.key("orders-api-keys", "anon-key").await;
    let backup = kubectl(&["-n", &stack.namespace, "get", "secret", "orders-jwt", "-o", "json"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=0"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "wait", "--for=delete", "pod", "--all", "--timeout=60s"]);
    kubectl(&["-n", &stack.namespace, "delete", "secret", "orders-jwt"]);
    kubectl(&["-n", OPERATOR_NAMESPACE, "scale", "deployment/supabase-operator", "--replicas=1"]);
    let message = stack.wait_for_reason("SecretsReady", "KeysMissing", &[]).await;
    assert!(message.contains("test-restart/orders-jwt") && message.contains("restore"), "{message}");
    let mut backup: Value = serde_json::from_str(&backup).unwrap();
    backup["metadata"] = json!({"name": "orders-jwt", "namespace": stack.namespace});
    apply(&backup.to_string());
    stack.wait_for("Ready", "True").await;
    assert_eq!(anon, stack.key("orders-api-keys", "anon-key").await);
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

/// With `watchNamespaces` the operator has rights in these namespaces only, and that is enough.
#[tokio::test]
async fn an_operator_of_some_namespaces_needs_no_more() {
    let served = Stack::new("served").await;
    let unserved = Stack::new("unserved").await;
    served.postgres(None);
    for stack in [&served, &unserved] {
        stack.database_secret(&[]);
        stack.storage_secret(&[]);
    }
    helm(&["--set", &format!("watchNamespaces={{{}}}", served.namespace)]);
    served.project(&plain_spec());
    unserved.project(&plain_spec());
    served.wait_for("Ready", "True").await;
    let status = unserved.projects().get("orders").await.unwrap().status;
    assert!(status.is_none(), "a project of another namespace was touched: {status:?}");
    let cluster_wide = run(&["kubectl", "get", "clusterrole", "supabase-operator"], None);
    assert!(!cluster_wide.status.success(), "cluster-wide rights are left");

    helm(&[]);
    // There is no database in that namespace, which it says: it is served now.
    unserved.wait_for_reason("PostgreSQLConnected", "DatabaseUnreachable", &["test-unserved"]).await;
    served.remove().await;
    unserved.remove().await;
}

/// Upgrades the release that the demo installed: the same image, and these further values.
fn helm(values: &[&str]) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/supabase-operator");
    let upgrade =
        ["helm", "upgrade", "supabase-operator", chart, "-n", OPERATOR_NAMESPACE, "--wait", "--set", "image.tag=dev"];
    let output = run(&[&upgrade[..], values].concat(), None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
