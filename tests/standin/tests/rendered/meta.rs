//! postgres-meta's part in Studio's proof: it decrypts the connection string with its own key, and asks the database.

use std::sync::Arc;

use aes::Aes256;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Listens for as long as the test runs; the port.
pub async fn start(key: String) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = Arc::new(key);
    let router = Router::new().route(
        "/query",
        post(move |headers: HeaderMap, body: String| {
            let key = key.clone();
            async move {
                match answer(&key, &headers, &body).await {
                    Some(rows) => (StatusCode::OK, rows.to_string()),
                    None => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "no connection"}).to_string()),
                }
            }
        }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

async fn answer(key: &str, headers: &HeaderMap, body: &str) -> Option<Value> {
    let connection = decrypt(headers.get("x-connection-encrypted")?.to_str().ok()?, key)?;
    let options: PgConnectOptions = connection.parse().ok()?;
    let mut connection = PgConnection::connect_with(&options.ssl_mode(PgSslMode::Require)).await.ok()?;
    let body: Value = serde_json::from_str(body).ok()?;
    let query = format!("SELECT json_agg(t)::text FROM ({}) t", body["query"].as_str()?);
    let rows: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await.ok()?;
    serde_json::from_str(&rows).ok()
}

/// OpenSSL's `enc -aes-256-cbc -md md5`, as crypto-js has it.
fn decrypt(text: &str, key: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).ok()?;
    let (salt, encrypted) = bytes.strip_prefix(b"Salted__")?.split_at_checked(8)?;
    let (mut derived, mut last) = (Vec::new(), Vec::new());
    while derived.len() < 48 {
        last = Md5::new().chain_update(&last).chain_update(key).chain_update(salt).finalize().to_vec();
        derived.extend(&last);
    }
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&derived[..32], &derived[32..]).ok()?;
    String::from_utf8(cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()?).ok()
}
