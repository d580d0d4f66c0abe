//! Auth's HTTP API, as far as supabase-js signs up and in with it.

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::environment::Settings;
use super::users::{self, NewUser};
use crate::checks::{Checks, Environment};
use crate::http::{answer, bearer, client, echo, with_report};
use crate::{database, token};

struct Auth {
    settings: Settings,
    environment: Environment,
    checks: Arc<Checks>,
    pool: PgPool,
}

/// A refusal: status, Auth's code, message.
struct Refused(u16, &'static str, String);

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self(500, "unexpected_failure", database::explain(&error))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        answer(status, json!({"code": status, "error_code": code, "msg": message}))
    }
}

fn refused<T>(status: u16, code: &'static str, message: &str) -> Result<T, Refused> {
    Err(Refused(status, code, message.to_owned()))
}

pub async fn serve(settings: Settings, login: &PgConnectOptions, environment: Environment, checks: Arc<Checks>) {
    let (port, pool) = (settings.port, database::pool(login));
    let auth = Arc::new(Auth { settings, environment, checks: checks.clone(), pool });
    tokio::spawn({
        let auth = auth.clone();
        async move { auth.check_templates().await }
    });
    let router = with_report(Router::new(), &checks).fallback(move |request: Request| {
        let auth = auth.clone();
        async move { auth.answer(request).await.unwrap_or_else(Refused::into_response) }
    });
    crate::http::serve(&checks, std::net::Ipv4Addr::UNSPECIFIED.into(), port, router).await;
}

impl Auth {
    fn is(&self, setting: &str) -> bool {
        self.environment.is(setting, "true")
    }

