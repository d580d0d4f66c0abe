use serde_json::{Value, json};

use super::postgres::{Database, PASSWORD, server};
use super::process::{Program, Served, failed, free_port, variables};
use super::secrets::{JWT_SECRET, Keys, claims, legacy};

const PREPARED: &str = "
    CREATE ROLE supabase_storage_admin LOGIN NOINHERIT PASSWORD '{password}';
    GRANT authenticator TO supabase_storage_admin;
    CREATE SCHEMA storage AUTHORIZATION supabase_storage_admin;
    GRANT USAGE ON SCHEMA storage TO anon, authenticated, service_role;";

const POLICY: &str = "CREATE POLICY own ON storage.objects TO authenticated
    USING ((storage.foldername(name))[1] = current_setting('request.jwt.claim.sub', true))
    WITH CHECK ((storage.foldername(name))[1] = current_setting('request.jwt.claim.sub', true))";

fn program(database: &Database, keys: &Keys, port: u16) -> Program {
    let mut variables = variables([
        ("STANDIN_COMPONENT", "storage"),
        ("AUTH_JWT_SECRET", JWT_SECRET),
        ("TENANT_ID", "demo"),
        ("UPLOAD_FILE_SIZE_LIMIT", "1000000"),
        ("STORAGE_BACKEND", "s3"),
        ("STORAGE_S3_BUCKET", "bucket"),
        ("STORAGE_S3_REGION", "us-east-1"),
        ("STORAGE_S3_ENDPOINT", "http://127.0.0.1:1"),
        ("STORAGE_S3_FORCE_PATH_STYLE", "true"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2hunter2"),
        ("STORAGE_PUBLIC_URL", "http://localhost:8000"),
        ("REQUEST_ALLOW_X_FORWARDED_PATH", "true"),
        ("EXPOSE_DOCS", "false"),
    ]);
    variables.insert("SERVER_PORT".to_owned(), port.to_string());
    variables.insert("DATABASE_URL".to_owned(), database.url("postgresql", "supabase_storage_admin"));
    variables.insert("ANON_KEY".to_owned(), legacy("anon"));
    variables.insert("SERVICE_KEY".to_owned(), legacy("service_role"));
    variables.insert("JWT_JWKS".to_owned(), keys.jwks().to_string());
    Program { name: "node", arguments: vec!["dist/start/server.js".to_owned()], variables }
}

#[tokio::test]
async fn storage_refuses_an_environment_that_breaks_its_contract() {
    let database = Database::unprepared(server().await);
    let storage = program(&database, &Keys::new(), 5000);
    storage
        .needs(&[
            "SERVER_PORT",
            "DATABASE_URL",
            "AUTH_JWT_SECRET",
            "ANON_KEY",
            "SERVICE_KEY",
            "TENANT_ID",
            "UPLOAD_FILE_SIZE_LIMIT",
            "STORAGE_BACKEND",
            "STORAGE_S3_BUCKET",
            "STORAGE_S3_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "STORAGE_PUBLIC_URL",
            "REQUEST_ALLOW_X_FORWARDED_PATH",
            "EXPOSE_DOCS",
            "JWT_JWKS",
        ])
        .await;
    let raw = format!("postgresql://supabase_storage_admin:{PASSWORD}@127.0.0.1/app");
    let missing = format!(
        "{}?sslmode=verify-full&sslrootcert=/nowhere/ca.crt",
        database.url("postgresql", "supabase_storage_admin")
    );
    storage
        .refuses_values(&[
            ("DATABASE_URL", &raw),
            ("DATABASE_URL", &missing),
            ("DATABASE_URL", "postgresql://postgres:hunter2@127.0.0.1/app"),
            ("AUTH_JWT_SECRET", "hunter2"),
            ("ANON_KEY", &legacy("service_role")),
            ("SERVICE_KEY", &legacy("anon")),
            ("SERVICE_KEY", "sb_secret_hunter2"),
            ("UPLOAD_FILE_SIZE_LIMIT", "50MB"),
            ("STORAGE_BACKEND", "minio"),
            ("STORAGE_S3_ENDPOINT", "minio:9000"),
            ("STORAGE_PUBLIC_URL", "http://localhost:8000/storage/v1"),
            ("REQUEST_ALLOW_X_FORWARDED_PATH", "false"),
            ("EXPOSE_DOCS", "true"),
            ("JWT_JWKS", "[]"),
            ("JWT_JWKS", "{\"keys\":[]}"),
            ("DB_INSTALL_ROLES", "true"),
            ("DATABASE_ENGINE", "mysql"),
        ])
        .await;
    storage.with("PROJECT_REF", "other").refuses("TENANT_ID").await;
    storage.with("NODE_ENV", "production").refuses("STORAGE_PUBLIC_URL").await;
    storage.with("IMAGE_TRANSFORMATION_ENABLED", "true").refuses("IMGPROXY_URL").await;
    storage.with("S3_PROTOCOL_ACCESS_KEY_ID", "id").refuses("S3_PROTOCOL_ACCESS_KEY_SECRET").await;
    storage.with("STORAGE_BACKEND", "file").refuses("STORAGE_FILE_BACKEND_PATH").await;
}

#[tokio::test]
async fn storage_migrates_serves_under_row_level_security_and_needs_its_database() {
    let database = server().await.database(PREPARED).await;
    let (keys, port, files) = (Keys::new(), free_port(), tempfile::tempdir().unwrap());
    let path = files.path().to_str().unwrap();
    let storage =
        program(&database, &keys, port).with("STORAGE_BACKEND", "file").with("STORAGE_FILE_BACKEND_PATH", path);
    storage.with("DB_SUPER_USER", "nobody_at_all").refuses("grant to DB_SUPER_USER").await;
    let url = database.url("postgresql", "supabase_storage_admin");
    storage.with("DATABASE_URL", &format!("{url}?sslmode=no-verify")).refuses("database login").await;
    let damages = [
        (
            "switch to service_role",
            "REVOKE authenticator FROM supabase_storage_admin",
            "GRANT authenticator TO supabase_storage_admin",
        ),
        ("schema of anon", "REVOKE USAGE ON SCHEMA storage FROM anon", "GRANT USAGE ON SCHEMA storage TO anon"),
        (
            "create table in storage",
            "ALTER SCHEMA storage OWNER TO postgres",
            "ALTER SCHEMA storage OWNER TO supabase_storage_admin",
        ),
    ];
    for (check, damage, repair) in damages {
        database.run(damage).await;
        storage.refuses(check).await;
        database.run(repair).await;
    }
    let served = storage.serves(port, "/status").await;
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
    database.run(POLICY).await;
    objects_are_kept_under_the_caller_s_role(&served, &keys).await;
    let stored = std::fs::read_dir(files.path().join("demo/files/ann/note.txt")).unwrap().count();
    assert_eq!(stored, 1, "one version of the object is left under its key");
    drop(served);

    // S3 that is away is reported, and ends nothing.
    let served = program(&database, &keys, port).serves(port, "/status").await;
    assert_eq!(failed(&served.report().await), ["bucket"]);
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["statusCode"].as_str().unwrap_or_default())
}

