//! What happens around changes, failures and the end of the gateway.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use supabase_operator::gateway::{Address, Keys, READY_PATH, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::harness::{Client, Gateway, envoy, routes_file, services};
use super::rows::keys;
use super::{ANON, SERVICE};

fn with_secrets(secrets: &[&str]) -> Keys {
    Keys { secret: secrets.iter().map(|key| (*key).to_owned()).collect(), ..keys() }
}

#[tokio::test]
async fn keys_rotate_without_closing_a_websocket() {
    let Some(envoy) = envoy() else { return };
    let upstreams = services().await;
    let gateway = Gateway::start(&envoy, &upstreams, &keys()).await;
    let port = gateway.layout.port;
    let url = format!("ws://127.0.0.1:{port}/realtime/v1/websocket?apikey=sb_secret_one");
    let (mut socket, _) = connect_async(url).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let mut client = Client::connect(port).await.unwrap();

    let new = ("apikey", "sb_secret_two");
    assert_eq!(client.send("GET", "/pg/x", &[new]).await.unwrap().status, 401);
    gateway.swap_routes(&routes_file(&upstreams, &with_secrets(&["sb_secret_one", "sb_secret_two"])));
    gateway.await_status("/pg/x", &[new], 200).await;
    assert_eq!(client.send("GET", "/pg/x", &[SERVICE]).await.unwrap().status, 200);
    gateway.swap_routes(&routes_file(&upstreams, &with_secrets(&["sb_secret_two"])));
    gateway.await_status("/pg/x", &[SERVICE], 401).await;
    // The same connection sees the new routes.
    assert_eq!(client.send("GET", "/pg/x", &[SERVICE]).await.unwrap().status, 401);
    assert_eq!(client.send("GET", "/pg/x", &[new]).await.unwrap().status, 200);

    // Beyond the time that a changed listener would leave it.
    tokio::time::sleep(Duration::from_secs(u64::from(gateway.layout.drain_seconds) + 1)).await;
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
}

#[tokio::test]
async fn broken_routes_change_nothing() {
    let Some(envoy) = envoy() else { return };
    let upstreams = services().await;
    let gateway = Gateway::start(&envoy, &upstreams, &keys()).await;
    let unknown = routes_file(&upstreams, &keys()).replace("idle_timeout", "no_such_field");
    for broken in ["{", "", unknown.as_str()] {
        gateway.swap_routes(broken);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(gateway.get("/pg/x", &[SERVICE]).await.status, 200, "{broken:.20}");
        assert_eq!(gateway.get("/pg/x", &[ANON]).await.status, 403);
        assert_eq!(gateway.get(READY_PATH, &[]).await.status, 200);
    }
    gateway.swap_routes(&routes_file(&upstreams, &with_secrets(&["sb_secret_two"])));
    gateway.await_status("/pg/x", &[SERVICE], 401).await;
}

#[tokio::test]
async fn broken_routes_at_start_deny_everything_and_heal() {
    let Some(envoy) = envoy() else { return };
    let upstreams = services().await;
    let gateway = Gateway::launch(&envoy, |layout| layout.files(&upstreams), "{");
    gateway.await_status("/rest/v1/t", &[SERVICE], 401).await;
    for path in ["/", "/pg/x", "/auth/v1/verify", "/storage/v1/x", READY_PATH] {
        assert_eq!(gateway.get(path, &[SERVICE]).await.status, 401, "{path}");
    }
    gateway.swap_routes(&routes_file(&upstreams, &keys()));
    gateway.await_status(READY_PATH, &[], 200).await;
    assert_eq!(gateway.get("/pg/x", &[SERVICE]).await.status, 200);
}

#[tokio::test]
async fn failing_gate_denies() {
    let Some(envoy) = envoy() else { return };
    let upstreams = services().await;
    // At the beginning of the script and at its end.
    for place in ["local role = role_of(ctx, key)", "h:streamInfo():dynamicMetadata()"] {
        let files = |layout: &supabase_operator::gateway::Layout| {
            let mut files = layout.files(&upstreams);
            let listener = files["lds.json"].replace(place, "error('broken') --");
            assert_ne!(listener, files["lds.json"]);
            files.insert("lds.json", listener);
            files
        };
        let gateway = Gateway::launch(&envoy, files, &routes_file(&upstreams, &keys()));
        gateway.await_status(READY_PATH, &[], 403).await;
        for path in ["/rest/v1/t", "/pg/x", "/auth/v1/verify", "/storage/v1/x", "/functions/v1/x", "/"] {
            assert_eq!(gateway.get(path, &[SERVICE]).await.status, 403, "{path}");
        }
    }
}

