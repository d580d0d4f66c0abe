//! imgproxy, Studio and edge-runtime.

use std::path::Path;

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::postgres::{PASSWORD, server};
use super::process::{Program, failed, free_port, variables};
use super::secrets::{JWT_SECRET, Keys, PUBLISHABLE, SECRET, claims, hs256, legacy};

/// Answers every request; the port that it listens on.
async fn peer(status: u16, body: Value) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router =
        axum::Router::new().fallback(move || async move { (StatusCode::from_u16(status).unwrap(), Json(body)) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test]
async fn imgproxy_refuses_what_breaks_its_contract_and_fetches_sources_else() {
    let port = free_port();
    let mut variables = variables([("IMGPROXY_USE_ETAG", "true"), ("IMGPROXY_MAX_SRC_RESOLUTION", "16.8")]);
    variables.insert("IMGPROXY_BIND".to_owned(), format!(":{port}"));
    let imgproxy = Program { name: "imgproxy", arguments: Vec::new(), variables };
    imgproxy.needs(&["IMGPROXY_BIND"]).await;
    imgproxy
        .refuses_values(&[
            ("IMGPROXY_BIND", "5001"),
            ("IMGPROXY_KEY", "00ff"),
            ("IMGPROXY_SALT", "00ff"),
            ("IMGPROXY_USE_ETAG", "yes"),
            ("IMGPROXY_MAX_SRC_RESOLUTION", "large"),
            ("IMGPROXY_LOCAL_FILESYSTEM_ROOT", "/nowhere"),
        ])
        .await;
    let served = imgproxy.serves(port, "/health").await;
    let source = peer(200, json!("image")).await;
    let path = |port| format!("/insecure/rs:fill:10:10/plain/http%3A%2F%2F127.0.0.1%3A{port}%2Fb%2Fk%3FX%3Dhunter2");
    assert_eq!(served.send("GET", &path(source), &[], None).await, (200, json!("image")));
    let (status, answer) = served.send("GET", &path(free_port()), &[], None).await;
    assert_eq!(status, 404);
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
}

fn studio(meta: u16, port: u16, folder: &Path) -> Program {
    let mut variables = variables([
        ("STANDIN_COMPONENT", "studio"),
        ("HOSTNAME", "0.0.0.0"),
        ("POSTGRES_HOST", "db"),
        ("POSTGRES_PORT", "5432"),
        ("POSTGRES_DB", "app"),
        ("POSTGRES_PASSWORD", "p%40ss"),
        ("POSTGRES_USER_READ_WRITE", "postgres"),
        ("PG_META_CRYPTO_KEY", "crypto-key"),
        ("SUPABASE_URL", "http://127.0.0.1:1"),
        ("SUPABASE_PUBLIC_URL", "http://localhost:8000"),
        ("AUTH_JWT_SECRET", JWT_SECRET),
        ("PGRST_DB_SCHEMAS", "public"),
        ("ENABLED_FEATURES_LOGS_ALL", "false"),
        ("SUPABASE_PUBLISHABLE_KEY", PUBLISHABLE),
        ("SUPABASE_SECRET_KEY", SECRET),
    ]);
    variables.insert("SUPABASE_ANON_KEY".to_owned(), legacy("anon"));
    variables.insert("SUPABASE_SERVICE_KEY".to_owned(), legacy("service_role"));
    variables.insert("STUDIO_PG_META_URL".to_owned(), format!("http://127.0.0.1:{meta}"));
    variables.insert("PORT".to_owned(), port.to_string());
    for name in ["SNIPPETS_MANAGEMENT_FOLDER", "EDGE_FUNCTIONS_MANAGEMENT_FOLDER"] {
        variables.insert(name.to_owned(), folder.to_str().unwrap().to_owned());
    }
    Program { name: "node", arguments: vec!["apps/studio/server.js".to_owned()], variables }
}

#[tokio::test]
async fn studio_refuses_what_breaks_its_contract_and_serves_else() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    // Nobody answers there: that alone keeps Studio from nothing.
    let studio_without_meta = studio(free_port(), port, folder.path());
    studio_without_meta
        .needs(&[
            "HOSTNAME",
            "STUDIO_PG_META_URL",
            "POSTGRES_HOST",
            "POSTGRES_PORT",
            "POSTGRES_DB",
            "POSTGRES_PASSWORD",
            "POSTGRES_USER_READ_WRITE",
            "PG_META_CRYPTO_KEY",
            "SUPABASE_URL",
            "SUPABASE_PUBLIC_URL",
            "SUPABASE_ANON_KEY",
            "SUPABASE_SERVICE_KEY",
            "AUTH_JWT_SECRET",
            "PGRST_DB_SCHEMAS",
            "ENABLED_FEATURES_LOGS_ALL",
            "SUPABASE_PUBLISHABLE_KEY",
            "SUPABASE_SECRET_KEY",
            "SNIPPETS_MANAGEMENT_FOLDER",
            "EDGE_FUNCTIONS_MANAGEMENT_FOLDER",
        ])
        .await;
    studio_without_meta
        .refuses_values(&[
            ("HOSTNAME", "studio-7c9f"),
            ("STUDIO_PG_META_URL", "meta:8080"),
            ("POSTGRES_PORT", "five"),
            ("PG_META_CRYPTO_KEY", "SAMPLE_KEY"),
            ("SUPABASE_ANON_KEY", &legacy("service_role")),
            ("SUPABASE_SECRET_KEY", PUBLISHABLE),
            ("ENABLED_FEATURES_LOGS_ALL", "true"),
            ("SNIPPETS_MANAGEMENT_FOLDER", "/nowhere"),
        ])
        .await;
    studio_without_meta.with("POSTGRES_PASSWORD", PASSWORD).refuses("connection string").await;
    studio(peer(500, json!({"error": "failed to get upstream connection details"})).await, port, folder.path())
        .refuses("meta")
        .await;
    studio(peer(200, json!([{"current_user": "anon"}])).await, port, folder.path()).refuses("meta").await;
    for (name, value) in [("superuser", true), ("creates", false)] {
        let mut row = json!({"current_user": "postgres"});
        row[name] = json!(value);
        studio(peer(200, json!([row])).await, port, folder.path()).refuses("meta").await;
    }

    let served = studio_without_meta.serves(port, "/api/platform/profile").await;
    assert_eq!(failed(&served.report().await), ["meta", "gateway"]);
    drop(served);
    let meta = peer(200, json!([{"current_user": "postgres"}])).await;
    let gateway = format!("http://127.0.0.1:{meta}");
    let served =
        studio(meta, port, folder.path()).with("SUPABASE_URL", &gateway).serves(port, "/api/platform/profile").await;
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
}

