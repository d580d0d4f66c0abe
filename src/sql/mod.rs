//! All PostgreSQL I/O: look at a database ([`look`], [`inspect`]), make it fit for Supabase ([`initialize`]), and what is
//! left to do when the services have made their tables ([`admit_service_role`], [`reload_schema`]).
//!
//! Every connection is closed at the end of the call; every statement has a time limit. What goes wrong comes back as a
//! [`Problem`] that names the server, the key of the Secret and the remedy, and never a password.

mod apply;
mod claim;
mod connect;
mod facts;
mod findings;
mod layout;
mod limits;
mod memory;
mod problem;
mod profile;
mod quote;
mod role;
mod script;
mod steps;
mod verify;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::checks::Latency;
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
use connect::{CONNECT_LIMIT, bounded, connect};
pub use facts::{Facts, SeenRole, SeenSchema, User};
pub use findings::{Feature, Finding, Severity, crowded};
pub use memory::{Initialized, recall, remember};
use problem::{explain, step_failed};
pub use profile::Profile;
pub use role::{Attributes, Role};
pub use script::script;
pub use steps::{PROBE_FUNCTION, PROBE_SCHEMA};

const INSPECT_LIMIT: Duration = CONNECT_LIMIT;
/// Of a whole initialisation: its transactions take a second on a local server.
const INITIALIZE_LIMIT: Duration = Duration::from_secs(120);

/// Oldest supported server: the ownership of `public` and the grants used here are those of PostgreSQL 15.
const OLDEST_VERSION: u32 = 150_000;

/// What a look at the database found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// As in `SHOW server_version`.
    pub version: String,
    pub latency: Latency,
    /// How this database is initialised.
    pub profile: Profile,
    pub facts: Facts,
    /// The worst first.
    pub findings: Vec<Finding>,
}

impl Inspection {
    /// Why nothing can be done with this database, if so.
    pub fn refusal(&self) -> Option<Problem> {
        findings::problem(&self.findings, Severity::Refused)
    }

    /// The features that do not work here.
    pub fn limits(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Limited)
    }

    /// What is worth knowing.
    pub fn notices(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Notice)
    }
}

/// Connects and looks. Changes nothing, and judges nothing: see [`Inspection::findings`].
///
/// # Errors
/// There is no connection, or the server is too old to be looked at.
pub async fn look(endpoint: &DatabaseEndpoint, owner: &str) -> Result<Inspection, Problem> {
    let work = async {
        let started = Instant::now();
        let mut connection = connect(endpoint).await?;
        let inspection = look_through(&mut connection, endpoint, owner, started).await;
        // The answer is in; how the farewell goes changes nothing.
        let _ = connection.close().await;
        inspection
    };
    bounded(INSPECT_LIMIT, endpoint, work).await
}

/// Connects, and checks that the login can do what an initialisation needs. Changes nothing.
///
/// A database that an administrator has yet to prepare passes: to do so, they need the passwords, which are made next.
///
/// # Errors
/// What is wrong and what to do about it.
pub async fn inspect(endpoint: &DatabaseEndpoint, owner: &str) -> Result<Inspection, Problem> {
    let inspection = look(endpoint, owner).await?;
    inspection.refusal().map_or(Ok(inspection), Err)
}

/// Applies every step that this database does not have yet; verifies it, where an administrator has prepared it.
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
        let result = initialize_through(&mut connection, endpoint, owner, passwords).await;
        let _ = connection.close().await;
        result
    };
    bounded(INITIALIZE_LIMIT, endpoint, work).await
}

