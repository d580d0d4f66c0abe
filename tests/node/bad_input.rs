//! What a user gets wrong is said in words, nothing half-made runs, and mending it is enough.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use supabase_operator::kind::Kind;

use super::harness::{Certificate, PASSWORD, Stack, apply, assert_contains, complete_spec, kubectl, plain_spec, run};

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

    nothing_runs(&stack).await;
    stack.sql("CREATE ROLE weak LOGIN PASSWORD 'weak'");
    stack.database_secret(&[("username", "weak"), ("password", "weak")]);
    let _message = stack
        .wait_for_reason("DatabaseInitialized", "DatabaseUnprepared", &["\"weak\"", "supabase-operator sql"])
        .await;
    // An administrator who prepares the database needs its passwords.
    assert!(stack.children().await.iter().all(|(kind, _)| *kind == Kind::Secret));
    let ready = stack.condition("Ready").await.unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "DatabaseUnprepared"));

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
    // Every component, because each has a driver of its own.
    let spec = |database: serde_json::Value| {
        let mut spec = complete_spec();
        spec["database"] = database;
        spec
    };
    stack.project(&spec(json!({"secretRef": {"name": "orders-postgres"}})));
    let _message = stack
        .wait_for_reason("PostgreSQLConnected", "DatabaseTlsMismatch", &["sslMode require", "spec.database.sslMode"])
        .await;

    // Now a server that has TLS and insists on it. The project changes while no server is
    // there, so that at no time the two of them fit.
    kubectl(&["-n", &stack.namespace, "delete", "deployment/postgres", "--cascade=foreground", "--timeout=60s"]);
    stack.project(&spec(json!({"secretRef": {"name": "orders-postgres"}, "sslMode": "disable"})));
    let certificate = Certificate::of("postgres", &stack.namespace);
    stack.postgres(Some(&certificate));
    let _message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabaseTlsMismatch", &["the server wants TLS", "sslMode"]).await;

    // Another authority than the one that signed.
    let other = Certificate::of("postgres", &stack.namespace);
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
    let mut authority_only = verified.clone();
    authority_only["sslMode"] = json!("verify-ca");
    for database in [authority_only, json!({"secretRef": {"name": "orders-postgres"}})] {
        stack.project(&spec(database.clone()));
        let generation = stack.projects().get("orders").await.unwrap().metadata.generation;
        super::harness::eventually(Duration::from_secs(180), &database.to_string(), || async {
            let settled = stack.condition("Progressing").await?;
            (settled.status == "False" && settled.observed_generation == generation).then_some(())
        })
        .await;
        stack.wait_for("Ready", "True").await;
        assert_eq!(stack.sql(encrypted).trim(), "t");
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

/// An S3 server with a certificate of an authority of one's own.
#[tokio::test]
async fn the_ca_of_the_s3_server_is_used() {
    let stack = Stack::new("s3-ca").await;
    stack.postgres(None);
    stack.database_secret(&[]);
    let certificate = Certificate::of("minio", &stack.namespace);
    let files =
        BTreeMap::from([("public.crt", certificate.signed.as_str()), ("private.key", certificate.key.as_str())]);
    stack.secret("minio-tls", &files);
    let minio = include_str!("../../examples/demo/minio.yaml")
        .replace("external", &stack.namespace)
        .replace("command: [minio, server, /data,", "command: [minio, server, /data, --certs-dir, /certs,")
        .replace("port: s3}", "port: s3, scheme: HTTPS}")
        .replace(
            "            - {name: data, mountPath: /data}",
            "            - {name: data, mountPath: /data}\n            - {name: certs, mountPath: /certs}",
        )
        .replace(
            "        - {name: data, emptyDir: {}}",
            "        - {name: data, emptyDir: {}}\n        - {name: certs, secret: {secretName: minio-tls}}",
        );
    apply(&minio);
    kubectl(&["-n", &stack.namespace, "rollout", "status", "deployment/minio", "--timeout=120s"]);
    stack.storage_secret(&[("endpoint", &format!("https://minio.{}.svc:9000", stack.namespace))]);
    stack.project(&plain_spec());
    stack.wait_for_reason("S3Connected", "StorageUnreachable", &["invalid peer certificate", "caSecretRef"]).await;

    stack.secret("s3-ca", &BTreeMap::from([("ca.crt", certificate.authority.as_str())]));
    let mut spec = plain_spec();
    spec["storage"]["caSecretRef"] = json!({"name": "s3-ca"});
    stack.project(&spec);
    stack.wait_for("BucketReady", "True").await;
    // The host name of a bucket of its own does not exist here: where the bucket stands in the request matters.
    spec["storage"]["forcePathStyle"] = json!(false);
    stack.project(&spec);
    stack.wait_for_reason("S3Connected", "StorageUnreachable", &["minio."]).await;
    stack.remove().await;
}

/// What the API server says of a value that it refuses stands in a condition.
#[tokio::test]
async fn a_value_that_kubernetes_refuses_is_told() {
    let stack = Stack::ready("refused").await;
    let mut spec = plain_spec();
    spec["meta"] = json!({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}});
    stack.project(&spec);
    stack.wait_for_reason("NetworkReady", "ApplyFailed", &["Deployment test-refused/orders-meta", "memory"]).await;
    stack.project(&plain_spec());
    stack.wait_for("NetworkReady", "True").await;
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

/// The service key reaches SQL as `supabase_meta_admin`, who may create functions in `public`: none of them may be found
/// by the superuser that the operator is.
#[tokio::test]
async fn what_users_create_never_runs_as_superuser() {
    let stack = Stack::ready("superuser").await;
    let planted = "CREATE FUNCTION public.shobj_description(oid, text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN \
        ALTER ROLE supabase_meta_admin SUPERUSER; RETURN NULL; EXCEPTION WHEN insufficient_privilege THEN RETURN NULL; \
        END $f$; \
        CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN \
        ALTER ROLE supabase_meta_admin SUPERUSER; RETURN 'SELECT 1'; EXCEPTION WHEN insufficient_privilege THEN RETURN \
        'SELECT 1'; END $f$";
    let key = stack.key("orders-service-keys", "service-role-key").await;
    let answer = reqwest::Client::new()
        .post(format!("{}/pg/query", stack.gateway()))
        .header("apikey", &key)
        .header("content-type", "application/json")
        .body(json!({"query": planted}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    // The trap works for a superuser whose search path has `public` before the catalog's own name resolution.
    let steps = stack.sql("SELECT count(*) FROM supabase_operator.steps");
    stack.sql("DELETE FROM supabase_operator.steps; COMMENT ON ROLE authenticator IS 'supabase-operator: used by SupabaseProject test-superuser/orders'");
    kubectl(&["-n", &stack.namespace, "scale", "deployment/postgres", "--replicas=0"]);
    stack.wait_for("Ready", "False").await;
    kubectl(&["-n", &stack.namespace, "scale", "deployment/postgres", "--replicas=1"]);
    stack.wait_for("Ready", "True").await;
    super::harness::eventually(Duration::from_secs(60), "every step ran again", || async {
        (stack.sql("SELECT count(*) FROM supabase_operator.steps") == steps).then_some(())
    })
    .await;
    let superusers = "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper";
    assert_eq!(stack.sql(superusers).trim(), "postgres");
    assert!(
        stack
            .sql("SELECT pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'authenticator'")
            .contains("passwords=")
    );
    for forbidden in
        ["CREATE ROLE x", "GRANT pg_execute_server_program TO supabase_meta_admin", "COPY (SELECT 1) TO PROGRAM 'id'"]
    {
        let refused = run(
            &[
                "kubectl",
                "-n",
                &stack.namespace,
                "exec",
                "deployment/postgres",
                "--",
                "psql",
                "-U",
                "postgres",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                "SET ROLE supabase_meta_admin",
                "-c",
                forbidden,
            ],
            None,
        );
        assert!(!refused.status.success(), "{forbidden}");
    }
    stack.remove().await;
}

/// A server where another application logs in as `authenticator` keeps its password.
#[tokio::test]
async fn roles_of_another_application_are_not_taken() {
    let stack = Stack::new("roles").await;
    stack.postgres(None);
    stack.sql("CREATE ROLE authenticator LOGIN PASSWORD 'theirs'");
    let roles = "SELECT string_agg(rolname || coalesce(rolpassword, ''), ',' ORDER BY rolname) FROM pg_authid";
    let before = stack.sql(roles);
    stack.database_secret(&[]);
    stack.storage_secret(&[]);
    stack.project(&plain_spec());
    let message =
        stack.wait_for_reason("PostgreSQLConnected", "DatabaseClaimed", &["(authenticator)", "hand them over"]).await;
    assert_eq!(before, stack.sql(roles));
    // The remedy in the message is a statement that can be run as it stands.
    let consent = &message[message.find("COMMENT ON ROLE").unwrap()..];
    stack.sql(consent);
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
    assert_contains(
        &message,
        &[
            "SupabaseProject test-claims/orders",
            "COMMENT ON ROLE authenticator IS 'supabase-operator: used by SupabaseProject test-claims/second'",
        ],
    );
    assert_eq!(before, stack.sql(passwords));
    stack.remove().await;
}
