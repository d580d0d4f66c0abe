//! Realtime's HTTP API and the door of its websocket.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::environment::Settings;
use super::frame::Version;
use super::hub::{Delivery, Hub, What};
use super::peers;
use super::socket::{self, Session, accepted};
use super::tenants::{self, Tenants};
use crate::checks::{Checks, Environment};
use crate::database;
use crate::http::{answer, bearer, echo, header};
use crate::token::Verifier;

struct Realtime {
    checks: Arc<Checks>,
    environment: Environment,
    tenants: Tenants,
    hub: Hub,
    api_secrets: Vec<String>,
    cookie: String,
}

pub async fn serve(settings: Settings, environment: Environment, checks: Arc<Checks>) {
    let tenants = Tenants::new(database::pool(&settings.login), settings.encryption_key.clone());
    if environment.is("SEED_SELF_HOST", "true") {
        let id = environment.get("SELF_HOST_TENANT_NAME").unwrap_or("realtime-dev");
        let tenant = seeded(&settings, &environment);
        checks.record("seed", tenants.put(id, &tenant).await);
        checks.stop_at_failures();
        // Their failure is only logged by the real one too.
        checks.observe(format!("database of tenant {id}"), tenants::migrate(&tenant).await);
    }
    if let Some(address) = environment.get("POD_IP").and_then(|value| value.parse().ok()) {
        peers::answer(&checks, address, &settings.cookie).await;
    }
    let Settings { api_secrets, cookie, port, .. } = settings;
    let realtime =
        Arc::new(Realtime { checks: checks.clone(), environment, tenants, hub: Hub::new(), api_secrets, cookie });
    let router = Router::new().fallback(move |request: Request| {
        let realtime = realtime.clone();
        async move { realtime.answer(request).await }
    });
    crate::http::serve(&checks, std::net::Ipv4Addr::UNSPECIFIED.into(), port, router).await;
}

/// What the seed of the real one inserts.
fn seeded(settings: &Settings, environment: &Environment) -> Value {
    let setting = |name: &str| environment.get(name).unwrap_or_default();
    json!({
        "external_id": environment.get("SELF_HOST_TENANT_NAME").unwrap_or("realtime-dev"),
        "jwt_secret": settings.api_secrets.first(),
        "jwt_jwks": settings.keys,
        "extensions": [{"type": "postgres_cdc_rls", "settings": {
            "region": "us-east-1", "db_host": setting("DB_HOST"), "db_port": setting("DB_PORT"),
            "db_name": setting("DB_NAME"), "db_user": setting("DB_USER"), "db_password": setting("DB_PASSWORD"),
            "poll_interval_ms": 100, "poll_max_record_bytes": 1_048_576, "ssl_enforced": false,
        }}],
    })
}

/// The tenant is the first label of the host.
fn tenant_of(headers: &HeaderMap) -> String {
    let host = header(headers, "host").unwrap_or_default();
    host.split(':').next().unwrap_or_default().split('.').next().unwrap_or_default().to_owned()
}

