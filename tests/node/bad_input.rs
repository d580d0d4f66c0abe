//! What a user gets wrong is said in words, nothing half-made runs, and mending it is enough.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Certificate, PASSWORD, Stack, apply, assert_contains, kubectl, plain_spec, run};

/// Nothing but what was there before: the operator has made nothing.
async fn nothing_runs(stack: &Stack) {
    let children = stack.children().await;
    assert!(children.is_empty(), "half-made: {children:?}");
}

/// Each mistake in turn, each mended, on one project that is never touched itself.
#[tokio::test]
async fn wrong_database_settings_are_named_and_mending_them_is_enough() {
    let stack = Stack::new("bad-database").await;
    stack.postgres(None);
    stack.storage_secret(&[]);
    stack.project(&plain_spec());
    let _message = stack
        .wait_for_reason(
            "PostgreSQLConnected",
            "SecretMissing",
            &["spec.database.secretRef", "test-bad-database/orders-postgres", "create it"],
        )
        .await;

    let without_port = BTreeMap::from([("host", "x"), ("database", "x"), ("username", "x"), ("password", "x")]);
    stack.secret("orders-postgres", &without_port);
    let _message = stack
        .wait_for_reason("PostgreSQLConnected", "SecretKeyMissing", &["orders-postgres", "\"port\"", "add it"])
        .await;

    stack.database_secret(&[("password", "wrong")]);
    let message = stack
        .wait_for_reason(
            "PostgreSQLConnected",
            "DatabaseAuthenticationFailed",
            &["\"postgres\"", "\"password\"", "orders-postgres"],
        )
        .await;
    assert!(!message.contains("wrong"), "a password in a condition: {message}");

    stack.database_secret(&[("host", "nobody.example.svc")]);
    let _message = stack
        .wait_for_reason(
            "PostgreSQLConnected",
            "DatabaseUnreachable",
            &["nobody.example.svc:5432", "\"host\"", "orders-postgres"],
        )
        .await;

    stack.database_secret(&[("database", "absent")]);
    let _message = stack.wait_for_reason("PostgreSQLConnected", "DatabaseMissing", &["absent", "create it"]).await;

    stack.sql("CREATE ROLE weak LOGIN PASSWORD 'weak'");
    stack.database_secret(&[("username", "weak"), ("password", "weak")]);
    let _message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabasePrivilegeMissing", &["\"weak\"", "superuser"]).await;

    nothing_runs(&stack).await;
    let ready = stack.condition("Ready").await.unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "DatabasePrivilegeMissing"));

    let mended = Instant::now();
    stack.database_secret(&[]);
    stack.wait_for("PostgreSQLConnected", "True").await;
    assert!(mended.elapsed() < Duration::from_secs(10), "{:?}", mended.elapsed());
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

