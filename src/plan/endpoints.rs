//! Where the database and the bucket are, and how to log in there: from the Secrets that a project names.

use std::collections::BTreeMap;

use serde_json::json;

use super::inputs::{SecretReader, Secrets};
use super::keys::Credentials;
use super::s3;
use crate::api::{CaSecretRef, DatabaseSpec, Privileges, SecretRef, SslMode, StorageSpec};
use crate::reason::{Problem, Reason};
use crate::render::Digest;
use crate::sensitive::Sensitive;

/// Where the database is and how to log in as its administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseEndpoint {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub username: String,
    pub password: Sensitive,
    pub ssl_mode: SslMode,
    /// PEM bundle.
    pub ca: Option<String>,
    pub privileges: Privileges,
    /// `namespace/name` of the Secret, for messages.
    pub secret: String,
}

impl DatabaseEndpoint {
    /// Changes when anything does that a connection depends on.
    pub fn fingerprint(&self) -> Digest {
        let Self { host, port, database, username, password, ssl_mode, ca, privileges, secret } = self;
        let (password, ssl_mode) = (password.expose(), ssl_mode.as_str());
        Digest::of(&json!([host, port, database, username, password, ssl_mode, ca, privileges, secret]))
    }

    /// The same with the passwords that an initialisation sets.
    pub fn initialization_fingerprint(&self, credentials: &Credentials) -> Digest {
        let passwords = credentials.passwords.values().map(Sensitive::expose).collect::<Vec<_>>();
        Digest::of(&json!([self.fingerprint().to_hex(), passwords]))
    }
}

/// Keys of one user of an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKeys {
    pub access_key_id: Sensitive,
    pub secret_access_key: Sensitive,
}

/// Who uses a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketLogin {
    /// Somebody gave these keys.
    Keys(UserKeys),
    /// In a store of the project's own: the keys of a user who may use this bucket alone, and those that make this user.
    Granted { user: UserKeys, root: UserKeys },
    /// Nobody holds keys: the Storage API proves who it is by its service account, which has these annotations.
    Workload { annotations: BTreeMap<String, String> },
}

impl BucketLogin {
    /// For requests to the bucket.
    pub fn keys(&self) -> Option<&UserKeys> {
        match self {
            Self::Keys(user) | Self::Granted { user, .. } => Some(user),
            Self::Workload { .. } => None,
        }
    }

    pub fn all_keys(&self) -> impl Iterator<Item = &UserKeys> {
        let root = match self {
            Self::Granted { root, .. } => Some(root),
            Self::Keys(_) | Self::Workload { .. } => None,
        };
        self.keys().into_iter().chain(root)
    }
}

/// Where the bucket is and how to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketEndpoint {
    /// URL of the S3 server.
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub login: BucketLogin,
    pub force_path_style: bool,
    /// PEM bundle.
    pub ca: Option<String>,
    /// `namespace/name` of the Secret, for messages.
    pub secret: String,
}

impl BucketEndpoint {
    /// Changes when anything does that a request depends on.
    pub fn fingerprint(&self) -> Digest {
        let Self { endpoint, region, bucket, login, force_path_style, ca, secret } = self;
        let keys = |keys: &UserKeys| json!([keys.access_key_id.expose(), keys.secret_access_key.expose()]);
        let keys: Vec<_> = login.all_keys().map(keys).collect();
        Digest::of(&json!([endpoint, region, bucket, keys, force_path_style, ca, secret]))
    }
}

pub fn database(spec: &DatabaseSpec, secrets: &Secrets, namespace: &str) -> Result<DatabaseEndpoint, Problem> {
    let reference = own("spec.database.secretRef", spec.secret_ref.as_ref())?;
    let secret = SecretReader::open(secrets, "spec.database.secretRef", namespace, &reference.name)?;
    let port = secret.line("port")?;
    Ok(DatabaseEndpoint {
        host: secret.line("host")?.to_owned(),
        port: port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| secret.problem(Reason::SecretInvalid, "key \"port\" must be a number from 1 to 65535"))?,
        database: secret.line("database")?.to_owned(),
        username: secret.line("username")?.to_owned(),
        password: secret.password("password")?,
        ssl_mode: spec.ssl_mode.unwrap_or_default(),
        ca: authority("spec.database.caSecretRef", spec.ca_secret_ref.as_ref(), secrets, namespace)?,
        privileges: spec.privileges.unwrap_or_default(),
        secret: format!("{namespace}/{}", secret.name),
    })
}

