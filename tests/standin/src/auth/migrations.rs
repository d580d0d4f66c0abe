//! What stands for Auth's migrations: the tables and functions that clients and policies see.

use sqlx::{Connection, Executor, PgConnection};

use crate::database;

/// The ledger is unqualified, as upstream's: it lands in the first schema of the search path.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(14) PRIMARY KEY)";

const VERSION: &str = "20260101000000";

const SCHEMA: &str = r"
CREATE TABLE auth.users (
    instance_id uuid, id uuid PRIMARY KEY, aud varchar(255), role varchar(255), email varchar(255) UNIQUE, phone text UNIQUE,
    encrypted_password varchar(255), email_confirmed_at timestamptz, last_sign_in_at timestamptz,
    raw_app_meta_data jsonb NOT NULL DEFAULT '{}', raw_user_meta_data jsonb NOT NULL DEFAULT '{}',
    is_anonymous boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE auth.sessions (
    id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE auth.refresh_tokens (
    token text PRIMARY KEY, session_id uuid NOT NULL REFERENCES auth.sessions ON DELETE CASCADE,
    revoked boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL DEFAULT now());
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.refresh_tokens ENABLE ROW LEVEL SECURITY;
CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
CREATE OR REPLACE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')::text $$;
CREATE OR REPLACE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')::text $$;
CREATE OR REPLACE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
GRANT SELECT ON auth.schema_migrations, auth.users, auth.sessions, auth.refresh_tokens TO postgres WITH GRANT OPTION;
";

/// Takes no lock, as upstream: of two that race, the loser fails and succeeds when it is started again.
pub async fn apply(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute(LEDGER).await?;
    if is_recorded(connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    transaction.execute(sqlx::raw_sql(SCHEMA)).await?;
    sqlx::query("INSERT INTO schema_migrations VALUES ($1)").bind(VERSION).execute(&mut *transaction).await?;
    transaction.commit().await
}

pub async fn are_applied(connection: &mut PgConnection) -> Result<(), String> {
    match is_recorded(connection).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the newest migration is missing: run auth migrate first".to_owned()),
        Err(error) => Err(format!("{}: run auth migrate first", database::explain(&error))),
    }
}

async fn is_recorded(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let question = "SELECT EXISTS (SELECT FROM schema_migrations WHERE version = $1)";
    sqlx::query_scalar(question).bind(VERSION).fetch_one(connection).await
}