/// Where `service_role` cannot bypass row level security, gives it a policy on each of Storage's tables, as their owner.
/// To be called when Storage's migrations have run, and again after each of its upgrades. Returns the tables that got one.
///
/// # Errors
/// The database cannot be asked, or refuses.
pub async fn admit_service_role(
    endpoint: &DatabaseEndpoint,
    passwords: &BTreeMap<Role, Sensitive>,
) -> Result<Vec<String>, Problem> {
    // Storage reads its own ledger as itself.
    const QUERY: &str = "SELECT c.relname::text FROM pg_class c \
        WHERE c.relnamespace = to_regnamespace('storage') AND c.relkind IN ('r', 'p') AND c.relrowsecurity \
        AND c.relname <> 'migrations' AND pg_has_role(c.relowner, 'USAGE') \
        AND NOT (SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = 'service_role') \
        AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'operator_service_role') \
        ORDER BY c.relname";
    let Some(password) = passwords.get(&Role::StorageAdmin) else { return Ok(Vec::new()) };
    let endpoint = verify::as_role(endpoint, Role::StorageAdmin, password);
    let work = async {
        let mut connection = connect(&endpoint).await?;
        let failed = |error: sqlx::Error| step_failed("storage-policies", &error, &endpoint);
        let tables: Vec<String> = sqlx::query_scalar(QUERY).fetch_all(&mut connection).await.map_err(failed)?;
        for table in &tables {
            apply::run(&mut connection, &steps::admit_service_role(table)).await.map_err(failed)?;
        }
        let _ = connection.close().await;
        Ok(tables)
    };
    bounded(INITIALIZE_LIMIT, &endpoint, work).await
}

/// Tells `PostgREST` to read the schema again, where no event trigger does.
///
/// # Errors
/// The database cannot be asked.
pub async fn reload_schema(endpoint: &DatabaseEndpoint) -> Result<(), Problem> {
    let work = async {
        let mut connection = connect(endpoint).await?;
        let told = apply::run(&mut connection, "NOTIFY pgrst, 'reload schema'").await;
        let _ = connection.close().await;
        told.map_err(|error| explain(&error, endpoint))
    };
    bounded(INSPECT_LIMIT, endpoint, work).await
}

async fn initialize_through(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    passwords: &BTreeMap<Role, Sensitive>,
) -> Result<Initialized, Problem> {
    let inspection = look_through(connection, endpoint, owner, Instant::now()).await?;
    if let Some(problem) = findings::problem(&inspection.findings, Severity::Unprepared) {
        return Err(problem);
    }
    if inspection.profile == Profile::Prepared {
        verify::passwords(endpoint, owner, passwords).await?;
    } else {
        apply::apply(connection, endpoint, owner, &steps::steps(inspection.profile, passwords)).await?;
    }
    let incarnation =
        memory::incarnation(connection).await.map_err(|error| step_failed("incarnation", &error, endpoint))?;
    let after = facts::see(connection).await.map_err(|error| explain(&error, endpoint))?;
    Ok(Initialized { incarnation, limits: limits::limits(&after, inspection.profile) })
}

async fn look_through(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    started: Instant,
) -> Result<Inspection, Problem> {
    let DatabaseEndpoint { host, port, .. } = endpoint;
    let number = connection.server_version_num().unwrap_or_default();
    if number < OLDEST_VERSION {
        let version = number / 10_000;
        return Err(Problem::new(
            Reason::DatabaseVersionUnsupported,
            format!("{host}:{port} runs PostgreSQL {version}; 15 or newer is needed"),
        ));
    }
    let mut facts = facts::see(connection).await.map_err(|error| explain(&error, endpoint))?;
    let latency = Latency(started.elapsed());
    facts.pooled = facts.lost_its_settings() || shares_its_session(&facts, endpoint).await;
    let profile = Profile::choose(endpoint.privileges, &facts);
    let mut findings = findings::findings(&facts, endpoint, owner, profile);
    if profile == Profile::Prepared && facts.is_laid_out() {
        findings.extend(verify::lacks(connection, endpoint).await?);
        findings.sort_by_key(|finding| finding.severity);
    }
    Ok(Inspection { version: facts.version.clone(), latency, profile, facts, findings })
}

/// Whether a second connection is served by the same process of the server while the first is open: only a pooler that
/// hands sessions around does that.
async fn shares_its_session(facts: &Facts, endpoint: &DatabaseEndpoint) -> bool {
    let Ok(mut second) = connect(endpoint).await else { return false };
    let process = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(&mut second).await;
    let _ = second.close().await;
    process.is_ok_and(|process| facts.same_backend(process))
}
