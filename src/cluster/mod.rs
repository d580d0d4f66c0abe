//! All Kubernetes I/O: watches and what they saw, reading Secrets, writing objects, status and Events.

mod apply;
mod call;
mod fetch;
mod seen;
mod stores;
mod surroundings;
mod trouble;
mod watch;

pub use apply::{Applied, ApplyError, Change, ChangeCause, Outcome};
pub use call::{CallError, bounded};
pub use fetch::{ConfigMapCache, SecretCache};
pub use seen::{ObjectKey, ProjectKey, Rollout, Seen};
pub use stores::Stores;
pub use surroundings::surroundings;
pub use trouble::Trouble;
pub use watch::{Scope, Trigger, Wakes, start};

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;

use crate::api::{SupabaseProject, SupabaseProjectStatus};
use crate::plan::Identity;
use crate::render::MANAGER;

/// Field manager of the status: another one than that of the children, because these are other writes.
const STATUS_MANAGER: &str = "supabase-operator-status";

/// Whether this instance has the lease.
pub type Leading = tokio::sync::watch::Receiver<bool>;

/// The door to the API server.
pub struct Cluster {
    client: Client,
    pub stores: Arc<Stores>,
    pub secrets: SecretCache,
    pub config_maps: ConfigMapCache,
    recorder: Recorder,
    leading: Leading,
}

impl Cluster {
    pub fn new(client: Client, stores: Arc<Stores>, leading: Leading, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance };
        let recorder = Recorder::new(client.clone(), reporter);
        Self {
            client,
            stores,
            secrets: SecretCache::default(),
            config_maps: ConfigMapCache::default(),
            recorder,
            leading,
        }
    }

    pub fn is_leading(&self) -> bool {
        *self.leading.borrow()
    }

    /// Every write passes here: an instance without the lease keeps its watches warm and writes nothing.
    fn gate(&self) -> Result<(), CallError> {
        if self.is_leading() { Ok(()) } else { Err(CallError::NotLeader) }
    }

    /// Creates a Secret of generated keys. `Ok(false)`: there is one already.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn create_secret(&self, identity: &Identity, secret: &Secret) -> Result<bool, CallError> {
        self.gate()?;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &identity.namespace);
        let name = secret.metadata.name.clone().unwrap_or_default();
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let created = bounded("create", "Secret", &identity.namespace, &name, api.create(&parameters, secret)).await;
        match created {
            Ok(_) => Ok(true),
            Err(error) if error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the status. The caller has compared it with the old one.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub async fn write_status(&self, identity: &Identity, status: &SupabaseProjectStatus) -> Result<(), CallError> {
        self.gate()?;
        let api: Api<SupabaseProject> = Api::namespaced(self.client.clone(), &identity.namespace);
        let name = identity.name.as_str();
        let body = json!({
            "apiVersion": "supabase-operator.dev/v1alpha1",
            "kind": "SupabaseProject",
            // The uid makes this a conflict, not a write, when the project was made anew in the meantime.
            "metadata": {"name": name, "uid": identity.uid},
            "status": status,
        });
        let parameters = PatchParams::apply(STATUS_MANAGER).force();
        let patch = Patch::Apply(&body);
        let call = api.patch_status(name, &parameters, &patch);
        bounded("patch the status of", "SupabaseProject", &identity.namespace, name, call).await.map(drop)
    }

    /// Tells an Event about a project. A lost Event is logged, nothing more: the condition says the same.
    ///
    /// Events of one reason and one action are counted up instead of repeated, so `action` says what it is about.
    pub async fn tell(&self, identity: &Identity, kind: EventType, reason: &str, action: &str, note: String) {
        if !self.is_leading() {
            return;
        }
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            // The API server refuses notes of more than 1024 bytes.
            note: Some(shorten(note, 1000)),
            action: shorten(action.to_owned(), 120),
            secondary: None,
        };
        let regarding = ObjectReference {
            api_version: Some("supabase-operator.dev/v1alpha1".to_owned()),
            kind: Some("SupabaseProject".to_owned()),
            name: Some(identity.name.to_string()),
            namespace: Some(identity.namespace.clone()),
            uid: Some(identity.uid.clone()),
            ..ObjectReference::default()
        };
        let name = identity.name.as_str();
        let publish = self.recorder.publish(&event, &regarding);
        if let Err(error) = bounded("publish an Event of", "SupabaseProject", &identity.namespace, name, publish).await
        {
            tracing::warn!(%error, "an Event was lost");
        }
    }
}

fn shorten(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
