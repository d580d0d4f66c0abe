//! Poses as Studio, and proves through postgres-meta that both hold the same key and the right login.

use std::sync::Arc;
use std::time::Duration;

use aes::Aes256;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::checks::{Checks, Environment};
use crate::http::{client, with_echo};
use crate::token::legacy;
use crate::values::{at_least, http_url, is, one_of, opaque, port, writable};

pub async fn run(environment: Environment) {
    let checks = Arc::new(Checks::new("studio"));
    check(&checks, &environment);
    checks.stop_at_failures();
    let studio = Arc::new(Studio { checks: checks.clone(), environment });
    // Where meta is up already, a wrong key or login must not become healthy.
    studio.ask_meta(Duration::from_secs(2), true).await;
    checks.stop_at_failures();
    let port = studio.environment.get("PORT").and_then(|value| port(value).ok()).unwrap_or(3000);
    let address = if studio.environment.is("HOSTNAME", "::") { "::" } else { "0.0.0.0" };
    let report = {
        let studio = studio.clone();
        move || async move {
            studio.ask_meta(Duration::from_secs(10), false).await;
            studio.ask_gateway().await;
            Json(studio.checks.report())
        }
    };
    let profile = json!({"id": 1, "primary_email": "johndoe@supabase.io", "username": "johndoe", "standin": true});
    let router = Router::new()
        .route("/_standin/report", get(report))
        .route("/api/platform/profile", get(move || async move { Json(profile) }));
    crate::http::serve(&checks, address.parse().unwrap(), port, with_echo(router, &checks)).await;
}

fn check(checks: &Checks, environment: &Environment) {
    let prefixes = [
        "STUDIO_",
        "POSTGRES_",
        "PG_META_",
        "SUPABASE_",
        "AUTH_",
        "PGRST_",
        "SNIPPETS_",
        "EDGE_",
        "ENABLED_",
        "LOGFLARE_",
    ];
    environment.check_rendered(checks, &prefixes, &[]);
    checks.variable(environment, "HOSTNAME", one_of(&["0.0.0.0", "::"]));
    for name in ["STUDIO_PG_META_URL", "SUPABASE_URL", "SUPABASE_PUBLIC_URL"] {
        checks.variable(environment, name, http_url);
    }
    for name in ["POSTGRES_HOST", "POSTGRES_DB", "POSTGRES_USER_READ_WRITE", "POSTGRES_PASSWORD", "PGRST_DB_SCHEMAS"] {
        checks.variable(environment, name, Ok);
    }
    checks.variable(environment, "POSTGRES_PORT", port);
    checks.record("connection string", connection_string(environment).map(drop));
    checks.variable(environment, "PG_META_CRYPTO_KEY", |value| match value {
        "SAMPLE_KEY" => Err("is the sample key that everybody knows".to_owned()),
        _ => Ok(()),
    });
    let secret = checks.variable(environment, "AUTH_JWT_SECRET", |value| at_least(32)(value).map(|()| value));
    checks.variable(environment, "SUPABASE_ANON_KEY", legacy(secret, "anon"));
    checks.variable(environment, "SUPABASE_SERVICE_KEY", legacy(secret, "service_role"));
    let (publishable, secret_key) = ("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY");
    if environment.get(publishable).is_some() || environment.get(secret_key).is_some() {
        checks.variable(environment, publishable, opaque("sb_publishable_"));
        checks.variable(environment, secret_key, opaque("sb_secret_"));
    }
    if environment.get("LOGFLARE_URL").is_none() || environment.get("LOGFLARE_PRIVATE_ACCESS_TOKEN").is_none() {
        checks.variable(environment, "ENABLED_FEATURES_LOGS_ALL", is("false"));
    }
    checks.variable(environment, "SNIPPETS_MANAGEMENT_FOLDER", writable);
    checks.variable(environment, "EDGE_FUNCTIONS_MANAGEMENT_FOLDER", |path| {
        std::fs::read_dir(path).map(drop).map_err(|error| format!("cannot read {path}: {error}"))
    });
    checks.record("write to /tmp", writable("/tmp"));
    let cache = std::path::Path::new("/app/apps/studio/.next/cache");
    if cache.exists() {
        checks.record("write to the cache of Next", writable(cache));
    }
}

/// As Studio builds it: by plain concatenation. It must survive being read as a URL.
fn connection_string(environment: &Environment) -> Result<String, String> {
    let part = |name: &str| environment.text(name).map_err(|error| format!("{name} {error}"));
    let (user, password) = (part("POSTGRES_USER_READ_WRITE")?, part("POSTGRES_PASSWORD")?);
    let (host, number, database) = (part("POSTGRES_HOST")?, part("POSTGRES_PORT")?, part("POSTGRES_DB")?);
    let text = format!("postgresql://{user}:{password}@{host}:{number}/{database}");
    let url = url::Url::parse(&text).map_err(|error| format!("is not a URL ({error}): percent-encode the password"))?;
    let same = url.username() == user
        && url.host_str() == Some(host)
        && url.path().trim_start_matches('/') == database
        && url.query().is_none()
        && url.fragment().is_none();
    same.then_some(text)
        .ok_or_else(|| "is read as another user, host or database: percent-encode the password".to_owned())
}

