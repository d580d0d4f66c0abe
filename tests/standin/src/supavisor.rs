//! Poses as Supavisor: `/app/bin/migrate`, `/app/bin/supavisor eval CODE`, `/app/bin/server`. It pools nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Executor, PgPool};

use crate::checks::{Checks, Environment};
use crate::database::{self, can};
use crate::http::{answer, bearer, echo, with_report};
use crate::token::Verifier;
use crate::values::{at_least, exactly, integer, pem_file, port, writable};

const TABLES: &str = "CREATE TABLE IF NOT EXISTS _supavisor.schema_migrations (version bigint PRIMARY KEY); \
    CREATE TABLE IF NOT EXISTS _supavisor.tenants (external_id text PRIMARY KEY, settings text NOT NULL); \
    INSERT INTO _supavisor.schema_migrations VALUES (20260101000000) ON CONFLICT DO NOTHING";

pub async fn run(environment: Environment, program: &str, words: &[&str]) {
    let checks = Arc::new(Checks::new("supavisor"));
    let login = check(&checks, &environment);
    if let ("supavisor", ["eval", code]) = (program, words) {
        check_code(&checks, &environment, code);
    } else {
        let known = matches!((program, words), ("migrate" | "server", []));
        checks.record("program", known.then_some(()).ok_or("must be migrate, server or supavisor eval CODE"));
    }
    checks.stop_at_failures();
    let Some(login) = login else { return };
    let mut connection = database::connect(&checks, &login).await;
    database::is_no_superuser(&checks, &mut connection).await;
    can(&checks, &mut connection, "create table in _supavisor", "CREATE TABLE _supavisor.standin(i int)").await;
    checks.stop_at_failures();
    let explained = |result: Result<(), sqlx::Error>| result.map_err(|error| database::explain(&error));
    match program {
        "migrate" => {
            checks.record("migrations", explained(connection.execute(sqlx::raw_sql(TABLES)).await.map(drop)));
            checks.stop_at_failures();
        }
        "supavisor" => {
            let tenant = environment.get("POOLER_TENANT_ID").unwrap_or_default();
            let pool = database::pool(&login);
            checks.record("tenant", explained(put_tenant(&pool, tenant, "{}").await));
            checks.stop_at_failures();
        }
        _ => {
            let question = "SELECT true FROM _supavisor.schema_migrations LIMIT 1";
            database::holds(&checks, &mut connection, "migrations", question, "run /app/bin/migrate first").await;
            checks.stop_at_failures();
            drop(connection);
            serve(&checks, &environment, &login).await;
        }
    }
}

fn check(checks: &Checks, environment: &Environment) -> Option<PgConnectOptions> {
    let prefixes =
        ["DATABASE_URL", "SECRET_", "VAULT_", "API_JWT", "METRICS_", "POOLER_", "POSTGRES_", "REGION", "DNS_POLL"];
    environment.check_rendered(checks, &prefixes, &[]);
    // Its default is a database on localhost: silent, and never right.
    let login = checks.variable(environment, "DATABASE_URL", |value| {
        let login = database::login(value, &["ecto", "postgres", "postgresql"])?;
        // Ecto encrypts only what it is told to.
        Ok(if login.ssl_mode.is_none() { login.options.ssl_mode(PgSslMode::Disable) } else { login.options })
    });
    checks.variable(environment, "SECRET_KEY_BASE", at_least(64));
    checks.variable(environment, "VAULT_ENC_KEY", exactly(32));
    checks.variable(environment, "API_JWT_SECRET", at_least(32));
    checks.variable(environment, "METRICS_JWT_SECRET", Ok);
    checks.variable(environment, "REGION", Ok);
    checks.variable_if_set(environment, "PORT", port);
    checks.variable_if_set(environment, "DB_POOL_SIZE", integer);
    checks.variable(environment, "ERL_AFLAGS", |value| {
        let ipv4 = value.contains("inet_tcp") && !value.contains("inet6_tcp");
        ipv4.then_some(()).ok_or_else(|| "must contain -proto_dist inet_tcp".to_owned())
    });
    checks.variable(environment, "RLIMIT_NOFILE", |value| match integer(value)? {
        wanted if wanted <= hard_limit() => Ok(()),
        _ => Err("is above the hard limit".to_owned()),
    });
    if environment.get("CLUSTER_POSTGRES").is_some() || environment.get("DNS_POLL").is_some() {
        checks.variable(environment, "RELEASE_COOKIE", Ok);
        checks.variable(environment, "NODE_IP", crate::realtime::own_address);
    }
    for name in ["GLOBAL_UPSTREAM_CA_PATH", "GLOBAL_DOWNSTREAM_CERT_PATH"] {
        checks.variable_if_set(environment, name, pem_file);
    }
    checks.variable(environment, "RELEASE_TMP", writable);
    checks.record("write to /tmp", writable("/tmp"));
    login
}

