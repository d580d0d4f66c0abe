use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::postgres::{Database, PASSWORD, server};
use super::process::{Program, Served, failed, free_port, variables};
use super::secrets::{JWT_SECRET, Keys, claims, hs256, legacy};

/// The least that works: a login without superuser.
const PREPARED: &str = "
    CREATE ROLE supabase_admin LOGIN NOSUPERUSER REPLICATION PASSWORD '{password}';
    CREATE ROLE supabase_realtime_admin NOLOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO supabase_realtime_admin;
    GRANT supabase_realtime_admin TO supabase_admin WITH ADMIN OPTION;
    GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin;
    GRANT CREATE ON DATABASE {database} TO supabase_admin;
    CREATE SCHEMA realtime AUTHORIZATION supabase_admin;
    GRANT USAGE, CREATE ON SCHEMA realtime TO supabase_realtime_admin;
    CREATE SCHEMA _realtime AUTHORIZATION supabase_admin;
    CREATE PUBLICATION supabase_realtime;";

const SECRET_64: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const API_SECRET: &str = "api-secret-of-more-than-thirty-two-characters";

fn program(database: &Database, port: u16, name: &'static str) -> Program {
    let mut variables = variables([
        ("STANDIN_COMPONENT", "realtime"),
        ("APP_NAME", "realtime"),
        ("METRICS_JWT_SECRET", "metrics-secret"),
        ("SECRET_KEY_BASE", SECRET_64),
        ("DB_ENC_KEY", "0123456789abcdef"),
        ("API_JWT_SECRET", API_SECRET),
        ("DB_HOST", "127.0.0.1"),
        ("DB_USER", "supabase_admin"),
        ("DB_PASSWORD", PASSWORD),
        ("DB_AFTER_CONNECT_QUERY", "SET search_path TO _realtime"),
        ("ERL_AFLAGS", "-proto_dist inet_tcp"),
        ("RELEASE_COOKIE", "cookie"),
        ("RUN_JANITOR", "true"),
        ("RELEASE_TMP", "/tmp"),
    ]);
    variables.insert("PORT".to_owned(), port.to_string());
    variables.insert("DB_PORT".to_owned(), database.server.port.to_string());
    variables.insert("DB_NAME".to_owned(), database.name.clone());
    Program { name, arguments: Vec::new(), variables }
}

#[tokio::test]
async fn realtime_refuses_an_environment_that_breaks_its_contract() {
    let database = Database::unprepared(server().await);
    let realtime = program(&database, 4000, "/app/bin/server");
    realtime
        .needs(&[
            "APP_NAME",
            "METRICS_JWT_SECRET",
            "SECRET_KEY_BASE",
            "DB_ENC_KEY",
            "API_JWT_SECRET",
            "DB_HOST",
            "DB_PORT",
            "DB_NAME",
            "DB_USER",
            "DB_PASSWORD",
            "DB_AFTER_CONNECT_QUERY",
            "ERL_AFLAGS",
            "RELEASE_COOKIE",
            "RELEASE_TMP",
        ])
        .await;
    realtime
        .refuses_values(&[
            ("SECRET_KEY_BASE", "hunter2"),
            ("DB_ENC_KEY", "0123456789abcdef0"),
            ("DB_ENC_KEY_GCM", ""),
            ("DB_ENC_KEY_GCM", "0123456789abcdef"),
            ("API_JWT_SECRET", "hunter2"),
            ("API_JWT_SECRET_NEXT", ""),
            ("API_JWT_JWKS", "[]"),
            ("API_JWT_JWKS", ""),
            ("DB_HOST", "no-such-host.invalid"),
            ("DB_PORT", "five"),
            ("DB_AFTER_CONNECT_QUERY", "SET search_path TO public"),
            ("ERL_AFLAGS", "-proto_dist inet6_tcp"),
            ("DB_SSL", "yes"),
            ("RUN_JANITOR", "on"),
            ("DB_POOL_SIZE", "many"),
            ("TENANT_MAX_CONCURRENT_USERS", "200.5"),
            ("TENANT_CACHE_EXPIRATION_IN_MS", "30s"),
            ("LOG_LEVEL", "verbose"),
            ("CLUSTER_STRATEGIES", "KUBERNETES"),
            ("POD_IP", "192.0.2.1"),
            ("DB_SSL_CA_CERT", "/nowhere/ca.crt"),
        ])
        .await;
    realtime.with("POD_IP", "127.0.0.1").with("SEED_SELF_HOST", "true").refuses("SEED_SELF_HOST").await;
    realtime.with("CLUSTER_STRATEGIES", "DNS").refuses("DNS_NODES").await;
    realtime.with("CLUSTER_STRATEGIES", "POSTGRES").refuses("POD_IP").await;
}