/// Keys of a Secret about a bucket: ours, then those that AWS' own tools read.
const ENDPOINT: &[&str] = &["endpoint", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGION: &[&str] = &["region", "AWS_REGION", "AWS_DEFAULT_REGION"];
const BUCKET: &[&str] = &["bucket", "AWS_BUCKET", "BUCKET_NAME"];
const ACCESS_KEY_ID: &[&str] = &["accessKeyId", "AWS_ACCESS_KEY_ID"];
const SECRET_ACCESS_KEY: &[&str] = &["secretAccessKey", "AWS_SECRET_ACCESS_KEY"];

pub fn bucket(spec: &StorageSpec, secrets: &Secrets, namespace: &str) -> Result<BucketEndpoint, Problem> {
    let reference = own("spec.storage.secretRef", spec.secret_ref.as_ref())?;
    let secret = SecretReader::open(secrets, "spec.storage.secretRef", namespace, &reference.name)?;
    let region = secret.first(REGION).map(|key| secret.line(key)).transpose()?;
    let (endpoint, region) = match (secret.first(ENDPOINT), region) {
        // Without an address it is Amazon's, of which the region tells the address.
        (None, Some(region)) => (s3::aws_endpoint(region), region.to_owned()),
        (None, None) => return Err(missing(&secret, ENDPOINT)),
        (Some(key), region) => {
            let endpoint = address(&secret, key)?;
            let region = region.map(str::to_owned).or_else(|| s3::Service::of(&endpoint).region(&endpoint));
            (endpoint, region.ok_or_else(|| missing(&secret, REGION))?)
        }
    };
    let bucket = secret.first(BUCKET).ok_or_else(|| missing(&secret, BUCKET))?;
    let bucket = secret.line(bucket)?.to_owned();
    Ok(BucketEndpoint {
        force_path_style: spec.force_path_style.unwrap_or_else(|| s3::Service::of(&endpoint).path_style(&bucket)),
        endpoint,
        region,
        bucket,
        login: login(spec, &secret)?,
        ca: authority("spec.storage.caSecretRef", spec.ca_secret_ref.as_ref(), secrets, namespace)?,
        secret: format!("{namespace}/{}", secret.name),
    })
}

fn login(spec: &StorageSpec, secret: &SecretReader<'_>) -> Result<BucketLogin, Problem> {
    let (id, key) = (secret.first(ACCESS_KEY_ID), secret.first(SECRET_ACCESS_KEY));
    let without = "; add it, or set spec.storage.workloadIdentity where the pods of Storage have rights of their own";
    match (&spec.workload_identity, id, key) {
        (Some(identity), None, None) => Ok(BucketLogin::Workload { annotations: identity.annotations.clone() }),
        (Some(_), Some(key), _) | (Some(_), None, Some(key)) => Err(secret.problem(
            Reason::SecretInvalid,
            &format!("has key {key:?}, and spec.storage.workloadIdentity wants none; remove one of the two"),
        )),
        (None, Some(id), Some(key)) => Ok(BucketLogin::Keys(UserKeys {
            access_key_id: secret.password(id)?,
            secret_access_key: secret.password(key)?,
        })),
        (None, None, _) => Err(lacking(secret, ACCESS_KEY_ID, without)),
        (None, Some(_), None) => Err(lacking(secret, SECRET_ACCESS_KEY, without)),
    }
}

fn address(secret: &SecretReader<'_>, key: &str) -> Result<String, Problem> {
    let endpoint = secret.line(key)?.trim_end_matches('/');
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        let what = format!("key {key:?} must be a URL that starts with http:// or https://");
        return Err(secret.problem(Reason::SecretInvalid, &what));
    }
    s3::speaks_s3(endpoint).map_err(|why| secret.problem(why.reason, &format!("key {key:?}: {}", why.message)))?;
    Ok(s3::current(endpoint))
}

