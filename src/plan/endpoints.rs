//! Where the database and the bucket are, and how to log in there: from the Secrets that a project names.

use serde_json::json;

use super::inputs::{SecretReader, Secrets};
use super::keys::Credentials;
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

/// Where the bucket is and how to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketEndpoint {
    /// URL of the S3 server.
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub access_key_id: Sensitive,
    pub secret_access_key: Sensitive,
    pub force_path_style: bool,
    /// PEM bundle.
    pub ca: Option<String>,
    /// `namespace/name` of the Secret, for messages.
    pub secret: String,
    /// Of a store that is the project's own: they give the keys above to a user who may use this bucket alone.
    pub root: Option<UserKeys>,
}

impl BucketEndpoint {
    /// Changes when anything does that a request depends on.
    pub fn fingerprint(&self) -> Digest {
        let Self { endpoint, region, bucket, access_key_id, secret_access_key, force_path_style, ca, secret, root } =
            self;
        let keys = [access_key_id.expose(), secret_access_key.expose()];
        let root = root.as_ref().map(|root| [root.access_key_id.expose(), root.secret_access_key.expose()]);
        Digest::of(&json!([endpoint, region, bucket, keys, force_path_style, ca, secret, root]))
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

pub fn bucket(spec: &StorageSpec, secrets: &Secrets, namespace: &str) -> Result<BucketEndpoint, Problem> {
    let reference = own("spec.storage.secretRef", spec.secret_ref.as_ref())?;
    let secret = SecretReader::open(secrets, "spec.storage.secretRef", namespace, &reference.name)?;
    let endpoint = secret.line("endpoint")?.trim_end_matches('/');
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(secret
            .problem(Reason::SecretInvalid, "key \"endpoint\" must be a URL that starts with http:// or https://"));
    }
    Ok(BucketEndpoint {
        endpoint: endpoint.to_owned(),
        region: secret.line("region")?.to_owned(),
        bucket: secret.line("bucket")?.to_owned(),
        access_key_id: secret.password("accessKeyId")?,
        secret_access_key: secret.password("secretAccessKey")?,
        force_path_style: spec.force_path_style.unwrap_or(true),
        ca: authority("spec.storage.caSecretRef", spec.ca_secret_ref.as_ref(), secrets, namespace)?,
        secret: format!("{namespace}/{}", secret.name),
        root: None,
    })
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
