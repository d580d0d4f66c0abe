//! Tenants: kept in the database, so that replicas share them and a restart does not lose them. Bodies are encrypted
//! with `DB_ENC_KEY`, as Realtime does with what is secret in them.

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use serde_json::{Value, json};
use sqlx::postgres::PgSslMode;
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::database;
use crate::token::{Verifier, jwks};

pub struct Tenants {
    pool: PgPool,
    key: String,
}

/// What stands for the tenant migrations.
const MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS realtime.schema_migrations (version bigint PRIMARY KEY); \
    CREATE TABLE IF NOT EXISTS realtime.messages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), topic text NOT NULL, \
        extension text NOT NULL, payload jsonb, event text, private boolean DEFAULT false, \
        inserted_at timestamp NOT NULL DEFAULT now()); \
    ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY; \
    ALTER TABLE realtime.messages OWNER TO supabase_realtime_admin; \
    INSERT INTO realtime.schema_migrations VALUES (20260101000000) ON CONFLICT DO NOTHING";

impl Tenants {
    pub fn new(pool: PgPool, key: String) -> Self {
        Self { pool, key }
    }

    /// The stored body. A row that another key encrypted is an error.
    pub async fn get(&self, id: &str) -> Result<Option<Value>, String> {
        let row: Option<String> = sqlx::query_scalar("SELECT body FROM _realtime.tenants WHERE external_id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| database::explain(&error))?;
        row.map(|text| self.decrypt(&text).ok_or_else(|| "DB_ENC_KEY does not decrypt the tenant".to_owned()))
            .transpose()
    }

    pub async fn put(&self, id: &str, tenant: &Value) -> Result<(), String> {
        let upsert = "INSERT INTO _realtime.tenants VALUES ($1, $2) \
            ON CONFLICT (external_id) DO UPDATE SET body = excluded.body";
        let stored = sqlx::query(upsert).bind(id).bind(self.encrypt(tenant)).execute(&self.pool).await;
        stored.map(drop).map_err(|error| database::explain(&error))
    }

    pub async fn delete(&self, id: &str) -> Result<(), String> {
        let delete = sqlx::query("DELETE FROM _realtime.tenants WHERE external_id = $1").bind(id);
        delete.execute(&self.pool).await.map(drop).map_err(|error| database::explain(&error))
    }

    fn encrypt(&self, tenant: &Value) -> String {
        let iv: [u8; 16] = rand::random();
        let cipher = cbc::Encryptor::<Aes128>::new_from_slices(self.key.as_bytes(), &iv).unwrap();
        let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(tenant.to_string().as_bytes());
        STANDARD.encode([&iv[..], &encrypted].concat())
    }

    fn decrypt(&self, text: &str) -> Option<Value> {
        let bytes = STANDARD.decode(text).ok()?;
        let (iv, encrypted) = bytes.split_at_checked(16)?;
        let cipher = cbc::Decryptor::<Aes128>::new_from_slices(self.key.as_bytes(), iv).ok()?;
        serde_json::from_slice(&cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()?).ok()
    }
}

/// The body of a PUT over what is stored, if what comes out is a whole tenant.
pub fn merged(id: &str, stored: Option<&Value>, body: &Value) -> Result<Value, String> {
    let given = body["tenant"].as_object().ok_or("the body needs an object \"tenant\"")?;
    if stored.is_none() && !given.contains_key("extensions") {
        return Err("a new tenant needs \"extensions\"".to_owned());
    }
    let mut tenant = stored.cloned().unwrap_or_else(|| json!({}));
    for (name, value) in given {
        tenant[name] = value.clone();
    }
    if tenant["external_id"].as_str().is_some_and(|found| found != id) {
        return Err("\"external_id\" is another than that of the path".to_owned());
    }
    tenant["external_id"] = json!(id);
    let secret = tenant["jwt_secret"].as_str().filter(|secret| !secret.is_empty());
    if !tenant["jwt_jwks"].is_null() {
        jwks(secret, &tenant["jwt_jwks"].to_string()).map_err(|error| format!("\"jwt_jwks\" {error}"))?;
    } else if secret.is_none() {
        return Err("needs \"jwt_secret\" or \"jwt_jwks\"".to_owned());
    }
    let extension = &tenant["extensions"][0];
    if extension["type"] != "postgres_cdc_rls" {
        return Err("the first of \"extensions\" must be of type postgres_cdc_rls".to_owned());
    }
    for name in ["region", "db_host", "db_port", "db_name", "db_user", "db_password"] {
        if extension["settings"][name].as_str().is_none_or(str::is_empty) {
            return Err(format!("setting \"{name}\" of the extension must be a string that is not empty"));
        }
    }
    for name in ["poll_interval_ms", "poll_max_record_bytes"] {
        if !extension["settings"][name].is_u64() {
            return Err(format!("setting \"{name}\" of the extension must be a number"));
        }
    }
    match extension["settings"]["ssl_enforced"] {
        Value::Null | Value::Bool(_) => Ok(tenant),
        _ => Err("setting \"ssl_enforced\" of the extension must be a boolean".to_owned()),
    }
}

/// Connects as the tenant's settings say, and makes what its migrations make.
pub async fn migrate(tenant: &Value) -> Result<(), String> {
    let setting = |name: &str| tenant["extensions"][0]["settings"][name].as_str().unwrap_or_default();
    let port = setting("db_port").parse().map_err(|_| "setting \"db_port\" is no port number")?;
    // Encrypted and never verified, or not encrypted: what the tenant's connections know.
    let plain = tenant["extensions"][0]["settings"]["ssl_enforced"] == false;
    let options = database::base(setting("db_host"), port, setting("db_user"), setting("db_name"))
        .password(setting("db_password"))
        .ssl_mode(if plain { PgSslMode::Disable } else { PgSslMode::Require });
    let work = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.execute(sqlx::raw_sql(MIGRATIONS)).await
    };
    let limit = std::time::Duration::from_secs(10);
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map(drop).map_err(|error| format!("tenant database: {}", database::explain(&error))),
        Err(_) => Err("tenant database: no answer".to_owned()),
    }
}

