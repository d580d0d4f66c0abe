//! Whole projects on a database whose administrator is no superuser: the master user of a managed service, and a user who
//! only verifies what somebody else prepared.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use supabase_operator::sql::{Profile, Role, script};

use super::harness::{Stack, assert_contains, complete_spec, kubectl_with};

const LIMITED: &str = "limited-password";

/// A PostgreSQL with a database `app` and a user of these attributes.
async fn stack(name: &str, user: &str, attributes: &str, owner: &str) -> Stack {
    let stack = Stack::new(name).await;
    stack.postgres(None);
    stack.sql(&format!("CREATE ROLE {user} LOGIN {attributes} PASSWORD '{LIMITED}'"));
    stack.sql(&format!("CREATE DATABASE app OWNER {owner}"));
    stack.database_secret(&[("database", "app"), ("username", user), ("password", LIMITED)]);
    stack.storage_secret(&[]);
    stack
}

/// Rows by the service key, and a file that it uploads and reads: what a backend does.
async fn is_served(stack: &Stack) {
    let key = stack.key("orders-service-keys", "secret-key").await;
    let client = reqwest::Client::new();
    let send = async |request: reqwest::RequestBuilder| {
        let answer = request.header("apikey", &key).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{status} {text}");
        text
    };
    let url = |path: &str| format!("{}/{path}", stack.gateway());
    let bucket = json!({"id": "files", "name": "files", "public": false});
    let kind = "content-type";
    send(client.post(url("storage/v1/bucket")).header(kind, "application/json").body(bucket.to_string())).await;
    send(client.post(url("storage/v1/object/files/one")).header(kind, "text/plain").body("one")).await;
    assert_eq!(send(client.get(url("storage/v1/object/files/one"))).await, "one");
    let rows = send(client.get(url("rest/v1/rows?select=id"))).await;
    assert_eq!(serde_json::from_str::<Value>(&rows).unwrap(), json!([{"id": 1}]));
}

/// A statement of the database's owner in the project's database.
fn in_app(stack: &Stack, statements: &str) -> String {
    let psql = [
        "exec",
        "-i",
        "deployment/postgres",
        "--",
        "psql",
        "-U",
        "postgres",
        "-d",
        "app",
        "-v",
        "ON_ERROR_STOP=1",
        "-At",
    ];
    kubectl_with(&[&["-n", stack.namespace.as_str()][..], &psql].concat(), statements)
}

#[tokio::test]
async fn a_master_user_of_a_managed_service_is_enough() {
    let stack = stack("master", "master", "CREATEROLE CREATEDB", "master").await;
    stack.project(&complete_spec());
    stack.wait_for("Ready", "True").await;
    assert_contains(&stack.condition("PostgreSQLConnected").await.unwrap().message, &["profile ManagedService"]);
    let realtime = stack.condition("RealtimeReady").await.unwrap();
    assert_eq!(
        (realtime.status.as_str(), realtime.reason.as_str()),
        ("False", "DatabaseLimited"),
        "{}",
        realtime.message
    );
    in_app(
        &stack,
        "CREATE TABLE public.rows AS SELECT 1 AS id; GRANT SELECT ON public.rows TO service_role; NOTIFY pgrst, 'reload schema'",
    );
    is_served(&stack).await;
    stack.remove().await;
}

#[tokio::test]
async fn what_an_administrator_prepared_is_enough() {
    let stack = stack("prepared", "verifier", "", "postgres").await;
    let mut spec = complete_spec();
    spec["database"]["privileges"] = json!("Prepared");
    stack.project(&spec);
    stack.wait_for_reason("DatabaseInitialized", "DatabaseUnprepared", &["supabase-operator sql"]).await;

    let secrets: Api<Secret> = Api::namespaced(stack.client.clone(), &stack.namespace);
    let passwords = secrets.get("orders-database-roles").await.unwrap().data.unwrap();
    let mut statements = String::new();
    for role in Role::LOGINS {
        let password = String::from_utf8(passwords[role.name()].0.clone()).unwrap();
        let _ = writeln!(statements, "\\set {} {password}", role.name());
    }
    statements += &script(Profile::Superuser, &format!("{}/orders", stack.namespace), "verifier");
    in_app(&stack, &statements);
    in_app(&stack, "CREATE TABLE public.rows AS SELECT 1 AS id; GRANT SELECT ON public.rows TO service_role");
    stack.wait_for("Ready", "True").await;
    assert_contains(&stack.condition("PostgreSQLConnected").await.unwrap().message, &["profile Prepared"]);
    assert_eq!(stack.condition("RealtimeReady").await.unwrap().status, "True");
    is_served(&stack).await;
    stack.remove().await;
}
