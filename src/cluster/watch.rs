//! The watches: events go into the [`Stores`], and the projects that they concern into the [`Trigger`].
//!
//! Children are watched by our label, Secrets that projects refer to by metadata alone. Each watch waits longer after
//! each failure and lists anew when the server forgot where it was.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Client;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use super::call::is_absent;
use super::seen::{ProjectKey, version};
use super::stores::{Source, SourceKey, Stores};
use super::trouble::Trouble;
use crate::api::SupabaseProject;
use crate::kind::Kind;
use crate::render::MANAGED_BY;

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
const REFERABLE_SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// Every namespace has one.
const REFERABLE_CONFIG_MAPS: &str = "metadata.name!=kube-root-ca.crt";

/// Starts every watch in every scope. Resolves when each has seen a whole list.
pub async fn start(client: &Client, scopes: &[Scope], stores: &Arc<Stores>, trigger: &Trigger) {
    let (synced, _) = watch::channel(0_usize);
    let ours = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)).page_size(PAGE);
    let everything = watcher::Config::default().page_size(PAGE);
    let mut started = 0;
    for scope in scopes {
        for kind in Kind::ALL {
            let children = Children { kind, scope: scope.clone(), stores: stores.clone(), missing: HashSet::new() };
            // Of other operators' objects also those that are not ours: some cannot live side by side.
            let config = if kind.upstream().is_some() { everything.clone() } else { ours.clone() };
            let api = match scope.as_deref() {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
                None => Api::all_with(client.clone(), &kind.resource()),
            };
            tokio::spawn(follow(api, config, children, trigger.clone(), synced.clone()));
        }
        let pods = Pods { scope: scope.clone(), stores: stores.clone(), missing: HashSet::new() };
        tokio::spawn(follow(api::<Pod>(client, scope), ours.clone(), pods, trigger.clone(), synced.clone()));
        let sources = |source| Sources { source, scope: scope.clone(), stores: stores.clone(), listed: HashSet::new() };
        let config = |fields| watcher::Config::default().fields(fields).page_size(PAGE);
        let secrets = api::<PartialObjectMeta<Secret>>(client, scope);
        let of_secrets = Metadata::new(sources(Source::Secret));
        tokio::spawn(follow(secrets, config(REFERABLE_SECRETS), of_secrets, trigger.clone(), synced.clone()));
        let config_maps = api::<PartialObjectMeta<ConfigMap>>(client, scope);
        let of_config_maps = Metadata::new(sources(Source::ConfigMap));
        tokio::spawn(follow(
            config_maps,
            config(REFERABLE_CONFIG_MAPS),
            of_config_maps,
            trigger.clone(),
            synced.clone(),
        ));
        started += Kind::ALL.len() + 3;
    }
    // The sender lives in this function: waiting cannot fail.
    let _ = synced.subscribe().wait_for(|done| *done >= started).await;
}

fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match scope.as_deref() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
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
    /// The API server does not know the kind; `None` where that is an error as any other.
    fn unknown(&mut self) -> Option<Vec<ProjectKey>> {
        None
    }
    fn what(&self) -> String;
}

/// Between two looks whether a kind is served by now.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(10);

async fn follow<K, F>(api: Api<K>, config: watcher::Config, mut fold: F, trigger: Trigger, synced: watch::Sender<usize>)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Fold<Object = K>,
{
    let mut answered = Answered { synced, before: false };
    loop {
        let events = watcher(api.clone(), config.clone()).default_backoff();
        run(events, &mut fold, &trigger, &mut answered).await;
        // A kind that comes back has other versions: this watch cannot go on.
        tokio::time::sleep(UNKNOWN_INTERVAL).await;
    }
}

/// Whether a watch has told all there is, once.
struct Answered {
    synced: watch::Sender<usize>,
    before: bool,
}

impl Answered {
    fn now(&mut self) {
        if !self.before {
            self.synced.send_modify(|done| *done += 1);
        }
        self.before = true;
    }
}

/// Ends when the API server does not know the kind.
async fn run<K, F: Fold<Object = K>>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    fold: &mut F,
    trigger: &Trigger,
    answered: &mut Answered,
) {
    let mut events = std::pin::pin!(events);
    let mut unknown = false;
    while !unknown && let Some(event) = events.next().await {
        let projects = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => fold.saw(&object),
            Ok(watcher::Event::Delete(object)) => fold.gone(&object),
            Ok(watcher::Event::Init) => {
                fold.started();
                Vec::new()
            }
            Ok(watcher::Event::InitDone) => {
                answered.now();
                fold.listed()
            }
            Err(error) => {
                let Some(projects) = is_not_served(&error).then(|| fold.unknown()).flatten() else {
                    tracing::warn!(%error, what = fold.what(), "watch interrupted; it goes on by itself");
                    continue;
                };
                answered.now();
                unknown = true;
                projects
            }
        };
        // Before the first answer there is no reconciler to wake: it starts with every project.
        if answered.before {
            for project in projects {
                trigger.fire(&project).await;
            }
        }
    }
}

