//! A PostgreSQL of Debian's, on a loopback port, for as long as some test holds it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

pub const PASSWORD: &str = "p@ss:w/o?r#d%";
pub const SUPERUSER_PASSWORD: &str = "superuser-password";
const NOBODY: u32 = 65534;

/// Roles are the server's, so all tests share what no test changes.
const ROLES: &str = "
    CREATE ROLE anon NOLOGIN; CREATE ROLE authenticated NOLOGIN; CREATE ROLE service_role NOLOGIN BYPASSRLS;
    CREATE ROLE dashboard_user NOLOGIN;
    CREATE ROLE authenticator LOGIN NOINHERIT; GRANT anon, authenticated, service_role TO authenticator;";

pub struct Server {
    directory: tempfile::TempDir,
    programs: PathBuf,
    pub port: u16,
    counter: Mutex<u32>,
}

static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that runs, or a new one.
pub async fn server() -> Arc<Server> {
    let (server, new) = {
        let mut shared = SERVER.lock().unwrap();
        if let Some(server) = shared.upgrade() {
            (server, false)
        } else {
            let server = Arc::new(Server::start());
            *shared = Arc::downgrade(&server);
            (server, true)
        }
    };
    let mut connection = server.patient_connection("postgres").await;
    if new {
        allow_wal2json(&mut connection).await;
        connection.execute(sqlx::raw_sql(ROLES)).await.unwrap();
    }
    // Another test may have started it: its roles are there when the last one is.
    let question = "SELECT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
        WHERE r.rolname = 'authenticator' HAVING count(*) = 3)";
    while !sqlx::query_scalar::<_, bool>(question).fetch_one(&mut connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
    server
}

/// Newer minor releases load only the output plugins that a setting lists; older ones do not know it.
async fn allow_wal2json(connection: &mut PgConnection) {
    let question = "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'output_plugin_libraries')";
    if sqlx::query_scalar(question).fetch_one(&mut *connection).await.unwrap() {
        connection.execute("ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', 'wal2json'").await.unwrap();
        connection.execute("SELECT pg_reload_conf()").await.unwrap();
    }
}

fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    found.retain(|directory| directory.join("postgres").exists() && directory.join("initdb").exists());
    found.sort();
    found.pop().expect("no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql-15 postgresql-15-wal2json")
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

impl Server {
    fn start() -> Self {
        Self::prepared(|_| String::new())
    }

    /// One that nobody else uses, and that speaks nothing but TLS.
    pub async fn encrypted() -> Self {
        let server = Self::prepared(|directory| {
            certificates(directory);
            std::fs::write(directory.join("hba"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
            let file = |name: &str| directory.join(name).display().to_string();
            format!(
                "-c ssl=on -c ssl_cert_file={} -c ssl_key_file={} -c hba_file={}",
                file("server.crt"),
                file("server.key"),
                file("hba")
            )
        });
        allow_wal2json(&mut server.patient_connection("postgres").await).await;
        server
    }

    /// The CA that signed the certificate of an encrypted one; `ca-other.crt` beside it signed nothing.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// `prepare` is given the server's directory, and says with which further settings the server starts.
    fn prepared(prepare: impl FnOnce(&Path) -> String) -> Self {
        let programs = programs();
        let directory = tempfile::tempdir().unwrap();
        let further = prepare(directory.path());
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let _ = std::os::unix::fs::chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY));
        }
        let _ = std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY));
        let password_file = directory.path().join("password");
        std::fs::write(&password_file, SUPERUSER_PASSWORD).unwrap();
        let port = super::process::free_port();
        let data = directory.path().join("data");
        run(unprivileged(&programs.join("initdb"))
            .args(["--no-sync", "--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg(&data));
        let settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c wal_level=logical -c fsync=off \
             -c max_connections=200 -c max_replication_slots=20 -c max_wal_senders=20 {further}",
            directory.path().display()
        );
        run(unprivileged(&programs.join("pg_ctl"))
            .arg("start")
            .arg("--wait")
            .arg(format!("--pgdata={}", data.display()))
            .arg(format!("--log={}", directory.path().join("log").display()))
            .arg(format!("--options={settings}")));
        Self { directory, programs, port, counter: Mutex::new(0) }
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(SUPERUSER_PASSWORD)
            .database(database)
    }

    async fn patient_connection(&self, database: &str) -> PgConnection {
        PgConnection::connect_with(&self.options(database)).await.expect("the test's own PostgreSQL does not answer")
    }

    /// A database of its own, prepared by these statements as superuser.
    pub async fn database(self: &Arc<Self>, preparation: &str) -> Database {
        let name = {
            let mut counter = self.counter.lock().unwrap();
            *counter += 1;
            format!("app_{counter}")
        };
        let mut connection = self.patient_connection("postgres").await;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let database = Database { server: self.clone(), name };
        database.run(preparation).await;
        database
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        run(unprivileged(&self.programs.join("pg_ctl"))
            .args(["stop", "--mode=immediate", "--wait"])
            .arg(format!("--pgdata={}", data.display())));
    }
}

/// Two authorities, and a certificate for 127.0.0.1 by the first.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        run(Command::new("openssl")
            .current_dir(directory)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(arguments.split_whitespace())
            .stderr(Stdio::null()));
    };
    openssl("-subj /CN=authority -keyout ca.key -out ca.crt");
    openssl("-subj /CN=authority -keyout ca-other.key -out ca-other.crt");
    openssl(
        "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
         -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt",
    );
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

pub struct Database {
    pub server: Arc<Server>,
    pub name: String,
}

impl Database {
    /// Any name, for an environment that must look whole.
    pub fn unprepared(server: Arc<Server>) -> Self {
        Self { server, name: "postgres".to_owned() }
    }

    pub async fn run(&self, statements: &str) {
        let statements = statements.replace("{database}", &self.name).replace("{password}", PASSWORD);
        let mut connection = self.server.patient_connection(&self.name).await;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.clone()))).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub async fn ask(&self, question: &'static str) -> String {
        let mut connection = self.server.patient_connection(&self.name).await;
        sqlx::query_scalar(question).fetch_one(&mut connection).await.unwrap()
    }

    /// With the password percent-encoded.
    pub fn url(&self, scheme: &str, user: &str) -> String {
        let password = percent_encoding::utf8_percent_encode(PASSWORD, percent_encoding::NON_ALPHANUMERIC);
        format!("{scheme}://{user}:{password}@127.0.0.1:{}/{}", self.server.port, self.name)
    }
}
