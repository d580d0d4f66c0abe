//! All PostgreSQL I/O: look at a database ([`inspect`]), and make it fit for Supabase ([`initialize`]).
//!
//! One connection for each call, closed at its end; every statement has a time limit. What goes wrong comes back as a
//! [`Problem`] that names the server, the key of the Secret and the remedy, and never a password.

mod memory;
mod problem;
mod role;
mod steps;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::api::SslMode;
use crate::checks::Latency;
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
pub use memory::{Initialized, recall, remember};
use problem::{explain, step_failed};
pub use role::Role;
use steps::{Body, Claim, Scope, Step};
pub use steps::{PROBE_FUNCTION, PROBE_SCHEMA};

const INSPECT_LIMIT: Duration = Duration::from_secs(8);
/// Of a whole initialisation: its nine transactions take a second on a local server.
const INITIALIZE_LIMIT: Duration = Duration::from_secs(120);

/// Oldest supported server: the ownership of `public` and the grants used here are those of PostgreSQL 15.
const OLDEST_VERSION: i32 = 150_000;

/// Serialises initialisations of one database, also of several operators.
const ADVISORY_LOCK: i64 = 0x5355_5041_4241_5345;

/// What a look at the database found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// As in `SHOW server_version`.
    pub version: String,
    pub latency: Latency,
}

/// Connects, and checks that the login can do what an initialisation needs. Changes nothing.
///
/// # Errors
/// What is wrong and what to do about it.
pub async fn inspect(endpoint: &DatabaseEndpoint, owner: &str) -> Result<Inspection, Problem> {
    let started = Instant::now();
    let work = async {
        let mut connection = connect(endpoint).await?;
        let inspection = inspect_connection(&mut connection, endpoint, owner, started).await;
        // The answer is in; how the farewell goes changes nothing.
        let _ = connection.close().await;
        inspection
    };
    bounded(INSPECT_LIMIT, endpoint, work).await
}

/// Applies every step that this database does not have yet.
///
/// # Errors
/// The step that failed and what the server said. Steps before it stay applied; the next call goes on from there.
pub async fn initialize(
    endpoint: &DatabaseEndpoint,
    owner: &str,
    passwords: &BTreeMap<Role, Sensitive>,
) -> Result<Initialized, Problem> {
    let work = async {
        let mut connection = connect(endpoint).await?;
        let result = initialize_connection(&mut connection, endpoint, owner, passwords).await;
        let _ = connection.close().await;
        result
    };
    bounded(INITIALIZE_LIMIT, endpoint, work).await
}

async fn initialize_connection(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    passwords: &BTreeMap<Role, Sensitive>,
) -> Result<Initialized, Problem> {
    inspect_connection(connection, endpoint, owner, Instant::now()).await?;
    apply_steps(connection, endpoint, owner, &steps::steps(passwords)).await?;
    memory::incarnation(connection).await.map_err(|error| step_failed("incarnation", &error, endpoint))
}

async fn bounded<T>(
    limit: Duration,
    endpoint: &DatabaseEndpoint,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let DatabaseEndpoint { host, port, secret, .. } = endpoint;
        Err(Problem::new(
            Reason::DatabaseUnreachable,
            format!(
                "{host}:{port} did not answer within {} s; check keys \"host\" and \"port\" of Secret {secret}, and whether pods of the operator may reach it",
                limit.as_secs()
            ),
        ))
    })
}

async fn connect(endpoint: &DatabaseEndpoint) -> Result<PgConnection, Problem> {
    let mode = match endpoint.ssl_mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .database(&endpoint.database)
        .username(&endpoint.username)
        .password(endpoint.password.expose())
        .application_name("supabase-operator")
        .ssl_mode(mode)
        // Statements may hold a verifier of a password.
        .disable_statement_logging()
        .options([
            // Users may create functions in schemas that a superuser's search path would find before the catalog's.
            ("search_path", "pg_catalog"),
            // "already exists, skipping" is no news.
            ("client_min_messages", "warning"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "60s"),
        ]);
    if let (Some(ca), true) = (&endpoint.ca, endpoint.ssl_mode.verifies()) {
        options = options.ssl_root_cert_from_pem(ca.clone().into_bytes());
    }
    PgConnection::connect_with(&options).await.map_err(|error| explain(&error, endpoint))
}

async fn inspect_connection(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    started: Instant,
) -> Result<Inspection, Problem> {
    const QUERY: &str = "SELECT current_setting('server_version'), current_setting('server_version_num')::int4, \
        r.rolsuper, pg_is_in_recovery() FROM pg_roles r WHERE r.rolname = current_user";
    let row = sqlx::query(QUERY).fetch_one(&mut *connection).await.map_err(|error| explain(&error, endpoint))?;
    let column = |error: sqlx::Error| explain(&error, endpoint);
    let version: String = row.try_get(0).map_err(column)?;
    let number: i32 = row.try_get(1).map_err(column)?;
    let superuser: bool = row.try_get(2).map_err(column)?;
    let recovering: bool = row.try_get(3).map_err(column)?;
    let DatabaseEndpoint { host, port, username, secret, .. } = endpoint;
    if number < OLDEST_VERSION {
        return Err(Problem::new(
            Reason::DatabaseVersionUnsupported,
            format!("{host}:{port} runs PostgreSQL {version}; 15 or newer is needed"),
        ));
    }
    if recovering {
        return Err(Problem::new(
            Reason::DatabaseUnreachable,
            format!("{host}:{port} is a standby that cannot be written to; point Secret {secret} at the primary"),
        ));
    }
    if !superuser {
        return Err(Problem::new(
            Reason::DatabasePrivilegeMissing,
            format!("user {username:?} of {host}:{port} is not a superuser; put a superuser into Secret {secret}"),
        ));
    }
    read_claim(connection, endpoint, owner).await?;
    Ok(Inspection { version, latency: Latency(started.elapsed()) })
}

