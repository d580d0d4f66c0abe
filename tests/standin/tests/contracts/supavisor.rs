use super::postgres::{Database, server};
use super::process::{Program, free_port, variables};
use super::secrets::{JWT_SECRET, legacy};

const PREPARED: &str = "
    CREATE ROLE pooler_admin LOGIN PASSWORD '{password}';
    CREATE SCHEMA _supavisor AUTHORIZATION pooler_admin;
    CREATE ROLE pooler_superuser LOGIN SUPERUSER PASSWORD '{password}';";

const SECRET_64: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn program(database: &Database, ports: [u16; 3], name: &'static str, words: &[&str]) -> Program {
    let mut variables = variables([
        ("STANDIN_COMPONENT", "supavisor"),
        ("SECRET_KEY_BASE", SECRET_64),
        ("VAULT_ENC_KEY", "0123456789abcdef0123456789abcdef"),
        ("API_JWT_SECRET", JWT_SECRET),
        ("METRICS_JWT_SECRET", "metrics-secret"),
        ("REGION", "local"),
        ("RELEASE_TMP", "/tmp"),
        ("ERL_AFLAGS", "-proto_dist inet_tcp"),
        ("RLIMIT_NOFILE", "1000"),
        ("POOLER_TENANT_ID", "demo"),
    ]);
    variables.insert("DATABASE_URL".to_owned(), database.url("ecto", "pooler_admin"));
    for (name, port) in ["PORT", "PROXY_PORT_SESSION", "PROXY_PORT_TRANSACTION"].into_iter().zip(ports) {
        variables.insert(name.to_owned(), port.to_string());
    }
    Program { name, arguments: words.iter().map(|&word| word.to_owned()).collect(), variables }
}

#[tokio::test]
async fn supavisor_refuses_what_breaks_its_contract_and_serves_else() {
    let database = server().await.database(PREPARED).await;
    let ports = [free_port(), free_port(), free_port()];
    let supavisor = program(&database, ports, "/app/bin/server", &[]);
    supavisor
        .needs(&[
            "DATABASE_URL",
            "SECRET_KEY_BASE",
            "VAULT_ENC_KEY",
            "API_JWT_SECRET",
            "METRICS_JWT_SECRET",
            "REGION",
            "ERL_AFLAGS",
            "RELEASE_TMP",
            "RLIMIT_NOFILE",
        ])
        .await;
    supavisor
        .refuses_values(&[
            ("DATABASE_URL", "mysql://u:hunter2@h/d"),
            ("SECRET_KEY_BASE", "hunter2"),
            ("VAULT_ENC_KEY", "hunter2"),
            ("ERL_AFLAGS", "-proto_dist inet6_tcp"),
            ("RLIMIT_NOFILE", "999999999999"),
        ])
        .await;
    let superuser = database.url("ecto", "pooler_superuser");
    supavisor.with("DATABASE_URL", &superuser).refuses("database role").await;
    supavisor.with("DATABASE_URL", &format!("{superuser}?ssl=true")).refuses("database login").await;
    supavisor.with("CLUSTER_POSTGRES", "false").refuses("RELEASE_COOKIE").await;
    supavisor.refuses("migrations").await;
    program(&database, ports, "/app/bin/migrate", &[]).succeeds().await;
    let code = r#"Supavisor.Tenants.create_tenant(%{"external_id" => System.get_env("POOLER_TENANT_ID")})"#;
    let eval = program(&database, ports, "/app/bin/supavisor", &["eval", code]);
    eval.without("POOLER_TENANT_ID").refuses("POOLER_TENANT_ID").await;
    eval.succeeds().await;
    program(&database, ports, "/app/bin/supavisor", &["eval", "IO.puts(1)"]).refuses("code").await;
    assert_eq!(database.ask("SELECT string_agg(external_id, ',') FROM _supavisor.tenants").await, "demo");
    let served = supavisor.serves(ports[0], "/api/health").await;
    let body = serde_json::json!({"tenant": {}});
    assert_eq!(served.send("PUT", "/api/tenants/two", &[], Some(&body)).await.0, 403);
    let token = format!("Bearer {}", legacy("any"));
    assert_eq!(served.send("PUT", "/api/tenants/two", &[("authorization", &token)], Some(&body)).await.0, 201);
}
