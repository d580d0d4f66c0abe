//! All object-store I/O: make sure that the bucket exists, and prove put, get and delete with a probe object; and in a
//! managed store, give the bucket a user of its own.
//!
//! What goes wrong comes back as a [`Problem`] that names the server, the key of the Secret and the remedy.

mod grant;
mod look;
mod seal;

use std::io::Write as _;
use std::time::{Duration, Instant};

use http::HeaderMap;
use minio::s3::MinioClient;
use minio::s3::client::MinioClientBuilder;
use minio::s3::creds::StaticProvider;
use minio::s3::error::{Error, NetworkError, S3ServerError, ValidationErr};
use minio::s3::http::BaseUrl;
use minio::s3::response_traits::HasS3Fields as _;
use minio::s3::types::minio_error_response::MinioErrorCode;
use minio::s3::types::{Region, S3Api};

use crate::checks::Latency;
use crate::plan::{BucketEndpoint, BucketLogin, UserKeys};
use crate::reason::{Problem, Reason};

pub use grant::grant;
pub use look::{LIST, Look, Step, look};

/// For everything together: at most ten small requests.
const LIMIT: Duration = Duration::from_secs(15);

/// Written and removed by every check. Outside of any tenant's prefix, so that Storage never lists it.
const PROBE_OBJECT: &str = ".supabase-operator/probe";
const PROBE_CONTENT: &str = "supabase-operator was here";

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub latency: Latency,
    /// An object was put, read and deleted. Where Storage's pods alone have the right to it, nobody else can.
    pub proven: bool,
}

/// Creates the bucket where it does not exist, and proves that its credentials can put, get and delete. In a store of the
/// project's own, these are the credentials of a user that is made first.
///
/// # Errors
/// What is wrong and what to do about it.
pub async fn ensure(bucket: &BucketEndpoint) -> Result<Checked, Problem> {
    let started = Instant::now();
    let work = async {
        if let BucketLogin::Granted { user, root } = &bucket.login {
            grant(bucket, user, root).await?;
        }
        let client = client(bucket)?;
        ensure_exists(&client, bucket).await?;
        let proven = bucket.login.keys().is_some();
        if proven {
            prove(&client, bucket).await?;
        }
        Ok(Checked { latency: Latency(started.elapsed()), proven })
    };
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        let BucketEndpoint { endpoint, secret, login, .. } = bucket;
        let remedy = match login {
            BucketLogin::Granted { .. } => "look at the pods of the object store".to_owned(),
            BucketLogin::Keys(_) | BucketLogin::Workload { .. } => format!("check key \"endpoint\" of Secret {secret}"),
        };
        let limit = LIMIT.as_secs();
        Err(Problem::new(Reason::StorageUnreachable, format!("{endpoint} did not answer within {limit} s; {remedy}")))
    })
}

fn client(bucket: &BucketEndpoint) -> Result<MinioClient, Problem> {
    let invalid = |key: &str, error: &dyn std::fmt::Display| {
        Problem::new(Reason::SecretInvalid, format!("key {key:?} of Secret {}: {error}", bucket.secret))
    };
    let mut url: BaseUrl = bucket.endpoint.parse().map_err(|error| invalid("endpoint", &error))?;
    url.virtual_style = !bucket.force_path_style;
    // Set, not looked up: the look-up needs a permission that the bucket's user may lack.
    url.region = Region::new(bucket.region.clone()).map_err(|error| invalid("region", &error))?;
    let provider = bucket.login.keys().map(|UserKeys { access_key_id, secret_access_key }| {
        StaticProvider::new(access_key_id.expose(), secret_access_key.expose(), None)
    });
    let builder = MinioClientBuilder::new(url).provider(provider);
    let failed = |error: Error| invalid("endpoint", &error);
    let Some(ca) = &bucket.ca else { return builder.build().map_err(failed) };
    // The crate takes a file only; it has read it when `build` returns.
    let unwritable = |error: std::io::Error| {
        Problem::new(
            Reason::StorageUnreachable,
            format!("cannot write the CA of {} to a temporary file: {error}", bucket.endpoint),
        )
    };
    let mut file = tempfile::NamedTempFile::new().map_err(unwritable)?;
    file.write_all(ca.as_bytes()).map_err(unwritable)?;
    builder.ssl_cert_file(Some(file.path())).build().map_err(failed)
}

fn bad_name(error: &ValidationErr, bucket: &BucketEndpoint) -> Problem {
    Problem::new(Reason::SecretInvalid, format!("key \"bucket\" of Secret {}: {error}", bucket.secret))
}

async fn exists(client: &MinioClient, bucket: &BucketEndpoint) -> Result<bool, Problem> {
    let request = client.bucket_exists(bucket.bucket.as_str()).map_err(|error| bad_name(&error, bucket))?;
    match request.build().send().await {
        Ok(answer) => Ok(answer.exists()),
        // Users without s3:ListBucket may not even ask: putting the probe object will tell.
        Err(error) if code(&error) == Some(MinioErrorCode::AccessDenied) => Ok(true),
        Err(error) => Err(explain(&error, bucket, "look for the bucket")),
    }
}

