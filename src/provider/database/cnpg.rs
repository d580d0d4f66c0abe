//! A database as a Cluster of CloudNativePG: what its settings resolve to, and the object that asks for it.
//!
//! Roles, grants and extensions are not asked for here: they are SQL steps, as with any other database. The database is
//! called `postgres`, as upstream's; CloudNativePG leaves its owner alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::super::{Inputs, Lifecycle, Upstream, Wanted, live, quantity, retention};
use super::observation::is_unborn;
use super::{images, parameters};
use crate::api::{DatabaseAffinity, ManagedDatabaseSpec, Privileges, SslMode, VolumeSpec};
use crate::kind::Kind;
use crate::plan::inputs::{SecretReader, Secrets};
use crate::plan::names::{ObjectName, ProjectName};
use crate::plan::{DatabaseEndpoint, Identity};
use crate::reason::{Problem, Reason};
use crate::render::Manifest;

pub const CLUSTER_LABEL: &str = "cnpg.io/cluster";
/// Condition and annotation of the same name.
pub const HIBERNATION: &str = "cnpg.io/hibernation";

const DATABASE: &str = "postgres";
/// CloudNativePG wants an owner of the database and keeps its password: none of ours, whose passwords we keep. It gets
/// nothing, because `postgres` exists before and keeps its owner.
const OWNER: &str = "app";
const PORT: u16 = 5432;
const DEFAULT_SIZE: &str = "10Gi";

/// A Cluster with every setting resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    pub identity: Identity,
    pub name: ObjectName,
    pub lifecycle: Lifecycle,
    pub instances: i32,
    pub image: String,
    pub uid: i64,
    pub gid: i64,
    pub size: String,
    pub storage_class: Option<String>,
    pub parameters: BTreeMap<String, String>,
    pub libraries: Vec<String>,
    pub resources: ResourceRequirements,
    pub affinity: Option<DatabaseAffinity>,
}

pub fn inputs(project: &ProjectName) -> Inputs {
    let name = project.database();
    Inputs {
        secrets: vec![project.database_superuser(), project.database_ca()],
        upstream: Upstream::Cluster,
        selector: format!("{CLUSTER_LABEL}={name}"),
        name,
    }
}

/// # Errors
/// See [`super::Provider::plan`].
pub fn plan(
    identity: &Identity,
    spec: &ManagedDatabaseSpec,
    lifecycle: Lifecycle,
    live: Option<&Value>,
) -> Result<ClusterPlan, Problem> {
    let image = image(spec, live)?;
    let known = images::known(&image);
    let (uid, gid) = owner(spec, &image, live)?;
    if let Some(name) = spec.parameters.keys().find(|name| parameters::is_fixed(name)) {
        return Err(invalid(format!(
            "spec.database.managed.parameters: CloudNativePG sets {name:?} itself; remove it"
        )));
    }
    // A slot whose reader is gone must not fill the volume.
    let mut settings = BTreeMap::from([("max_slot_wal_keep_size".to_owned(), "2GB".to_owned())]);
    settings.extend(spec.parameters.clone());
    let libraries = || known.map(|known| known.preload.iter().map(|name| (*name).to_owned()).collect());
    let VolumeSpec { size, storage_class_name } = spec.storage.clone().unwrap_or_default();
    Ok(ClusterPlan {
        name: identity.name.database(),
        identity: identity.clone(),
        lifecycle,
        instances: spec.instances.unwrap_or(1),
        image,
        uid,
        gid,
        size: volume_size(
            "spec.database.managed.storage.size",
            size.as_deref(),
            live.map(|live| live::text(live, "/spec/storage/size")),
            DEFAULT_SIZE,
        )?,
        storage_class: storage_class_name,
        parameters: settings,
        libraries: spec.shared_preload_libraries.clone().or_else(libraries).unwrap_or_default(),
        resources: spec.resources.clone().unwrap_or_else(|| resources("250m", "512Mi", "1Gi")),
        affinity: spec.affinity.clone(),
    })
}

fn invalid(message: String) -> Problem {
    Problem::new(Reason::SpecInvalid, message)
}

/// What the spec says, else what the Cluster has, else the default: a newer default must not change a database. An image
/// that never became one does not stay.
fn image(spec: &ManagedDatabaseSpec, live: Option<&Value>) -> Result<String, Problem> {
    let born = live.filter(|live| !is_unborn(live));
    let running = born.map(|live| live::text(live, "/spec/imageName")).filter(|image| !image.is_empty());
    let image = spec.image_name.as_deref().or(running).unwrap_or(images::DEFAULT);
    let Some(wanted) = images::major(image) else {
        return Err(invalid(format!(
            "spec.database.managed.imageName: the tag of {image:?} must start with the version of PostgreSQL, for example :17.6"
        )));
    };
    match running.and_then(images::major) {
        Some(major) if major != wanted => Err(invalid(format!(
            "spec.database.managed.imageName: the database is PostgreSQL {major} and {image:?} is {wanted}; name an image of {major}, or make a new project and move the data"
        ))),
        _ => Ok(image.to_owned()),
    }
}

/// See [`super::Provider::unknown_image`].
pub fn unknown_image(spec: &ManagedDatabaseSpec, live: Option<&Value>) -> Option<String> {
    let image = image(spec, live).ok()?;
    let told = spec.postgres_uid.is_some() && spec.postgres_gid.is_some();
    let known = images::known(&image);
    let running = live.is_some_and(|live| live::number(live, "/spec/postgresUID") > 0);
    let owned = told || running || known.is_some_and(|known| known.owner.is_some());
    // What is loaded must not change under a database either: the libraries are asked for as long as nobody named them.
    let loaded = known.is_some() || spec.shared_preload_libraries.is_some() || told;
    (!owned || (running && !loaded)).then_some(image)
}