    /// Templates are fetched when a mail is sent: what is wrong with them is reported, and ends nothing.
    async fn check_templates(&self) {
        let client = client(None);
        for (name, url) in self.environment.iter().filter(|(name, _)| name.starts_with("GOTRUE_MAILER_TEMPLATES_")) {
            let body = async {
                let answer = client.get(url).send().await.map_err(|_| "cannot be fetched".to_owned())?;
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                match status {
                    reqwest::StatusCode::OK if !text.trim().is_empty() => Ok(()),
                    reqwest::StatusCode::OK => Err("is empty".to_owned()),
                    _ => Err(format!("answers {status}")),
                }
            };
            self.checks.observe(format!("template of {name}"), body.await);
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Refused> {
        let echoed = echo("auth", &request);
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let headers = &parts.headers;
        let answered = match (parts.method.as_str(), &path[..]) {
            ("GET", ["health"]) => json!({
                "name": "GoTrue", "version": "v2.196.0-standin",
                "description": "A stand-in for GoTrue, a user registration and authentication API",
            }),
            ("GET", ["settings"]) => self.public_settings(),
            ("GET", [".well-known", "jwks.json"]) => self.settings.keys.public.clone(),
            ("POST", ["signup"]) => self.sign_up(&body).await?,
            ("POST", ["token"]) if query.contains("grant_type=password") => self.sign_in(&body).await?,
            ("POST", ["token"]) if query.contains("grant_type=refresh_token") => self.refresh(&body).await?,
            ("GET", ["user"]) => self.user(headers).await?.0,
            ("PUT", ["user"]) => {
                let (user, _) = self.user(headers).await?;
                let id = user["id"].as_str().unwrap_or_default();
                users::update(&self.pool, id, &body, "data").await?.unwrap_or_default()
            }
            ("POST", ["logout"]) => {
                let (user, claims) = self.user(headers).await?;
                let session = claims["session_id"].as_str().filter(|_| query.contains("scope=local"));
                users::close_sessions(&self.pool, user["id"].as_str().unwrap_or_default(), session).await?;
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            (method, ["admin", "users", rest @ ..]) => self.administer(headers, method, rest, &body).await?,
            _ => echoed,
        };
        Ok(answer(200, answered))
    }

    fn public_settings(&self) -> Value {
        let provider = |name: &str| self.is(&format!("GOTRUE_EXTERNAL_{name}_ENABLED"));
        json!({
            "external": {
                "anonymous_users": provider("ANONYMOUS_USERS"),
                "email": !self.environment.is("GOTRUE_EXTERNAL_EMAIL_ENABLED", "false"),
                "phone": provider("PHONE"), "apple": provider("APPLE"), "azure": provider("AZURE"),
                "github": provider("GITHUB"), "gitlab": provider("GITLAB"), "google": provider("GOOGLE"),
                "keycloak": provider("KEYCLOAK"),
            },
            "disable_signup": self.is("GOTRUE_DISABLE_SIGNUP"),
            "mailer_autoconfirm": self.is("GOTRUE_MAILER_AUTOCONFIRM"),
            "phone_autoconfirm": self.is("GOTRUE_SMS_AUTOCONFIRM"),
            "sms_provider": self.environment.get("GOTRUE_SMS_PROVIDER").unwrap_or_default(),
            "saml_enabled": self.is("GOTRUE_SAML_ENABLED"),
        })
    }

    async fn sign_up(&self, body: &Value) -> Result<Value, Refused> {
        if self.is("GOTRUE_DISABLE_SIGNUP") {
            return refused(422, "signup_disabled", "Signups not allowed for this instance");
        }
        let (email, password) = (body["email"].as_str(), body["password"].as_str());
        if email.is_none() && !self.is("GOTRUE_EXTERNAL_ANONYMOUS_USERS_ENABLED") {
            return refused(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled");
        }
        if email.is_some() && self.environment.is("GOTRUE_EXTERNAL_EMAIL_ENABLED", "false") {
            return refused(400, "email_provider_disabled", "Email signups are disabled");
        }
        let shortest =
            self.environment.get("GOTRUE_PASSWORD_MIN_LENGTH").and_then(|text| text.parse().ok()).unwrap_or(6);
        if email.is_some() && password.is_none_or(|password| password.len() < shortest) {
            return refused(422, "weak_password", &format!("Password should be at least {shortest} characters."));
        }
        let confirmed = email.is_none() || self.is("GOTRUE_MAILER_AUTOCONFIRM");
        let app_metadata =
            if email.is_some() { json!({"provider": "email", "providers": ["email"]}) } else { json!({}) };
        let user = NewUser { email, password, metadata: &body["data"], app_metadata, confirmed };
        let Some(user) = users::create(&self.pool, &user).await? else {
            return refused(422, "user_already_exists", "User already registered");
        };
        if confirmed { self.session(&user, "password").await } else { Ok(user) }
    }

    async fn sign_in(&self, body: &Value) -> Result<Value, Refused> {
        let (email, password) = (body["email"].as_str(), body["password"].as_str());
        let (Some(email), Some(password)) = (email, password) else {
            return refused(400, "validation_failed", "missing email or password");
        };
        let Some(user) = users::by_password(&self.pool, email, password).await? else {
            return refused(400, "invalid_credentials", "Invalid login credentials");
        };
        if user["email_confirmed_at"].is_null() {
            return refused(400, "email_not_confirmed", "Email not confirmed");
        }
        self.session(&user, "password").await
    }

    async fn refresh(&self, body: &Value) -> Result<Value, Refused> {
        let token = body["refresh_token"].as_str().unwrap_or_default();
        let Some((user, session, next)) = users::refresh(&self.pool, token).await? else {
            return refused(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found");
        };
        let user = users::by_id(&self.pool, &user).await?.unwrap_or_default();
        Ok(self.tokens(&user, "token_refresh", &session, &next))
    }

    async fn session(&self, user: &Value, method: &str) -> Result<Value, Refused> {
        let (session, refresh) = users::open_session(&self.pool, user["id"].as_str().unwrap_or_default()).await?;
        Ok(self.tokens(user, method, &session, &refresh))
    }

    fn tokens(&self, user: &Value, method: &str, session: &str, refresh: &str) -> Value {
        let (now, lifetime) = (token::now(), self.settings.token_lifetime);
        let claims = json!({
            "iss": self.settings.external_url, "sub": user["id"], "aud": user["aud"], "role": user["role"],
            "iat": now, "exp": now + lifetime, "email": user["email"], "phone": user["phone"],
            "app_metadata": user["app_metadata"], "user_metadata": user["user_metadata"], "aal": "aal1",
            "amr": [{"method": method, "timestamp": now}], "session_id": session, "is_anonymous": user["is_anonymous"],
        });
        json!({
            "access_token": self.settings.keys.sign(&claims), "token_type": "bearer", "expires_in": lifetime,
            "expires_at": now + lifetime, "refresh_token": refresh, "user": user,
        })
    }

    fn claims(&self, headers: &HeaderMap) -> Result<Value, Refused> {
        let Some(token) = bearer(headers) else {
            return refused(401, "no_authorization", "This endpoint requires a valid Bearer token");
        };
        let verified = self.settings.keys.verifier.verify(token);
        verified.map_err(|error| {
            Refused(403, "bad_jwt", format!("invalid JWT: unable to parse or verify signature, {error}"))
        })
    }

    async fn user(&self, headers: &HeaderMap) -> Result<(Value, Value), Refused> {
        let claims = self.claims(headers)?;
        let (Some(id), Some(session)) = (claims["sub"].as_str(), claims["session_id"].as_str()) else {
            return refused(403, "bad_jwt", "invalid claim: missing sub claim");
        };
        if !users::session_exists(&self.pool, session).await? {
            return refused(403, "session_not_found", "Session from session_id claim in JWT does not exist");
        }
        match users::by_id(&self.pool, id).await? {
            Some(user) => Ok((user, claims)),
            None => refused(403, "user_not_found", "User from sub claim in JWT does not exist"),
        }
    }

    async fn administer(
        &self,
        headers: &HeaderMap,
        method: &str,
        path: &[&str],
        body: &Value,
    ) -> Result<Value, Refused> {
        let claims = self.claims(headers)?;
        let admins = self.environment.get("GOTRUE_JWT_ADMIN_ROLES").unwrap_or("service_role,supabase_admin");
        if !claims["role"].as_str().is_some_and(|role| admins.split(',').any(|admin| admin.trim() == role)) {
            return refused(403, "not_admin", "User not allowed");
        }
        let missing = || Refused(404, "user_not_found", "User not found".to_owned());
        match (method, path) {
            ("GET", []) => Ok(json!({"users": users::list(&self.pool).await?, "aud": "authenticated"})),
            ("POST", []) => {
                let (email, password) = (body["email"].as_str(), body["password"].as_str());
                let app_metadata = json!({"provider": "email", "providers": ["email"]});
                let confirmed = body["email_confirm"] == true;
                let user = NewUser { email, password, metadata: &body["user_metadata"], app_metadata, confirmed };
                let taken = || {
                    Refused(
                        422,
                        "email_exists",
                        "A user with this email address has already been registered".to_owned(),
                    )
                };
                users::create(&self.pool, &user).await?.ok_or_else(taken)
            }
            ("GET", [id]) => users::by_id(&self.pool, id).await?.ok_or_else(missing),
            ("PUT", [id]) => users::update(&self.pool, id, body, "user_metadata").await?.ok_or_else(missing),
            ("DELETE", [id]) if users::delete(&self.pool, id).await? => Ok(json!({})),
            ("DELETE", [_]) => Err(missing()),
            _ => refused(405, "method_not_allowed", "method not allowed"),
        }
    }
}
