//! Real PostgreSQL servers, each in a directory of its own, gone with the test.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use supabase_operator::api::{Privileges, SslMode};
use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::sensitive::Sensitive;
use supabase_operator::sql::{Feature, Finding, Role, Severity};
use tempfile::TempDir;

pub const OWNER: &str = "tenant/demo";
pub const ROOT: &str = "root";
const PASSWORD: &str = "p@ss:w/o?r#d% '\"\\";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The distribution's 15, with wal2json.
    Fifteen,
    /// The newest that a registry carries, without wal2json.
    Newest,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::Fifteen, Self::Newest];

    fn programs(self) -> PathBuf {
        match self {
            Self::Fifteen => {
                let path = PathBuf::from("/usr/lib/postgresql/15/bin");
                assert!(path.join("postgres").exists(), "install postgresql-15 and postgresql-15-wal2json");
                path
            }
            Self::Newest => {
                static PATH: OnceLock<PathBuf> = OnceLock::new();
                PATH.get_or_init(|| {
                    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/newest");
                    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
                    assert!(output.status.success(), "tests/postgres/newest failed");
                    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
                })
                .clone()
            }
        }
    }

    /// A fresh data directory, made once and copied for each server.
    fn template(self) -> &'static Path {
        static TEMPLATES: [OnceLock<TempDir>; 2] = [OnceLock::new(), OnceLock::new()];
        let template = TEMPLATES[self as usize].get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let password = directory.path().join("password");
            fs::write(&password, PASSWORD).unwrap();
            let arguments =
                ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username", ROOT];
            let output = not_root(&self.programs().join("initdb"))
                .args(arguments)
                .arg("--pwfile")
                .arg(&password)
                .arg("--pgdata")
                .arg(directory.path().join("data"))
                .output()
                .unwrap();
            assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
            directory
        });
        template.path()
    }
}

/// A program as somebody who is not root: `PostgreSQL` refuses to run as root.
pub fn not_root(program: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", "--map-group=1000"]).arg(program);
    command
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub struct Server {
    pub port: u16,
    pub directory: TempDir,
    process: Child,
    tls: bool,
}

#[derive(Default)]
pub struct Setup<'a> {
    pub tls: bool,
    pub standby: bool,
    pub settings: &'a [(&'a str, &'a str)],
}

impl Server {
    /// A server on which Realtime can work, as far as its version allows.
    pub async fn start(version: Version) -> Self {
        Self::start_with(version, Setup::default()).await
    }

