//! A MinIO server in a directory of its own, with the bucket; and requests as one of its users.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use minio::s3::MinioClient;
use minio::s3::client::MinioClientBuilder;
use minio::s3::creds::StaticProvider;
use minio::s3::error::{Error, S3ServerError};
use minio::s3::http::BaseUrl;
use minio::s3::multimap_ext::{Multimap, MultimapExt};
use minio::s3::segmented_bytes::SegmentedBytes;
use minio::s3::types::S3Request;
use supabase_operator::bucket;
use supabase_operator::plan::BucketEndpoint;
use supabase_operator::plan::{BucketLogin, UserKeys};
use supabase_operator::provider::objectstore::BUCKET;
use supabase_operator::sensitive::Sensitive;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

pub fn user(name: &str, secret: &str) -> UserKeys {
    UserKeys { access_key_id: Sensitive::new(format!("{name}-key")), secret_access_key: Sensitive::new(secret) }
}

pub struct Server {
    pub root: UserKeys,
    endpoint: String,
    child: Child,
    directory: TempDir,
}

impl Server {
    /// Starts MinIO, waits until it answers, and makes the bucket as its operator does.
    pub async fn start() -> Self {
        let program = std::env::var("MINIO").expect("set MINIO to the program of a MinIO server");
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let root = user("root", "root-secret");
        let child = Command::new(&program)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg(directory.path().join("data"))
            .env("HOME", directory.path())
            .env("MINIO_ROOT_USER", root.access_key_id.expose())
            .env("MINIO_ROOT_PASSWORD", root.secret_access_key.expose())
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start MINIO={program}: {error}"));
        let server = Self { root, endpoint: format!("http://127.0.0.1:{port}"), child, directory };
        let started = Instant::now();
        while let Err(problem) = bucket::ensure(&server.bucket(&server.root, BUCKET)).await {
            assert!(started.elapsed() < PATIENCE, "{}", problem.message);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server
    }

    pub fn bucket(&self, user: &UserKeys, name: &str) -> BucketEndpoint {
        BucketEndpoint {
            endpoint: self.endpoint.clone(),
            region: "us-east-1".to_owned(),
            bucket: name.to_owned(),
            login: BucketLogin::Keys(user.clone()),
            force_path_style: true,
            ca: None,
            secret: "tenant/demo-object-store-keys".to_owned(),
        }
    }

    pub fn client(&self, user: &UserKeys) -> Requests {
        let url: BaseUrl = self.endpoint.parse().unwrap();
        let provider = StaticProvider::new(user.access_key_id.expose(), user.secret_access_key.expose(), None);
        Requests(MinioClientBuilder::new(url).provider(Some(provider)).build().unwrap())
    }

    /// Every file of users and policies; each write puts its time into one.
    pub fn written(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        read(&self.directory.path().join("data/.minio.sys/config/iam"), &mut files);
        assert!(!files.is_empty(), "MinIO keeps users elsewhere");
        files
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, files);
        } else {
            files.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

pub struct Requests(MinioClient);

impl Requests {
    /// What comes back; or the code of the error, which is the HTTP status where the body is not XML.
    pub async fn ask(&self, method: Method, target: &str, body: &str) -> Result<String, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parameters = Multimap::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parameters.add(name, value);
        }
        let mut request = S3Request::builder()
            .client(self.0.clone())
            .method(method)
            .custom_path(path.to_owned())
            .query_params(parameters)
            .body(Arc::new(SegmentedBytes::from(body.to_owned())))
            .build();
        match request.execute().await {
            Ok(answer) => Ok(answer.text().await.unwrap()),
            Err(Error::S3Server(S3ServerError::S3Error(response))) => Err(format!("{:?}", response.code())),
            Err(Error::S3Server(S3ServerError::InvalidServerResponse { http_status_code, .. })) => {
                Err(http_status_code.to_string())
            }
            Err(error) => panic!("{target}: {error:?}"),
        }
    }
}
