//! The HTTP API, as far as storage-js works with it. Errors are HTTP 400 with the real code in the body.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header as names};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{EncodingKey, Header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::environment::Settings;
use super::multipart;
use super::objects::{self, Caller, Refused, Upload, missing, scoped};
use crate::checks::Checks;
use crate::database;
use crate::http::{answer, client, echo, header};
use crate::token::{bare, now, sign};

struct Storage {
    settings: Settings,
    checks: Arc<Checks>,
    pool: PgPool,
}

/// A request, taken apart.
struct Asked {
    method: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    echoed: Value,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(code, error, message) = self;
        let status = if code >= 500 { 500 } else { 400 };
        answer(status, json!({"statusCode": code.to_string(), "error": error, "message": message}))
    }
}

pub async fn serve(settings: Settings, checks: Arc<Checks>) {
    let (port, pool) = (settings.port, database::pool(&settings.login));
    let storage = Arc::new(Storage { settings, checks: checks.clone(), pool });
    tokio::spawn({
        let storage = storage.clone();
        async move { storage.look_around().await }
    });
    let router = Router::new().fallback(move |request: Request| {
        let storage = storage.clone();
        async move { storage.answer(request).await.unwrap_or_else(Refused::into_response) }
    });
    crate::http::serve(&checks, std::net::Ipv4Addr::UNSPECIFIED.into(), port, router).await;
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn invalid(message: &str) -> Refused {
    Refused(400, "Error", message.to_owned())
}

impl Storage {
    /// What the real one never looks at, and what can only be right after its first start: reported, ends nothing.
    async fn look_around(&self) {
        self.checks.observe("bucket", self.settings.store.check().await);
        let [_, _, service] = &self.settings.roles;
        let question = "SELECT rolbypassrls OR EXISTS (SELECT FROM pg_policies WHERE schemaname = 'storage' AND $1 = ANY(roles)) \
            FROM pg_roles WHERE rolname = $1";
        let bypasses: Result<Option<bool>, _> =
            sqlx::query_scalar(question).bind(service).fetch_optional(&self.pool).await;
        let verdict = match bypasses {
            Ok(Some(true)) => Ok(()),
            Ok(_) => Err("the service role has neither BYPASSRLS nor a policy".to_owned()),
            Err(error) => Err(database::explain(&error)),
        };
        self.checks.observe("row level security of the service role", verdict);
        if let Some(url) = &self.settings.imgproxy {
            let asked = client(None).get(format!("{url}/health")).send().await;
            self.checks.observe("imgproxy", asked.map(drop).map_err(|error| error.without_url().to_string()));
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Refused> {
        let echoed = echo("storage", &request);
        let (parts, body) = request.into_parts();
        // A form has some bytes around its file.
        let body = to_bytes(body, self.settings.largest_upload + 16 * 1024).await.map_err(|_| too_large())?;
        let path: Vec<String> = parts
            .uri
            .path()
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let asked = Asked { method: parts.method.to_string(), query, headers: parts.headers, body, echoed };
        match (asked.method.as_str(), &path[..]) {
            ("GET", ["status"]) => Ok(StatusCode::OK.into_response()),
            ("GET", ["version"]) => Ok("1.74.0-standin".into_response()),
            ("GET", ["_standin", "report"]) => {
                self.look_around().await;
                Ok(answer(200, self.checks.report()))
            }
            ("GET", ["documentation" | "metrics", ..]) => Ok(StatusCode::NOT_FOUND.into_response()),
            ("GET", ["health"]) => {
                self.caller(&asked.headers)?;
                let healthy = sqlx::query("SELECT 1").execute(&self.pool).await.is_ok();
                Ok(answer(200, json!({"healthy": healthy})))
            }
            ("GET" | "HEAD", ["object", "public", bucket, name @ ..]) => {
                self.download_public(bucket, &name.join("/")).await
            }
            ("GET", ["object", "sign", bucket, name @ ..]) => {
                self.download_signed(&asked, bucket, &name.join("/")).await
            }
            (_, ["bucket", rest @ ..]) => self.bucket(&asked, rest).await,
            (_, ["object", rest @ ..]) => self.object(&asked, rest).await,
            ("GET", ["render", "image", "authenticated", bucket, name @ ..]) => {
                let caller = self.caller(&asked.headers)?;
                self.render(&asked, &caller, bucket, &name.join("/")).await
            }
            ("POST", ["upload", "resumable"]) => {
                self.caller(&asked.headers)?;
                let prefix = header(&asked.headers, "x-forwarded-prefix").unwrap_or_default();
                let location = format!("{}{prefix}/upload/resumable/x", self.settings.public_url);
                Ok((StatusCode::CREATED, [(names::LOCATION, location)]).into_response())
            }
            _ => Ok(answer(200, asked.echoed)),
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let authorization = headers.get(names::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let authorization =
            authorization.ok_or_else(|| invalid("headers must have required property 'authorization'"))?;
        let verified = self.settings.verifier.verify(bare(authorization));
        let claims = verified.map_err(|error| Refused(403, "Unauthorized", error))?;
        let [anon, ..] = &self.settings.roles;
        Ok(Caller { role: claims["role"].as_str().unwrap_or(anon).to_owned(), claims })
    }

    /// Storage's own look-ups run as the service role.
    fn itself(&self) -> Caller {
        let [_, _, service] = &self.settings.roles;
        Caller { role: service.clone(), claims: json!({"role": service}) }
    }

    async fn bucket(&self, asked: &Asked, path: &[&str]) -> Result<Response, Refused> {
        let caller = self.caller(&asked.headers)?;
        let mut scope = scoped(&self.pool, &caller).await?;
        let body = asked.json();
        let answered = match (asked.method.as_str(), path) {
            ("GET", []) => json!(objects::buckets(&mut scope).await?),
            ("GET", [id]) => objects::bucket(&mut scope, id).await?,
            ("POST", []) => json!({"name": objects::create_bucket(&mut scope, &caller, &body).await?}),
            ("PUT", [id]) => {
                objects::update_bucket(&mut scope, id, &body).await?;
                json!({"message": "Successfully updated"})
            }
            ("POST", [id, "empty"]) => {
                let names = objects::all_names(&mut scope, id).await?;
                let deleted = objects::delete(&mut scope, id, &names).await?;
                self.forget(&deleted).await;
                json!({"message": "Successfully emptied"})
            }
            ("DELETE", [id]) => {
                objects::delete_bucket(&mut scope, id).await?;
                json!({"message": "Successfully deleted"})
            }
            _ => return Ok(answer(200, asked.echoed.clone())),
        };
        scope.commit().await?;
        Ok(answer(200, answered))
    }

    async fn object(&self, asked: &Asked, path: &[&str]) -> Result<Response, Refused> {
        let caller = self.caller(&asked.headers)?;
        match (asked.method.as_str(), path) {
            ("POST", ["list", bucket]) => {
                let mut scope = scoped(&self.pool, &caller).await?;
                Ok(answer(200, json!(objects::list(&mut scope, bucket, &asked.json()).await?)))
            }
            ("POST", ["sign", bucket, name @ ..]) => self.sign(asked, &caller, bucket, &name.join("/")).await,
            ("GET", ["info", "authenticated", bucket, name @ ..] | ["info", bucket, name @ ..]) => {
                let mut scope = scoped(&self.pool, &caller).await?;
                Ok(answer(200, objects::object(&mut scope, bucket, &name.join("/")).await?))
            }
            ("GET" | "HEAD", ["authenticated", bucket, name @ ..] | [bucket, name @ ..]) => {
                let mut scope = scoped(&self.pool, &caller).await?;
                let object = objects::object(&mut scope, bucket, &name.join("/")).await?;
                self.content(&object).await
            }
            ("POST" | "PUT", [bucket, name @ ..]) if !name.is_empty() => {
                self.upload(asked, &caller, bucket, &name.join("/")).await
            }
            ("DELETE", [bucket, name @ ..]) => {
                let listed = asked.json()["prefixes"].as_array().cloned().unwrap_or_default();
                let names: Vec<String> = if name.is_empty() {
                    listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                } else {
                    vec![name.join("/")]
                };
                let mut scope = scoped(&self.pool, &caller).await?;
                let deleted = objects::delete(&mut scope, bucket, &names).await?;
                scope.commit().await?;
                self.forget(&deleted).await;
                Ok(answer(200, json!(deleted)))
            }
            _ => Ok(answer(200, asked.echoed.clone())),
        }
    }

    async fn upload(&self, asked: &Asked, caller: &Caller, bucket: &str, name: &str) -> Result<Response, Refused> {
        let mut itself = scoped(&self.pool, &self.itself()).await?;
        let settings = objects::bucket(&mut itself, bucket).await?;
        let before = objects::object(&mut itself, bucket, name).await.ok();
        drop(itself);
        let declared = header(&asked.headers, "content-type").unwrap_or("application/octet-stream");
        let (kind, content) = if declared.starts_with("multipart/form-data") {
            let (kind, content) =
                multipart::file(declared, &asked.body).ok_or_else(|| invalid("the form has no file"))?;
            (kind.unwrap_or_else(|| "application/octet-stream".to_owned()), Bytes::from(content))
        } else {
            (declared.to_owned(), asked.body.clone())
        };
        let limit = settings["file_size_limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        if content.len() > limit.unwrap_or(usize::MAX).min(self.settings.largest_upload) {
            return Err(too_large());
        }
        let allowed = settings["allowed_mime_types"].as_array();
        if allowed.is_some_and(|allowed| !allowed.is_empty() && !allowed.contains(&json!(kind))) {
            return Err(Refused(415, "invalid_mime_type", format!("mime type {kind} is not supported")));
        }
        let replaces = asked.method == "PUT" || header(&asked.headers, "x-upsert") == Some("true");
        let control = header(&asked.headers, "cache-control").unwrap_or("no-cache");
        let metadata =
            json!({"mimetype": kind, "size": content.len(), "contentLength": content.len(), "cacheControl": control});
        let mut scope = scoped(&self.pool, caller).await?;
        let upload = Upload { bucket, name, replaces, metadata };
        let (id, version) = objects::put(&mut scope, caller, &upload).await?;
        let key = self.key(bucket, name, &version);
        self.settings.store.put(&key, content).await.map_err(|error| Refused(500, "InternalError", error))?;
        scope.commit().await?;
        if let Some(before) = before {
            self.forget(&[before]).await;
        }
        Ok(answer(200, json!({"Key": format!("{bucket}/{name}"), "Id": id})))
    }

    fn key(&self, bucket: &str, name: &str, version: &str) -> String {
        format!("{}/{bucket}/{name}/{version}", self.settings.tenant)
    }

    fn key_of(&self, object: &Value) -> String {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        self.key(text("bucket_id"), text("name"), text("version"))
    }

    /// Bytes that no row names any more. What cannot be deleted is garbage, not a failure of the request.
    async fn forget(&self, objects: &[Value]) {
        for object in objects {
            let deleted = self.settings.store.delete(&self.key_of(object)).await;
            self.checks.observe("delete from the store", deleted);
        }
    }

    async fn content(&self, object: &Value) -> Result<Response, Refused> {
        let content = self.settings.store.get(&self.key_of(object)).await;
        let content = content.map_err(|error| Refused(500, "InternalError", error))?;
        let kind = object["metadata"]["mimetype"].as_str().unwrap_or("application/octet-stream").to_owned();
        Ok(([(names::CONTENT_TYPE, kind)], content).into_response())
    }

    async fn download_public(&self, bucket: &str, name: &str) -> Result<Response, Refused> {
        let mut itself = scoped(&self.pool, &self.itself()).await?;
        if objects::bucket(&mut itself, bucket).await?["public"] != true {
            return Err(missing("Bucket"));
        }
        let object = objects::object(&mut itself, bucket, name).await?;
        self.content(&object).await
    }

    async fn sign(&self, asked: &Asked, caller: &Caller, bucket: &str, name: &str) -> Result<Response, Refused> {
        let mut scope = scoped(&self.pool, caller).await?;
        objects::object(&mut scope, bucket, name).await?;
        let lifetime = asked.json()["expiresIn"]
            .as_i64()
            .ok_or_else(|| invalid("body must have required property 'expiresIn'"))?;
        let claims = json!({"url": format!("{bucket}/{name}"), "iat": now(), "exp": now() + lifetime});
        let secret = self.settings.verifier.secret.as_deref().unwrap_or_default();
        let token = sign(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()));
        Ok(answer(200, json!({"signedURL": format!("/object/sign/{bucket}/{name}?token={token}")})))
    }

    async fn download_signed(&self, asked: &Asked, bucket: &str, name: &str) -> Result<Response, Refused> {
        let token = asked.query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
        let claims = self.settings.verifier.verify(token).map_err(|error| Refused(400, "InvalidJWT", error))?;
        if claims["url"] != format!("{bucket}/{name}") {
            return Err(Refused(400, "InvalidSignature", "The url do not match the signature".to_owned()));
        }
        let mut itself = scoped(&self.pool, &self.itself()).await?;
        let object = objects::object(&mut itself, bucket, name).await?;
        self.content(&object).await
    }

    /// Hands imgproxy a link to the source, and gives what comes back.
    async fn render(&self, asked: &Asked, caller: &Caller, bucket: &str, name: &str) -> Result<Response, Refused> {
        let Some(imgproxy) = &self.settings.imgproxy else { return Ok(answer(200, asked.echoed.clone())) };
        let mut scope = scoped(&self.pool, caller).await?;
        let object = objects::object(&mut scope, bucket, name).await?;
        let failed = |error: String| Refused(500, "InternalError", error);
        let source = self.settings.store.source(&self.key_of(&object)).await.map_err(failed)?;
        let escaped = utf8_percent_encode(&source, NON_ALPHANUMERIC);
        let url = format!("{imgproxy}/public/rs:fill:0:0/plain/{escaped}");
        let fetched = async {
            let answer = client(None).get(url).send().await?.error_for_status()?;
            answer.bytes().await
        };
        let content = fetched.await.map_err(|error| failed(format!("imgproxy: {}", error.without_url())))?;
        Ok(content.into_response())
    }
}

fn too_large() -> Refused {
    Refused(413, "Payload too large", "The object exceeded the maximum allowed size".to_owned())
}
