//! Servers that do not do what a server should: each is a problem within a known time.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::reason::{Problem, Reason};
use supabase_operator::sql;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::door::Door;
use crate::harness::{Login, OWNER, ROOT, Server, Setup, Version, free_port, not_root, passwords};

/// What the operator may take to say so.
const PATIENCE: Duration = Duration::from_secs(10);

async fn problem(endpoint: &DatabaseEndpoint) -> Problem {
    let started = Instant::now();
    let problem = sql::inspect(endpoint, OWNER).await.unwrap_err();
    assert!(started.elapsed() < PATIENCE, "{:?}: {}", started.elapsed(), problem.message);
    assert!(!problem.message.contains(endpoint.password.expose()));
    assert!(problem.message.contains(&format!("127.0.0.1:{}", endpoint.port)), "{}", problem.message);
    problem
}

/// A listener that treats every connection so.
async fn standing_in<F>(server: &Server, treat: impl Fn(TcpStream) -> F + Send + 'static) -> DatabaseEndpoint
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(treat(stream));
        }
    });
    DatabaseEndpoint { port, ..server.endpoint(ROOT, "postgres") }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_silent_slow_or_talk_nonsense() {
    let server = Server::start(Version::Fifteen).await;
    let silent = standing_in(&server, |stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let slow = standing_in(&server, |mut stream| async move {
        // Byte by byte: each wait is short, all of them are not.
        for byte in [b'R', 0, 0, 0, 8, 0, 0, 0].into_iter().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    })
    .await;
    let closing = standing_in(&server, |stream| async move { drop(stream) }).await;
    let nonsense = standing_in(&server, |mut stream| async move {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let (silent, slow, closing, nonsense) =
        tokio::join!(problem(&silent), problem(&slow), problem(&closing), problem(&nonsense));
    for problem in [&silent, &slow, &closing, &nonsense] {
        assert_eq!(problem.reason, Reason::DatabaseUnreachable, "{}", problem.message);
    }
    assert!(silent.message.contains("did not answer within 8 s"), "{}", silent.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nothing_any_more_in_the_middle() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    // What it sees, the plugin, and the second connection, whose end tells nothing.
    for statements in 1..3 {
        let door = Door::open(server.port, statements).await;
        let cut = problem(&DatabaseEndpoint { port: door.port, ..endpoint.clone() }).await;
        assert_eq!(cut.reason, Reason::DatabaseUnreachable, "{}", cut.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_for_a_lock_is_given_up() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    let mut holder = server.root("app").await;
    sqlx::raw_sql("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let started = Instant::now();
    let passwords = passwords();
    let (looked, initialized) =
        tokio::join!(sql::inspect(&endpoint, OWNER), sql::initialize(&endpoint, OWNER, &passwords));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(looked.is_err() && initialized.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection() {
    let settings = [("max_connections", "5"), ("superuser_reserved_connections", "1"), ("max_wal_senders", "0")];
    let server = Server::start_with(Version::Fifteen, Setup { settings: &settings, ..Setup::default() }).await;
    let endpoint = server.login(Login::Superuser).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(server.root("app").await);
    }
    let full = problem(&endpoint).await;
    assert_eq!(full.reason, Reason::DatabaseUnreachable);
    assert!(full.message.contains("no free connection"), "{}", full.message);
    // One is enough to look: that the second, which looks for a pooler, is refused tells nothing.
    held.pop();
    while sql::inspect(&endpoint, OWNER).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_and_a_read_only_server() {
    for version in Version::ALL {
        let standby = Server::start_with(version, Setup { standby: true, ..Setup::default() }).await;
        let said = problem(&standby.endpoint(ROOT, "postgres")).await;
        assert!(said.message.contains("is a standby"), "{}", said.message);
        let settings = [("default_transaction_read_only", "on")];
        let full = Server::start_with(version, Setup { settings: &settings, ..Setup::default() }).await;
        let said = problem(&full.endpoint(ROOT, "postgres")).await;
        assert!(said.message.contains("read-only"), "{}", said.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_databases_and_certificates() {
    let server = Server::start_with(Version::Newest, Setup { tls: true, ..Setup::default() }).await;
    let endpoint = server.endpoint(ROOT, "postgres");
    let wrong = DatabaseEndpoint {
        password: supabase_operator::sensitive::Sensitive::new("wrong-password"),
        ..endpoint.clone()
    };
    assert_eq!(problem(&wrong).await.reason, Reason::DatabaseAuthenticationFailed);
    let missing = DatabaseEndpoint { database: "missing".to_owned(), ..endpoint.clone() };
    assert_eq!(problem(&missing).await.reason, Reason::DatabaseMissing);
    let plain = DatabaseEndpoint { ssl_mode: supabase_operator::api::SslMode::Disable, ca: None, ..endpoint.clone() };
    assert_eq!(problem(&plain).await.reason, Reason::DatabaseTlsMismatch);
    let other = Server::start_with(Version::Fifteen, Setup { tls: true, ..Setup::default() }).await;
    let foreign = DatabaseEndpoint { ca: other.endpoint(ROOT, "postgres").ca, ..endpoint };
    assert_eq!(problem(&foreign).await.reason, Reason::DatabaseTlsMismatch);
}

struct PgBouncer(Child);

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real `PgBouncer` before the server.
async fn pooler(server: &Server, mode: &str, ignored: &str) -> (PgBouncer, DatabaseEndpoint) {
    let (port, directory) = (free_port(), server.directory.path());
    let endpoint = server.endpoint(ROOT, "postgres");
    let password = endpoint.password.expose().replace('"', "\"\"");
    fs::write(directory.join("users"), format!("\"{ROOT}\" \"{password}\"\n")).unwrap();
    let file = directory.join(format!("pgbouncer-{mode}-{}.ini", ignored.len()));
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
         unix_socket_dir=\nauth_type=scram-sha-256\nauth_file={}\npool_mode={mode}\nignore_startup_parameters={ignored}\n",
        server.port,
        directory.join("users").display()
    );
    fs::write(&file, settings).unwrap();
    let mut command = not_root(std::path::Path::new("/usr/sbin/pgbouncer"));
    let process = PgBouncer(command.arg(&file).stderr(Stdio::null()).spawn().expect("install pgbouncer"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "pgbouncer does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (process, DatabaseEndpoint { port, ..endpoint })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_of_transactions_is_refused_however_it_hides() {
    let server = Server::start(Version::Fifteen).await;
    for ignored in ["", "options"] {
        let (_process, endpoint) = pooler(&server, "transaction", ignored).await;
        let said = problem(&endpoint).await;
        assert_eq!(said.reason, Reason::DatabasePooled, "{ignored:?}: {}", said.message);
        assert!(said.message.contains("PostgreSQL itself"), "{}", said.message);
    }
}

#[test]
fn the_programs_that_these_tests_need_are_there() {
    for program in
        ["/usr/sbin/pgbouncer", "/usr/lib/postgresql/15/bin/pg_dump", "/usr/lib/postgresql/15/lib/wal2json.so"]
    {
        assert!(Command::new("test").args(["-e", program]).status().unwrap().success(), "{program} is missing");
    }
}