fn query_value(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

impl Realtime {
    async fn answer(&self, request: Request) -> Response {
        let path: Vec<String> = request
            .uri()
            .path()
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (request.method().as_str(), &path[..]) {
            ("GET", ["healthcheck"]) => "ok".into_response(),
            ("GET", ["api", "ping"]) => answer(200, json!({"message": "Success"})),
            ("GET", ["_standin", "report"]) => {
                peers::ask(&self.checks, &self.environment, &self.cookie).await;
                answer(200, self.checks.report())
            }
            ("GET", ["socket", "websocket"]) => self.connect(request).await,
            ("POST", ["api", "broadcast"]) => self.broadcast(request, None).await,
            ("POST", ["api", "broadcast", topic, "events", event]) => {
                self.broadcast(request, Some((topic, event))).await
            }
            (method, ["api", "tenants", rest @ ..]) => {
                if !self.may_administer(request.headers()) {
                    return StatusCode::FORBIDDEN.into_response();
                }
                let method = method.to_owned();
                let body = to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                self.administer(&method, rest, &body).await.unwrap_or_else(|error| answer(500, json!({"error": error})))
            }
            _ => answer(200, echo("realtime", &request)),
        }
    }

    /// HS256 by one of the API's secrets, with a numeric `iat` and an `exp` to come.
    fn may_administer(&self, headers: &HeaderMap) -> bool {
        let Some(token) = bearer(headers) else { return false };
        self.api_secrets.iter().any(|secret| {
            let verifier = Verifier { secret: Some(secret.clone()), keys: None };
            verifier.verify(token).is_ok_and(|claims| claims["iat"].is_number())
        })
    }

    async fn administer(&self, method: &str, path: &[&str], body: &Value) -> Result<Response, String> {
        let Some((id, action)) = path.split_first() else { return Ok(answer(200, json!({"data": []}))) };
        let stored = match self.tenants.get(id).await {
            // A row of another DB_ENC_KEY is written anew, as the real one does.
            Err(_) if method == "PUT" => None,
            stored => stored?,
        };
        if method == "PUT" && action.is_empty() {
            return self.put(id, stored.as_ref(), body).await;
        }
        let Some(stored) = stored else { return Ok(answer(404, json!({"error": "not found"}))) };
        match (method, action) {
            ("GET", []) => Ok(answer(200, json!({"data": tenants::shown(&stored)}))),
            ("GET", ["health"]) => Ok(answer(
                200,
                json!({"data": {
                    "healthy": true, "db_connected": false, "replication_connected": false, "connected_cluster": 0,
                    "region": self.environment.get("REGION"), "node": self.environment.get("APP_NAME"), "standin": true,
                }}),
            )),
            ("DELETE", []) => {
                self.tenants.delete(id).await?;
                self.disconnect(id);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            ("POST", ["reload" | "shutdown"]) => {
                self.disconnect(id);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Ok(answer(404, json!({"error": "not found"}))),
        }
    }

    async fn put(&self, id: &str, stored: Option<&Value>, body: &Value) -> Result<Response, String> {
        let unprocessable = |error: String| Ok(answer(422, json!({"errors": {"tenant": [error]}})));
        let tenant = match tenants::merged(id, stored, body) {
            Ok(tenant) => tenant,
            Err(error) => return unprocessable(error),
        };
        if stored.is_none_or(|stored| stored["extensions"] != tenant["extensions"]) {
            // The real one logs a failure and goes on without a database; here it is told.
            let migrated = tenants::migrate(&tenant).await;
            self.checks.observe(format!("database of tenant {id}"), migrated.clone());
            if let Err(error) = migrated {
                return unprocessable(error);
            }
        }
        self.tenants.put(id, &tenant).await?;
        let changed = |name: &str| stored.is_some_and(|stored| stored[name] != tenant[name]);
        if ["jwt_secret", "jwt_jwks", "private_only", "suspend"].into_iter().any(changed) {
            self.disconnect(id);
        }
        Ok(answer(if stored.is_none() { 201 } else { 200 }, json!({"data": tenants::shown(&tenant)})))
    }

    fn disconnect(&self, tenant: &str) {
        self.hub.send(Delivery { tenant: tenant.to_owned(), from: None, what: What::Disconnect });
    }

    /// `x-api-key` before `?apikey=`; a token that the tenant's keys do not verify, or no tenant, is a 403.
    async fn connect(&self, request: Request) -> Response {
        let forbidden = |error: &str| answer(403, json!({"standin": true, "error": error}));
        let (mut parts, _) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let version = if query_value(query, "vsn").as_deref() == Some("2.0.0") { Version::Two } else { Version::One };
        let token = header(&parts.headers, "x-api-key").map(str::to_owned).or_else(|| query_value(query, "apikey"));
        let id = tenant_of(&parts.headers);
        let tenant = match self.tenants.get(&id).await {
            Ok(Some(tenant)) => tenant,
            Ok(None) => return forbidden("Tenant not found in database"),
            Err(error) => return answer(500, json!({"error": error})),
        };
        let verifier = tenants::verifier(&tenant);
        if let Err(error) = accepted(&verifier, &token.unwrap_or_default()) {
            return forbidden(&error);
        }
        let session = Session { tenant: id, verifier, version, hub: self.hub.clone() };
        match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => upgrade.on_upgrade(move |socket| socket::run(socket, session)),
            Err(rejection) => rejection.into_response(),
        }
    }

    async fn broadcast(&self, request: Request, target: Option<(&str, &str)>) -> Response {
        let (parts, body) = request.into_parts();
        let authorization =
            header(&parts.headers, "authorization").map(|value| value.split_whitespace().collect::<Vec<_>>());
        let token = match authorization.as_deref() {
            Some(["Bearer" | "bearer", token]) => Some((*token).to_owned()),
            // What a gateway does that copies a bare key: the real one crashes.
            Some(_) => return answer(500, json!({"error": "Authorization must be two words"})),
            None => header(&parts.headers, "apikey").map(str::to_owned),
        };
        let id = tenant_of(&parts.headers);
        let Ok(Some(tenant)) = self.tenants.get(&id).await else {
            return answer(401, json!({"message": "Tenant not found in database"}));
        };
        if accepted(&tenants::verifier(&tenant), &token.unwrap_or_default()).is_err() {
            return answer(401, json!({"message": "Unauthorized"}));
        }
        let body = to_bytes(body, 4 << 20).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let messages = match target {
            Some((topic, event)) => {
                let private = query_value(parts.uri.query().unwrap_or_default(), "private").as_deref() == Some("true");
                vec![json!({"topic": topic, "event": event, "payload": body, "private": private})]
            }
            None => body["messages"].as_array().cloned().unwrap_or_default(),
        };
        let whole = |message: &Value| message["topic"].is_string() && message["event"].is_string();
        if messages.is_empty() || !messages.iter().all(whole) {
            return answer(422, json!({"errors": {"messages": ["must each have topic, event and payload"]}}));
        }
        for message in messages {
            let topic = format!("realtime:{}", message["topic"].as_str().unwrap_or_default());
            let payload = json!({"type": "broadcast", "event": message["event"], "payload": message["payload"]});
            let what = What::Broadcast { topic, private: message["private"] == true, payload };
            self.hub.send(Delivery { tenant: id.clone(), from: None, what });
        }
        StatusCode::ACCEPTED.into_response()
    }
}