/// None of these keys is there.
fn missing(secret: &SecretReader<'_>, keys: &[&str]) -> Problem {
    lacking(secret, keys, "; add it")
}

fn lacking(secret: &SecretReader<'_>, keys: &[&str], remedy: &str) -> Problem {
    let name = keys.first().copied().unwrap_or_default();
    secret.problem(Reason::SecretKeyMissing, &format!("has no key {name:?}{remedy}"))
}

fn own<'a>(field: &str, reference: Option<&'a SecretRef>) -> Result<&'a SecretRef, Problem> {
    reference.ok_or_else(|| Problem::new(Reason::SpecInvalid, format!("{field} is missing; set it")))
}

fn authority(
    field: &'static str,
    reference: Option<&CaSecretRef>,
    secrets: &Secrets,
    namespace: &str,
) -> Result<Option<String>, Problem> {
    let Some(reference) = reference else { return Ok(None) };
    let secret = SecretReader::open(secrets, field, namespace, &reference.name)?;
    let pem = secret.text(reference.key())?;
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        let what = format!("key {:?} is not a PEM bundle of certificates", reference.key());
        return Err(secret.problem(Reason::SecretInvalid, &what));
    }
    Ok(Some(pem.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WorkloadIdentity;
    use crate::plan::inputs::SecretData;
    use std::sync::Arc;

    /// The bucket of a Secret with these entries.
    fn of(spec: StorageSpec, entries: &[(&str, &str)]) -> Result<BucketEndpoint, Problem> {
        let keys = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        let secrets =
            Secrets::from([("files".to_owned(), Some(Arc::new(SecretData { keys, ..SecretData::default() })))]);
        let secret_ref = Some(SecretRef { name: "files".to_owned() });
        bucket(&StorageSpec { secret_ref, ..spec }, &secrets, "tenant")
    }

    #[test]
    fn the_names_of_aws_are_read_and_the_region_tells_the_address() {
        let entries = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_BUCKET", "files"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ];
        let found = of(StorageSpec::default(), &entries).unwrap();
        assert_eq!((found.endpoint.as_str(), found.force_path_style), ("https://s3.eu-central-1.amazonaws.com", false));
        assert_eq!(found.login.keys().unwrap().secret_access_key.expose(), "key");
        let path_style = StorageSpec { force_path_style: Some(true), ..StorageSpec::default() };
        assert!(of(path_style, &entries).unwrap().force_path_style);
    }

    #[test]
    fn the_address_tells_the_region_where_it_can() {
        let entries = |endpoint: &'static str| {
            [("endpoint", endpoint), ("bucket", "files"), ("accessKeyId", "id"), ("secretAccessKey", "key")]
        };
        let found = of(StorageSpec::default(), &entries("https://0123.r2.cloudflarestorage.com/")).unwrap();
        assert_eq!((found.region.as_str(), found.force_path_style), ("auto", true));
        let problem = of(StorageSpec::default(), &entries("http://minio:9000")).unwrap_err();
        assert!(problem.reason == Reason::SecretKeyMissing && problem.message.contains("\"region\""), "{problem:?}");
        let problem = of(StorageSpec::default(), &entries("https://x.blob.core.windows.net")).unwrap_err();
        assert!(problem.message.contains("gateway"), "{}", problem.message);
    }

    #[test]
    fn without_keys_somebody_must_have_said_so() {
        let entries = [("region", "eu-west-1"), ("bucket", "files")];
        let problem = of(StorageSpec::default(), &entries).unwrap_err();
        assert!(problem.message.contains("workloadIdentity"), "{}", problem.message);
        let keyless = StorageSpec { workload_identity: Some(WorkloadIdentity::default()), ..StorageSpec::default() };
        assert_eq!(of(keyless.clone(), &entries).unwrap().login.keys(), None);
        let both = [&entries[..], &[("accessKeyId", "id")]].concat();
        assert!(of(keyless, &both).unwrap_err().message.contains("remove one of the two"));
    }
}