/// Users' tables are made with it, and nothing of the services'.
const QUESTION: &str = "select current_user, has_schema_privilege('public', 'CREATE') as creates, \
    (select rolsuper from pg_roles where rolname = current_user) as superuser";

struct Studio {
    checks: Arc<Checks>,
    environment: Environment,
}

impl Studio {
    /// Proves key, login and TLS at once. Whether meta answers at all counts only when asked.
    async fn ask_meta(&self, limit: Duration, starting: bool) {
        let value = |name: &str| self.environment.get(name).unwrap_or_default();
        let Ok(connection) = connection_string(&self.environment) else { return };
        let url = format!("{}/query", value("STUDIO_PG_META_URL").trim_end_matches('/'));
        let salt: [u8; 8] = rand::random();
        let request = client(None)
            .post(url)
            .timeout(limit)
            .header("content-type", "application/json")
            .header("x-connection-encrypted", encrypt(&connection, value("PG_META_CRYPTO_KEY"), salt))
            .body(json!({"query": QUESTION}).to_string());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(_) if starting => return,
            Err(error) => {
                self.checks.observe("meta", Err::<(), _>(format!("does not answer: {}", error.without_url())));
                return;
            }
        };
        let status = answer.status();
        let body: Value =
            answer.text().await.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let verdict = match (body[0]["current_user"].as_str(), value("POSTGRES_USER_READ_WRITE")) {
            (Some(_), _) if body[0]["superuser"] == true => Err("queries run as a superuser".to_owned()),
            (Some(_), _) if body[0]["creates"] == false => {
                Err("queries run as a role that may not create in schema public: is it another service's?".to_owned())
            }
            (Some(found), wanted) if found == wanted => Ok(()),
            (Some(_), _) => Err("queries run as another role than POSTGRES_USER_READ_WRITE".to_owned()),
            // A pod of meta that is not ready answers through no one: a Service without endpoints is a connect error.
            _ => Err(format!(
                "refuses Studio's connection with {status}: is PG_META_CRYPTO_KEY the same, and the password right?"
            )),
        };
        self.checks.record("meta", verdict);
    }

    async fn ask_gateway(&self) {
        let url = self.environment.get("SUPABASE_URL").unwrap_or_default().trim_end_matches('/');
        let key = self.environment.get("SUPABASE_SERVICE_KEY").unwrap_or_default();
        let answer = client(None).get(format!("{url}/rest/v1/")).header("apikey", key).send().await;
        let verdict = match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("answers {} to the service key", answer.status())),
            Err(error) => Err(format!("does not answer: {}", error.without_url())),
        };
        self.checks.observe("gateway", verdict);
    }
}

/// `CryptoJS`'s AES with a passphrase: OpenSSL's salted format, key and IV by `EVP_BytesToKey` with MD5.
fn encrypt(text: &str, passphrase: &str, salt: [u8; 8]) -> String {
    let mut derived: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while derived.len() < 48 {
        last = Md5::new().chain_update(&last).chain_update(passphrase).chain_update(salt).finalize().to_vec();
        derived.extend(&last);
    }
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&derived[..32], &derived[32..48]).unwrap();
    let encrypted = cipher.encrypt_padded_vec::<Pkcs7>(text.as_bytes());
    STANDARD.encode([b"Salted__", &salt[..], &encrypted].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf %s 'postgresql://a' | openssl enc -aes-256-cbc -md md5 -pass pass:key -S 0102030405060708`, with the header.
    #[test]
    fn encryption_is_openssl_s() {
        let text = encrypt("postgresql://a", "key", [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(text, "U2FsdGVkX18BAgMEBQYHCIgNEv8SIQuJ3kCCTd7Wquk=");
    }

    #[test]
    fn a_password_that_a_url_cannot_hold_is_refused() {
        for (password, good) in
            [("plain-1", true), ("a%40b", true), ("a@b", true), ("a/b", false), ("a#b", false), ("a?b", false)]
        {
            let environment = Environment::from([
                ("POSTGRES_USER_READ_WRITE", "postgres"),
                ("POSTGRES_PASSWORD", password),
                ("POSTGRES_HOST", "db"),
                ("POSTGRES_PORT", "5432"),
                ("POSTGRES_DB", "app"),
            ]);
            assert_eq!(connection_string(&environment).is_ok(), good, "{password}");
        }
    }
}