/// The claim on the server's roles, if it is this project's or nobody's.
async fn read_claim(connection: &mut PgConnection, endpoint: &DatabaseEndpoint, owner: &str) -> Result<Claim, Problem> {
    const QUERY: &str =
        "SELECT rolname::text, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = ANY($1)";
    let logins: Vec<String> = Role::LOGINS.iter().map(|role| role.name().to_owned()).collect();
    let existing: BTreeMap<String, Option<String>> = sqlx::query_as(QUERY)
        .bind(logins)
        .fetch_all(connection)
        .await
        .map_err(|error| explain(&error, endpoint))?
        .into_iter()
        .collect();
    let comment = existing.get(Role::Authenticator.name()).cloned().flatten().unwrap_or_default();
    let DatabaseEndpoint { host, port, .. } = endpoint;
    let consent = Claim::new(owner).statement();
    let message = match Claim::parse(&comment) {
        Some(claim) if claim.owner == owner => return Ok(claim),
        None if existing.is_empty() => return Ok(Claim::new(owner)),
        Some(Claim { owner: other, .. }) => format!(
            "the roles of {host}:{port} are used by SupabaseProject {other}; give this project a server of its own, or, if that project is gone, hand them over: {consent}"
        ),
        None => {
            let names: Vec<&str> = existing.keys().map(String::as_str).collect();
            let names = names.join(", ");
            format!(
                "{host}:{port} has roles that this operator did not make ({names}), and their users would lose their passwords; give this project a server of its own, or hand them over: {consent}"
            )
        }
    };
    Err(Problem::new(Reason::DatabaseClaimed, message))
}

async fn apply_steps(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    steps: &[Step],
) -> Result<(), Problem> {
    // A session lock: it goes with the connection, however that ends.
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(ADVISORY_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(|error| explain(&error, endpoint))?;
    run(connection, LEDGER).await.map_err(|error| step_failed("ledger", &error, endpoint))?;
    let applied: BTreeMap<String, String> = sqlx::query_as("SELECT id, digest FROM supabase_operator.steps")
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| step_failed("ledger", &error, endpoint))?
        .into_iter()
        .collect();
    for step in steps {
        let done = match step.scope {
            Scope::Database => {
                applied.get(step.id) == Some(&step.digest.to_hex()) || {
                    apply_database_step(connection, step)
                        .await
                        .map_err(|error| step_failed(step.id, &error, endpoint))?;
                    false
                }
            }
            Scope::Server => apply_server_step(connection, endpoint, owner, step).await?,
        };
        if !done {
            tracing::info!(step = step.id, host = endpoint.host, database = endpoint.database, "database step applied");
        }
    }
    Ok(())
}

/// Where the database remembers what was done to it.
const LEDGER: &str = "CREATE SCHEMA IF NOT EXISTS supabase_operator; \
    CREATE TABLE IF NOT EXISTS supabase_operator.steps \
    (id text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

async fn apply_database_step(connection: &mut PgConnection, step: &Step) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    run_body(&mut transaction, &step.body).await?;
    sqlx::query(
        "INSERT INTO supabase_operator.steps (id, digest) VALUES ($1, $2) \
         ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, applied_at = now()",
    )
    .bind(step.id)
    .bind(step.digest.to_hex())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Returns whether the step had been done before.
///
/// Advisory locks are a database's, roles are the server's: the lock that keeps projects of two databases apart is one
/// on the catalog of roles, and the claim is read again behind it.
async fn apply_server_step(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    step: &Step,
) -> Result<bool, Problem> {
    let failed = |error: sqlx::Error| step_failed(step.id, &error, endpoint);
    let digest = step.digest.to_hex();
    if read_claim(connection, endpoint, owner).await?.applied.get(step.id) == Some(&digest) {
        return Ok(true);
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    run(&mut transaction, "LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE").await.map_err(failed)?;
    let mut claim = read_claim(&mut transaction, endpoint, owner).await?;
    run_body(&mut transaction, &step.body).await.map_err(failed)?;
    claim.applied.insert(step.id.to_owned(), digest);
    run(&mut transaction, &claim.statement()).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(false)
}

async fn run_body(connection: &mut PgConnection, body: &Body) -> Result<(), sqlx::Error> {
    match body {
        Body::Sql(sql) => run(connection, sql).await,
        Body::Passwords(passwords) => {
            for (role, password) in passwords {
                let verifier = postgres_protocol::password::scram_sha_256(password.expose().as_bytes());
                run(connection, &steps::set_password(*role, &verifier)).await?;
            }
            Ok(())
        }
    }
}

/// Runs statements that were written here, not assembled from input: what varies in them is quoted by `steps`.
async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