/// Path, headers, status, error code.
type Request<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, Option<&'a str>);

const FUNCTIONS: &str = "
    CREATE ROLE functions_user LOGIN PASSWORD '{password}';
    CREATE ROLE functions_superuser LOGIN SUPERUSER PASSWORD '{password}';
    CREATE ROLE functions_neighbour LOGIN PASSWORD '{password}';
    CREATE SCHEMA storage AUTHORIZATION functions_neighbour;";

#[tokio::test]
async fn edge_runtime_refuses_what_breaks_its_contract_and_judges_tokens_else() {
    let database = server().await.database(FUNCTIONS).await;
    let folder = tempfile::tempdir().unwrap();
    let (main, index) = (folder.path().join("main"), folder.path().join("main/index.ts"));
    std::fs::create_dir_all(folder.path().join("hello")).unwrap();
    std::fs::create_dir_all(&main).unwrap();
    let (port, keys) = (free_port(), Keys::new());
    let mut variables = variables([
        ("JWT_SECRET", JWT_SECRET),
        ("SUPABASE_URL", "http://gateway:8000"),
        ("SUPABASE_PUBLIC_URL", "http://localhost:8000"),
        ("VERIFY_JWT", "true"),
        ("A_SECRET_OF_THE_USER", ""),
    ]);
    variables.insert("SUPABASE_ANON_KEY".to_owned(), legacy("anon"));
    variables.insert("SUPABASE_SERVICE_ROLE_KEY".to_owned(), legacy("service_role"));
    variables.insert("SUPABASE_DB_URL".to_owned(), database.url("postgresql", "functions_user"));
    variables.insert("SUPABASE_JWKS".to_owned(), keys.jwks().to_string());
    variables.insert("SUPABASE_PUBLISHABLE_KEYS".to_owned(), json!({"default": PUBLISHABLE}).to_string());
    variables.insert("DENO_DIR".to_owned(), folder.path().join("deno").to_str().unwrap().to_owned());
    let arguments =
        ["start", "--main-service", main.to_str().unwrap(), "-p", &port.to_string()].map(str::to_owned).to_vec();
    let runtime = Program { name: "edge-runtime", arguments, variables };

    runtime.refuses("main service").await;
    std::fs::write(&index, "import * as jose from 'jsr:@panva/jose@6'").unwrap();
    runtime.refuses("main service").await;
    std::fs::write(&index, "import * as jose from './jose.js'").unwrap();
    std::fs::write(main.join("jose.js"), "export * from 'npm:jose'").unwrap();
    runtime.refuses("main service").await;
    std::fs::write(main.join("jose.js"), "export const verify = 1").unwrap();
    runtime
        .needs(&[
            "JWT_SECRET",
            "SUPABASE_URL",
            "SUPABASE_PUBLIC_URL",
            "SUPABASE_ANON_KEY",
            "SUPABASE_SERVICE_ROLE_KEY",
            "VERIFY_JWT",
            "SUPABASE_DB_URL",
            "SUPABASE_JWKS",
        ])
        .await;
    runtime
        .refuses_values(&[
            ("JWT_SECRET", "hunter2"),
            ("SUPABASE_URL", "gateway"),
            ("SUPABASE_ANON_KEY", &legacy("service_role")),
            ("VERIFY_JWT", "1"),
            ("SUPABASE_JWKS", "[]"),
            ("SUPABASE_PUBLISHABLE_KEYS", "{\"default\":\"sb_secret_hunter2\"}"),
            ("SUPABASE_SECRET_KEYS", "[\"hunter2\"]"),
            ("SUPABASE_DB_URL", "hunter2"),
        ])
        .await;
    runtime.with("DENO_DIR", "/proc/deno").refuses("DENO_DIR").await;
    runtime.with("SUPABASE_DB_URL", &database.url("postgresql", "functions_superuser")).refuses("database role").await;
    let neighbour = database.url("postgresql", "functions_neighbour");
    runtime.with("SUPABASE_DB_URL", &neighbour).refuses("database login of its own").await;

    let served = runtime.serves(port, "/_internal/health").await;
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
    let bearer = |token: String| format!("Bearer {token}");
    let (user, stranger) =
        (bearer(keys.es256(&claims("authenticated"))), bearer(hs256("another secret", &claims("anon"))));
    let opaque = bearer(PUBLISHABLE.to_owned());
    let translated = legacy("anon");
    let table: &[Request] = &[
        ("/hello/x", &[], 401, Some("UNAUTHORIZED_NO_AUTH_HEADER")),
        ("/hello/x", &[("authorization", &opaque)], 401, Some("UNAUTHORIZED_INVALID_JWT_FORMAT")),
        ("/hello/x", &[("authorization", &stranger)], 401, Some("UNAUTHORIZED_LEGACY_JWT")),
        ("/hello/x", &[("authorization", &user)], 200, None),
        ("/hello/x", &[("sb-api-key", &translated)], 200, None),
        ("/hello/x", &[("authorization", &opaque), ("sb-api-key", &translated)], 200, None),
        ("/", &[("authorization", &user)], 400, None),
        ("/absent", &[("authorization", &user)], 404, None),
        ("/main", &[("authorization", &user)], 404, None),
    ];
    for (path, headers, wanted, code) in table {
        let (status, answer) = served.send("POST", path, headers, None).await;
        assert_eq!((status, answer["code"].as_str().filter(|_| status == 401)), (*wanted, *code), "{path} {headers:?}");
    }
    drop(served);
    let served = runtime.with("VERIFY_JWT", "false").serves(port, "/_internal/health").await;
    assert_eq!(served.get("/hello").await["function"], "hello");
}