/// A kind that is not installed, or not any more.
fn is_not_served(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => is_absent(status),
        _ => false,
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
        if let Some(upstream) = self.kind.upstream() {
            self.stores.forget_names(upstream, self.scope.as_deref());
        }
    }

    fn saw(&mut self, object: &DynamicObject) -> Vec<ProjectKey> {
        self.missing.remove(object.metadata.uid.as_deref().unwrap_or_default());
        if let Some(upstream) = self.kind.upstream() {
            self.stores.saw_name(upstream, &object.metadata, true);
        }
        self.stores.saw(self.kind, object)
    }

    fn gone(&mut self, object: &DynamicObject) -> Vec<ProjectKey> {
        if let Some(upstream) = self.kind.upstream() {
            self.stores.saw_name(upstream, &object.metadata, false);
        }
        self.stores.gone(&object.metadata).into_iter().collect()
    }

    fn listed(&mut self) -> Vec<ProjectKey> {
        let mut projects = self.stores.forget(std::mem::take(&mut self.missing));
        if let Some(upstream) = self.kind.upstream() {
            projects.extend(self.stores.saw_served(upstream, true));
        }
        projects
    }

    fn unknown(&mut self) -> Option<Vec<ProjectKey>> {
        let upstream = self.kind.upstream()?;
        self.started();
        let mut projects = self.stores.forget(std::mem::take(&mut self.missing));
        projects.extend(self.stores.saw_served(upstream, false));
        Some(projects)
    }

    fn what(&self) -> String {
        format!("{}s", self.kind.as_str())
    }
}

/// Pods in trouble; the others are forgotten at once.
struct Pods {
    scope: Scope,
    stores: Arc<Stores>,
    missing: HashSet<Box<str>>,
}

fn uid(metadata: &ObjectMeta) -> &str {
    metadata.uid.as_deref().unwrap_or_default()
}

impl Fold for Pods {
    type Object = Pod;

    fn started(&mut self) {
        self.missing = self.stores.troubled(self.scope.as_deref());
    }

    fn saw(&mut self, pod: &Pod) -> Vec<ProjectKey> {
        self.missing.remove(uid(&pod.metadata));
        self.stores.saw_trouble(uid(&pod.metadata), Trouble::of_pod(pod)).into_iter().collect()
    }

    fn gone(&mut self, pod: &Pod) -> Vec<ProjectKey> {
        self.stores.saw_trouble(uid(&pod.metadata), None).into_iter().collect()
    }

    fn listed(&mut self) -> Vec<ProjectKey> {
        let missing = std::mem::take(&mut self.missing);
        missing.iter().filter_map(|uid| self.stores.saw_trouble(uid, None)).collect()
    }

    fn what(&self) -> String {
        "Pods".to_owned()
    }
}

/// Versions of Secrets or `ConfigMaps` of which nothing but the metadata is watched.
struct Sources {
    source: Source,
    scope: Scope,
    stores: Arc<Stores>,
    listed: HashSet<SourceKey>,
}

impl Sources {
    fn key(&self, metadata: &ObjectMeta) -> SourceKey {
        SourceKey {
            source: self.source,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// [`Sources`] of a kind.
struct Metadata<K> {
    sources: Sources,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<K> Metadata<K> {
    fn new(sources: Sources) -> Self {
        Self { sources, kind: std::marker::PhantomData }
    }
}

impl<K: 'static> Fold for Metadata<K> {
    type Object = PartialObjectMeta<K>;

    fn started(&mut self) {
        self.sources.listed.clear();
    }

    fn saw(&mut self, object: &Self::Object) -> Vec<ProjectKey> {
        let key = self.sources.key(&object.metadata);
        let projects = self.sources.stores.saw_source(&key, Some(version(&object.metadata)));
        self.sources.listed.insert(key);
        projects
    }

    fn gone(&mut self, object: &Self::Object) -> Vec<ProjectKey> {
        self.sources.stores.saw_source(&self.sources.key(&object.metadata), None)
    }

    fn listed(&mut self) -> Vec<ProjectKey> {
        let Sources { source, scope, stores, listed } = &mut self.sources;
        stores.retain_sources(*source, scope.as_deref(), &std::mem::take(listed))
    }

    fn what(&self) -> String {
        format!("{:?}s", self.sources.source)
    }
}
