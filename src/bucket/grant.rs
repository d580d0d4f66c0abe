//! A user of the store who may use one bucket and nothing else, made with the store's root keys through MinIO's admin
//! API. RustFS takes the same calls, from 1.0.0-alpha.90 on.

use std::sync::Arc;

use http::Method;
use minio::s3::MinioClient;
use minio::s3::client::MinioClientBuilder;
use minio::s3::creds::StaticProvider;
use minio::s3::error::{Error, NetworkError, S3ServerError, ValidationErr};
use minio::s3::http::BaseUrl;
use minio::s3::multimap_ext::{Multimap, MultimapExt};
use minio::s3::segmented_bytes::SegmentedBytes;
use minio::s3::types::S3Request;
use minio::s3::types::minio_error_response::MinioErrorCode;
use serde_json::{Value, json};

use super::seal::{Random, seal};
use super::{credentials_refused, root_cause};
use crate::plan::{BucketEndpoint, UserKeys};
use crate::reason::{Problem, Reason};
use crate::sensitive::{Sensitive, redact};

/// Makes the user of these keys, with a policy for this bucket alone. Writes only what is not so already.
///
/// # Errors
/// What is wrong and what to do about it.
pub async fn grant(bucket: &BucketEndpoint, user: &UserKeys, root: &UserKeys) -> Result<(), Problem> {
    Grant { bucket, user, root }.ensure().await
}

/// What Storage and [`ensure`](super::ensure) ask of the store.
fn policy(bucket: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
                "Resource": [format!("arn:aws:s3:::{bucket}")],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                "Resource": [format!("arn:aws:s3:::{bucket}/*")],
            },
        ],
    })
}

/// MinIO keeps the lists of a policy as sets, and tells them in another order each time.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), sorted(value))).collect(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

struct Grant<'a> {
    /// Its name is the policy's, too.
    bucket: &'a BucketEndpoint,
    user: &'a UserKeys,
    root: &'a UserKeys,
}

