//! Users and sessions in the database.

use rand::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// A user as Auth's API shows it.
const SHOWN: &str = "json_build_object('id', id, 'aud', aud, 'role', role, 'email', coalesce(email, ''), \
    'phone', coalesce(phone, ''), 'email_confirmed_at', email_confirmed_at, 'confirmed_at', email_confirmed_at, \
    'last_sign_in_at', last_sign_in_at, 'app_metadata', raw_app_meta_data, 'user_metadata', raw_user_meta_data, \
    'identities', json_build_array(), 'created_at', created_at, 'updated_at', updated_at, \
    'is_anonymous', is_anonymous)::text";

pub struct NewUser<'a> {
    pub email: Option<&'a str>,
    pub password: Option<&'a str>,
    pub metadata: &'a Value,
    pub app_metadata: Value,
    pub confirmed: bool,
}

fn parsed(text: Option<String>) -> Option<Value> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// `None` where the address is taken.
pub async fn create(pool: &PgPool, user: &NewUser<'_>) -> Result<Option<Value>, sqlx::Error> {
    let statement = format!(
        "INSERT INTO users (id, aud, role, email, encrypted_password, email_confirmed_at, raw_user_meta_data, \
         raw_app_meta_data, is_anonymous) VALUES ($1::uuid, 'authenticated', 'authenticated', lower($2), $3, \
         CASE WHEN $4 THEN now() END, $5::jsonb, $6::jsonb, $2 IS NULL) ON CONFLICT DO NOTHING RETURNING {SHOWN}"
    );
    let shown = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(Uuid::new_v4().to_string())
        .bind(user.email)
        .bind(user.password.map(scramble))
        .bind(user.confirmed)
        .bind(if user.metadata.is_object() { user.metadata.to_string() } else { "{}".to_owned() })
        .bind(user.app_metadata.to_string());
    Ok(parsed(shown.fetch_optional(pool).await?))
}

pub async fn by_id(pool: &PgPool, id: &str) -> Result<Option<Value>, sqlx::Error> {
    let question = format!("SELECT {SHOWN} FROM users WHERE id::text = $1");
    Ok(parsed(sqlx::query_scalar(AssertSqlSafe(question)).bind(id).fetch_optional(pool).await?))
}

/// The user of an address and a password.
pub async fn by_password(pool: &PgPool, email: &str, password: &str) -> Result<Option<Value>, sqlx::Error> {
    let question = format!("SELECT encrypted_password, {SHOWN} FROM users WHERE email = lower($1)");
    let row: Option<(Option<String>, String)> =
        sqlx::query_as(AssertSqlSafe(question)).bind(email).fetch_optional(pool).await?;
    Ok(row
        .filter(|(stored, _)| stored.as_deref().is_some_and(|stored| matches(stored, password)))
        .and_then(|(_, user)| parsed(Some(user))))
}

pub async fn list(pool: &PgPool) -> Result<Vec<Value>, sqlx::Error> {
    let question = format!("SELECT {SHOWN} FROM users ORDER BY created_at DESC LIMIT 1000");
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(question)).fetch_all(pool).await?;
    Ok(rows.into_iter().filter_map(|row| parsed(Some(row))).collect())
}

pub async fn update(pool: &PgPool, id: &str, change: &Value, metadata: &str) -> Result<Option<Value>, sqlx::Error> {
    let statement = format!(
        "UPDATE users SET email = coalesce(lower($2), email), encrypted_password = coalesce($3, encrypted_password), \
         raw_user_meta_data = raw_user_meta_data || coalesce($4::jsonb, '{{}}'), \
         email_confirmed_at = CASE WHEN $5 THEN now() ELSE email_confirmed_at END, updated_at = now() \
         WHERE id::text = $1 RETURNING {SHOWN}"
    );
    let shown = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(id)
        .bind(change["email"].as_str())
        .bind(change["password"].as_str().map(scramble))
        .bind(change[metadata].is_object().then(|| change[metadata].to_string()))
        .bind(change["email_confirm"] == true);
    Ok(parsed(shown.fetch_optional(pool).await?))
}

pub async fn delete(pool: &PgPool, id: &str) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM users WHERE id::text = $1").bind(id).execute(pool).await?;
    Ok(deleted.rows_affected() == 1)
}

/// Opens a session, and gives its id with the first refresh token.
pub async fn open_session(pool: &PgPool, user: &str) -> Result<(String, String), sqlx::Error> {
    let session = Uuid::new_v4().to_string();
    let open = "WITH seen AS (UPDATE users SET last_sign_in_at = now() WHERE id::text = $2) \
        INSERT INTO sessions (id, user_id) VALUES ($1::uuid, $2::uuid)";
    sqlx::query(open).bind(&session).bind(user).execute(pool).await?;
    let token = refresh_token(pool, &session).await?;
    Ok((session, token))
}

async fn refresh_token(pool: &PgPool, session: &str) -> Result<String, sqlx::Error> {
    let token = hex(&rand::rng().random::<[u8; 16]>());
    let insert = "INSERT INTO refresh_tokens (token, session_id) VALUES ($1, $2::uuid)";
    sqlx::query(insert).bind(&token).bind(session).execute(pool).await?;
    Ok(token)
}

/// Uses a refresh token up: its user, its session and the next token.
pub async fn refresh(pool: &PgPool, token: &str) -> Result<Option<(String, String, String)>, sqlx::Error> {
    let revoke = "UPDATE refresh_tokens t SET revoked = true FROM sessions s \
        WHERE t.token = $1 AND NOT t.revoked AND s.id = t.session_id RETURNING s.user_id::text, s.id::text";
    let row: Option<(String, String)> = sqlx::query_as(revoke).bind(token).fetch_optional(pool).await?;
    let Some((user, session)) = row else { return Ok(None) };
    let next = refresh_token(pool, &session).await?;
    Ok(Some((user, session, next)))
}

pub async fn session_exists(pool: &PgPool, session: &str) -> Result<bool, sqlx::Error> {
    let question = "SELECT EXISTS (SELECT FROM sessions WHERE id::text = $1)";
    sqlx::query_scalar(question).bind(session).fetch_one(pool).await
}

pub async fn close_sessions(pool: &PgPool, user: &str, session: Option<&str>) -> Result<(), sqlx::Error> {
    let statement = "DELETE FROM sessions WHERE user_id::text = $1 AND ($2::text IS NULL OR id::text = $2)";
    sqlx::query(statement).bind(user).bind(session).execute(pool).await.map(drop)
}

/// Not fit for real passwords: it only keeps them out of the table.
fn scramble(password: &str) -> String {
    let salt = hex(&rand::rng().random::<[u8; 8]>());
    let digest = hex(&Sha256::digest(format!("{salt}{password}")));
    format!("$standin${salt}${digest}")
}

fn matches(stored: &str, password: &str) -> bool {
    match stored.split('$').collect::<Vec<_>>()[..] {
        ["", "standin", salt, digest] => hex(&Sha256::digest(format!("{salt}{password}"))) == digest,
        _ => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_password_matches_only_itself_and_is_not_clear() {
        let stored = scramble("correct horse");
        assert!(!stored.contains("horse"));
        assert!(matches(&stored, "correct horse"));
        assert!(!matches(&stored, "battery staple"));
        assert!(!matches("correct horse", "correct horse"));
    }
}
