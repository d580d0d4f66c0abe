//! What stands for the Storage API's migrations, under the lock that the real ones take.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::environment::Settings;
use crate::database::{explain, quoted};

/// The real one's session lock.
const LOCK: i64 = -8_525_285_245_963_000_605;
const PATIENCE: Duration = Duration::from_secs(3);

const TABLES: &str = r"
CREATE TABLE storage.migrations (id integer PRIMARY KEY, name varchar(100) UNIQUE NOT NULL, executed_at timestamp DEFAULT now());
CREATE TABLE storage.buckets (
    id text PRIMARY KEY, name text NOT NULL UNIQUE, owner uuid, owner_id text, public boolean DEFAULT false,
    file_size_limit bigint, allowed_mime_types text[], type text NOT NULL DEFAULT 'STANDARD',
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE storage.objects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bucket_id text NOT NULL REFERENCES storage.buckets, name text NOT NULL,
    owner uuid, owner_id text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    last_accessed_at timestamptz DEFAULT now(), metadata jsonb, user_metadata jsonb, version text,
    path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED, UNIQUE (bucket_id, name));
CREATE TABLE storage.s3_multipart_uploads (id text PRIMARY KEY, bucket_id text NOT NULL REFERENCES storage.buckets, key text NOT NULL);
CREATE TABLE storage.s3_multipart_uploads_parts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), upload_id text NOT NULL REFERENCES storage.s3_multipart_uploads ON DELETE CASCADE);
CREATE FUNCTION storage.foldername(name text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT (string_to_array(name, '/'))[1:array_length(string_to_array(name, '/'), 1) - 1] $$;
CREATE FUNCTION storage.filename(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)] $$;
CREATE FUNCTION storage.extension(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT reverse(split_part(reverse(storage.filename(name)), '.', 1)) $$;
ALTER TABLE storage.migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads ENABLE ROW LEVEL SECURITY;
ALTER TABLE storage.s3_multipart_uploads_parts ENABLE ROW LEVEL SECURITY;
INSERT INTO storage.migrations (id, name) VALUES (0, 'standin');
";

pub async fn apply(connection: &mut PgConnection, settings: &Settings) -> Result<(), String> {
    lock(connection).await?;
    let applied = migrate(connection, settings).await.map_err(|error| explain(&error));
    let unlocked = sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(connection).await;
    applied.and(unlocked.map(drop).map_err(|error| explain(&error)))
}

async fn lock(connection: &mut PgConnection) -> Result<(), String> {
    let started = tokio::time::Instant::now();
    while started.elapsed() < PATIENCE {
        let question = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        if question.fetch_one(&mut *connection).await.map_err(|error| explain(&error))? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("acquiring lock timeout".to_owned())
}

async fn migrate(connection: &mut PgConnection, settings: &Settings) -> Result<(), sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('storage.migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if exists {
        return Ok(());
    }
    let roles: Vec<String> = settings.roles.iter().map(|role| quoted(role)).collect();
    let [_, _, service] = &settings.roles;
    let grants = format!(
        "GRANT ALL ON storage.buckets, storage.objects TO {} WITH GRANT OPTION; \
         GRANT ALL ON storage.buckets, storage.objects TO {}; \
         GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts TO {};",
        quoted(&settings.super_user),
        roles.join(", "),
        quoted(service)
    );
    let mut transaction = connection.begin().await?;
    transaction.execute(sqlx::raw_sql(TABLES)).await?;
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(grants))).await?;
    transaction.commit().await
}
