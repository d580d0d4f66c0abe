//! Buckets and objects in the database, each request under the role of its token.

use serde_json::{Value, json};
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::database;

/// A refusal in Storage's form: code, error, message.
pub struct Refused(pub u16, pub &'static str, pub String);

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
        match code.as_deref() {
            Some("42501") => Self(403, "Unauthorized", database::explain(&error).replace(" (42501)", "")),
            Some("23505") => Self(409, "Duplicate", "The resource already exists".to_owned()),
            Some("23503") => Self(409, "Conflict", "The bucket you tried to delete is not empty".to_owned()),
            _ => Self(500, "DatabaseError", database::explain(&error)),
        }
    }
}

pub fn missing(what: &str) -> Refused {
    Refused(404, "not_found", format!("{what} not found"))
}

/// Who asks.
#[derive(Clone)]
pub struct Caller {
    pub role: String,
    pub claims: Value,
}

impl Caller {
    fn id(&self) -> Option<&str> {
        self.claims["sub"].as_str()
    }
}

pub type Scoped = Transaction<'static, Postgres>;

/// A transaction that has the caller's role and claims, as the real one's.
pub async fn scoped(pool: &PgPool, caller: &Caller) -> Result<Scoped, Refused> {
    let mut transaction = pool.begin().await?;
    let settings = "SELECT set_config('role', $1, true), set_config('request.jwt.claim.role', $1, true), \
        set_config('request.jwt.claim.sub', $2, true), set_config('request.jwt.claims', $3, true)";
    sqlx::query(settings)
        .bind(&caller.role)
        .bind(caller.id().unwrap_or_default())
        .bind(caller.claims.to_string())
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

fn parsed(rows: &[String]) -> Vec<Value> {
    rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect()
}

pub async fn buckets(scoped: &mut Scoped) -> Result<Vec<Value>, Refused> {
    let question = "SELECT row_to_json(b)::text FROM storage.buckets b ORDER BY name";
    Ok(parsed(&sqlx::query_scalar(question).fetch_all(&mut **scoped).await?))
}

pub async fn bucket(scoped: &mut Scoped, id: &str) -> Result<Value, Refused> {
    let question = "SELECT row_to_json(b)::text FROM storage.buckets b WHERE id = $1";
    let row: Option<String> = sqlx::query_scalar(question).bind(id).fetch_optional(&mut **scoped).await?;
    parsed(row.as_slice()).pop().ok_or_else(|| missing("Bucket"))
}

fn limits(body: &Value) -> (Option<i64>, Option<Vec<String>>) {
    let size = &body["file_size_limit"];
    let size = size.as_i64().or_else(|| size.as_str().and_then(|text| text.parse().ok()));
    let kinds = body["allowed_mime_types"].as_array();
    (size, kinds.map(|kinds| kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
}

pub async fn create_bucket(scoped: &mut Scoped, caller: &Caller, body: &Value) -> Result<String, Refused> {
    let name = body["name"].as_str().or(body["id"].as_str()).unwrap_or_default().to_owned();
    let id = body["id"].as_str().unwrap_or(&name).to_owned();
    if name.is_empty() || name.contains('/') {
        return Err(Refused(400, "InvalidRequest", "Bucket name invalid".to_owned()));
    }
    let (size, kinds) = limits(body);
    let insert = "INSERT INTO storage.buckets (id, name, public, owner_id, file_size_limit, allowed_mime_types) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    sqlx::query(insert)
        .bind(&id)
        .bind(name)
        .bind(body["public"] == true)
        .bind(caller.id())
        .bind(size)
        .bind(kinds)
        .execute(&mut **scoped)
        .await?;
    Ok(id)
}

pub async fn update_bucket(scoped: &mut Scoped, id: &str, body: &Value) -> Result<(), Refused> {
    let (size, kinds) = limits(body);
    let update = "UPDATE storage.buckets SET public = coalesce($2, public), file_size_limit = coalesce($3, file_size_limit), \
        allowed_mime_types = coalesce($4, allowed_mime_types), updated_at = now() WHERE id = $1";
    let updated = sqlx::query(update).bind(id).bind(body["public"].as_bool()).bind(size).bind(kinds);
    one(updated.execute(&mut **scoped).await?.rows_affected(), "Bucket")
}

pub async fn delete_bucket(scoped: &mut Scoped, id: &str) -> Result<(), Refused> {
    let deleted = sqlx::query("DELETE FROM storage.buckets WHERE id = $1").bind(id);
    one(deleted.execute(&mut **scoped).await?.rows_affected(), "Bucket")
}

fn one(rows: u64, what: &str) -> Result<(), Refused> {
    if rows == 1 { Ok(()) } else { Err(missing(what)) }
}

pub struct Upload<'a> {
    pub bucket: &'a str,
    pub name: &'a str,
    pub replaces: bool,
    pub metadata: Value,
}

/// Records an object and gives its id and version. Nothing is read back: that would take a policy for SELECT.
pub async fn put(scoped: &mut Scoped, caller: &Caller, upload: &Upload<'_>) -> Result<(String, String), Refused> {
    let (id, version) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let insert = "INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, metadata, version) \
        VALUES ($1::uuid, $2, $3, $4::uuid, $4, $5::jsonb, $6)";
    let replace = "INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, metadata, version) \
        VALUES ($1::uuid, $2, $3, $4::uuid, $4, $5::jsonb, $6) ON CONFLICT (bucket_id, name) DO UPDATE SET \
        metadata = excluded.metadata, version = excluded.version, owner_id = excluded.owner_id, updated_at = now()";
    let owner = caller.id().filter(|id| Uuid::parse_str(id).is_ok());
    sqlx::query(if upload.replaces { replace } else { insert })
        .bind(&id)
        .bind(upload.bucket)
        .bind(upload.name)
        .bind(owner)
        .bind(upload.metadata.to_string())
        .bind(&version)
        .execute(&mut **scoped)
        .await?;
    Ok((id, version))
}

pub async fn object(scoped: &mut Scoped, bucket: &str, name: &str) -> Result<Value, Refused> {
    let question = "SELECT row_to_json(o)::text FROM storage.objects o WHERE bucket_id = $1 AND name = $2";
    let row: Option<String> =
        sqlx::query_scalar(question).bind(bucket).bind(name).fetch_optional(&mut **scoped).await?;
    parsed(row.as_slice()).pop().ok_or_else(|| missing("Object"))
}

pub async fn delete(scoped: &mut Scoped, bucket: &str, names: &[String]) -> Result<Vec<Value>, Refused> {
    let delete = "DELETE FROM storage.objects o WHERE bucket_id = $1 AND name = ANY($2) RETURNING row_to_json(o)::text";
    Ok(parsed(&sqlx::query_scalar(delete).bind(bucket).bind(names).fetch_all(&mut **scoped).await?))
}

pub async fn all_names(scoped: &mut Scoped, bucket: &str) -> Result<Vec<String>, Refused> {
    let question = "SELECT name FROM storage.objects WHERE bucket_id = $1";
    Ok(sqlx::query_scalar(question).bind(bucket).fetch_all(&mut **scoped).await?)
}

/// What is directly below a prefix: objects, and folders that have no row of their own.
pub async fn list(scoped: &mut Scoped, bucket: &str, body: &Value) -> Result<Vec<Value>, Refused> {
    let question = "SELECT row_to_json(o)::text FROM storage.objects o WHERE bucket_id = $1 AND starts_with(name, $2) \
        ORDER BY name COLLATE \"C\"";
    let mut prefix = body["prefix"].as_str().unwrap_or_default().trim_matches('/').to_owned();
    if !prefix.is_empty() {
        prefix.push('/');
    }
    let rows = parsed(&sqlx::query_scalar(question).bind(bucket).bind(&prefix).fetch_all(&mut **scoped).await?);
    let entries = below(&prefix, rows, body["search"].as_str().unwrap_or_default());
    let number = |name: &str, default| body[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
    Ok(entries.into_iter().skip(number("offset", 0)).take(number("limit", 100)).collect())
}

fn below(prefix: &str, rows: Vec<Value>, search: &str) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    for mut row in rows {
        let Some(rest) = row["name"].as_str().and_then(|name| name.strip_prefix(prefix)).map(str::to_owned) else {
            continue;
        };
        let (first, folder) = rest.split_once('/').map_or((rest.as_str(), false), |(first, _)| (first, true));
        if !first.contains(search) {
            continue;
        }
        if !folder {
            row["name"] = json!(first);
            entries.push(row);
        } else if entries.last().is_none_or(|last| last["name"] != first) {
            let none = Value::Null;
            entries.push(json!({"name": first, "id": none, "updated_at": none, "created_at": none,
                "last_accessed_at": none, "metadata": none}));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_shows_one_level_and_each_folder_once() {
        let row = |name: &str| json!({"name": name, "id": "x"});
        let rows = vec![row("a/b.txt"), row("a/c/1"), row("a/c/2"), row("a/d.txt")];
        let names =
            |entries: Vec<Value>| entries.iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(below("a/", rows.clone(), "")), ["b.txt", "c", "d.txt"]);
        assert!(below("a/", rows.clone(), "")[1]["id"].is_null());
        assert_eq!(names(below("", rows.clone(), "")), ["a"]);
        assert_eq!(names(below("a/", rows, "d.")), ["d.txt"]);
    }
}
