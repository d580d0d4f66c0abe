//! From a plan and the key material to the objects that the project becomes. Pure.
//!
//! Every object leaves with its kind, its name and its body as the API server will be sent it. Two rules keep server-side
//! apply a no-op when nothing changed: nothing empty is rendered (`{}`, `[]`, `""`), and what the server would default
//! inside of a list key (a port's protocol) is spelled out.

pub mod digest;
mod metadata;
mod pod;
mod secrets;
mod volumes;
pub mod waves;
mod workload;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::Value;

use crate::components::Component;
use crate::kind::Kind;
use crate::plan::keys::Credentials;
use crate::plan::names::ObjectName;
use crate::plan::{Identity, Plan};
pub use digest::Digest;
pub use metadata::{
    COMPONENT_LABEL, MANAGED_BY, MANAGER, MIGRATION, MIGRATION_SUFFIX, PROJECT_LABEL, VERSION_LABEL, labels,
    owner_reference,
};
pub use secrets::generated;

/// One object as it shall be.
#[derive(Clone)]
pub struct Manifest {
    pub kind: Kind,
    pub name: ObjectName,
    pub body: Value,
    /// Digest of everything that we say about the object; equal to [`digest::owned`] of the live object unless it drifted.
    pub digest: Digest,
    /// The component that it belongs to.
    pub component: Option<Component>,
    /// Of a Job, which migration it does; of a Deployment, which one it needs.
    pub migration: Option<Digest>,
    /// It may outlive its project, and is then recognized by its labels alone.
    pub durable: bool,
}

/// Some bodies are Secrets.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

impl Manifest {
    /// An object that may outlive its project.
    pub fn durable(kind: Kind, name: ObjectName, body: Value) -> Self {
        Self { durable: true, ..Self::of(kind, name, body) }
    }

    pub fn of(kind: Kind, name: ObjectName, body: Value) -> Self {
        let digest = digest::desired(&body);
        Self { kind, name, body, digest, component: None, migration: None, durable: false }
    }

    fn new<K: Serialize>(kind: Kind, name: ObjectName, object: &K) -> Result<Self, RenderError> {
        let body =
            serde_json::to_value(object).map_err(|source| RenderError { kind, name: name.to_string(), source })?;
        Ok(Self::of(kind, name, body))
    }

    /// The body as the object that is sent.
    ///
    /// # Errors
    /// Never for a body that was rendered here.
    pub fn object(&self) -> Result<DynamicObject, RenderError> {
        serde_json::from_value(self.body.clone()).map_err(|source| RenderError {
            kind: self.kind,
            name: self.name.to_string(),
            source,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot serialize {} {name}", kind.as_str())]
pub struct RenderError {
    kind: Kind,
    name: String,
    #[source]
    source: serde_json::Error,
}

/// Everything that a project becomes, in apply order, but for the Secrets that hold generated keys: those are made once
/// ([`generated`]) and never applied again. `incarnation` names the database ([`crate::sql::Initialized`]).
///
/// # Errors
/// Only where an object cannot be serialized.
pub fn render(plan: &Plan, credentials: &Credentials, incarnation: &str) -> Result<Vec<Manifest>, RenderError> {
    let mut manifests = secrets::for_clients(plan, credentials)?;
    manifests.extend(authorities(plan)?);
    for settings in plan.workloads.values() {
        manifests.extend(workload::render(plan, credentials, settings, incarnation)?);
    }
    manifests.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(manifests)
}

/// Names of the certificate authorities' files.
pub const DATABASE_AUTHORITY: &str = "database.crt";
pub const STORAGE_AUTHORITY: &str = "storage.crt";

/// The certificate authorities of database and bucket, for the components that verify them. Public by nature.
fn authorities(plan: &Plan) -> Result<Option<Manifest>, RenderError> {
    let known = [(DATABASE_AUTHORITY, &plan.database.ca), (STORAGE_AUTHORITY, &plan.bucket.ca)];
    let data: BTreeMap<String, String> =
        known.into_iter().filter_map(|(file, pem)| Some((file.to_owned(), pem.clone()?))).collect();
    if data.is_empty() {
        return Ok(None);
    }
    let name = plan.identity.name.authorities();
    let metadata = metadata::object_meta(plan, &name, None);
    let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    Manifest::new(Kind::ConfigMap, name, &map).map(Some)
}

/// Names of the Secrets that hold generated keys; they belong to the project but are not rendered.
pub fn generated_names(identity: &Identity) -> [ObjectName; 3] {
    [identity.name.jwt(), identity.name.database_roles(), identity.name.object_store_keys()]
}
