//! Managed object stores: MinIO and RustFS, asked for through their operators' Tenants. Both get generated keys,
//! one bucket with a user of its own, and are reached inside of the cluster without TLS.

mod minio;
mod rustfs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde_json::{Map, Value, json};

use super::database::cnpg::{resources, volume_size};
use super::diagnosis::{Fields, Surroundings};
use super::{Inputs, Lifecycle, Observation, Patience, Upstream, Wanted, live, retention};
use crate::api::{ManagedStorageSpec, StorageProvider, StorageSpec};
use crate::kind::Kind;
use crate::plan::inputs::{SecretReader, Secrets};
use crate::plan::keys::Entropy;
use crate::plan::names::{ObjectName, ProjectName};
use crate::plan::{BucketEndpoint, BucketLogin, Identity, UserKeys};
use crate::reason::{Problem, Reason};
use crate::render::{Digest, Manifest};
use crate::sensitive::Sensitive;

/// Bucket that the store makes at its start.
pub const BUCKET: &str = "supabase-storage";
/// What both servers take when nothing else is said.
const REGION: &str = "us-east-1";
/// Constant for ever: a pool of another name is another, empty store.
const POOL: &str = "p0";
const DEFAULT_SIZE: &str = "20Gi";
/// On the Tenant it wakes its operator, which does not watch Secrets; on the Pods it makes them take the new keys.
const KEYS_HASH: &str = "supabase-operator.dev/secret-hash";

const FIELDS: Fields = Fields {
    image: "spec.storage.managed.image",
    storage_class: "spec.storage.managed.storageClassName",
    resources: "spec.storage.managed.resources",
    failed: Reason::StorageFailed,
    settings: "spec.storage.managed",
};

/// Who runs the object store of a project, with the settings for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    Minio(ManagedStorageSpec),
    Rustfs(ManagedStorageSpec),
}

/// A managed object store with every setting resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct StorePlan {
    pub identity: Identity,
    pub upstream: Upstream,
    pub name: ObjectName,
    pub lifecycle: Lifecycle,
    pub servers: i32,
    pub volumes_per_server: i32,
    pub size: String,
    pub storage_class: Option<String>,
    /// `None` where the provider's operator chooses.
    pub image: Option<String>,
    pub resources: ResourceRequirements,
}

/// All keys of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKeys {
    /// May do everything: for the store itself, and for [`grant`](crate::bucket::grant).
    pub root: UserKeys,
    /// May use the bucket: for Storage and the checks of the bucket.
    pub user: UserKeys,
}