#[tokio::test]
async fn realtime_migrates_serves_its_tenants_and_needs_its_database() {
    let database = server().await.database(PREPARED).await;
    let port = free_port();
    let realtime = program(&database, port, "/app/bin/server");
    realtime.refuses("migrations").await;
    program(&database, port, "/app/bin/migrate").succeeds().await;
    realtime.with("DB_PASSWORD", "hunter2").refuses("database login").await;
    realtime.with("DB_SSL", "true").refuses("database login").await;
    let damages = [
        ("database role", "ALTER ROLE supabase_admin SUPERUSER", "ALTER ROLE supabase_admin NOSUPERUSER"),
        (
            "create in database",
            "REVOKE CREATE ON DATABASE {database} FROM supabase_admin",
            "GRANT CREATE ON DATABASE {database} TO supabase_admin",
        ),
        ("switch to anon", "REVOKE anon FROM supabase_realtime_admin", "GRANT anon TO supabase_realtime_admin"),
        (
            "hand over to supabase_realtime_admin",
            "REVOKE supabase_realtime_admin FROM supabase_admin",
            "GRANT supabase_realtime_admin TO supabase_admin WITH ADMIN OPTION",
        ),
        (
            "set log_min_messages",
            "REVOKE SET ON PARAMETER log_min_messages FROM supabase_realtime_admin",
            "GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin",
        ),
        ("replication", "ALTER ROLE supabase_admin NOREPLICATION", "ALTER ROLE supabase_admin REPLICATION"),
        ("wal2json", "ALTER ROLE supabase_admin NOREPLICATION", "ALTER ROLE supabase_admin REPLICATION"),
        (
            "role dashboard_user",
            "ALTER ROLE dashboard_user RENAME TO other_user",
            "ALTER ROLE other_user RENAME TO dashboard_user",
        ),
        ("publication supabase_realtime", "DROP PUBLICATION supabase_realtime", "CREATE PUBLICATION supabase_realtime"),
        (
            "create table in realtime",
            "ALTER SCHEMA realtime RENAME TO elsewhere",
            "ALTER SCHEMA elsewhere RENAME TO realtime",
        ),
        (
            "create table in _realtime",
            "ALTER SCHEMA _realtime RENAME TO elsewhere",
            "ALTER SCHEMA elsewhere RENAME TO _realtime",
        ),
    ];
    for (check, damage, repair) in damages {
        database.run(damage).await;
        realtime.refuses(check).await;
        database.run(repair).await;
    }

    let served = realtime.serves(port, "/healthcheck").await;
    assert_eq!(failed(&served.report().await), Vec::<&str>::new());
    let keys = Keys::new();
    tenants_are_administered_with_the_api_secret_only(&served, &database, &keys).await;
    sockets_hear_each_other(&served, &keys).await;
    drop(served);

    // A restart keeps the tenant; another encryption key does not read it.
    let admin = format!("Bearer {}", hs256(API_SECRET, &claims("anything")));
    let served = realtime.serves(port, "/healthcheck").await;
    assert_eq!(served.send("GET", "/api/tenants/demo/health", &[("authorization", &admin)], None).await.0, 200);
    drop(served);
    let served = realtime.with("DB_ENC_KEY", "fedcba9876543210").serves(port, "/healthcheck").await;
    assert_eq!(served.send("GET", "/api/tenants/demo/health", &[("authorization", &admin)], None).await.0, 500);
}

fn tenant(database: &Database, keys: &Keys) -> Value {
    json!({"tenant": {"external_id": "demo", "name": "demo", "jwt_secret": JWT_SECRET, "jwt_jwks": keys.jwks(),
    "extensions": [{"type": "postgres_cdc_rls", "settings": {
        "region": "local", "db_host": "127.0.0.1", "db_port": database.server.port.to_string(),
        "db_name": database.name, "db_user": "supabase_admin", "db_password": PASSWORD,
        "poll_interval_ms": 100, "poll_max_record_bytes": 1_048_576, "ssl_enforced": false,
    }}]}})
}

