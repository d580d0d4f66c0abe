//! Reading the Secrets that a project refers to: once for each version that the watch announced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use super::Cluster;
use super::call::{CallError, bounded};
use super::stores::{ProjectKey, controller, version};
use crate::plan::inputs::{SecretData, Secrets};

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

impl Cluster {
    /// The named Secrets of a project's namespace.
    ///
    /// # Errors
    /// The API server refused or did not answer. A Secret that does not exist is not an error.
    pub async fn fetch(&self, project: &ProjectKey, names: &[String]) -> Result<Secrets, CallError> {
        self.stores.refer(project, names);
        let mut secrets = Secrets::new();
        for name in names {
            let data = match self.stores.secret_version(&project.namespace, name) {
                Some(version) => self.read(&project.namespace, name, version).await?,
                None => None,
            };
            secrets.insert(name.clone(), data);
        }
        Ok(secrets)
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