/// Names of a user's keys in the Secret.
type KeyNames = [&'static str; 2];
const ROOT: KeyNames = ["rootAccessKeyId", "rootSecretAccessKey"];
const USER: KeyNames = ["accessKeyId", "secretAccessKey"];

/// Makes the content of the Secret `<project>-object-store-keys`: hexadecimal, which needs no escaping anywhere.
pub fn mint(entropy: Entropy<'_>) -> BTreeMap<&'static str, Sensitive> {
    let mut random = |length: usize| {
        let mut bytes = vec![0; length];
        entropy(&mut bytes);
        Sensitive::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    let mut keys = BTreeMap::new();
    for [id, secret] in [ROOT, USER] {
        keys.extend([(id, random(10)), (secret, random(20))]);
    }
    keys
}

impl StoreKeys {
    /// # Errors
    /// They would not pass through the file of shell assignments that MinIO reads, or MinIO would not take them.
    pub fn read(secret: &SecretReader<'_>) -> Result<Self, Problem> {
        let key = |name: &str, others: &str| {
            let value = secret.line(name)?;
            let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
            if value.len() < 8 || !plain {
                return Err(secret.problem(
                    Reason::KeysInvalid,
                    &format!("key {name:?} must have at least 8 letters, digits or {others} and nothing else"),
                ));
            }
            Ok(Sensitive::new(value))
        };
        let user = |[id, secret]: KeyNames| {
            Ok(UserKeys { access_key_id: key(id, "+/_-.")?, secret_access_key: key(secret, "+/=_-.")? })
        };
        let keys = Self { root: user(ROOT)?, user: user(USER)? };
        if keys.root.access_key_id == keys.user.access_key_id {
            let what = "keys \"rootAccessKeyId\" and \"accessKeyId\" are the same; make them different";
            return Err(secret.problem(Reason::KeysInvalid, what));
        }
        Ok(keys)
    }
}

impl Provider {
    /// `None` where the object store is the user's own.
    pub fn of(spec: Option<&StorageSpec>) -> Option<Self> {
        let managed = match spec {
            Some(spec) if spec.secret_ref.is_some() => return None,
            Some(spec) => spec.managed.clone().unwrap_or_default(),
            None => ManagedStorageSpec::default(),
        };
        Some(match managed.provider.unwrap_or_default() {
            StorageProvider::Minio => Self::Minio(managed),
            StorageProvider::Rustfs => Self::Rustfs(managed),
        })
    }

    fn upstream(&self) -> Upstream {
        match self {
            Self::Minio(_) => Upstream::MinioTenant,
            Self::Rustfs(_) => Upstream::RustfsTenant,
        }
    }

    fn name(&self, project: &ProjectName) -> ObjectName {
        match self {
            Self::Minio(_) => project.minio(),
            Self::Rustfs(_) => project.rustfs(),
        }
    }

    pub fn inputs(&self, project: &ProjectName) -> Inputs {
        let name = self.name(project);
        let label = match self {
            Self::Minio(_) => minio::TENANT_LABEL,
            Self::Rustfs(_) => rustfs::TENANT_LABEL,
        };
        Inputs {
            secrets: vec![project.object_store_keys()],
            upstream: self.upstream(),
            selector: format!("{label}={name}"),
            name,
        }
    }

    /// Where the bucket will be; `None` until its keys were made.
    ///
    /// # Errors
    /// The Secret was changed into something that cannot be used.
    pub fn endpoint(&self, identity: &Identity, secrets: &Secrets) -> Result<Option<BucketEndpoint>, Problem> {
        let url = match self {
            Self::Minio(_) => minio::url(identity),
            Self::Rustfs(_) => rustfs::url(identity),
        };
        endpoint(identity, url, secrets)
    }

    /// `live` is the upstream object, where there is one: what the spec leaves open stays as it is there. `tenants` are
    /// the names of all Tenants of this kind in the namespace.
    ///
    /// # Errors
    /// Settings that cannot be, with the field and the remedy.
    pub fn plan(
        &self,
        identity: &Identity,
        lifecycle: Lifecycle,
        live: Option<&Value>,
        tenants: &[String],
    ) -> Result<StorePlan, Problem> {
        let name = self.name(&identity.name);
        let (spec, layout) = match self {
            Self::Minio(spec) => {
                minio::alone(identity, &name, live.is_some(), tenants)?;
                (spec, minio::LAYOUT)
            }
            Self::Rustfs(spec) => (spec, rustfs::LAYOUT),
        };
        let running = |pointer| live.map(|live| live::number(live, pointer)).filter(|number| *number > 0);
        let servers = kept("servers", spec.servers, running("/spec/pools/0/servers"), 1)?;
        let volumes = running(layout.volumes_per_server);
        let volumes = kept("volumesPerServer", spec.volumes_per_server, volumes, layout.default_volumes)?;
        (layout.check)(servers, volumes)?;
        // An image that never served does not stay.
        let failed = |live: &&Value| live.pointer("/status/currentState").is_some() && !has_served(live);
        let image = live.filter(|live| !failed(live)).map(|live| live::text(live, "/spec/image"));
        let image = image.filter(|image| !image.is_empty());
        Ok(StorePlan {
            upstream: self.upstream(),
            name,
            identity: identity.clone(),
            lifecycle,
            servers,
            volumes_per_server: volumes,
            size: volume_size(
                "spec.storage.managed.size",
                spec.size.as_deref(),
                live.map(|live| live::text(live, layout.size)),
                DEFAULT_SIZE,
            )?,
            storage_class: spec.storage_class_name.clone(),
            image: spec.image.as_deref().or(image).or(layout.default_image).map(str::to_owned),
            resources: spec.resources.clone().unwrap_or_else(|| resources("100m", "256Mi", "1Gi")),
        })
    }
}

/// MinIO's operator says so by the buckets, RustFS's by its state.
pub fn has_served(live: &Value) -> bool {
    live::flag(live, "/status/provisionedBuckets") || live::is_true(live, "Ready")
}

/// The root keys; `None` until they were made.
///
/// # Errors
/// The Secret was changed into something that cannot be used.
pub fn keys(identity: &Identity, secrets: &Secrets) -> Result<Option<StoreKeys>, Problem> {
    let name = identity.name.object_store_keys();
    match SecretReader::open(secrets, "spec.storage.managed", &identity.namespace, name.as_str()) {
        Ok(secret) => StoreKeys::read(&secret).map(Some),
        Err(_) => Ok(None),
    }
}

fn endpoint(identity: &Identity, url: String, secrets: &Secrets) -> Result<Option<BucketEndpoint>, Problem> {
    let secret = format!("{}/{}", identity.namespace, identity.name.object_store_keys());
    Ok(keys(identity, secrets)?.map(|keys| BucketEndpoint {
        endpoint: url,
        region: REGION.to_owned(),
        bucket: BUCKET.to_owned(),
        login: BucketLogin::Granted { user: keys.user, root: keys.root },
        force_path_style: true,
        ca: None,
        secret,
    }))
}

/// Where two Tenants differ.
struct Layout {
    volumes_per_server: &'static str,
    default_volumes: i32,
    size: &'static str,
    default_image: Option<&'static str>,
    check: fn(i32, i32) -> Result<(), Problem>,
}

/// A number that files were spread by: it stays what it is.
fn kept(field: &str, wanted: Option<i32>, running: Option<i64>, default: i32) -> Result<i32, Problem> {
    let running = running.and_then(|number| i32::try_from(number).ok());
    match (wanted, running) {
        (Some(wanted), Some(running)) if wanted != running => Err(invalid(format!(
            "spec.storage.managed.{field}: the files are spread over {running} and it cannot become {wanted}; set it to {running}"
        ))),
        (Some(number), _) | (None, Some(number)) => Ok(number),
        (None, None) => Ok(default),
    }
}

fn invalid(message: String) -> Problem {
    Problem::new(Reason::SpecInvalid, message)
}

impl StorePlan {
    /// The configuration Secret, then the Tenant that reads it. A suspended MinIO has no Tenant: its operator knows no
    /// pause, and leaves the volumes when a Tenant goes. RustFS keeps running: what its operator leaves is not known.
    pub fn render(&self, keys: &StoreKeys) -> Wanted {
        let secret = self.secret(&self.identity.name.object_store_configuration(), &self.configuration(keys));
        let mut wanted = Wanted { apply: vec![secret], withdraw: Vec::new() };
        if self.is_withdrawn() {
            wanted.withdraw.push((self.upstream, self.name.clone()));
            return wanted;
        }
        // Of the root keys alone: the pods take the others from a request, not at their start.
        let UserKeys { access_key_id, secret_access_key } = &keys.root;
        let hash = Digest::of(&json!([access_key_id.expose(), secret_access_key.expose()])).to_hex();
        let (part, spec) = match self.upstream {
            Upstream::RustfsTenant => ("rustfs", rustfs::spec(self)),
            Upstream::MinioTenant | Upstream::Cluster => ("minio", minio::spec(self, &hash)),
        };
        let mut metadata = retention::metadata(&self.identity, &self.name, (part, "object-store"), self.lifecycle);
        metadata.insert("annotations".to_owned(), json!({KEYS_HASH: hash}));
        let kind = self.upstream;
        let body = json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": metadata, "spec": spec});
        wanted.apply.push(Manifest::durable(Kind::Upstream(kind), self.name.clone(), body));
        wanted
    }

    fn secret(&self, name: &ObjectName, entries: &BTreeMap<String, String>) -> Manifest {
        let part = if self.upstream == Upstream::RustfsTenant { "rustfs" } else { "minio" };
        let metadata = retention::metadata(&self.identity, name, (part, "object-store"), self.lifecycle);
        let data: Map<String, Value> = entries
            .iter()
            .map(|(key, value)| (key.clone(), json!(k8s_openapi::ByteString(value.clone().into_bytes()))))
            .collect();
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data});
        Manifest::durable(Kind::Secret, name.clone(), body)
    }

    fn configuration(&self, keys: &StoreKeys) -> BTreeMap<String, String> {
        match self.upstream {
            Upstream::RustfsTenant => rustfs::configuration(&keys.root),
            Upstream::MinioTenant | Upstream::Cluster => minio::configuration(&keys.root),
        }
    }

    /// A store that comes back to the volumes it left must have as many.
    ///
    /// # Errors
    /// How many there are.
    pub fn fits(&self, claims: usize) -> Result<(), Problem> {
        let wanted = self.servers * self.volumes_per_server;
        if claims == 0 || i32::try_from(claims).is_ok_and(|claims| claims == wanted) {
            return Ok(());
        }
        Err(invalid(format!(
            "spec.storage.managed: the files are on {claims} volumes, and servers and volumesPerServer ask for {wanted}; set them to what they were"
        )))
    }

    fn is_withdrawn(&self) -> bool {
        self.lifecycle.suspended && self.upstream == Upstream::MinioTenant
    }

    /// `tenants` as for [`Provider::plan`].
    pub fn observe(
        &self,
        live: Option<&Value>,
        around: &Surroundings,
        secrets: &Secrets,
        patience: &Patience,
    ) -> Observation<BucketEndpoint> {
        match self.upstream {
            Upstream::RustfsTenant => rustfs::observe(self, live, around, secrets, patience),
            Upstream::MinioTenant | Upstream::Cluster => minio::observe(self, live, around, secrets, patience),
        }
    }

    /// The Tenant in messages.
    fn object(&self) -> String {
        format!("Tenant {}/{}", self.identity.namespace, self.name)
    }

    fn endpoint(&self, url: String, secrets: &Secrets) -> Result<Option<BucketEndpoint>, Problem> {
        endpoint(&self.identity, url, secrets)
    }

    /// Spec of the claim of each volume.
    fn claim(&self) -> Value {
        let mut claim = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": self.size}},
        });
        if let (Some(class), Some(fields)) = (&self.storage_class, claim.as_object_mut()) {
            fields.insert("storageClassName".to_owned(), json!(class));
        }
        claim
    }
}