async fn ensure_exists(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    if exists(client, bucket).await? {
        return Ok(());
    }
    let name = bucket.bucket.as_str();
    if bucket.login.keys().is_none() {
        return Err(Problem::new(
            Reason::BucketMissing,
            format!("bucket {name:?} does not exist at {}; create it", bucket.endpoint),
        ));
    }
    let created = client.create_bucket(name).map_err(|error| bad_name(&error, bucket))?.build().send().await;
    match created {
        Ok(_) => {
            tracing::info!(bucket = name, endpoint = bucket.endpoint, "bucket created");
            Ok(())
        }
        Err(error) if code(&error) == Some(MinioErrorCode::BucketAlreadyOwnedByYou) => Ok(()),
        Err(error) if code(&error) == Some(MinioErrorCode::AccessDenied) => Err(Problem::new(
            Reason::BucketMissing,
            format!(
                "bucket {name:?} does not exist at {} and the credentials of Secret {} may not create it; create it, or allow s3:CreateBucket",
                bucket.endpoint, bucket.secret
            ),
        )),
        Err(error) => Err(explain(&error, bucket, "create the bucket")),
    }
}

async fn prove(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    put(client, bucket).await?;
    get(client, bucket).await?;
    delete(client, bucket).await
}

/// The headers of the answer tell more than that it succeeded.
async fn put(client: &MinioClient, bucket: &BucketEndpoint) -> Result<HeaderMap, Problem> {
    let request = client.put_object_content(bucket.bucket.as_str(), PROBE_OBJECT, PROBE_CONTENT);
    let request = request.map_err(|error| invalid(error, bucket))?.build();
    let answer = request.send().await.map_err(|error| explain(&error, bucket, "put an object"))?;
    Ok(answer.headers().clone())
}

async fn get(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    let refused = |error: Error| explain(&error, bucket, "get an object");
    let request = client.get_object(bucket.bucket.as_str(), PROBE_OBJECT).map_err(|error| invalid(error, bucket))?;
    let answer = request.build().send().await.map_err(refused)?;
    let length = answer.object_size().ok();
    if length != u64::try_from(PROBE_CONTENT.len()).ok() || answer.into_bytes().await.map_err(refused)? != PROBE_CONTENT
    {
        return Err(other_content(bucket));
    }
    Ok(())
}

async fn delete(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    let request = client.delete_object(bucket.bucket.as_str(), PROBE_OBJECT).map_err(|error| invalid(error, bucket))?;
    request.build().send().await.map_err(|error| explain(&error, bucket, "delete an object"))?;
    Ok(())
}

fn invalid(error: ValidationErr, bucket: &BucketEndpoint) -> Problem {
    explain(&Error::from(error), bucket, "address the probe object")
}

fn other_content(bucket: &BucketEndpoint) -> Problem {
    let BucketEndpoint { endpoint, bucket: name, .. } = bucket;
    Problem::new(Reason::BucketRefused, format!("bucket {name:?} at {endpoint} returned another content than was put"))
}

fn code(error: &Error) -> Option<MinioErrorCode> {
    match error {
        Error::S3Server(S3ServerError::S3Error(response)) => Some(response.code()),
        _ => None,
    }
}

/// Whether the server names the credentials as what is wrong.
fn credentials_refused(code: &MinioErrorCode) -> bool {
    match code {
        MinioErrorCode::OtherError(code) => {
            ["InvalidAccessKeyId", "SignatureDoesNotMatch"].iter().any(|known| known.eq_ignore_ascii_case(code))
        }
        _ => false,
    }
}

fn explain(error: &Error, bucket: &BucketEndpoint, attempt: &str) -> Problem {
    let BucketEndpoint { endpoint, bucket: name, secret, .. } = bucket;
    match error {
        // The crate files failures to send under both.
        Error::Network(NetworkError::ReqwestError(error)) | Error::Validation(ValidationErr::HttpError(error)) => {
            Problem::new(
                Reason::StorageUnreachable,
                format!(
                    "cannot reach {endpoint}: {}; check key \"endpoint\" of Secret {secret}, spec.storage.caSecretRef, and whether pods of the operator may reach it",
                    root_cause(error)
                ),
            )
        }
        Error::S3Server(S3ServerError::S3Error(response)) => {
            let code = response.code();
            let said = response.message().clone().unwrap_or_else(|| format!("{code:?}"));
            let (reason, remedy) = match &code {
                code if credentials_refused(code) => (
                    Reason::StorageCredentialsRefused,
                    format!("correct keys \"accessKeyId\" and \"secretAccessKey\" of Secret {secret}"),
                ),
                MinioErrorCode::OtherError(code) if code.eq_ignore_ascii_case("RequestTimeTooSkewed") => (
                    Reason::StorageCredentialsRefused,
                    "the clocks of the operator's node and of the server differ by more than 15 minutes; set them"
                        .to_owned(),
                ),
                MinioErrorCode::NoSuchBucket => {
                    (Reason::BucketMissing, format!("create it, or correct key \"bucket\" of Secret {secret}"))
                }
                _ => (
                    Reason::BucketRefused,
                    format!(
                        "allow s3:GetObject, s3:PutObject and s3:DeleteObject on bucket {name:?} to the user of Secret {secret}"
                    ),
                ),
            };
            Problem::new(reason, format!("{endpoint} refused to {attempt} ({name:?}): {said}; {remedy}"))
        }
        other => Problem::new(
            Reason::BucketRefused,
            format!("{endpoint}: cannot {attempt} ({name:?}): {}; check Secret {secret}", root_cause(other)),
        ),
    }
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
