//! Applying the steps that a database does not have yet, under a lock.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::claim::Claim;
use super::problem::{explain, step_failed};
use super::steps::{Body, LEDGER, OF_THE_PLACE, RECORD, ROLE_LOCK, SETTLED, Scope, Step, set_password};
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};

/// Serialises initialisations of one database, also of several operators.
const ADVISORY_LOCK: i64 = 0x5355_5041_4241_5345;

/// How often a transaction on roles is tried that another one on the same server was in the way of.
const ATTEMPTS: u32 = 5;

/// Applies what is not recorded, in order; stops at the first error.
pub async fn apply(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    steps: &[Step],
) -> Result<(), Problem> {
    let failed = |error: sqlx::Error| step_failed("ledger", &error, endpoint);
    // A session lock: it goes with the connection, however that ends.
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(ADVISORY_LOCK)
        .execute(&mut *connection)
        .await
        .map_err(|error| explain(&error, endpoint))?;
    run(connection, LEDGER).await.map_err(failed)?;
    let mut applied: BTreeMap<String, String> = sqlx::query_as("SELECT id, digest FROM supabase_operator.steps")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?
        .into_iter()
        .collect();
    let settled: bool = sqlx::query_scalar(SETTLED).fetch_one(&mut *connection).await.map_err(failed)?;
    if !settled {
        applied.retain(|id, _| !OF_THE_PLACE.contains(&id.as_str()));
    }
    for step in steps {
        let done = match step.scope {
            Scope::Database => {
                applied.get(step.id) == Some(&step.digest.to_hex()) || {
                    apply_to_database(connection, step)
                        .await
                        .map_err(|error| step_failed(step.id, &error, endpoint))?;
                    false
                }
            }
            Scope::Server => apply_to_server(connection, endpoint, owner, step).await?,
        };
        if !done {
            tracing::info!(step = step.id, host = endpoint.host, database = endpoint.database, "database step applied");
        }
    }
    Ok(())
}

async fn apply_to_database(connection: &mut PgConnection, step: &Step) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    run_body(&mut transaction, &step.body).await?;
    sqlx::query(RECORD).bind(step.id).bind(step.digest.to_hex()).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Returns whether the step had been done before.
async fn apply_to_server(
    connection: &mut PgConnection,
    endpoint: &DatabaseEndpoint,
    owner: &str,
    step: &Step,
) -> Result<bool, Problem> {
    let failed = |error: sqlx::Error| step_failed(step.id, &error, endpoint);
    let digest = step.digest.to_hex();
    let claim = read_claim(connection, owner).await.map_err(failed)?;
    if claim.owner == owner && claim.applied.get(step.id) == Some(&digest) {
        return Ok(true);
    }
    let mut attempt = 1;
    loop {
        match try_on_server(connection, owner, step, &digest).await {
            Ok(true) => return Ok(false),
            Ok(false) => return Err(taken(endpoint)),
            Err(error) if attempt < ATTEMPTS && was_overtaken(&error) => attempt += 1,
            Err(error) => return Err(failed(error)),
        }
    }
}

/// False: the roles are another project's by now, and nothing was changed.
async fn try_on_server(
    connection: &mut PgConnection,
    owner: &str,
    step: &Step,
    digest: &str,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    run(&mut transaction, ROLE_LOCK).await?;
    let mut claim = read_claim(&mut transaction, owner).await?;
    if claim.owner != owner {
        transaction.rollback().await?;
        return Ok(false);
    }
    run_body(&mut transaction, &step.body).await?;
    claim.applied.insert(step.id.to_owned(), digest.to_owned());
    run(&mut transaction, &claim.statement()).await?;
    transaction.commit().await?;
    Ok(true)
}

fn taken(endpoint: &DatabaseEndpoint) -> Problem {
    let DatabaseEndpoint { host, port, .. } = endpoint;
    let message = format!(
        "the roles of {host}:{port} were taken by another SupabaseProject at this moment; give this project a server of its own"
    );
    Problem::new(Reason::DatabaseClaimed, message)
}

/// Another transaction wrote the same role first: "tuple concurrently updated", or the name exists by now.
fn was_overtaken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("XX000" | "42710" | "23505" | "40001" | "40P01"))
}

/// Who uses the server's roles. Nobody, and roles without a claim, which were found to be ours to take before, count as
/// this project.
async fn read_claim(connection: &mut PgConnection, owner: &str) -> Result<Claim, sqlx::Error> {
    let comment: Option<Option<String>> =
        sqlx::query_scalar("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'authenticator'")
            .fetch_optional(connection)
            .await?;
    let comment = comment.flatten().unwrap_or_default();
    Ok(Claim::parse(&comment).unwrap_or_else(|| Claim::new(owner)))
}

async fn run_body(connection: &mut PgConnection, body: &Body) -> Result<(), sqlx::Error> {
    match body {
        Body::Sql(sql) => run(connection, sql).await,
        Body::Passwords(passwords) => {
            for (role, password) in passwords {
                run(connection, &set_password(*role, &verifier(password.expose()))).await?;
            }
            Ok(())
        }
    }
}

/// What the server keeps of a password, made here with a fresh salt.
pub fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

/// Runs statements that were written here, not assembled from input: what varies in them is quoted by `steps`.
pub async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
