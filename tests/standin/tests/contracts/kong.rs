use serde_json::{Value, json};

use super::process::{Program, failed, free_port, variables};

const PATHS: &[&str] = &[
    "/auth/v1/verify",
    "/auth/v1/callback",
    "/auth/v1/authorize",
    "/auth/v1/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server/auth/v1",
    "/auth/v1/sso/saml/acs",
    "/auth/v1/sso/saml/metadata",
    "/auth/v1/",
    "/rest/v1/",
    "/graphql/v1",
    "/realtime/v1/api",
    "/realtime/v1/",
    "/storage/v1/",
    "/functions/v1/",
    "/pg/",
    "/mcp",
    "/",
];

fn file() -> Value {
    let service = |path: &&str| {
        json!({"name": path, "url": "http://127.0.0.1:3000/", "routes": [{"name": path, "paths": [path]}],
        "plugins": [{"name": "key-auth"}]})
    };
    let refusal = |path: &str| {
        json!({"name": path, "url": "http://127.0.0.1:1/", "routes": [{"name": path, "paths": [path]}],
        "plugins": [{"name": "request-termination", "config": {"status_code": 403}}]})
    };
    let mut services: Vec<Value> = PATHS.iter().map(service).collect();
    services.extend(["/realtime/v1/api/tenants", "/realtime/v1/api/openapi", "/api/mcp"].map(refusal));
    json!({
        "_format_version": "2.1",
        "consumers": [
            {"username": "DASHBOARD"},
            {"username": "anon", "keyauth_credentials": [{"key": "anon-key"}], "acls": [{"group": "anon"}]},
            {"username": "service_role", "keyauth_credentials": [{"key": "service-key"}], "acls": [{"group": "admin"}]},
        ],
        "services": services,
    })
}

type Damage = fn(&mut Value);

#[tokio::test]
async fn kong_refuses_settings_and_files_that_break_its_contract_and_serves_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kong.yml");
    let write = |file: &Value| std::fs::write(&path, file.to_string()).unwrap();
    let (status, proxy) = (free_port(), free_port());
    let mut variables = variables([
        ("STANDIN_COMPONENT", "kong"),
        ("KONG_DATABASE", "off"),
        ("KONG_DNS_ORDER", "LAST,A,CNAME"),
        ("KONG_ADMIN_LISTEN", "off"),
        ("KONG_PLUGINS", "request-termination,key-auth,acl"),
    ]);
    variables.insert("KONG_DECLARATIVE_CONFIG".to_owned(), path.to_str().unwrap().to_owned());
    variables.insert("KONG_PREFIX".to_owned(), directory.path().to_str().unwrap().to_owned());
    variables.insert("KONG_STATUS_LISTEN".to_owned(), format!("0.0.0.0:{status}"));
    variables.insert("KONG_PROXY_LISTEN".to_owned(), format!("0.0.0.0:{proxy} reuseport"));
    let kong =
        Program { name: "/docker-entrypoint.sh", arguments: vec!["kong".into(), "docker-start".into()], variables };
    write(&file());
    let served = kong.serves(status, "/status/ready").await;
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
    drop(served);

    kong.needs(&[
        "KONG_DATABASE",
        "KONG_DNS_ORDER",
        "KONG_STATUS_LISTEN",
        "KONG_ADMIN_LISTEN",
        "KONG_DECLARATIVE_CONFIG",
        "KONG_PLUGINS",
    ])
    .await;
    kong.refuses_values(&[
        ("KONG_DATABASE", "postgres"),
        ("KONG_ADMIN_LISTEN", "0.0.0.0:8001"),
        ("KONG_DECLARATIVE_CONFIG", "/nowhere/kong.yml"),
        ("KONG_PLUGINS", "acl"),
        ("KONG_ROUTER_FLAVOR", "expressions"),
        ("KONG_PREFIX", "/nowhere"),
    ])
    .await;
    let damages: &[(&str, Damage)] = &[
        ("_format_version", |file| file["_format_version"] = json!(2.1)),
        ("consumer anon", |file| file["consumers"][1]["keyauth_credentials"][0]["key"] = json!("")),
        ("consumer service_role", |file| file["consumers"][2]["acls"][0]["group"] = json!("anon")),
        ("placeholders in the file", |file| {
            file["consumers"][1]["keyauth_credentials"][0]["key"] = json!("$SUPABASE_ANON_KEY");
        }),
        ("route /storage/v1/", |file| file["services"].as_array_mut().unwrap().retain(|s| s["name"] != "/storage/v1/")),
        ("KONG_ROUTER_FLAVOR", |file| {
            file["services"][0]["routes"][0]["expression"] = json!("http.path == \"/auth/v1/verify\"");
        }),
        ("refusal of /api/mcp", |file| {
            file["services"].as_array_mut().unwrap().last_mut().unwrap()["plugins"] = json!([]);
        }),
    ];
    for (check, damage) in damages {
        let mut broken = file();
        damage(&mut broken);
        write(&broken);
        kong.refuses(check).await;
    }
    std::fs::write(&path, "services: [").unwrap();
    kong.refuses("file").await;
}