impl Grant<'_> {
    async fn ensure(&self) -> Result<(), Problem> {
        let BucketEndpoint { bucket: name, secret, endpoint, .. } = self.bucket;
        let UserKeys { access_key_id, secret_access_key } = self.user;
        let root = self.client(&self.root.access_key_id, &self.root.secret_access_key)?;
        let user = self.client(access_key_id, secret_access_key)?;
        let policy = policy(name);
        if !self.has_policy(&root, &policy).await {
            let body = policy.to_string().into_bytes();
            self.put(&root, "add-canned-policy", &[("name", name)], body, "write a policy").await?;
        }
        if self.has_user(&user).await {
            return Ok(());
        }
        let wanted = json!({"secretKey": secret_access_key.expose(), "status": "enabled"});
        let body =
            seal(&self.root.secret_access_key, wanted.to_string().as_bytes(), Random::fresh()).map_err(|_| {
                Problem::new(Reason::KeysInvalid, format!("key \"secretAccessKey\" of Secret {secret} is too long"))
            })?;
        let user = access_key_id.expose();
        self.put(&root, "add-user", &[("accessKey", user)], body, "write a user").await?;
        let attached = [("policyName", name.as_str()), ("userOrGroup", user), ("isGroup", "false")];
        self.put(&root, "set-user-or-group-policy", &attached, Vec::new(), "attach a policy").await?;
        tracing::info!(bucket = name, endpoint, "the bucket's user was written");
        Ok(())
    }

    fn client(&self, id: &Sensitive, secret: &Sensitive) -> Result<MinioClient, Problem> {
        let url: BaseUrl =
            self.bucket.endpoint.parse().map_err(|error: ValidationErr| self.explain(&error.into(), "address"))?;
        let provider = StaticProvider::new(id.expose(), secret.expose(), None);
        let client = MinioClientBuilder::new(url).provider(Some(provider)).build();
        client.map_err(|error| self.explain(&error, "address"))
    }

    /// An answer that tells nothing is a no: writing then shows what is wrong.
    async fn has_policy(&self, root: &MinioClient, wanted: &Value) -> bool {
        let query = [("name", self.bucket.bucket.as_str()), ("v", "2")];
        let answer = get(root, "info-canned-policy", &query).await;
        answer.is_some_and(|answer| answer.get("Policy").map(sorted) == Some(sorted(wanted)))
    }

    /// Users may ask about themselves, so that one request proves the secret key, too.
    async fn has_user(&self, user: &MinioClient) -> bool {
        let answer = get(user, "user-info", &[("accessKey", self.user.access_key_id.expose())]).await;
        let wanted = [("status", "enabled"), ("policyName", self.bucket.bucket.as_str())];
        answer.is_some_and(|answer| {
            wanted.iter().all(|(key, value)| answer.get(key).and_then(Value::as_str) == Some(value))
        })
    }

    async fn put(
        &self,
        root: &MinioClient,
        call: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
        attempt: &str,
    ) -> Result<(), Problem> {
        let mut content = SegmentedBytes::new();
        content.append(body.into());
        let request = S3Request::builder()
            .client(root.clone())
            .method(Method::PUT)
            .custom_path(path(call))
            .query_params(parameters(query))
            .body(Arc::new(content))
            .build();
        send(request).await.map(|_| ()).map_err(|error| self.explain(&error, attempt))
    }

    fn explain(&self, error: &Error, attempt: &str) -> Problem {
        let BucketEndpoint { endpoint, secret, bucket, .. } = self.bucket;
        let said = match error {
            Error::Network(NetworkError::ReqwestError(error)) | Error::Validation(ValidationErr::HttpError(error)) => {
                let cause = self.redacted(&root_cause(error));
                return Problem::new(
                    Reason::StorageUnreachable,
                    format!(
                        "cannot reach {endpoint}: {cause}; look at the pods of the object store, and whether pods of the operator may reach it"
                    ),
                );
            }
            error if root_refused(error) => {
                return Problem::new(
                    Reason::StorageCredentialsRefused,
                    format!(
                        "{endpoint} refused its root keys; correct keys \"rootAccessKeyId\" and \"rootSecretAccessKey\" of Secret {secret}, or restart the pods of the object store if they started with other keys"
                    ),
                );
            }
            // The crate drops the words of the admin API, which are JSON.
            Error::S3Server(S3ServerError::InvalidServerResponse { http_status_code, .. }) => {
                format!("HTTP status {http_status_code}")
            }
            other => self.redacted(&root_cause(other)),
        };
        Problem::new(
            Reason::BucketRefused,
            format!(
                "{endpoint} refused to {attempt} for bucket {bucket:?}: {said}; check keys \"accessKeyId\" and \"secretAccessKey\" of Secret {secret}, and that the image of the object store has MinIO's admin API"
            ),
        )
    }

    /// URLs in errors carry the user's name.
    fn redacted(&self, text: &str) -> String {
        let (root, user) = (self.root, self.user);
        let secrets = [&root.access_key_id, &root.secret_access_key, &user.access_key_id, &user.secret_access_key];
        redact(text, &secrets)
    }
}

/// Root may do everything: whatever is forbidden to it, it is not root.
fn root_refused(error: &Error) -> bool {
    match error {
        Error::S3Server(S3ServerError::InvalidServerResponse { http_status_code, .. }) => *http_status_code == 403,
        Error::S3Server(S3ServerError::S3Error(response)) => {
            let code = response.code();
            code == MinioErrorCode::AccessDenied || credentials_refused(&code)
        }
        _ => false,
    }
}

fn path(call: &str) -> String {
    format!("/minio/admin/v3/{call}")
}

fn parameters(query: &[(&str, &str)]) -> Multimap {
    let mut parameters = Multimap::new();
    for (name, value) in query {
        parameters.add(*name, *value);
    }
    parameters
}

async fn get(client: &MinioClient, call: &str, query: &[(&str, &str)]) -> Option<Value> {
    let request = S3Request::builder()
        .client(client.clone())
        .method(Method::GET)
        .custom_path(path(call))
        .query_params(parameters(query))
        .build();
    serde_json::from_slice(&send(request).await.ok()?).ok()
}

async fn send(mut request: S3Request) -> Result<Vec<u8>, Error> {
    let answer = request.execute().await?;
    Ok(answer.bytes().await.map_err(ValidationErr::from)?.to_vec())
}