    pub async fn start_with(version: Version, setup: Setup<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let copied = Command::new("cp").arg("-a").arg(version.template().join("data")).arg(&data).status().unwrap();
        assert!(copied.success());
        if setup.tls {
            certificates(directory.path(), &data);
        }
        if setup.standby {
            fs::write(data.join("standby.signal"), "").unwrap();
        }
        let hba = if setup.tls { "hostssl" } else { "host" };
        fs::write(data.join("pg_hba.conf"), format!("{hba} all all 127.0.0.1/32 scram-sha-256\n")).unwrap();
        let port = free_port();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = not_root(&version.programs().join("postgres"));
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("fsync", "off"),
            ("wal_level", "logical"),
            ("ssl", if setup.tls { "on" } else { "off" }),
        ];
        if version == Version::Fifteen {
            settings.push(("output_plugin_libraries", "pgoutput, test_decoding, wal2json"));
        }
        settings.extend(setup.settings);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Self { port, directory, process, tls: setup.tls };
        server.wait().await;
        server
    }

    async fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.try_connect("postgres").await.is_err() {
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "the server ended: {}", log());
            assert!(Instant::now() < deadline, "the server does not answer: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let mode = if self.tls { PgSslMode::Require } else { PgSslMode::Disable };
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(ROOT)
            .password(PASSWORD)
            .database(database)
            .ssl_mode(mode)
            .disable_statement_logging();
        PgConnection::connect_with(&options).await
    }

    pub async fn root(&self, database: &str) -> PgConnection {
        self.try_connect(database).await.unwrap()
    }

    pub async fn run(&self, database: &str, sql: &str) {
        let mut connection = self.root(database).await;
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await {
            panic!("{error}: {sql}");
        }
    }

    /// Lines of text that a query gives.
    pub async fn lines(&self, database: &str, sql: &str) -> Vec<String> {
        let mut connection = self.root(database).await;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap()
    }

    /// Everything that an initialisation can change, as sorted lines.
    pub async fn catalogue(&self, database: &str) -> Vec<String> {
        self.lines(database, include_str!("catalogue.sql")).await
    }

    pub fn endpoint(&self, username: &str, database: &str) -> DatabaseEndpoint {
        let ca = fs::read_to_string(self.directory.path().join("ca.crt")).ok();
        DatabaseEndpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: database.to_owned(),
            username: username.to_owned(),
            password: Sensitive::new(PASSWORD),
            ssl_mode: if ca.is_some() { SslMode::VerifyFull } else { SslMode::Disable },
            ca,
            privileges: Privileges::Auto,
            secret: "tenant/postgres".to_owned(),
        }
    }

    /// A login of this kind that owns the empty database `app`, and the endpoint for it.
    pub async fn login(&self, kind: Login) -> DatabaseEndpoint {
        let name = match kind {
            Login::Superuser => ROOT,
            Login::Master => "master",
            Login::Limited => "limited",
        };
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        match kind {
            Login::Superuser => {}
            Login::Master => {
                self.run("postgres", &format!("CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD E'{password}'"))
                    .await;
            }
            Login::Limited => self.run("postgres", &format!("CREATE ROLE limited LOGIN PASSWORD E'{password}'")).await,
        }
        self.run("postgres", &format!("CREATE DATABASE app OWNER {name}")).await;
        self.endpoint(name, "app")
    }

    /// Stops the server and keeps its files.
    pub fn stop(&mut self) {
        // Of a fast shutdown nothing is left in shared memory.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Superuser,
    /// As on Amazon RDS: no superuser, CREATEROLE and CREATEDB.
    Master,
    /// The same without CREATEROLE.
    Limited,
}

/// A CA and a certificate for 127.0.0.1, where the server looks for them.
fn certificates(directory: &Path, data: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -subj /CN=ca -keyout ca.key -out ca.crt -days 2"));
    fs::write(directory.join("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(&format!("req {key} -subj /CN=server -keyout server.key -out server.csr"));
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile extensions",
    );
    for file in ["server.key", "server.crt"] {
        fs::copy(directory.join(file), data.join(file)).unwrap();
    }
    fs::set_permissions(data.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn passwords() -> BTreeMap<Role, Sensitive> {
    Role::LOGINS.iter().map(|role| (*role, Sensitive::new(format!("{}0123456789", role.name())))).collect()
}

/// The endpoint for one of the services.
pub fn service(endpoint: &DatabaseEndpoint, role: Role) -> DatabaseEndpoint {
    DatabaseEndpoint { username: role.name().to_owned(), password: passwords()[&role].clone(), ..endpoint.clone() }
}

/// Runs statements as somebody, in one session.
pub async fn session(endpoint: &DatabaseEndpoint, sql: &str) -> Result<(), sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&endpoint.username)
        .password(endpoint.password.expose())
        .database(&endpoint.database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
}

/// Findings without their words.
pub fn outline(findings: &[Finding]) -> Vec<(Severity, Option<Feature>)> {
    findings.iter().map(|finding| (finding.severity, finding.feature)).collect()
}

/// psql of the distribution, which talks to every server here.
pub fn psql(endpoint: &DatabaseEndpoint, variables: &[(String, String)], file: &Path) -> std::process::Output {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--host", "127.0.0.1", "--port", &endpoint.port.to_string()]);
    command.args(["--username", &endpoint.username, "--dbname", &endpoint.database]);
    command.env("PGPASSWORD", endpoint.password.expose());
    for (name, value) in variables {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.arg("--file").arg(file).output().unwrap()
}
