//! A real Envoy with rendered files, echoing services behind it, and a client that sends exactly
//! the bytes it is told to: an HTTP library would tidy up the paths that attackers send.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use supabase_operator::gateway::{self, Address, Keys, Layout, Upstream, Upstreams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rows::{documents, table};

pub const PATIENCE: Duration = Duration::from_secs(15);

/// The Envoy program, or `None` with a loud line. In CI its absence is a failure.
pub fn envoy() -> Option<String> {
    if let Ok(path) = std::env::var("ENVOY") {
        return Some(path);
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "CI=true, but ENVOY does not name an envoy binary: the gateway is untested");
    // Not eprintln: the test harness hides what a passing test prints.
    let line = b"\n!!! SKIPPED: set ENVOY to an envoy binary; the gateway is NOT tested !!!\n";
    std::io::stderr().write_all(line).ok();
    None
}

/// All services, each an echo under its own name. They are addressed by a name, as in a cluster.
pub async fn services() -> Upstreams {
    let mut upstreams = Upstreams::new();
    for upstream in Upstream::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        upstreams.insert(upstream, Address { host: "localhost".to_owned(), port });
        let app = Router::new().fallback(move |upgrade, parts| echo(upstream, upgrade, parts));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    }
    upstreams
}

async fn echo(
    upstream: Upstream,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    parts: Parts,
) -> Response {
    let headers: BTreeMap<&str, &str> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let seen = json!({
        "service": upstream.cluster(),
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers,
    })
    .to_string();
    if let Ok(upgrade) = upgrade {
        return upgrade.on_upgrade(move |mut socket| async move {
            socket.send(Message::Text(seen.into())).await.ok();
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
    if parts.uri.path().ends_with("/slow") {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    // What a service says about CORS must not show up twice.
    ([("access-control-allow-origin", "*"), ("content-type", "application/json")], seen).into_response()
}

pub struct Gateway {
    pub child: Child,
    pub layout: Layout,
    root: PathBuf,
}

impl Gateway {
    /// Starts Envoy and waits until it is ready.
    pub async fn start(envoy: &str, upstreams: &Upstreams, keys: &Keys) -> Self {
        let routes = routes_file(upstreams, keys);
        let gateway = Self::launch(envoy, |layout| layout.files(upstreams), &routes);
        gateway.await_status(gateway::READY_PATH, &[], 200).await;
        gateway
    }

    /// Starts Envoy on files of any kind.
    pub fn launch(envoy: &str, files: impl FnOnce(&Layout) -> BTreeMap<&'static str, String>, routes: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("gateway-{}-{count}", std::process::id()));
        let directory = |name: &str| root.join(name).to_str().unwrap().to_owned();
        let layout = Layout {
            config_dir: directory("config"),
            secret_dir: directory("routes"),
            address: "127.0.0.1".to_owned(),
            port: free_port(),
            admin_port: free_port(),
            drain_seconds: 5,
        };
        publish(Path::new(&layout.config_dir), &files(&layout));
        publish_routes(&layout, routes);
        let output = |name: &str| Stdio::from(File::create(root.join(name)).unwrap());
        let child = Command::new(envoy)
            .args(layout.args())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start ENVOY={envoy}: {error}"));
        Self { child, layout, root }
    }

    pub fn swap_routes(&self, routes: &str) {
        publish_routes(&self.layout, routes);
    }

    pub fn output(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).unwrap()
    }

    pub async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", target, headers).await
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        try_send(self.layout.port, method, target, headers).await.unwrap_or_else(|| {
            panic!("no answer to {method} {target}\n{}", self.output("stderr"));
        })
    }

    pub async fn await_status(&self, target: &str, headers: &[(&str, &str)], status: u16) {
        let start = Instant::now();
        loop {
            let reply = try_send(self.layout.port, "GET", target, headers).await;
            if reply.as_ref().is_some_and(|reply| reply.status == status) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{target} does not become {status}: {reply:?}\n{}",
                self.output("stderr")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.root).ok();
        }
    }
}

pub fn routes_file(upstreams: &Upstreams, keys: &Keys) -> String {
    gateway::routes_file(&table(), upstreams, keys, &documents())
}

fn publish_routes(layout: &Layout, routes: &str) {
    let files = BTreeMap::from([(gateway::ROUTES_FILE, routes.to_owned())]);
    publish(Path::new(&layout.secret_dir), &files);
}

/// Writes a volume as the kubelet does: a new directory, then the rename of one symlink.
fn publish(volume: &Path, files: &BTreeMap<&'static str, String>) {
    static VERSION: AtomicU32 = AtomicU32::new(0);
    let version = format!("..version-{}", VERSION.fetch_add(1, Ordering::Relaxed));
    fs::create_dir_all(volume.join(&version)).unwrap();
    for (name, content) in files {
        fs::write(volume.join(&version).join(name), content).unwrap();
    }
    symlink(&version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for name in files.keys() {
        symlink(format!("..data/{name}"), volume.join(name)).ok();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The value of a header that must not be repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        value
    }

    /// What the service saw.
    pub fn seen(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn message(&self) -> String {
        self.seen()["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// One request on a connection of its own; `None` if there is no answer.
async fn try_send(port: u16, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Reply> {
    let mut client = Client::connect(port).await?;
    let headers = [headers, &[("connection", "close")]].concat();
    client.send(method, target, &headers).await
}

/// A connection that stays open.
pub struct Client(TcpStream);

impl Client {
    pub async fn connect(port: u16) -> Option<Self> {
        TcpStream::connect(("127.0.0.1", port)).await.ok().map(Self)
    }

    pub async fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Reply> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: client.example\r\n");
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.0.write_all(request.as_bytes()).await.ok()?;
        tokio::time::timeout(PATIENCE, self.read()).await.ok()?
    }

    async fn read(&mut self) -> Option<Reply> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = bytes.split_off(end + 4);
        while body.len() < length {
            if self.0.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        Some(Reply { status, headers, body: String::from_utf8(body).unwrap() })
    }
}
