//! The stand-in as a process, and tables of what it must refuse.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::postgres::PASSWORD;
use super::secrets::JWT_SECRET;

/// Generous: the machine may be busy with other things.
const LIMIT: Duration = Duration::from_mins(1);

pub type Variables = BTreeMap<String, String>;

pub fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Variables {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The system gives each asker another one for a while.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// How one component is started.
pub struct Program {
    pub name: &'static str,
    pub arguments: Vec<String>,
    pub variables: Variables,
}

impl Program {
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = self.variables.clone();
        variables.insert(name.to_owned(), value.to_owned());
        Self { name: self.name, arguments: self.arguments.clone(), variables }
    }

    pub fn without(&self, name: &str) -> Self {
        let mut variables = self.variables.clone();
        assert!(variables.remove(name).is_some(), "{name} is not in the whole environment");
        Self { name: self.name, arguments: self.arguments.clone(), variables }
    }

    fn spawn(&self) -> Child {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_supabase-standin"));
        command.arg0(self.name).args(&self.arguments).env_clear().envs(&self.variables);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Command::from(command).kill_on_drop(true).spawn().unwrap()
    }

    /// Runs to its end; what it wrote, and whether it succeeded.
    pub async fn finish(&self) -> (bool, String) {
        let mut child = self.spawn();
        let mut text = String::new();
        let mut output = child.stderr.take().unwrap();
        let read = tokio::time::timeout(LIMIT, output.read_to_string(&mut text)).await;
        assert!(read.is_ok(), "{} neither served nor ended: {text}", self.name);
        (child.wait().await.unwrap().success(), text)
    }

    pub async fn succeeds(&self) {
        let (succeeded, text) = self.finish().await;
        assert!(succeeded, "{}: {text}", self.name);
    }

    /// Runs until it serves or ends: its exit status, `None` while it serves, and what it wrote until then.
    pub async fn begins(&self) -> (Option<i32>, String) {
        let mut child = self.spawn();
        let mut text = String::new();
        let mut output = child.stderr.take().unwrap();
        // One that starts to serve never ends: what it says first tells that.
        let ended = async {
            let mut buffer = [0; 4096];
            while !text.contains("\"listening\"") {
                match output.read(&mut buffer).await.unwrap() {
                    0 => return true,
                    count => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                }
            }
            false
        };
        let Ok(ended) = tokio::time::timeout(LIMIT, ended).await else {
            panic!("{} neither served nor ended: {text}", self.name);
        };
        let status = if ended { child.wait().await.unwrap().code() } else { None };
        assert_eq!(status.is_some(), ended, "{} was killed: {text}", self.name);
        (status, text)
    }

    /// It ends with failure, and exactly these checks are what it names.
    pub async fn refuses(&self, wanted: &str) {
        let (status, text) = self.begins().await;
        assert_eq!(status, Some(1), "{} accepted {wanted}: {text}", self.name);
        let checks = failed_checks(&text);
        assert!(checks.iter().any(|check| check == wanted), "{} should refuse for {wanted}, said: {text}", self.name);
        for secret in [JWT_SECRET, PASSWORD, "p%40ss", "hunter2", "eyJ"] {
            assert!(!text.contains(secret), "{} tells a secret: {text}", self.name);
        }
    }

    /// Every variable named here is needed.
    pub async fn needs(&self, names: &[&str]) {
        for name in names {
            self.without(name).refuses(name).await;
            self.with(name, "").refuses(name).await;
        }
    }

    /// Each of these values is refused.
    pub async fn refuses_values(&self, table: &[(&str, &str)]) {
        for (name, value) in table {
            self.with(name, value).refuses(name).await;
        }
    }

    pub async fn serves(&self, port: u16, health: &str) -> Served {
        let url = format!("http://127.0.0.1:{port}");
        let mut served = Served { child: self.spawn(), url, client: reqwest::Client::new() };
        let started = Instant::now();
        loop {
            match served.client.get(format!("{}{health}", served.url)).send().await {
                Ok(answer) if answer.status().is_success() => return served,
                _ => {}
            }
            if served.child.try_wait().unwrap().is_some() || started.elapsed() > LIMIT {
                let _ = served.child.kill().await;
                let mut text = String::new();
                let _ = served.child.stderr.take().unwrap().read_to_string(&mut text).await;
                panic!("{} is not healthy: {text}", self.name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A process that is healthy; it ends with this value.
pub struct Served {
    child: Child,
    pub url: String,
    pub client: reqwest::Client,
}

impl Served {
    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, &[], None).await.1
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn report(&self) -> Value {
        self.get("/_standin/report").await
    }
}

/// The checks that a process ended with, in their order.
pub fn failed_checks(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines
        .map(|line| {
            assert!(line["error"].is_string() && line["component"].is_string(), "{line}");
            line["check"].as_str().expect("a line names its check").to_owned()
        })
        .collect()
}

pub fn failed(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().filter(|check| check["ok"] == false).filter_map(|check| check["check"].as_str()).collect()
}
