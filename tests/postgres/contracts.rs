//! What the services do first, as the roles that they log in with.

use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::sql::{self, Role};

use crate::harness::{Login, OWNER, Server, Version, passwords, service, session};

const AUTH: &str = "DO $$ BEGIN ASSERT (current_schemas(false))[1] = 'auth'; END $$; \
    BEGIN; CREATE TABLE auth.standin(i int); CREATE TYPE auth.standin_t AS ENUM ('a'); \
    GRANT SELECT ON auth.standin TO postgres; ROLLBACK";

const STORAGE: &str = "BEGIN; CREATE TABLE storage.standin(i int); \
    GRANT ALL ON storage.standin TO postgres WITH GRANT OPTION; \
    DO $$ BEGIN ASSERT pg_try_advisory_lock(-8525285245963000605); ASSERT pg_advisory_unlock(-8525285245963000605); \
      ASSERT has_schema_privilege('anon', 'storage', 'USAGE'); END $$; \
    SET LOCAL ROLE anon; SET LOCAL ROLE authenticated; SET LOCAL ROLE service_role; ROLLBACK; LISTEN standin";

const REALTIME_TABLES: &str = "BEGIN; SET LOCAL search_path TO _realtime; CREATE TABLE standin(i int); \
    CREATE SCHEMA IF NOT EXISTS realtime; CREATE TABLE realtime.standin(i int); \
    ALTER TABLE realtime.standin OWNER TO supabase_realtime_admin; \
    GRANT supabase_realtime_admin TO postgres; \
    CREATE PUBLICATION standin FOR TABLE realtime.standin; \
    SELECT set_config('role', r, true) FROM unnest(ARRAY['anon', 'authenticated', 'service_role']) AS r; ROLLBACK";

const REALTIME_LOG: &str = "BEGIN; \
    CREATE FUNCTION realtime.standin() RETURNS int LANGUAGE sql SET log_min_messages = fatal AS 'SELECT 1'; \
    ALTER FUNCTION realtime.standin() OWNER TO supabase_realtime_admin; \
    SELECT realtime.standin(); SET LOCAL log_min_messages = fatal; ROLLBACK";

const REALTIME_SLOT: &str = "SELECT pg_create_logical_replication_slot('standin', 'pgoutput', true)";

const WAL2JSON_SLOT: &str = "SELECT pg_create_logical_replication_slot('standin', 'wal2json', true)";

const SUPAVISOR: &str = "CREATE SCHEMA IF NOT EXISTS _supavisor; BEGIN; CREATE TABLE standin(i int); \
    SELECT * FROM _supavisor.standin; ROLLBACK";

/// As users do through the dashboard.
const DASHBOARD: &str =
    "BEGIN; CREATE TABLE public.notes(id int); CREATE POLICY p ON storage.objects FOR SELECT USING (true); ROLLBACK";

async fn passes(endpoint: &DatabaseEndpoint, role: Role, sql: &str) {
    if let Err(error) = session(&service(endpoint, role), sql).await {
        panic!("{}: {error}", role.name());
    }
}

/// Storage's tables, as its migrations make them.
async fn storage_tables(endpoint: &DatabaseEndpoint) {
    let tables = ["buckets", "objects", "migrations"].map(|table| {
        format!(
            "CREATE TABLE storage.{table}(id int, owner text); ALTER TABLE storage.{table} ENABLE ROW LEVEL SECURITY; \
             GRANT ALL ON storage.{table} TO service_role;"
        )
    });
    passes(endpoint, Role::StorageAdmin, &tables.join(" ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_can_do_what_it_does_first() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            passes(&endpoint, Role::AuthAdmin, AUTH).await;
            passes(&endpoint, Role::StorageAdmin, STORAGE).await;
            passes(&endpoint, Role::SupabaseAdmin, REALTIME_TABLES).await;
            passes(&endpoint, Role::PoolerAdmin, SUPAVISOR).await;
            passes(&endpoint, Role::FunctionsAdmin, "SELECT 1").await;
            passes(&endpoint, Role::Authenticator, "SET ROLE service_role; SELECT graphql_public.operator_ready()")
                .await;
            storage_tables(&endpoint).await;
            passes(&endpoint, Role::MetaAdmin, DASHBOARD).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_superuser_gives_works_where_nothing_is_said_against_it() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            let initialized = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            let limited = |feature| initialized.limit(feature).is_some();
            let as_admin = service(&endpoint, Role::SupabaseAdmin);
            for (needed, of) in [(REALTIME_LOG, "log_min_messages"), (REALTIME_SLOT, "may not replicate")] {
                let missing = initialized.limits.iter().any(|limit| limit.what.contains(of));
                let done = session(&as_admin, needed).await;
                assert_eq!(done.is_err(), missing, "{version:?} {login:?} {of}: {done:?}");
            }
            let changes = session(&as_admin, WAL2JSON_SLOT).await;
            let missing = limited(sql::Feature::PostgresChanges) || limited(sql::Feature::Realtime);
            assert_eq!(changes.is_err(), missing, "{version:?} {login:?} {changes:?}");
            let ask = "SELECT * FROM pgbouncer.get_auth('authenticator')";
            let asked = session(&service(&endpoint, Role::Pgbouncer), ask).await;
            assert_eq!(asked.is_err(), limited(sql::Feature::Pooler), "{version:?} {login:?} {asked:?}");
            assert!(session(&service(&endpoint, Role::Authenticator), ask).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pooler_learns_no_password_of_a_superuser() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
    let count = |name: &str| format!("SELECT count(*)::text FROM pgbouncer.get_auth('{name}')");
    assert_eq!(server.lines("app", &count("authenticator")).await, ["1"]);
    assert_eq!(server.lines("app", &count("root")).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_key_sees_storage_with_or_without_bypassing() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            let initialized = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            assert!(sql::admit_service_role(&endpoint, &passwords()).await.unwrap().is_empty(), "no tables yet");
            storage_tables(&endpoint).await;
            let write = "SET ROLE service_role; INSERT INTO storage.objects VALUES (1, 'x')";
            let limited = initialized.limit(sql::Feature::ServiceRole).is_some();
            assert_eq!(session(&service(&endpoint, Role::StorageAdmin), write).await.is_err(), limited);
            let admitted = sql::admit_service_role(&endpoint, &passwords()).await.unwrap();
            assert_eq!(admitted, if limited { vec!["buckets", "objects"] } else { vec![] });
            passes(&endpoint, Role::StorageAdmin, write).await;
            assert!(sql::admit_service_role(&endpoint, &passwords()).await.unwrap().is_empty(), "once");
        }
    }
}
