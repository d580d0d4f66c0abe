//! From a project and what it refers to, to a plan in which every default, name and address is resolved.
//!
//! Pure. In: the spec and the fetched Secrets. Out: a [`Plan`], or every [`Problem`] that stands in the way, each with
//! its remedy. After this the spec is not consulted again.

pub mod inputs;
pub mod keys;
pub mod names;
pub mod releases;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use serde_json::json;

use crate::api::{ComponentSpec, DatabaseSpec, PostgrestSpec, SecretRef, SslMode, StorageSpec, SupabaseProject};
use crate::components::{COMPONENTS, Component, gateway};
use crate::reason::{Problem, Reason};
use crate::render::Digest;
use crate::sensitive::Sensitive;
use inputs::{SecretReader, Secrets};
use keys::Credentials;
use names::ProjectName;
use releases::Release;

/// Identity of a project in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: ProjectName,
    pub namespace: String,
    pub uid: String,
}

impl Identity {
    /// # Errors
    /// The object has a name that no Service could have, or does not come from an API server.
    pub fn of(project: &SupabaseProject) -> Result<Self, Problem> {
        let metadata = &project.metadata;
        let name = ProjectName::parse(metadata.name.as_deref().unwrap_or_default())
            .map_err(|error| Problem::new(Reason::SpecInvalid, format!("metadata.name: {error}")))?;
        Ok(Self {
            name,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        })
    }
}

impl Identity {
    /// How a database remembers who uses it.
    pub fn owner(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A project with everything resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub identity: Identity,
    pub release: &'static Release,
    /// URL that clients use, without a trailing slash.
    pub public_url: String,
    pub database: DatabaseEndpoint,
    pub bucket: BucketEndpoint,
    pub workloads: BTreeMap<Component, WorkloadPlan>,
    pub postgrest: PostgrestSettings,
}

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
    /// `namespace/name` of the Secret, for messages.
    pub secret: String,
}

impl DatabaseEndpoint {
    /// Changes when anything does that a connection depends on.
    pub fn fingerprint(&self) -> Digest {
        let Self { host, port, database, username, password, ssl_mode, ca, secret } = self;
        let password = password.expose();
        Digest::of(&json!([host, port, database, username, password, ssl_mode.as_str(), ca, secret]))
    }

    /// The same with the passwords that an initialisation sets.
    pub fn initialization_fingerprint(&self, credentials: &Credentials) -> Digest {
        let passwords = credentials.passwords.values().map(Sensitive::expose).collect::<Vec<_>>();
        Digest::of(&json!([self.fingerprint().to_hex(), passwords]))
    }
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
}

impl BucketEndpoint {
    /// Changes when anything does that a request depends on.
    pub fn fingerprint(&self) -> Digest {
        let Self { endpoint, region, bucket, access_key_id, secret_access_key, force_path_style, ca, secret } = self;
        let keys = [access_key_id.expose(), secret_access_key.expose()];
        Digest::of(&json!([endpoint, region, bucket, keys, force_path_style, ca, secret]))
    }
}

/// What every workload has.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadPlan {
    pub image: String,
    pub replicas: i32,
    pub resources: ResourceRequirements,
    pub extra_env: Vec<EnvVar>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgrestSettings {
    pub schemas: Vec<String>,
    pub max_rows: i32,
}

/// What keeps a project from being planned, by what it is about. At least one is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    pub spec: Option<Problem>,
    pub database: Option<Problem>,
    pub storage: Option<Problem>,
}

/// Resolves a project.
///
/// # Errors
/// Every problem at once: a user who forgot two Secrets reads about both.
pub fn plan(project: &SupabaseProject, secrets: &Secrets) -> Result<Plan, Blocked> {
    let identity = Identity::of(project).map_err(|problem| Blocked { spec: Some(problem), ..Blocked::default() })?;
    let spec = &project.spec;
    let database = database(&spec.database.clone().unwrap_or_default(), secrets, &identity.namespace);
    let bucket = bucket(&spec.storage.clone().unwrap_or_default(), secrets, &identity.namespace);
    let (database, bucket) = match (database, bucket) {
        (Ok(database), Ok(bucket)) => (database, bucket),
        (database, bucket) => {
            return Err(Blocked { spec: None, database: database.err(), storage: bucket.err() });
        }
    };
    let release = &releases::NEWEST;
    let workloads = COMPONENTS
        .iter()
        .map(|workload| {
            let settings = (workload.spec)(spec);
            (workload.component, workload_plan(workload.component, settings, release))
        })
        .collect();
    Ok(Plan {
        public_url: spec.public_url.clone().unwrap_or_else(|| gateway::internal_url(&identity)),
        postgrest: postgrest(spec.postgrest.as_ref()),
        identity,
        release,
        database,
        bucket,
        workloads,
    })
}

/// Reads the generated key material; `None` where it has not been made yet.
///
/// # Errors
/// It exists and is not usable.
pub fn credentials(identity: &Identity, secrets: &Secrets) -> Result<Option<Credentials>, Problem> {
    let (jwt, roles) = (identity.name.jwt(), identity.name.database_roles());
    let open = |name| SecretReader::open(secrets, "generated keys", &identity.namespace, name);
    match (open(jwt.as_str()), open(roles.as_str())) {
        (Ok(jwt), Ok(roles)) => Credentials::read(&jwt, &roles).map(Some),
        _ => Ok(None),
    }
}