/// A service that answers once on each connection and drops the next request unread.
async fn forgetful() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                if stream.read(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok();
                stream.readable().await.ok();
            });
        }
    });
    Address { host: "127.0.0.1".to_owned(), port }
}

#[tokio::test]
async fn reads_survive_a_service_that_hangs_up_and_writes_are_not_repeated() {
    let Some(envoy) = envoy() else { return };
    let mut upstreams = services().await;
    upstreams.insert(Upstream::Rest, forgetful().await);
    let gateway = Gateway::start(&envoy, &upstreams, &keys()).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/rest/v1/t", &[SERVICE]).await.status, 200);
    }
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let reply = gateway.send("POST", "/rest/v1/t", &[SERVICE, ("content-length", "0")]).await;
        if reply.status == 503 {
            assert_eq!(reply.message(), "The service does not answer");
        }
        statuses.push(reply.status);
    }
    assert!(statuses.contains(&503), "{statuses:?}");
}

#[tokio::test]
async fn service_that_is_down_answers_503_in_json() {
    let Some(envoy) = envoy() else { return };
    let mut upstreams = services().await;
    upstreams.insert(Upstream::Rest, Address { host: "no-such-host.invalid".to_owned(), port: 80 });
    upstreams.insert(Upstream::Auth, Address { host: "127.0.0.1".to_owned(), port: 1 });
    let gateway = Gateway::start(&envoy, &upstreams, &keys()).await;
    for path in ["/rest/v1/t", "/auth/v1/user"] {
        let reply = gateway.get(path, &[ANON, ("origin", "https://a")]).await;
        assert_eq!((reply.status, reply.message().as_str()), (503, "The service does not answer"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://a"));
    }
}

#[tokio::test]
async fn draining_cuts_no_request() {
    let Some(envoy) = envoy() else { return };
    let mut gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    let port = gateway.layout.port;
    let mut keep_alive = Client::connect(port).await.unwrap();
    let reply = keep_alive.send("GET", "/rest/v1/t", &[ANON]).await.unwrap();
    assert_eq!(reply.header("connection"), None);
    let slow =
        tokio::spawn(async move { Client::connect(port).await.unwrap().send("GET", "/rest/v1/slow", &[ANON]).await });
    tokio::time::sleep(Duration::from_millis(500)).await;

    let command = gateway.layout.drain_command();
    let mut hook = Command::new(&command[0]).args(&command[1..]).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // An old client is told to leave, and a new one, sent by a Service that does not know yet, is
    // served.
    let reply = keep_alive.send("GET", "/rest/v1/t", &[ANON]).await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert_eq!(gateway.get("/rest/v1/t", &[ANON]).await.status, 200);
    assert_eq!(slow.await.unwrap().unwrap().status, 200);

    let start = Instant::now();
    while hook.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < super::harness::PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gateway.child.try_wait().unwrap().is_none(), "draining must not end the process");
    let pid = gateway.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(gateway.child.wait().unwrap().success());
}

#[tokio::test]
async fn log_tells_no_secret() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    gateway.get("/rest/v1/logged?apikey=sb_secret_one&t=private", &[]).await;
    gateway.get("/rest/v1/logged", &[SERVICE, ("authorization", "Bearer private")]).await;
    gateway.get("/auth/v1/verify?token=private", &[]).await;
    let start = Instant::now();
    // Envoy writes its access log every 10 s.
    while gateway.output("stdout").lines().count() < 3 {
        assert!(start.elapsed() < super::harness::PATIENCE, "{}", gateway.output("stdout"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = gateway.output("stdout");
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["path"], "/rest/v1/logged");
    assert_eq!((&line["role"], &line["status"]), (&"service".into(), &200.into()));
    for secret in ["sb_", "private", "internal", READY_PATH] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