fn owner(spec: &ManagedDatabaseSpec, image: &str, live: Option<&Value>) -> Result<(i64, i64), Problem> {
    let given = spec.postgres_uid.zip(spec.postgres_gid);
    let id = |pointer| live.map(|live| live::number(live, pointer)).filter(|id| *id > 0);
    let running = id("/spec/postgresUID").zip(id("/spec/postgresGID"));
    let known = images::known(image).and_then(|known| known.owner);
    match (given.or(known), running) {
        (Some(wanted), Some(running)) if wanted != running => {
            let [wanted, running] = [wanted, running].map(|(user, group)| format!("{user}:{group}"));
            // CloudNativePG takes no other owner for a Cluster that is there.
            let remedy = if live.is_some_and(is_unborn) {
                format!("the Cluster was made for {running} and holds no data yet; delete it, and it is made again")
            } else {
                format!("the files of the database belong to {running}; name an image that runs as the latter")
            };
            Err(invalid(format!("spec.database.managed.imageName: {image:?} runs as {wanted}, and {remedy}")))
        }
        (Some(owner), _) | (None, Some(owner)) => Ok(owner),
        (None, None) => Err(invalid(format!(
            "spec.database.managed.imageName: it is not known as whom {image:?} runs PostgreSQL; set postgresUID and postgresGID to what `id postgres` says in it (`docker run --rm --entrypoint id {image} postgres`)"
        ))),
    }
}

/// The size of a volume: what the spec says if that is no less than what there is, else what there is, else the default.
pub fn volume_size(field: &str, wanted: Option<&str>, running: Option<&str>, default: &str) -> Result<String, Problem> {
    let running = running.filter(|size| !size.is_empty());
    match (wanted, running) {
        (Some(wanted), Some(running)) if quantity::bytes(wanted) < quantity::bytes(running) => {
            Err(invalid(format!("{field}: a volume cannot shrink from {running} to {wanted}; set at least {running}")))
        }
        (Some(size), _) | (None, Some(size)) => Ok(quantity::canonical(size)),
        (None, None) => Ok(default.to_owned()),
    }
}

/// In canonical quantities.
pub fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        let quantity = |(name, value): &(&str, &str)| ((*name).to_owned(), Quantity((*value).to_owned()));
        Some(pairs.iter().map(quantity).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", cpu), ("memory", memory)]),
        limits: quantities(&[("memory", memory_limit)]),
        ..ResourceRequirements::default()
    }
}

pub fn render(plan: &ClusterPlan) -> Wanted {
    let ClusterPlan { identity, name, lifecycle, .. } = plan;
    let mut metadata = retention::metadata(identity, name, ("postgresql", "database"), *lifecycle);
    // Only while it is ours to say: people hibernate Clusters by hand too.
    if lifecycle.suspended {
        metadata.insert("annotations".to_owned(), json!({HIBERNATION: "on"}));
    }
    let mut spec = json!({
        "instances": plan.instances,
        "imageName": plan.image,
        "postgresUID": plan.uid,
        "postgresGID": plan.gid,
        // The SQL steps log in as `postgres`; without this CloudNativePG takes its password away again and again.
        "enableSuperuserAccess": true,
        "storage": {"size": plan.size},
        "bootstrap": {"initdb": {
            "database": DATABASE,
            "owner": OWNER,
            "dataChecksums": true,
            "encoding": "UTF8",
            // Of the UTF-8 collations the one that every image has, and that no update of a C library reorders.
            "localeCollate": "C.UTF-8",
            "localeCType": "C.UTF-8",
        }},
        "postgresql": {"parameters": plan.parameters},
        "resources": plan.resources,
    });
    if let Some(class) = &plan.storage_class {
        set(&mut spec, "/storage", "storageClass", json!(class));
    }
    if !plan.libraries.is_empty() {
        set(&mut spec, "/postgresql", "shared_preload_libraries", json!(plan.libraries));
    }
    if let Some(affinity) = &plan.affinity
        && *affinity != DatabaseAffinity::default()
    {
        set(&mut spec, "", "affinity", json!(affinity));
    }
    let kind = Upstream::Cluster;
    let body = json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": metadata, "spec": spec});
    Wanted { apply: vec![Manifest::durable(Kind::Upstream(kind), name.clone(), body)], withdraw: Vec::new() }
}

fn set(spec: &mut Value, pointer: &str, name: &str, value: Value) {
    if let Some(fields) = spec.pointer_mut(pointer).and_then(Value::as_object_mut) {
        fields.insert(name.to_owned(), value);
    }
}

/// How to log in as the superuser; `None` until CloudNativePG has made its Secrets.
///
/// Not from the key `uri`: it names a database `*`.
///
/// # Errors
/// A Secret does not have what CloudNativePG writes into it.
pub fn endpoint(identity: &Identity, secrets: &Secrets) -> Result<Option<DatabaseEndpoint>, Problem> {
    let namespace = identity.namespace.as_str();
    let (superuser, ca) = (identity.name.database_superuser(), identity.name.database_ca());
    let open = |name| SecretReader::open(secrets, "spec.database.managed", namespace, name);
    let (Ok(superuser), Ok(ca)) = (open(superuser.as_str()), open(ca.as_str())) else { return Ok(None) };
    Ok(Some(DatabaseEndpoint {
        host: format!("{}-rw.{namespace}.svc", identity.name.database()),
        port: PORT,
        database: DATABASE.to_owned(),
        username: superuser.line("username")?.to_owned(),
        password: superuser.password("password")?,
        privileges: Privileges::Superuser,
        ssl_mode: SslMode::VerifyFull,
        ca: Some(ca.text("ca.crt")?.to_owned()),
        secret: format!("{namespace}/{}", superuser.name),
    }))
}
