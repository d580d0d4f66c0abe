//! Reading the Secrets and `ConfigMaps` that a project refers to: once for each version that the watch announced.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use serde_json::json;

use super::Cluster;
use super::call::{CallError, bounded};
use super::seen::{ProjectKey, controller, version};
use super::stores::{Source, SourceKey};
use crate::plan::inputs::{References, SecretData, Secrets};
use crate::render::Digest;

/// What was read of objects, by namespace and name, with the version that it was read at.
pub struct Cache<T>(Mutex<HashMap<(String, String), (u64, T)>>);

pub type SecretCache = Cache<Arc<SecretData>>;

/// Of `ConfigMaps` a digest is enough: their content is nobody's business here.
pub type ConfigMapCache = Cache<Digest>;

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Cache<T> {
    fn with<R>(&self, work: impl FnOnce(&mut HashMap<(String, String), (u64, T)>) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known as of `wanted` or newer.
    fn get(&self, key: &(String, String), wanted: u64) -> Option<T> {
        self.with(|cache| cache.get(key).filter(|(version, _)| *version >= wanted).map(|(_, known)| known.clone()))
    }

    fn insert(&self, key: (String, String), version: u64, read: T) {
        self.with(|cache| cache.insert(key, (version, read)));
    }

    /// What was read last, however old.
    pub fn last(&self, namespace: &str, name: &str) -> Option<T> {
        let key = (namespace.to_owned(), name.to_owned());
        self.with(|cache| cache.get(&key).map(|(_, known)| known.clone()))
    }

    /// Forgets what only the given project of its namespace may have needed.
    pub fn forget(&self, namespace: &str, names: &[String]) {
        self.with(|cache| cache.retain(|(of, name), _| of != namespace || !names.contains(name)));
    }
}

impl Cluster {
    /// The Secrets that a project refers to, and digests of the `ConfigMaps`.
    ///
    /// # Errors
    /// The API server refused or did not answer. What does not exist is not an error.
    pub async fn fetch(
        &self,
        project: &ProjectKey,
        references: &References,
    ) -> Result<(Secrets, BTreeMap<String, Option<Digest>>), CallError> {
        let key =
            |source, name: &String| SourceKey { source, namespace: project.namespace.clone(), name: name.clone() };
        let secret_keys = references.secrets.iter().map(|name| key(Source::Secret, name));
        let keys: Vec<SourceKey> =
            secret_keys.chain(references.config_maps.iter().map(|name| key(Source::ConfigMap, name))).collect();
        self.stores.refer(project, &keys);
        let (mut secrets, mut config_maps) = (Secrets::new(), BTreeMap::new());
        for key in keys {
            let version = self.stores.source_version(&key);
            let SourceKey { source, namespace, name } = key;
            match source {
                Source::Secret => {
                    let data = match version {
                        Some(version) => self.read(&namespace, &name, version).await?,
                        None => None,
                    };
                    secrets.insert(name, data);
                }
                Source::ConfigMap => {
                    let digest = match version {
                        Some(version) => self.read_config_map(&namespace, &name, version).await?,
                        None => None,
                    };
                    config_maps.insert(name, digest);
                }
            }
        }
        Ok((secrets, config_maps))
    }

    async fn read_config_map(&self, namespace: &str, name: &str, wanted: u64) -> Result<Option<Digest>, CallError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(digest) = self.config_maps.get(&key, wanted) {
            return Ok(Some(digest));
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let Some(map) = bounded("read", "ConfigMap", namespace, name, api.get_opt(name)).await? else {
            return Ok(None);
        };
        let digest = Digest::of(&json!([map.data, map.binary_data]));
        self.config_maps.insert(key, version(&map.metadata), digest);
        Ok(Some(digest))
    }

    async fn read(&self, namespace: &str, name: &str, wanted: u64) -> Result<Option<Arc<SecretData>>, CallError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(data) = self.secrets.get(&key, wanted) {
            return Ok(Some(data));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let Some(secret) = bounded("read", "Secret", namespace, name, api.get_opt(name)).await? else {
            return Ok(None);
        };
        let read = version(&secret.metadata);
        let owner = controller(&secret.metadata);
        let created = secret.metadata.creation_timestamp.map(|time| time.0);
        let keys = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        let data = Arc::new(SecretData { keys, owner, created });
        self.secrets.insert(key, read, data.clone());
        Ok(Some(data))
    }
}