#[tokio::test]
async fn a_database_of_another_tls_mode_is_named() {
    let stack = Stack::new("bad-tls").await;
    stack.postgres(None);
    stack.database_secret(&[]);
    stack.storage_secret(&[]);
    let spec =
        |database: serde_json::Value| json!({"database": database, "storage": {"secretRef": {"name": "orders-s3"}}});
    stack.project(&spec(json!({"secretRef": {"name": "orders-postgres"}})));
    let _message = stack
        .wait_for_reason("PostgreSQLConnected", "DatabaseTlsMismatch", &["sslMode require", "spec.database.sslMode"])
        .await;

    // Now a server that has TLS and insists on it.
    let certificate = Certificate::of(&stack.namespace);
    stack.postgres(Some(&certificate));
    let insist = "sed -i 's/^host  all /hostssl all /' /tmp/hba 2>/dev/null; true";
    let _ = run(&["kubectl", "-n", &stack.namespace, "exec", "deployment/postgres", "--", "sh", "-c", insist], None);
    let map = kubectl(&["-n", &stack.namespace, "get", "configmap", "postgres", "-o", "json"]);
    apply(&map.replace("host  all all", "hostssl all all"));
    kubectl(&["-n", &stack.namespace, "rollout", "restart", "deployment/postgres"]);
    kubectl(&["-n", &stack.namespace, "rollout", "status", "deployment/postgres", "--timeout=120s"]);
    stack.project(&spec(json!({"secretRef": {"name": "orders-postgres"}, "sslMode": "disable"})));
    let _message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabaseTlsMismatch", &["the server wants TLS", "sslMode"]).await;

    // Another authority than the one that signed.
    let other = Certificate::of(&stack.namespace);
    stack.secret("orders-ca", &BTreeMap::from([("ca.crt", other.authority.as_str())]));
    let verified = json!({
        "secretRef": {"name": "orders-postgres"}, "sslMode": "verify-full", "caSecretRef": {"name": "orders-ca"},
    });
    stack.project(&spec(verified.clone()));
    let _message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabaseTlsMismatch", &["verify-full", "caSecretRef"]).await;
    nothing_runs(&stack).await;

    stack.secret("orders-ca", &BTreeMap::from([("ca.crt", certificate.authority.as_str())]));
    stack.wait_for("Ready", "True").await;
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'authenticator'";
    assert_eq!(stack.sql(encrypted).trim(), "t", "PostgREST's connections are encrypted");
    for mode in ["require", "verify-ca"] {
        let mut database = verified.clone();
        database["sslMode"] = json!(mode);
        stack.project(&spec(database));
        let generation = stack.projects().get("orders").await.unwrap().metadata.generation;
        super::harness::eventually(Duration::from_secs(90), mode, || async {
            let settled = stack.condition("Progressing").await?;
            (settled.status == "False" && settled.observed_generation == generation).then_some(())
        })
        .await;
        stack.wait_for("Ready", "True").await;
    }
    stack.remove().await;
}