fn hard_limit() -> i64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(4).and_then(|number| number.parse().ok()).unwrap_or(i64::MAX)
}

/// The code is Elixir and is not run; every variable that it reads must be there.
fn check_code(checks: &Checks, environment: &Environment, code: &str) {
    checks.record("code", code.contains("Supavisor").then_some(()).ok_or("does not create a tenant of Supavisor"));
    for call in code.split("System.get_env(\"").skip(1) {
        let (name, rest) = call.split_once('"').unwrap_or((call, ""));
        // A second argument is a default.
        if rest.trim_start().starts_with(')') {
            checks.variable(environment, name, Ok);
        }
    }
    checks.variable(environment, "POOLER_TENANT_ID", Ok);
}

async fn put_tenant(pool: &PgPool, tenant: &str, settings: &str) -> Result<(), sqlx::Error> {
    let upsert = "INSERT INTO _supavisor.tenants VALUES ($1, $2) \
        ON CONFLICT (external_id) DO UPDATE SET settings = excluded.settings";
    sqlx::query(upsert).bind(tenant).bind(settings).execute(pool).await.map(drop)
}

async fn serve(checks: &Arc<Checks>, environment: &Environment, login: &PgConnectOptions) {
    let pool = database::pool(login);
    let verifier = Verifier { secret: environment.get("API_JWT_SECRET").map(str::to_owned), keys: None };
    let setting =
        |name: &str, default: u16| environment.get(name).and_then(|value| port(value).ok()).unwrap_or(default);
    for port in [setting("PROXY_PORT_SESSION", 5432), setting("PROXY_PORT_TRANSACTION", 6543)] {
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await.map_err(|error| error.to_string());
        let Some(listener) = checks.observe(format!("listen on {port}"), listener) else { continue };
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    }
    let router = with_report(Router::new(), checks).fallback(move |request: Request| {
        let (pool, verifier) = (pool.clone(), verifier.clone());
        async move { respond(&pool, &verifier, request).await }
    });
    let address = std::net::Ipv4Addr::UNSPECIFIED.into();
    crate::http::serve(checks, address, setting("PORT", 4000), router).await;
}

async fn respond(pool: &PgPool, verifier: &Verifier, request: Request) -> Response {
    let path: Vec<String> = request.uri().path().trim_matches('/').split('/').map(str::to_owned).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (request.method().as_str(), &path[..]) {
        ("GET", ["api", "health"]) => match sqlx::query("SELECT 1").execute(pool).await {
            Ok(_) => answer(200, json!({"standin": true})),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
        ("PUT", ["api", "tenants", tenant]) => {
            let allowed = bearer(request.headers()).is_some_and(|token| verifier.verify(token).is_ok());
            if !allowed {
                return StatusCode::FORBIDDEN.into_response();
            }
            let tenant = (*tenant).to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            match put_tenant(pool, &tenant, &String::from_utf8_lossy(&body)).await {
                Ok(()) => answer(201, json!({"data": {"external_id": tenant}})),
                Err(error) => answer(500, json!({"error": database::explain(&error)})),
            }
        }
        _ => answer(200, echo("supavisor", &request)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_the_code_reads_must_be_set() {
        let checks = Checks::new("supavisor");
        let environment = Environment::from([("POOLER_TENANT_ID", "one"), ("POSTGRES_HOST", "db")]);
        let code = r#"Supavisor.Tenants.create_tenant(%{"db_host" => System.get_env("POSTGRES_HOST"),
            "db_port" => System.get_env("POSTGRES_PORT"), "pool" => System.get_env("POOLER_POOL_MODE", "transaction")})"#;
        check_code(&checks, &environment, code);
        let failed: Vec<String> = checks.failures().into_iter().map(|outcome| outcome.check).collect();
        assert_eq!(failed, ["POSTGRES_PORT"]);
    }
}
