//! What can be printed without a cluster: the CRDs, and every object that a project becomes.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{self, SupabaseProject};
use crate::plan::inputs::{self, Inputs, Provision, SecretData, Secrets};
use crate::plan::keys::{self, Credentials, MintError};
use crate::plan::releases::Catalogue;
use crate::plan::{self, BucketEndpoint, DatabaseEndpoint, Identity, Plan};
use crate::provider::{Lifecycle, database, objectstore};
use crate::reason::Problem;
use crate::render::{self, Manifest, RenderError};
use crate::sensitive::Sensitive;

#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: std::io::Error },
    #[error("{file} is not a list of YAML documents: {message}")]
    Yaml { file: String, message: String },
    #[error("{file} holds no SupabaseProject")]
    Nothing { file: String },
    #[error("{}", .0.message)]
    Problem(Problem),
    #[error("cannot make placeholder keys: {0}")]
    Mint(#[from] MintError),
    #[error("{0}")]
    Render(#[from] RenderError),
    #[error("cannot write YAML: {0}")]
    Write(String),
}

/// The CRDs as YAML documents.
///
/// # Errors
/// Never for the CRDs of this program.
pub fn crds() -> Result<String, OfflineError> {
    api::all_crds().iter().map(document).collect()
}

/// A table of releases, components and images.
pub fn releases(catalogue: &Catalogue) -> String {
    let row = |release: &str, component: &str, image: &str| format!("{release:<14}{component:<14}{image}\n");
    let rows = catalogue.rows().map(|(release, component, image)| row(release, component, image));
    std::iter::once(row("RELEASE", "COMPONENT", "IMAGE")).chain(rows).collect()
}

/// Every object of the projects in a file. Secrets in the same file say what they say, placeholders stand for the others.
///
/// # Errors
/// The file cannot be read, or a project in it cannot be planned.
pub fn render(file: &Path) -> Result<String, OfflineError> {
    let documents = Documents::read(file)?;
    let mut output = String::new();
    for project in &documents.projects {
        output.push_str(&objects(project, &documents.secrets)?);
    }
    if output.is_empty() { Err(OfflineError::Nothing { file: file.display().to_string() }) } else { Ok(output) }
}

/// What a file holds of what concerns us.
pub struct Documents {
    pub projects: Vec<SupabaseProject>,
    pub secrets: Vec<Secret>,
}

impl Documents {
    /// # Errors
    /// The file cannot be read, or is no list of YAML documents.
    pub fn read(file: &Path) -> Result<Self, OfflineError> {
        let name = file.display().to_string();
        let text = read(file).map_err(|source| OfflineError::Read { file: name.clone(), source })?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| OfflineError::Yaml { file: name.clone(), message: error.to_string() })?;
        let yaml = |error: serde_json::Error| OfflineError::Yaml { file: name.clone(), message: error.to_string() };
        let of_kind =
            |kind: &'static str| documents.iter().filter(move |document| document.get("kind") == Some(&kind.into()));
        Ok(Self {
            projects: of_kind("SupabaseProject")
                .map(|document| SupabaseProject::deserialize(document).map_err(yaml))
                .collect::<Result<_, _>>()?,
            secrets: of_kind("Secret")
                .map(|document| Secret::deserialize(document).map_err(yaml))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The Secrets of a namespace by name; one without a namespace is in each.
    pub fn secrets_of(&self, namespace: &str) -> Secrets {
        let in_namespace = |secret: &&Secret| secret.metadata.namespace.as_deref().is_none_or(|name| name == namespace);
        let named =
            |secret: &Secret| (secret.metadata.name.clone().unwrap_or_default(), Some(Arc::new(data_of(secret))));
        self.secrets.iter().filter(in_namespace).map(named).collect()
    }
}

/// What a project becomes, and what it was made of.
#[derive(Debug)]
pub struct Rendered {
    pub plan: Plan,
    pub credentials: Credentials,
    /// In apply order.
    pub manifests: Vec<Manifest>,
}

/// Every object of one project as YAML documents. `given` are Secrets whose content is known; placeholders stand for the
/// others.
///
/// # Errors
/// The project cannot be planned.
pub fn objects(project: &SupabaseProject, given: &[Secret]) -> Result<String, OfflineError> {
    rendered(project, given)?.manifests.iter().map(|manifest| document(&manifest.body)).collect()
}

/// As [`objects`], before it is text.
///
/// # Errors
/// The project cannot be planned.
pub fn rendered(project: &SupabaseProject, given: &[Secret]) -> Result<Rendered, OfflineError> {
    let mut project = project.clone();
    project.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    project.metadata.uid.get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
    let identity = Identity::of(&project).map_err(OfflineError::Problem)?;
    let mut secrets = placeholders(&project, &identity)?;
    let in_namespace =
        |secret: &&Secret| secret.metadata.namespace.as_ref().is_none_or(|name| *name == identity.namespace);
    for secret in given.iter().filter(in_namespace) {
        let name = secret.metadata.name.clone().unwrap_or_default();
        secrets.insert(name, Some(Arc::new(data_of(secret))));
    }
    let config_maps = inputs::references(&identity.name, &project.spec).config_maps;
    let known = |name: String| (name, Some(render::Digest::of_bytes(b"placeholder")));
    let (mut manifests, database, bucket) = managed(&project, &identity, &secrets).map_err(OfflineError::Problem)?;
    let config_maps = config_maps.into_iter().map(known).collect();
    let inputs = Inputs { secrets, config_maps, database, bucket, ..Inputs::default() };
    let plan = plan::plan(&project, &inputs).map_err(|blocked| {
        let first = blocked.spec.or(blocked.database).or(blocked.storage);
        OfflineError::Problem(
            first.unwrap_or_else(|| Problem::new(crate::reason::Reason::SpecInvalid, "cannot be planned")),
        )
    })?;
    let credentials = plan::credentials(&identity, &inputs.secrets)
        .map_err(OfflineError::Problem)?
        .ok_or_else(|| OfflineError::Write("placeholder keys are incomplete".to_owned()))?;
    manifests.extend(render::render(&plan, &credentials, "placeholder")?);
    Ok(Rendered { plan, credentials, manifests })
}

/// What is asked of other operators, and where that will be.
type Managed = (Vec<Manifest>, Provision<DatabaseEndpoint>, Provision<BucketEndpoint>);

fn managed(project: &SupabaseProject, identity: &Identity, secrets: &Secrets) -> Result<Managed, Problem> {
    let (spec, lifecycle) = (&project.spec, Lifecycle::of(&project.spec));
    let (mut manifests, mut database, mut bucket) = (Vec::new(), Provision::Own, Provision::Own);
    if let Some(provider) = database::Provider::of(spec.database.as_ref()) {
        manifests.extend(provider.plan(identity, lifecycle, None)?.render().apply);
        database = Provision::Managed(provider.endpoint(identity, secrets)?);
    }
    if let Some(provider) = objectstore::Provider::of(spec.storage.as_ref()) {
        let plan = provider.plan(identity, lifecycle, None, &[])?;
        manifests.extend(objectstore::keys(identity, secrets)?.into_iter().flat_map(|keys| plan.render(&keys).apply));
        bucket = Provision::Managed(provider.endpoint(identity, secrets)?);
    }
    Ok((manifests, database, bucket))
}

fn data_of(secret: &Secret) -> SecretData {
    let bytes = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    let text = secret.string_data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    SecretData { keys: bytes.chain(text).collect(), ..SecretData::default() }
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file)
}

fn document(value: &impl serde::Serialize) -> Result<String, OfflineError> {
    let value = serde_json::to_value(value).map_err(|error| OfflineError::Write(error.to_string()))?;
    let yaml = serde_saphyr::to_string(&value).map_err(|error| OfflineError::Write(error.to_string()))?;
    Ok(format!("---\n{yaml}"))
}

const PLACEHOLDER_CA: &str = "-----BEGIN CERTIFICATE-----\nplaceholder\n-----END CERTIFICATE-----\n";

/// Secrets with the right keys and values that are obviously not real. Always the same, so that two outputs compare.
fn placeholders(project: &SupabaseProject, identity: &Identity) -> Result<Secrets, OfflineError> {
    let text = |pairs: &[(&str, &str)]| {
        let keys = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Some(Arc::new(SecretData { keys, ..SecretData::default() }))
    };
    let generated = |entries: std::collections::BTreeMap<&'static str, Sensitive>| {
        let keys = entries.iter().map(|(key, value)| ((*key).to_owned(), value.expose().as_bytes().to_vec())).collect();
        Some(Arc::new(SecretData { keys, ..SecretData::default() }))
    };
    // Not random at all, and that is the point: these keys must never be taken for real ones.
    let mut counter = 0_u8;
    let mut entropy = |bytes: &mut [u8]| {
        for byte in bytes {
            counter = counter.wrapping_add(1);
            *byte = counter;
        }
    };
    let database = project.spec.database.clone().unwrap_or_default();
    let storage = project.spec.storage.clone().unwrap_or_default();
    let mut secrets = Secrets::from([
        (identity.name.jwt().to_string(), generated(keys::mint(&mut entropy, Timestamp::UNIX_EPOCH)?)),
        (identity.name.database_roles().to_string(), generated(keys::mint_passwords(&mut entropy))),
        (identity.name.object_store_keys().to_string(), generated(objectstore::mint(&mut entropy))),
        (
            identity.name.database_superuser().to_string(),
            text(&[("username", "placeholder-username"), ("password", "placeholder-password")]),
        ),
        (identity.name.database_ca().to_string(), text(&[("ca.crt", PLACEHOLDER_CA)])),
    ]);
    if let Some(secret) = database.secret_ref {
        let keys = [
            ("host", "placeholder-host"),
            ("port", "5432"),
            ("database", "placeholder-database"),
            ("username", "placeholder-username"),
            ("password", "placeholder-password"),
        ];
        secrets.insert(secret.name, text(&keys));
    }
    if let Some(secret) = storage.secret_ref {
        let keys = [
            ("endpoint", "https://placeholder-endpoint"),
            ("region", "placeholder-region"),
            ("bucket", "placeholder-bucket"),
            ("accessKeyId", "placeholder-access-key-id"),
            ("secretAccessKey", "placeholder-secret-access-key"),
        ];
        secrets.insert(secret.name, text(&keys));
    }
    if let Some(login) = project.spec.studio.as_ref().and_then(|studio| studio.dashboard_basic_auth_secret_ref.as_ref())
    {
        secrets.insert(login.name.clone(), text(&[("username", "placeholder"), ("password", "placeholder-password")]));
    }
    if let Some(given) = project.spec.functions.as_ref().and_then(|functions| functions.secret_ref.as_ref()) {
        secrets.insert(given.name.clone(), text(&[("PLACEHOLDER", "placeholder")]));
    }
    for authority in [database.ca_secret_ref, storage.ca_secret_ref].into_iter().flatten() {
        secrets.insert(authority.name.clone(), text(&[(authority.key(), PLACEHOLDER_CA)]));
    }
    Ok(secrets)
}
