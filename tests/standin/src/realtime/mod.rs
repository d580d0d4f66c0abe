//! Poses as Realtime: `/app/bin/migrate`, `/app/bin/server`.

mod environment;
mod frame;
mod hub;
mod peers;
mod server;
mod socket;
mod tenants;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::checks::{Checks, Environment};
use crate::database::{self, can, holds};
pub use environment::own_address;

const METADATA: &str = "CREATE TABLE IF NOT EXISTS _realtime.schema_migrations (version bigint PRIMARY KEY); \
    CREATE TABLE IF NOT EXISTS _realtime.tenants (external_id text PRIMARY KEY, body text NOT NULL); \
    INSERT INTO _realtime.schema_migrations VALUES (20260101000000) ON CONFLICT DO NOTHING";

pub async fn run(environment: Environment, program: &str, words: &[&str]) {
    let checks = Arc::new(Checks::new("realtime"));
    let known = matches!((program, words), ("migrate" | "server", []));
    checks.record("program", known.then_some(()).ok_or("must be /app/bin/migrate or /app/bin/server"));
    let settings = environment::check(&checks, &environment);
    checks.stop_at_failures();
    let Some(settings) = settings else { return };

    let mut connection = database::connect(&checks, &settings.login).await;
    database::is_no_superuser(&checks, &mut connection).await;
    let schema = "CREATE TABLE _realtime.standin(i int)";
    can(&checks, &mut connection, "create table in _realtime", schema).await;
    if program == "migrate" {
        checks.stop_at_failures();
        // Replicas that start together wait for each other, as with Ecto's lock.
        let locked = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('standin realtime')); {METADATA}; COMMIT");
        let migrated = connection.execute(sqlx::raw_sql(AssertSqlSafe(locked))).await;
        checks.record("migrations", migrated.map_err(|error| database::explain(&error)));
        checks.stop_at_failures();
        return;
    }
    check_database(&checks, &mut connection).await;
    let question = "SELECT true FROM _realtime.schema_migrations LIMIT 1";
    holds(&checks, &mut connection, "migrations", question, "run /app/bin/migrate first").await;
    database::notifications(&checks, &settings.login).await;
    checks.stop_at_failures();
    drop(connection);
    server::serve(settings, environment, checks).await;
}

/// What the tenant's migrations and the running service do in the database.
async fn check_database(checks: &Checks, connection: &mut PgConnection) {
    let table = "CREATE TABLE realtime.standin(i int)";
    can(checks, connection, "create table in realtime", table).await;
    let owner = format!("{table}; ALTER TABLE realtime.standin OWNER TO supabase_realtime_admin");
    can(checks, connection, "hand over to supabase_realtime_admin", &owner).await;
    can(checks, connection, "set log_min_messages", "SET LOCAL log_min_messages = fatal").await;
    for role in ["anon", "authenticated", "service_role"] {
        let switch = format!("SELECT set_config('role', '{role}', true)");
        can(checks, connection, &format!("switch to {role}"), &switch).await;
    }
    for role in ["postgres", "dashboard_user"] {
        let question = format!("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')");
        holds(checks, connection, &format!("role {role}"), &question, "does not exist").await;
    }
    let questions = [
        (
            "create in database",
            "SELECT has_database_privilege(current_user, current_database(), 'CREATE')",
            "the login may not create schemas in the database",
        ),
        ("wal_level", "SELECT current_setting('wal_level') = 'logical'", "must be logical"),
        (
            "replication",
            "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user",
            "the login lacks REPLICATION",
        ),
        (
            "publication supabase_realtime",
            "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime')",
            "does not exist",
        ),
    ];
    for (check, question, otherwise) in questions {
        holds(checks, connection, check, question, otherwise).await;
    }
    let slot = format!("standin_{:016x}", rand::random::<u64>());
    let temporary = format!("SELECT pg_create_logical_replication_slot('{slot}', 'wal2json', true)");
    let made = connection.execute(AssertSqlSafe(temporary)).await;
    if checks.record("wal2json", made.map_err(|error| database::explain(&error))).is_some() {
        let dropped = connection.execute(AssertSqlSafe(format!("SELECT pg_drop_replication_slot('{slot}')"))).await;
        checks.record("wal2json", dropped.map_err(|error| database::explain(&error)));
    }
}
