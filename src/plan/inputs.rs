//! What a project refers to: which Secrets must be read, and the form they have once read. No fetching here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::SupabaseProjectSpec;
use crate::components::auth;
use crate::plan::names::ProjectName;
use crate::plan::releases::Catalogue;
use crate::plan::{BucketEndpoint, DatabaseEndpoint};
use crate::provider;
use crate::reason::{Problem, Reason};
use crate::render::Digest;
use crate::sensitive::Sensitive;

/// Data of one Secret.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SecretData {
    pub keys: BTreeMap<String, Vec<u8>>,
    pub uid: String,
    /// uid of the controlling owner.
    pub owner: Option<String>,
    /// RFC 3339, from the Secret's metadata.
    pub created: Option<jiff::Timestamp>,
}

/// Every Secret that a project refers to by name; `None` where there is no such Secret.
pub type Secrets = BTreeMap<String, Option<Arc<SecretData>>>;

/// Everything that a project is planned from, besides itself.
#[derive(Debug, Default)]
pub struct Inputs {
    pub secrets: Secrets,
    /// Digest of the content of every `ConfigMap` that the project refers to; `None` where there is none.
    pub config_maps: BTreeMap<String, Option<Digest>>,
    pub catalogue: Arc<Catalogue>,
    pub database: Provision<DatabaseEndpoint>,
    pub bucket: Provision<BucketEndpoint>,
}

/// Where a project has its database or its bucket from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Provision<E> {
    /// Its own, by the Secret that the spec names.
    #[default]
    Own,
    /// Run for it; `None` until there is an address.
    Managed(Option<E>),
}

/// What a project refers to by name, in its own namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The user's Secrets and the generated ones.
    pub secrets: Vec<String>,
    pub config_maps: Vec<String>,
}

/// What must be read before a project can be planned.
pub fn references(name: &ProjectName, spec: &SupabaseProjectSpec) -> References {
    let (database, storage) = (spec.database.as_ref(), spec.storage.as_ref());
    let mut secrets = vec![name.jwt().to_string(), name.database_roles().to_string()];
    let own = [database.and_then(|spec| spec.secret_ref.as_ref()), storage.and_then(|spec| spec.secret_ref.as_ref())];
    secrets.extend(own.into_iter().flatten().map(|secret| secret.name.clone()));
    let authorities =
        [database.and_then(|spec| spec.ca_secret_ref.as_ref()), storage.and_then(|spec| spec.ca_secret_ref.as_ref())];
    secrets.extend(authorities.into_iter().flatten().map(|ca| ca.name.clone()));
    let dashboard = spec.studio.as_ref().and_then(|studio| studio.dashboard_basic_auth_secret_ref.as_ref());
    let functions = spec.functions.as_ref().and_then(|functions| functions.secret_ref.as_ref());
    secrets.extend([dashboard, functions].into_iter().flatten().map(|secret| secret.name.clone()));
    secrets.extend(spec.auth.iter().flat_map(auth::references));
    secrets.extend(provider::secrets(name, spec).iter().map(ToString::to_string));
    secrets.sort();
    secrets.dedup();
    let functions = spec.functions.iter().flat_map(|functions| &functions.functions);
    let mut config_maps: Vec<String> = functions.map(|function| function.config_map_ref.name.clone()).collect();
    config_maps.sort();
    config_maps.dedup();
    References { secrets, config_maps }
}

/// One Secret with the words to say what is wrong with it.
pub struct SecretReader<'a> {
    /// Field of the spec that refers to it, for messages.
    pub field: &'static str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub data: &'a SecretData,
}

impl<'a> SecretReader<'a> {
    /// # Errors
    /// The Secret does not exist.
    pub fn open(secrets: &'a Secrets, field: &'static str, namespace: &'a str, name: &'a str) -> Result<Self, Problem> {
        match secrets.get(name) {
            Some(Some(data)) => Ok(Self { field, namespace, name, data }),
            _ => Err(Problem::new(
                Reason::SecretMissing,
                format!("{field}: there is no Secret {namespace}/{name}; create it"),
            )),
        }
    }

    /// The value of a key as text.
    ///
    /// # Errors
    /// The key is missing, empty or not UTF-8.
    pub fn text(&self, key: &str) -> Result<&'a str, Problem> {
        let Some(bytes) = self.data.keys.get(key) else {
            return Err(self.problem(Reason::SecretKeyMissing, &format!("has no key {key:?}; add it")));
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| self.problem(Reason::SecretInvalid, &format!("key {key:?} is not UTF-8 text")))?;
        if text.is_empty() {
            return Err(self.problem(Reason::SecretInvalid, &format!("key {key:?} is empty; set it")));
        }
        Ok(text)
    }

    /// The first of these keys that is there.
    pub fn first<'k>(&self, keys: &[&'k str]) -> Option<&'k str> {
        keys.iter().copied().find(|key| self.data.keys.contains_key(*key))
    }

    /// The value of a key that people type, without the newline that `kubectl create --from-file` keeps.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn line(&self, key: &str) -> Result<&'a str, Problem> {
        let text = self.text(key)?.trim();
        if text.is_empty() || text.contains(char::is_control) {
            return Err(self.problem(Reason::SecretInvalid, &format!("key {key:?} must be one line of text")));
        }
        Ok(text)
    }

    /// A password: taken as it is, but for one trailing newline.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn password(&self, key: &str) -> Result<Sensitive, Problem> {
        let text = self.text(key)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.contains('\0') {
            return Err(self.problem(Reason::SecretInvalid, &format!("key {key:?} contains a NUL byte")));
        }
        Ok(Sensitive::new(text))
    }

    pub fn problem(&self, reason: Reason, what: &str) -> Problem {
        let Self { field, namespace, name, .. } = self;
        Problem::new(reason, format!("{field}: Secret {namespace}/{name} {what}"))
    }
}
