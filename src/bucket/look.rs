//! A look at a bucket, told step by step, for `supabase-operator doctor`. It leaves nothing behind.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use http::HeaderMap;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, SignedDurationRound, Timestamp, Unit};
use minio::s3::MinioClient;
use minio::s3::types::ToStream as _;

use super::{LIMIT, PROBE_OBJECT, client, delete, exists, explain, get, invalid, put};
use crate::plan::BucketEndpoint;
use crate::reason::{Problem, Reason};

/// The one step that Storage can do without.
pub const LIST: &str = "list";

/// What was seen of a bucket.
#[derive(Debug, Default)]
pub struct Look {
    pub steps: Vec<Step>,
    /// What the server calls itself.
    pub server: Option<String>,
    /// How far the server's clock is ahead of ours, to the second.
    pub skew: Option<SignedDuration>,
    /// The first step fails as the spec has it, and goes with the bucket at the other place of the address.
    pub other_style_works: bool,
}

/// One thing that was tried, how long it took or what went wrong.
#[derive(Debug)]
pub struct Step {
    pub what: &'static str,
    pub result: Result<Duration, Problem>,
}

/// Finds the bucket; puts, lists, gets and deletes an object. It does not make the bucket.
///
/// # Errors
/// There is no request that could be sent.
pub async fn look(bucket: &BucketEndpoint) -> Result<Look, Problem> {
    let client = client(bucket)?;
    let mut look = Look::default();
    if !look.tried("find", bucket, find(&client, bucket)).await {
        let other = BucketEndpoint { force_path_style: !bucket.force_path_style, ..bucket.clone() };
        let found = tokio::time::timeout(LIMIT, find(&super::client(&other)?, &other)).await;
        look.other_style_works = matches!(found, Ok(Ok(())));
        return Ok(look);
    }
    if bucket.login.keys().is_none() {
        return Ok(look);
    }
    let mut headers = HeaderMap::new();
    let put = async {
        headers = put(&client, bucket).await?;
        Ok(())
    };
    if !look.tried("put", bucket, put).await {
        return Ok(look);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    look.server = text("server").map(str::to_owned);
    look.skew = text("date").and_then(skew);
    look.tried(LIST, bucket, list(&client, bucket)).await;
    look.tried("get", bucket, get(&client, bucket)).await;
    look.tried("delete", bucket, delete(&client, bucket)).await;
    Ok(look)
}

impl Look {
    async fn tried(
        &mut self,
        what: &'static str,
        bucket: &BucketEndpoint,
        step: impl Future<Output = Result<(), Problem>>,
    ) -> bool {
        let started = Instant::now();
        let result = tokio::time::timeout(LIMIT, step).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {} s", bucket.endpoint, LIMIT.as_secs());
            Err(Problem::new(Reason::StorageUnreachable, message))
        });
        let done = result.is_ok();
        self.steps.push(Step { what, result: result.map(|()| started.elapsed()) });
        done
    }
}

async fn find(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    if exists(client, bucket).await? {
        return Ok(());
    }
    let BucketEndpoint { endpoint, bucket: name, .. } = bucket;
    let message =
        format!("there is no bucket {name:?} at {endpoint}; the operator makes it, if the credentials allow it");
    Err(Problem::new(Reason::BucketMissing, message))
}

async fn list(client: &MinioClient, bucket: &BucketEndpoint) -> Result<(), Problem> {
    let request = client.list_objects(bucket.bucket.as_str()).map_err(|error| invalid(error, bucket))?;
    let request = request.prefix(PROBE_OBJECT.to_owned()).build();
    match request.to_stream().await.next().await {
        Some(Ok(_)) | None => Ok(()),
        Some(Err(error)) => Err(explain(&error, bucket, "list objects")),
    }
}

/// An HTTP date beside our clock.
fn skew(date: &str) -> Option<SignedDuration> {
    let server = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    server.duration_since(Timestamp::now()).round(SignedDurationRound::new().smallest(Unit::Second)).ok()
}