async fn tenants_are_administered_with_the_api_secret_only(served: &Served, database: &Database, keys: &Keys) {
    let bearer = |secret: &str, claims: &Value| format!("Bearer {}", hs256(secret, claims));
    let admin = bearer(API_SECRET, &claims("anything"));
    let mut timeless = claims("anything");
    timeless.as_object_mut().unwrap().remove("iat");
    for wrong in [bearer(JWT_SECRET, &claims("anything")), bearer(API_SECRET, &timeless)] {
        assert_eq!(served.send("GET", "/api/tenants/demo/health", &[("authorization", &wrong)], None).await.0, 403);
    }
    let admin = [("authorization", admin.as_str())];
    assert_eq!(served.send("GET", "/api/tenants/demo/health", &admin, None).await.0, 404);
    let whole = tenant(database, keys);
    for (name, wrong) in [
        ("db_port", json!(5432)),
        ("ssl_enforced", json!("false")),
        ("db_password", json!("hunter2")),
        ("ssl_enforced", json!(true)),
    ] {
        let mut bad = whole.clone();
        bad["tenant"]["extensions"][0]["settings"][name] = wrong;
        let (status, answer) = served.send("PUT", "/api/tenants/demo", &admin, Some(&bad)).await;
        assert_eq!(status, 422, "{name}: {answer}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
    assert_eq!(served.send("PUT", "/api/tenants/demo", &admin, Some(&whole)).await.0, 201);
    assert_eq!(served.send("PUT", "/api/tenants/demo", &admin, Some(&whole)).await.0, 200);
    let (_, shown) = served.send("GET", "/api/tenants/demo", &admin, None).await;
    assert_eq!(shown["data"]["external_id"], "demo");
    assert!(!shown.to_string().contains(JWT_SECRET) && !shown.to_string().contains(PASSWORD), "{shown}");
    let (_, health) = served.send("GET", "/api/tenants/demo/health", &admin, None).await;
    assert_eq!(health["data"]["healthy"], true);
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(served: &Served, host: &str, query: &str, api_key: Option<&str>) -> Result<Socket, u16> {
    let url = format!("{}/socket/websocket?{query}", served.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("host", host.parse().unwrap());
    if let Some(key) = api_key {
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn say(socket: &mut Socket, frame: Value) {
    socket.send(Message::text(frame.to_string())).await.unwrap();
}

/// The next frame with this event.
async fn hear(socket: &mut Socket, event: &str) -> Value {
    loop {
        let message = tokio::time::timeout(std::time::Duration::from_secs(20), socket.next()).await.expect(event);
        let frame: Value = serde_json::from_str(message.unwrap().unwrap().to_text().unwrap()).unwrap();
        let found = if frame.is_array() { &frame[3] } else { &frame["event"] };
        if found == event {
            return frame;
        }
    }
}

async fn sockets_hear_each_other(served: &Served, keys: &Keys) {
    let (host, anon) = ("demo.supabase-realtime", keys.es256(&claims("anon")));
    let query = |key: &str| format!("apikey={key}&vsn=2.0.0");
    assert_eq!(connect(served, "other.supabase-realtime", &query(&anon), None).await.err(), Some(403));
    assert_eq!(connect(served, host, &query("sb_publishable_x"), None).await.err(), Some(403));
    let stranger = Keys::new().es256(&claims("anon"));
    assert_eq!(connect(served, host, &query(&anon), Some(&stranger)).await.err(), Some(403));

    // The header wins over the query; both kinds of token and both versions of the protocol are spoken.
    let mut two = connect(served, host, &query("sb_publishable_x"), Some(&anon)).await.unwrap();
    let one = format!("apikey={}&vsn=1.0.0", legacy("anon"));
    let mut one = connect(served, host, &one, None).await.unwrap();
    let config = json!({"config": {"broadcast": {"self": false, "ack": true}, "postgres_changes": []}});
    say(&mut two, json!(["1", "1", "realtime:room", "phx_join", config])).await;
    let reply = hear(&mut two, "phx_reply").await;
    assert_eq!(reply[4], json!({"status": "ok", "response": {"postgres_changes": []}}));
    say(
        &mut one,
        json!({"topic": "realtime:room", "event": "phx_join", "payload": config, "ref": "1", "join_ref": "1"}),
    )
    .await;
    assert_eq!(hear(&mut one, "phx_reply").await["payload"]["status"], "ok");
    say(&mut one, json!({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"})).await;
    assert_eq!(hear(&mut one, "phx_reply").await["ref"], "2");

    let mut push = vec![3, 1, 1, 13, 5, 0, 1];
    push.extend(br#"12realtime:roomshout{"x":1}"#);
    two.send(Message::binary(push)).await.unwrap();
    let heard = hear(&mut one, "broadcast").await;
    assert_eq!(heard["payload"], json!({"type": "broadcast", "event": "shout", "payload": {"x": 1}}));
    assert_eq!(hear(&mut two, "phx_reply").await[1], "2");

    let message = json!({"messages": [{"topic": "room", "event": "news", "payload": {"y": 2}, "private": false}]});
    let service = format!("Bearer {}", legacy("service_role"));
    let (status, _) =
        served.send("POST", "/api/broadcast", &[("host", host), ("authorization", &service)], Some(&message)).await;
    assert_eq!(status, 202);
    // The sender of the first did not hear itself: the next that it hears is this one.
    assert_eq!(hear(&mut two, "broadcast").await[4]["event"], "news");
    assert_eq!(hear(&mut one, "broadcast").await["payload"]["event"], "news");
    let bare = legacy("service_role");
    let (status, _) =
        served.send("POST", "/api/broadcast", &[("host", host), ("authorization", &bare)], Some(&message)).await;
    assert_eq!(status, 500);
    say(&mut two, json!(["1", "9", "realtime:room", "phx_leave", {}])).await;
    hear(&mut two, "phx_close").await;
}
