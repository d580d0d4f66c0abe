use serde_json::json;

use super::postgres::{Database, PASSWORD, server};
use super::process::{Program, failed, free_port, variables};
use super::secrets::{JWT_SECRET, Keys, legacy};

const PREPARED: &str = "
    CREATE ROLE supabase_auth_admin LOGIN NOINHERIT PASSWORD '{password}';
    CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
    ALTER ROLE supabase_auth_admin IN DATABASE {database} SET search_path = auth;
    ALTER DEFAULT PRIVILEGES FOR ROLE supabase_auth_admin IN SCHEMA auth GRANT ALL ON TABLES TO postgres;";

const EXTERNAL: &str = "http://localhost:8000/auth/v1";

fn program(database: &Database, keys: &Keys, port: u16, words: &[&str]) -> Program {
    let mut variables = variables([
        ("API_EXTERNAL_URL", EXTERNAL),
        ("GOTRUE_SITE_URL", "http://localhost:3000"),
        ("GOTRUE_API_HOST", "0.0.0.0"),
        ("GOTRUE_DB_DRIVER", "postgres"),
        ("GOTRUE_JWT_SECRET", JWT_SECRET),
        ("GOTRUE_JWT_AUD", "authenticated"),
        ("GOTRUE_JWT_DEFAULT_GROUP_NAME", "authenticated"),
        ("GOTRUE_JWT_ISSUER", EXTERNAL),
        ("GOTRUE_JWT_EXP", "3600"),
        ("GOTRUE_MAILER_AUTOCONFIRM", "true"),
        ("GOTRUE_MAILER_URLPATHS_INVITE", "/auth/v1/verify"),
        ("GOTRUE_MAILER_URLPATHS_CONFIRMATION", "/auth/v1/verify"),
        ("GOTRUE_MAILER_URLPATHS_RECOVERY", "/auth/v1/verify"),
        ("GOTRUE_MAILER_URLPATHS_EMAIL_CHANGE", "/auth/v1/verify"),
    ]);
    variables.insert("GOTRUE_API_PORT".to_owned(), port.to_string());
    variables.insert("GOTRUE_DB_DATABASE_URL".to_owned(), database.url("postgres", "supabase_auth_admin"));
    variables.insert("GOTRUE_JWT_KEYS".to_owned(), keys.private().to_string());
    Program { name: "auth", arguments: words.iter().map(|&word| word.to_owned()).collect(), variables }
}

#[tokio::test]
async fn auth_refuses_an_environment_that_breaks_its_contract() {
    // Nothing of the database is looked at before the environment is whole.
    let database = Database::unprepared(server().await);
    let auth = program(&database, &Keys::new(), 9999, &["serve"]);
    auth.needs(&[
        "API_EXTERNAL_URL",
        "GOTRUE_SITE_URL",
        "GOTRUE_API_HOST",
        "GOTRUE_API_PORT",
        "GOTRUE_DB_DRIVER",
        "GOTRUE_DB_DATABASE_URL",
        "GOTRUE_JWT_SECRET",
        "GOTRUE_JWT_AUD",
        "GOTRUE_JWT_DEFAULT_GROUP_NAME",
        "GOTRUE_JWT_ISSUER",
        "GOTRUE_JWT_EXP",
        "GOTRUE_MAILER_URLPATHS_CONFIRMATION",
    ])
    .await;
    let raw = format!("postgres://supabase_auth_admin:{PASSWORD}@127.0.0.1/app");
    let public_only = json!([Keys::new().jwks()["keys"][0]]).to_string();
    auth.refuses_values(&[
        ("API_EXTERNAL_URL", "http://localhost:8000"),
        ("API_EXTERNAL_URL", "http://localhost:8000/auth/v1/"),
        ("API_EXTERNAL_URL", "localhost:8000/auth/v1"),
        ("GOTRUE_SITE_URL", "example"),
        ("GOTRUE_API_HOST", "localhost"),
        ("GOTRUE_API_PORT", "http"),
        ("GOTRUE_DB_DRIVER", "pgx"),
        ("GOTRUE_DB_DATABASE_URL", &raw),
        ("GOTRUE_DB_DATABASE_URL", "postgres://postgres:hunter2@127.0.0.1/app"),
        ("GOTRUE_DB_DATABASE_URL", "postgres://supabase_auth_admin@127.0.0.1/app"),
        ("GOTRUE_DB_DATABASE_URL", "postgres://supabase_auth_admin:$(PASSWORD)@127.0.0.1/app"),
        ("GOTRUE_JWT_SECRET", "hunter2"),
        ("GOTRUE_JWT_AUD", "anon"),
        ("GOTRUE_JWT_ISSUER", "http://localhost:8000"),
        ("GOTRUE_JWT_EXP", "0"),
        ("GOTRUE_JWT_EXP", "1h"),
        ("GOTRUE_JWT_KEYS", "{}"),
        ("GOTRUE_JWT_KEYS", &public_only),
        ("GOTRUE_MAILER_URLPATHS_INVITE", "/verify"),
        ("GOTRUE_MAILER_TEMPLATES_INVITE", "<p>hello</p>"),
        ("GOTRUE_DISABLE_SIGNUP", "no"),
        ("GOTRUE_SMTP_MAX_FREQUENCY", "60"),
    ])
    .await;
    auth.with("GOTRUE_SMTP_HOST", "mail.example.com").refuses("GOTRUE_SMTP_ADMIN_EMAIL").await;
    let github = auth.with("GOTRUE_EXTERNAL_GITHUB_ENABLED", "true");
    for name in ["CLIENT_ID", "SECRET", "REDIRECT_URI"] {
        github.refuses(&format!("GOTRUE_EXTERNAL_GITHUB_{name}")).await;
    }
    let hook = auth.with("GOTRUE_HOOK_SEND_EMAIL_ENABLED", "true");
    hook.refuses("GOTRUE_HOOK_SEND_EMAIL_URI").await;
    hook.with("GOTRUE_HOOK_SEND_EMAIL_URI", "http://mailer.svc/hook").refuses("GOTRUE_HOOK_SEND_EMAIL_URI").await;
}