#[tokio::test]
async fn wrong_storage_settings_are_named_and_mending_them_is_enough() {
    let stack = Stack::new("bad-storage").await;
    stack.postgres(None);
    stack.database_secret(&[]);
    stack.project(&plain_spec());
    let _message =
        stack.wait_for_reason("S3Connected", "SecretMissing", &["spec.storage.secretRef", "orders-s3"]).await;

    stack.storage_secret(&[("endpoint", "minio.external.svc:9000")]);
    let _message = stack.wait_for_reason("S3Connected", "SecretInvalid", &["\"endpoint\"", "http://"]).await;

    stack.storage_secret(&[("endpoint", "http://nobody.example.svc:9000")]);
    let _message =
        stack.wait_for_reason("S3Connected", "StorageUnreachable", &["nobody.example.svc", "orders-s3"]).await;

    stack.storage_secret(&[("secretAccessKey", "wrong-secret")]);
    let message =
        stack.wait_for_reason("S3Connected", "StorageCredentialsRefused", &["\"secretAccessKey\"", "orders-s3"]).await;
    assert!(!message.contains("wrong-secret"));

    // A user that may use one bucket and make none.
    let allowed = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject","s3:ListBucket"],"Resource":["arn:aws:s3:::bounded","arn:aws:s3:::bounded/*","arn:aws:s3:::absent","arn:aws:s3:::absent/*"]}]}"#;
    let policy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(policy.path(), allowed).unwrap();
    let made = run(
        &[
            "minio-user",
            "http://minio.external.svc:9000",
            "demo-access-key",
            "demo-secret-access-key",
            "bounded-user",
            "bounded-secret",
            policy.path().to_str().unwrap(),
        ],
        None,
    );
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bounded = [("accessKeyId", "bounded-user"), ("secretAccessKey", "bounded-secret")];
    stack.storage_secret(&[&bounded[..], &[("bucket", "absent")]].concat());
    let _message = stack
        .wait_for_reason("S3Connected", "BucketMissing", &["\"absent\"", "does not exist", "s3:CreateBucket"])
        .await;
    nothing_runs(&stack).await;

    let mended = Instant::now();
    stack.storage_secret(&[]);
    stack.wait_for("BucketReady", "True").await;
    assert!(mended.elapsed() < Duration::from_secs(10), "{:?}", mended.elapsed());
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

/// Hostile characters in each place where users put a password.
#[tokio::test]
async fn passwords_with_every_character_work() {
    let stack = Stack::new("passwords").await;
    stack.postgres(None);
    stack.storage_secret(&[]);
    assert_eq!(PASSWORD, "p@ss:w/o?r#d%");
    let hostile = r#"q'u"o\te $x `y` %41&=+ ö"#;
    stack.sql(&format!("ALTER ROLE postgres PASSWORD {}", "E'q''u\"o\\\\te $x `y` %41&=+ ö'"));
    stack.database_secret(&[("password", hostile)]);
    stack.project(&plain_spec());
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

/// Somebody else's objects with names that we would use stay as they are.
#[tokio::test]
async fn objects_of_somebody_else_are_never_taken_over() {
    let stack = Stack::new("names").await;
    stack.postgres(None);
    stack.database_secret(&[]);
    stack.storage_secret(&[]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "orders-postgrest", "namespace": stack.namespace, "labels": {"theirs": "yes"}},
        "spec": {"ports": [{"port": 1234}]},
    });
    // One that even carries our labels, without being a project's.
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "orders-gateway", "namespace": stack.namespace,
            "labels": {"app.kubernetes.io/managed-by": "supabase-operator", "supabase-operator.dev/project": "orders"},
        },
        "data": {"theirs": "yes"},
    });
    apply(&service.to_string());
    apply(&map.to_string());
    let read = |kind: &str, name: &str| kubectl(&["-n", &stack.namespace, "get", kind, name, "-o", "json"]);
    let before = (read("service", "orders-postgrest"), read("configmap", "orders-gateway"));

    stack.project(&plain_spec());
    let _message = stack
        .wait_for_reason("Ready", "NameTaken", &["ConfigMap test-names/orders-gateway", "does not belong", "rename"])
        .await;
    kubectl(&["-n", &stack.namespace, "delete", "configmap", "orders-gateway"]);
    let what = "the next name is named";
    super::harness::eventually(Duration::from_secs(60), what, || async {
        stack.condition("Ready").await.filter(|ready| ready.message.contains("Service test-names/orders-postgrest"))
    })
    .await;
    assert_eq!(before.0, read("service", "orders-postgrest"), "not one field changed");

    kubectl(&["-n", &stack.namespace, "delete", "service", "orders-postgrest"]);
    stack.wait_for("Ready", "True").await;
    stack.remove().await;
}

/// One server serves one project: roles and their passwords belong to the server.
#[tokio::test]
async fn a_database_of_another_project_is_refused_before_anything_changes() {
    let stack = Stack::ready("claims").await;
    let passwords = "SELECT string_agg(rolname || coalesce(rolpassword, ''), ',' ORDER BY rolname) FROM pg_authid";
    let before = stack.sql(passwords);
    stack.sql("CREATE DATABASE second");
    let copy = |from: &str, to: &str| {
        let secret = kubectl(&["-n", &stack.namespace, "get", "secret", from, "-o", "json"]);
        let mut secret: serde_json::Value = serde_json::from_str(&secret).unwrap();
        secret["metadata"] = json!({"name": to, "namespace": stack.namespace});
        apply(&secret.to_string());
    };
    copy("orders-postgres", "second-postgres");
    let project = json!({
        "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
        "metadata": {"name": "second", "namespace": stack.namespace},
        "spec": {
            "database": {"secretRef": {"name": "second-postgres"}, "sslMode": "disable"},
            "storage": {"secretRef": {"name": "orders-s3"}},
        },
    });
    apply(&project.to_string());
    let message = super::harness::eventually(Duration::from_secs(60), "DatabaseClaimed", || async {
        let second = stack.projects().get("second").await.unwrap();
        let conditions = second.status?.conditions;
        conditions
            .into_iter()
            .find(|condition| condition.reason == "DatabaseClaimed")
            .map(|condition| condition.message)
    })
    .await;
    assert_contains(&message, &["SupabaseProject test-claims/orders", "COMMENT ON ROLE authenticator IS NULL"]);
    assert_eq!(before, stack.sql(passwords));
    stack.remove().await;
}
