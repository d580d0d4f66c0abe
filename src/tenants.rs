//! Tenants of Realtime and of the pooler: both keep connection settings and keys of a project in tables of their own, and
//! are told of them through their API. One place tells them, and only what is new: each telling drops connections.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;

use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};
use crate::render::Digest;
use crate::sensitive::Sensitive;
use crate::sql;

/// A tenant as it shall be.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Name of the service, for messages; also the name under which the database remembers what was said to it.
    pub service: &'static str,
    /// URL of the service.
    pub address: String,
    pub id: String,
    /// HS256 secret of the service's API.
    pub api_secret: Sensitive,
    /// JSON.
    pub body: Sensitive,
}

impl Tenant {
    /// Changes when anything does that the service must be told.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&json!([self.id, self.body.expose(), self.api_secret.expose()]))
    }

    fn memory(&self) -> String {
        format!("tenant of {}", self.service)
    }
}

/// A first tenant's migrations run before the answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const TOKEN_LIFETIME: i64 = 120;

/// Tells the service of its tenant, unless it knows.
///
/// # Errors
/// What the service or the database answered instead.
pub async fn ensure(client: &Client, database: &DatabaseEndpoint, tenant: &Tenant) -> Result<(), Problem> {
    let wanted = tenant.fingerprint();
    let told = sql::recall(database, &tenant.memory()).await?;
    // Secrets cannot be read back: what was said is remembered where the service keeps it, in the database.
    let known = reach(client, tenant).await? == StatusCode::OK;
    if known && told == Some(wanted) {
        return Ok(());
    }
    let answer = send(client, tenant, Method::PUT).await?;
    if !answer.is_success() {
        let Tenant { service, address, id, .. } = tenant;
        let message = format!("{service} at {address} refused its tenant {id:?} with {answer}; its log says why");
        return Err(Problem::new(Reason::TenantRefused, message));
    }
    tracing::info!(service = tenant.service, tenant = tenant.id, "tenant written");
    sql::remember(database, &tenant.memory(), wanted).await
}

async fn send(client: &Client, tenant: &Tenant, method: Method) -> Result<StatusCode, Problem> {
    let Tenant { service, address, id, .. } = tenant;
    let failed = |what: String| Problem::new(Reason::TenantRefused, format!("{service} at {address}: {what}"));
    let now = Timestamp::now().as_second();
    let claims = json!({"role": "service_role", "iat": now, "exp": now + TOKEN_LIFETIME});
    let key = EncodingKey::from_secret(tenant.api_secret.expose().as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|_| failed("no token can be signed".to_owned()))?;
    let mut request =
        client.request(method.clone(), format!("{address}/api/tenants/{id}")).bearer_auth(token).timeout(REQUEST_LIMIT);
    if method == Method::PUT {
        request = request.header("content-type", "application/json").body(tenant.body.expose().to_owned());
    }
    let answer = request.send().await.map_err(|error| failed(format!("no answer: {}", error.without_url())))?;
    Ok(answer.status())
}

/// A pod that is ready is not yet behind its Service everywhere: what cannot be reached for longer is worth telling.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(500);

async fn reach(client: &Client, tenant: &Tenant) -> Result<StatusCode, Problem> {
    let started = Instant::now();
    loop {
        match send(client, tenant, Method::GET).await {
            Err(_) if started.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
}
