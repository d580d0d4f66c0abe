//! Where the bytes are: S3 with signed requests, or a directory.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::Method;
use minio::s3::MinioClient;
use minio::s3::client::MinioClientBuilder;
use minio::s3::creds::StaticProvider;
use minio::s3::error::{Error, S3ServerError};
use minio::s3::http::BaseUrl;
use minio::s3::types::{Region, S3Api};

pub enum Store {
    S3 { client: Box<MinioClient>, bucket: String },
    File(PathBuf),
}

impl Store {
    pub fn s3(
        endpoint: &str,
        region: &str,
        bucket: &str,
        keys: Option<(&str, &str)>,
        path_style: bool,
        authority: Option<&str>,
    ) -> Result<Self, String> {
        let mut url: BaseUrl = endpoint.parse().map_err(|error| format!("endpoint: {error}"))?;
        url.virtual_style = !path_style;
        url.region = Region::new(region).map_err(|error| format!("region: {error}"))?;
        let provider = keys.map(|(id, secret)| StaticProvider::new(id, secret, None));
        let builder = MinioClientBuilder::new(url).provider(provider);
        let builder = builder.ssl_cert_file(authority.map(std::path::Path::new));
        let client = builder.build().map_err(|error| error.to_string())?;
        Ok(Self::S3 { client: Box::new(client), bucket: bucket.to_owned() })
    }

    /// Whether the bucket is there for these keys.
    pub async fn check(&self) -> Result<(), String> {
        let Self::S3 { client, bucket } = self else { return Ok(()) };
        let question = client.bucket_exists(bucket.as_str()).map_err(|error| error.to_string())?.build();
        match question.send().await {
            Ok(answer) if answer.exists() => Ok(()),
            Ok(_) => Err("does not exist".to_owned()),
            Err(error) => Err(explain(&error)),
        }
    }

    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), String> {
        match self {
            Self::S3 { client, bucket } => {
                let put = client.put_object_content(bucket.as_str(), key, content);
                let put = put.map_err(|error| error.to_string())?.build();
                put.send().await.map(drop).map_err(|error| explain(&error))
            }
            Self::File(root) => {
                let path = root.join(key);
                let made = path.parent().map(std::fs::create_dir_all).transpose();
                made.and_then(|_| std::fs::write(path, content)).map_err(|error| error.to_string())
            }
        }
    }

    pub async fn get(&self, key: &str) -> Result<Bytes, String> {
        match self {
            Self::S3 { client, bucket } => {
                let get = client.get_object(bucket.as_str(), key).map_err(|error| error.to_string())?.build();
                let answer = get.send().await.map_err(|error| explain(&error))?;
                answer.into_bytes().await.map_err(|error| explain(&error))
            }
            Self::File(root) => std::fs::read(root.join(key)).map(Bytes::from).map_err(|error| error.to_string()),
        }
    }

    pub async fn delete(&self, key: &str) -> Result<(), String> {
        match self {
            Self::S3 { client, bucket } => {
                let delete = client.delete_object(bucket.as_str(), key).map_err(|error| error.to_string())?.build();
                delete.send().await.map(drop).map_err(|error| explain(&error))
            }
            Self::File(root) => std::fs::remove_file(root.join(key)).map_err(|error| error.to_string()),
        }
    }

    /// What imgproxy fetches.
    pub async fn source(&self, key: &str) -> Result<String, String> {
        match self {
            Self::S3 { client, bucket } => {
                let link = client.get_presigned_object_url(bucket.as_str(), key, Method::GET);
                let link = link.map_err(|error| error.to_string())?.expiry_seconds(600).build();
                link.send().await.map(|answer| answer.url).map_err(|error| explain(&error))
            }
            Self::File(root) => Ok(format!("local://{}", root.join(key).display())),
        }
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::S3Server(S3ServerError::S3Error(answer)) => {
            format!("{:?}: {}", answer.code(), answer.message().clone().unwrap_or_default())
        }
        other => {
            let mut cause: &dyn std::error::Error = other;
            while let Some(source) = cause.source() {
                cause = source;
            }
            cause.to_string()
        }
    }
}