fn workload_plan(component: Component, spec: Option<&ComponentSpec>, release: &Release) -> WorkloadPlan {
    let spec = spec.cloned().unwrap_or_default();
    WorkloadPlan {
        image: spec.image.unwrap_or_else(|| release.image(component).to_owned()),
        replicas: spec.replicas.unwrap_or(1),
        resources: spec.resources.unwrap_or_else(|| component.workload().resources()),
        extra_env: spec.extra_env,
    }
}

fn postgrest(spec: Option<&PostgrestSpec>) -> PostgrestSettings {
    let spec = spec.cloned().unwrap_or_default();
    let mut schemas = spec.schemas;
    if schemas.is_empty() {
        schemas.push("public".to_owned());
    }
    if !schemas.iter().any(|schema| schema == crate::sql::PROBE_SCHEMA) {
        schemas.push(crate::sql::PROBE_SCHEMA.to_owned());
    }
    PostgrestSettings { schemas, max_rows: spec.max_rows.unwrap_or(1000) }
}

fn database(spec: &DatabaseSpec, secrets: &Secrets, namespace: &str) -> Result<DatabaseEndpoint, Problem> {
    let reference = external("spec.database.secretRef", spec.secret_ref.as_ref())?;
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
        secret: format!("{namespace}/{}", secret.name),
    })
}

fn bucket(spec: &StorageSpec, secrets: &Secrets, namespace: &str) -> Result<BucketEndpoint, Problem> {
    let reference = external("spec.storage.secretRef", spec.secret_ref.as_ref())?;
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
    })
}

fn external<'a>(field: &str, reference: Option<&'a SecretRef>) -> Result<&'a SecretRef, Problem> {
    reference.ok_or_else(|| Problem::new(Reason::SpecInvalid, format!("{field} is missing; set it")))
}

fn authority(
    field: &'static str,
    reference: Option<&crate::api::CaSecretRef>,
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
    use crate::testing;

    #[test]
    fn every_missing_secret_is_reported_at_once() {
        let blocked = plan(&testing::project(), &Secrets::new()).unwrap_err();
        for (problem, secret) in [(blocked.database, "tenant/orders-postgres"), (blocked.storage, "tenant/orders-s3")] {
            let problem = problem.unwrap();
            assert_eq!(problem.reason, Reason::SecretMissing);
            assert!(problem.message.contains(secret), "{}", problem.message);
        }
    }

    #[test]
    fn a_missing_key_names_secret_key_and_field() {
        for key in ["host", "port", "database", "username", "password"] {
            let mut secrets = testing::secrets();
            testing::remove_key(&mut secrets, "orders-postgres", key);
            let blocked = plan(&testing::project(), &secrets).unwrap_err();
            let problem = blocked.database.or(blocked.storage).unwrap();
            assert_eq!(problem.reason, Reason::SecretKeyMissing);
            for part in ["spec.database.secretRef", "tenant/orders-postgres", key] {
                assert!(problem.message.contains(part), "{}", problem.message);
            }
        }
    }

    #[test]
    fn hostile_passwords_are_taken_as_they_are() {
        let mut secrets = testing::secrets();
        testing::set_key(&mut secrets, "orders-postgres", "password", "p@ss:w/o?r#d% '\"\\\n");
        let plan = plan(&testing::project(), &secrets).unwrap();
        assert_eq!(plan.database.password.expose(), "p@ss:w/o?r#d% '\"\\");
    }

    #[test]
    fn zero_replicas_means_zero() {
        let mut project = testing::project();
        project.spec.meta = Some(ComponentSpec { replicas: Some(0), ..ComponentSpec::default() });
        let plan = plan(&project, &testing::secrets()).unwrap();
        assert_eq!(plan.workloads[&Component::Meta].replicas, 0);
        assert_eq!(plan.workloads[&Component::Postgrest].replicas, 1);
    }

    #[test]
    fn ports_and_endpoints_are_checked() {
        for (secret, key, value) in [
            ("orders-postgres", "port", "0"),
            ("orders-postgres", "port", "65536"),
            ("orders-postgres", "host", "two\nlines"),
            ("orders-s3", "endpoint", "minio:9000"),
            ("orders-s3", "bucket", ""),
        ] {
            let mut secrets = testing::secrets();
            testing::set_key(&mut secrets, secret, key, value);
            let blocked = plan(&testing::project(), &secrets).unwrap_err();
            let problem = blocked.database.or(blocked.storage).unwrap();
            assert_eq!(problem.reason, Reason::SecretInvalid, "{key}={value:?}");
            assert!(problem.message.contains(key), "{}", problem.message);
        }
    }

    #[test]
    fn the_probe_schema_is_always_served() {
        let settings = postgrest(Some(&PostgrestSpec { schemas: vec!["api".into()], ..PostgrestSpec::default() }));
        assert_eq!(settings.schemas, ["api", "graphql_public"]);
        assert_eq!(postgrest(None).schemas, ["public", "graphql_public"]);
    }
}
