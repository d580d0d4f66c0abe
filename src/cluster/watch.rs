//! The watches: events go into the [`Stores`], and the projects that they concern into the [`Trigger`].
//!
//! Children are watched by our label, Secrets that projects refer to by metadata alone. Each watch waits longer after
//! each failure and lists anew when the server forgot where it was.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::stores::{ProjectKey, Stores, version};
use crate::api::SupabaseProject;
use crate::render::{Kind, MANAGED_BY};

/// Where watches and finished checks say which project shall be looked at.
#[derive(Clone)]
pub struct Trigger(Arc<HashMap<Scope, mpsc::Sender<ObjectRef<SupabaseProject>>>>);

/// A namespace, or all of them.
pub type Scope = Option<String>;

/// What one controller is woken by.
pub type Wakes = mpsc::Receiver<ObjectRef<SupabaseProject>>;

impl Trigger {
    /// One channel for each scope. The bound only matters while a reconciler is slower than the API server: then
    /// watches wait.
    pub fn new(scopes: &[Scope]) -> (Self, Vec<(Scope, Wakes)>) {
        let mut senders = HashMap::new();
        let mut wakes = Vec::new();
        for scope in scopes {
            let (sender, receiver) = mpsc::channel(1024);
            senders.insert(scope.clone(), sender);
            wakes.push((scope.clone(), receiver));
        }
        (Self(Arc::new(senders)), wakes)
    }

    pub async fn fire(&self, project: &ProjectKey) {
        let reference = ObjectRef::new(&project.name).within(&project.namespace);
        let sender = self.0.get(&Some(project.namespace.clone())).or_else(|| self.0.get(&None));
        if let Some(sender) = sender {
            // A closed channel means that the operator is stopping.
            let _ = sender.send(reference).await;
        }
    }
}

/// Small pages: a page is what is held in full while it is read.
const PAGE: u32 = 100;

/// Helm's release Secrets are large and many, tokens change often, and no project refers to either.
const REFERABLE: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// Starts every watch in every scope. Resolves when each has seen a whole list.
pub async fn start(client: &Client, scopes: &[Scope], stores: &Arc<Stores>, trigger: &Trigger) {
    let (synced, _) = watch::channel(0_usize);
    let mut started = 0;
    for scope in scopes {
        for kind in Kind::ALL {
            let children = Children { kind, scope: scope.clone(), stores: stores.clone(), missing: HashSet::new() };
            let config =
                watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)).page_size(PAGE);
            let api = match scope.as_deref() {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
                None => Api::all_with(client.clone(), &kind.resource()),
            };
            tokio::spawn(follow(api, config, children, trigger.clone(), synced.clone()));
            started += 1;
        }
        let secrets = Secrets { scope: scope.clone(), stores: stores.clone(), listed: HashSet::new() };
        let config = watcher::Config::default().fields(REFERABLE).page_size(PAGE);
        let api: Api<PartialObjectMeta<Secret>> = match scope.as_deref() {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        tokio::spawn(follow(api, config, secrets, trigger.clone(), synced.clone()));
        started += 1;
    }
    // The sender lives in this function: waiting cannot fail.
    let _ = synced.subscribe().wait_for(|done| *done >= started).await;
}

/// What a watch does with what it sees. Every method returns the projects to look at.
trait Fold: Send + 'static {
    type Object;
    /// A list begins.
    fn started(&mut self);
    fn saw(&mut self, object: &Self::Object) -> Vec<ProjectKey>;
    fn gone(&mut self, object: &Self::Object) -> Vec<ProjectKey>;
    /// The list is whole.
    fn listed(&mut self) -> Vec<ProjectKey>;
    fn what(&self) -> String;
}

async fn follow<K, F>(api: Api<K>, config: watcher::Config, fold: F, trigger: Trigger, synced: watch::Sender<usize>)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Fold<Object = K>,
{
    let events = watcher(api, config).default_backoff();
    run(events, fold, trigger, synced).await;
}

async fn run<K, F: Fold<Object = K>>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    mut fold: F,
    trigger: Trigger,
    synced: watch::Sender<usize>,
) {
    let mut events = std::pin::pin!(events);
    let mut whole = false;
    while let Some(event) = events.next().await {
        let projects = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => fold.saw(&object),
            Ok(watcher::Event::Delete(object)) => fold.gone(&object),
            Ok(watcher::Event::Init) => {
                fold.started();
                Vec::new()
            }
            Ok(watcher::Event::InitDone) => {
                if !whole {
                    whole = true;
                    synced.send_modify(|done| *done += 1);
                }
                fold.listed()
            }
            Err(error) => {
                tracing::warn!(%error, what = fold.what(), "watch interrupted; it goes on by itself");
                continue;
            }
        };
        // Before the first list is whole there is no reconciler to wake: it starts with every project.
        if whole {
            for project in projects {
                trigger.fire(&project).await;
            }
        }
    }
}

struct Children {
    kind: Kind,
    scope: Scope,
    stores: Arc<Stores>,
    /// What was known when a list began and has not been in it yet.
    missing: HashSet<Box<str>>,
}

impl Fold for Children {
    type Object = DynamicObject;

    fn started(&mut self) {
        self.missing = self.stores.uids(self.kind, self.scope.as_deref());
    }

    fn saw(&mut self, object: &DynamicObject) -> Vec<ProjectKey> {
        self.missing.remove(object.metadata.uid.as_deref().unwrap_or_default());
        self.stores.saw(self.kind, object)
    }

    fn gone(&mut self, object: &DynamicObject) -> Vec<ProjectKey> {
        self.stores.gone(&object.metadata).into_iter().collect()
    }

    fn listed(&mut self) -> Vec<ProjectKey> {
        self.stores.forget(std::mem::take(&mut self.missing))
    }

    fn what(&self) -> String {
        format!("{}s", self.kind.as_str())
    }
}

struct Secrets {
    scope: Scope,
    stores: Arc<Stores>,
    listed: HashSet<(String, String)>,
}

fn secret_key(metadata: &ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

impl Fold for Secrets {
    type Object = PartialObjectMeta<Secret>;

    fn started(&mut self) {
        self.listed.clear();
    }

    fn saw(&mut self, object: &Self::Object) -> Vec<ProjectKey> {
        let (namespace, name) = secret_key(&object.metadata);
        let projects = self.stores.saw_secret(&namespace, &name, Some(version(&object.metadata)));
        self.listed.insert((namespace, name));
        projects
    }

    fn gone(&mut self, object: &Self::Object) -> Vec<ProjectKey> {
        let (namespace, name) = secret_key(&object.metadata);
        self.stores.saw_secret(&namespace, &name, None)
    }

    fn listed(&mut self) -> Vec<ProjectKey> {
        let listed = std::mem::take(&mut self.listed);
        self.stores.retain_secrets(self.scope.as_deref(), &listed)
    }

    fn what(&self) -> String {
        "Secrets".to_owned()
    }
}
