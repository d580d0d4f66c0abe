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

/// Data of Secrets by namespace and name, with the version that it was read at.
#[derive(Default)]
pub struct SecretCache(Mutex<Cached>);

type Cached = HashMap<(String, String), (u64, Arc<SecretData>)>;

impl SecretCache {
    fn with<R>(&self, work: impl FnOnce(&mut Cached) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The data as of `wanted` or newer.
    fn get(&self, key: &(String, String), wanted: u64) -> Option<Arc<SecretData>> {
        self.with(|cache| cache.get(key).filter(|(version, _)| *version >= wanted).map(|(_, data)| data.clone()))
    }

    /// The last data that was read, however old.
    pub fn last(&self, namespace: &str, name: &str) -> Option<Arc<SecretData>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.with(|cache| cache.get(&key).map(|(_, data)| data.clone()))
    }

    /// Forgets what only the given project of its namespace may have needed.
    pub fn forget(&self, namespace: &str, names: &[String]) {
        self.with(|cache| cache.retain(|(of, name), _| of != namespace || !names.contains(name)));
    }
}

/// Digests of `ConfigMaps`, with the version that they were read at: their content is nobody's business here.
#[derive(Default)]
pub struct ConfigMapCache(Mutex<HashMap<(String, String), (u64, Digest)>>);

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
        for SourceKey { source, namespace, name } in keys {
            let key = SourceKey { source, namespace: namespace.clone(), name: name.clone() };
            let version = self.stores.source_version(&key);
            match (source, version) {
                (Source::Secret, None) => drop(secrets.insert(name, None)),
                (Source::Secret, Some(version)) => {
                    let data = self.read(&namespace, &name, version).await?;
                    secrets.insert(name, data);
                }
                (Source::ConfigMap, None) => drop(config_maps.insert(name, None)),
                (Source::ConfigMap, Some(version)) => {
                    let digest = self.read_config_map(&namespace, &name, version).await?;
                    config_maps.insert(name, digest);
                }
            }
        }
        Ok((secrets, config_maps))
    }

    async fn read_config_map(&self, namespace: &str, name: &str, wanted: u64) -> Result<Option<Digest>, CallError> {
        let key = (namespace.to_owned(), name.to_owned());
        let known = |cache: &ConfigMapCache| cache.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some((_, digest)) = known(&self.config_maps).filter(|(version, _)| *version >= wanted) {
            return Ok(Some(digest));
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let Some(map) = bounded("read", "ConfigMap", namespace, name, api.get_opt(name)).await? else {
            return Ok(None);
        };
        let digest = Digest::of(&json!([map.data, map.binary_data]));
        let read = version(&map.metadata);
        self.config_maps.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (read, digest));
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
        self.secrets.with(|cache| cache.insert(key, (read, data.clone())));
        Ok(Some(data))
    }
}