pub fn verifier(tenant: &Value) -> Verifier {
    let secret = tenant["jwt_secret"].as_str().filter(|secret| !secret.is_empty()).map(str::to_owned);
    Verifier { keys: jwks(secret.as_deref(), &tenant["jwt_jwks"].to_string()).ok(), secret }
}

/// Without what is secret, as the API shows it.
pub fn shown(tenant: &Value) -> Value {
    let mut shown = tenant.clone();
    for name in ["jwt_secret", "jwt_jwks"] {
        shown.as_object_mut().map(|fields| fields.remove(name));
    }
    if let Some(settings) = shown["extensions"][0]["settings"].as_object_mut() {
        settings.remove("db_password");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Value {
        json!({"tenant": {"name": "one", "jwt_secret": "s", "extensions": [{"type": "postgres_cdc_rls", "settings": {
            "region": "local", "db_host": "db", "db_port": "5432", "db_name": "app", "db_user": "supabase_admin",
            "db_password": "hunter2", "poll_interval_ms": 100, "poll_max_record_bytes": 1_048_576, "ssl_enforced": false,
        }}]}})
    }

    #[test]
    fn a_tenant_must_be_whole_and_a_change_may_be_a_part() {
        let tenant = merged("one", None, &body()).unwrap();
        let changed = merged("one", Some(&tenant), &json!({"tenant": {"jwt_secret": "t"}})).unwrap();
        assert_eq!(changed["jwt_secret"], "t");
        assert_eq!(changed["extensions"], tenant["extensions"]);
        assert!(merged("one", None, &json!({"tenant": {"jwt_secret": "t"}})).is_err());
        for (name, wrong) in [("db_port", json!(5432)), ("db_password", json!("")), ("ssl_enforced", json!("false"))] {
            let mut bad = body();
            bad["tenant"]["extensions"][0]["settings"][name] = wrong;
            let error = merged("one", None, &bad).unwrap_err();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let text = shown(&merged("one", None, &body()).unwrap()).to_string();
        assert!(!text.contains("hunter2") && !text.contains("jwt_secret"), "{text}");
    }
}