#[tokio::test]
async fn auth_migrates_serves_and_needs_its_database() {
    let database = server().await.database(PREPARED).await;
    let (keys, port) = (Keys::new(), free_port());
    let migrate = program(&database, &keys, port, &["migrate"]);
    let serve = program(&database, &keys, port, &["serve"]);
    serve.refuses("migrations").await;
    migrate.refuses_values(&[("GOTRUE_SITE_URL", ""), ("GOTRUE_JWT_SECRET", "hunter2")]).await;
    migrate.succeeds().await;
    migrate.without("GOTRUE_API_PORT").succeeds().await;
    assert_eq!(database.ask("SELECT count(*)::text FROM auth.schema_migrations").await, "1");

    let wrong = database.url("postgres", "supabase_auth_admin").replace("p%40ss", "pass");
    serve.with("GOTRUE_DB_DATABASE_URL", &wrong).refuses("database login").await;
    let damages = [
        (
            "search_path",
            "ALTER ROLE supabase_auth_admin IN DATABASE {database} RESET search_path",
            "ALTER ROLE supabase_auth_admin IN DATABASE {database} SET search_path = auth",
        ),
        (
            "create table in auth",
            "ALTER SCHEMA auth OWNER TO postgres; GRANT USAGE ON SCHEMA auth TO supabase_auth_admin",
            "ALTER SCHEMA auth OWNER TO supabase_auth_admin",
        ),
        (
            "functions in auth",
            "CREATE FUNCTION auth.other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION auth.other()",
        ),
    ];
    for (check, damage, repair) in damages {
        database.run(damage).await;
        serve.refuses(check).await;
        database.run(repair).await;
    }

    // The raw password beside a URL without one.
    let bare = format!("postgres://supabase_auth_admin@127.0.0.1:{}/{}", database.server.port, database.name);
    let served = serve.with("GOTRUE_DB_DATABASE_URL", &bare).with("PGPASSWORD", PASSWORD).serves(port, "/health").await;
    assert_eq!(served.get("/health").await["name"], "GoTrue");
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
    assert_eq!(served.get("/.well-known/jwks.json").await["keys"].as_array().unwrap().len(), 1);

    let ann = json!({"email": "Ann@example.com", "password": "correct horse", "data": {"name": "Ann"}});
    let (status, session) = served.send("POST", "/signup", &[], Some(&ann)).await;
    assert_eq!(status, 200, "{session}");
    assert_eq!(served.send("POST", "/signup", &[], Some(&ann)).await.1["error_code"], "user_already_exists");
    let (_, session) = served.send("POST", "/token?grant_type=password", &[], Some(&ann)).await;
    let token = format!("Bearer {}", session["access_token"].as_str().unwrap());
    let bad = json!({"email": "ann@example.com", "password": "wrong"});
    let (status, refused) = served.send("POST", "/token?grant_type=password", &[], Some(&bad)).await;
    assert_eq!((status, &refused["error_code"]), (400, &json!("invalid_credentials")));
    let (_, user) = served.send("GET", "/user", &[("authorization", &token)], None).await;
    assert_eq!((&user["email"], &user["user_metadata"]["name"]), (&json!("ann@example.com"), &json!("Ann")));
    let refresh = json!({"refresh_token": session["refresh_token"]});
    assert_eq!(served.send("POST", "/token?grant_type=refresh_token", &[], Some(&refresh)).await.0, 200);
    assert_eq!(served.send("POST", "/token?grant_type=refresh_token", &[], Some(&refresh)).await.0, 400);

    let service = format!("Bearer {}", legacy("service_role"));
    let (status, users) = served.send("GET", "/admin/users", &[("authorization", &service)], None).await;
    assert_eq!((status, users["users"].as_array().unwrap().len()), (200, 1));
    assert_eq!(served.send("GET", "/admin/users", &[("authorization", &token)], None).await.0, 403);
    assert_eq!(served.send("POST", "/logout?scope=global", &[("authorization", &token)], None).await.0, 204);
    assert_eq!(served.send("GET", "/user", &[("authorization", &token)], None).await.0, 403);
    assert_ne!(database.ask("SELECT encrypted_password::text FROM auth.users").await, "correct horse");
    assert_eq!(served.get("/verify?token=x").await["query"], "token=x");
    drop(served);

    // Templates are fetched when they are needed: one that cannot be is reported, and ends nothing.
    let away = format!("http://127.0.0.1:{}/invite.html", free_port());
    let served = serve.with("GOTRUE_MAILER_TEMPLATES_INVITE", &away).serves(port, "/health").await;
    while failed(&served.report().await) != ["template of GOTRUE_MAILER_TEMPLATES_INVITE"] {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
