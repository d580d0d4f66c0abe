//! What the operator does not do: calls without need, differences between printing and applying, secrets where they do
//! not belong.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use serde_json::Value;
use supabase_operator::offline;

use super::harness::{OPERATOR_NAMESPACE, Stack, eventually, kubectl, now, operator_requests, run};

/// Until nothing of this project has been asked or written for three seconds.
pub async fn settle(stack: &Stack) {
    eventually(Duration::from_secs(60), "silence", || async {
        let since = now();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let of_this_project = operator_requests(&since).iter().any(|request| request.contains(&stack.namespace));
        (!of_this_project).then_some(())
    })
    .await;
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
        .map(|(kind, child)| format!("{}/{}", kind.as_str(), child.metadata.name.as_deref().unwrap()))
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
    let stack = Stack::complete("leaks").await;
    stack.database_secret(&[("password", "a-wrong-password-that-is-refused")]);
    stack.wait_for_reason("PostgreSQLConnected", "DatabaseAuthenticationFailed", &[]).await;
    stack.database_secret(&[]);
    stack.wait_for("Ready", "True").await;

    let secrets: Api<Secret> = Api::namespaced(stack.client.clone(), &stack.namespace);
    let mut values: BTreeSet<String> = BTreeSet::from(["a-wrong-password-that-is-refused".to_owned()]);
    for secret in secrets.list(&ListParams::default()).await.unwrap() {
        for (key, value) in secret.data.unwrap_or_default() {
            let public = [
                "host",
                "port",
                "database",
                "username",
                "endpoint",
                "region",
                "bucket",
                "url",
                "ca.crt",
                "tls.crt",
                // What Edge Functions read beside their secrets.
                "SUPABASE_URL",
                "SUPABASE_PUBLIC_URL",
                "VERIFY_JWT",
                "DENO_DIR",
                "HOME",
            ];
            if !public.contains(&key.as_str()) {
                values.insert(String::from_utf8(value.0).unwrap());
            }
        }
    }
    assert!(values.len() > 15, "{} values", values.len());

    let kinds =
        "pods,deployments,replicasets,jobs,services,serviceaccounts,configmaps,events,supabaseprojects,endpointslices";
    let mut shown = kubectl(&["-n", &stack.namespace, "get", kinds, "-o", "json"]);
    shown.push_str(&kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "deployment/supabase-operator", "--tail=-1"]));
    for component in ["gateway", "auth", "postgrest", "realtime", "storage", "imgproxy", "meta", "studio", "functions"]
    {
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