async fn objects_are_kept_under_the_caller_s_role(served: &Served, keys: &Keys) {
    let service = format!("Bearer {}", legacy("service_role"));
    let anon = format!("Bearer {}", legacy("anon"));
    let mut user = claims("authenticated");
    user["sub"] = json!("ann");
    let user = format!("Bearer {}", keys.es256(&user));
    let send = async |method: &str, path: &str, token: &str, body: Option<&Value>| {
        let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", token)] };
        served.send(method, path, headers, body).await
    };
    assert_eq!(code(&send("GET", "/health", "", None).await), (400, "400"));
    assert_eq!(send("GET", "/health", &anon, None).await, (200, json!({"healthy": true})));
    assert_eq!(code(&send("GET", "/bucket", "Bearer sb_secret_x", None).await), (400, "403"));
    let bucket = json!({"name": "files", "id": "files", "public": false});
    assert_eq!(code(&send("POST", "/bucket", &anon, Some(&bucket)).await), (400, "403"));
    assert_eq!(send("POST", "/bucket", &service, Some(&bucket)).await.0, 200);
    assert_eq!(code(&send("POST", "/bucket", &service, Some(&bucket)).await), (400, "409"));

    let text = json!("hello");
    assert_eq!(send("POST", "/object/files/ann/note.txt", &user, Some(&text)).await.1["Key"], "files/ann/note.txt");
    assert_eq!(code(&send("POST", "/object/files/ann/note.txt", &user, Some(&text)).await), (400, "409"));
    assert_eq!(send("PUT", "/object/files/ann/note.txt", &user, Some(&json!("again"))).await.0, 200);
    assert_eq!(code(&send("POST", "/object/files/bob/note.txt", &user, Some(&text)).await), (400, "403"));
    assert_eq!(code(&send("POST", "/object/none/ann/note.txt", &user, Some(&text)).await), (400, "404"));
    for path in ["/object/files/ann/note.txt", "/object/authenticated/files/ann/note.txt"] {
        assert_eq!(send("GET", path, &user, None).await, (200, json!("again")));
        assert_eq!(code(&send("GET", path, &anon, None).await), (400, "404"));
    }
    assert_eq!(code(&send("GET", "/object/public/files/ann/note.txt", "", None).await), (400, "404"));
    let (_, listed) = send("POST", "/object/list/files", &service, Some(&json!({"prefix": "ann"}))).await;
    assert_eq!(listed[0]["name"], "note.txt");
    assert_eq!(send("POST", "/object/list/files", &anon, Some(&json!({"prefix": ""}))).await.1, json!([]));
    let (_, signed) = send("POST", "/object/sign/files/ann/note.txt", &user, Some(&json!({"expiresIn": 60}))).await;
    assert_eq!(send("GET", signed["signedURL"].as_str().unwrap(), "", None).await, (200, json!("again")));
    assert_eq!(send("PUT", "/bucket/files", &service, Some(&json!({"public": true}))).await.0, 200);
    assert_eq!(send("GET", "/object/public/files/ann/note.txt", "", None).await, (200, json!("again")));
    assert_eq!(code(&send("DELETE", "/bucket/files", &service, None).await), (400, "409"));
    let large = json!("x".repeat(1_000_001));
    assert_eq!(code(&send("POST", "/object/files/ann/large", &user, Some(&large)).await), (400, "413"));
    let second = send("POST", "/object/files/ann/other.txt", &user, Some(&text)).await;
    assert_eq!(second.0, 200);
    let gone = json!({"prefixes": ["ann/other.txt"]});
    assert_eq!(send("DELETE", "/object/files", &anon, Some(&gone)).await.1, json!([]));
    assert_eq!(send("DELETE", "/object/files", &user, Some(&gone)).await.1[0]["name"], "ann/other.txt");
}
