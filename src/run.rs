//! Wiring: client, watches, lease, controllers, web server, and their end. No decision is made here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, BoxFuture};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::client::ClientBuilder;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::controller::{self, Config as ControllerConfig, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Client, ResourceExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::api::{SupabaseProject, SupabaseProjectSpec};
use crate::checks::Runner;
use crate::cluster::{self, Cluster, Leading, Stores, Trigger, Wakes};
use crate::config::{Config, ConfigError};
use crate::controller::{Context, on_error, reconcile};
use crate::leader::Leadership;
use crate::telemetry::{Metrics, Telemetry};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Settings(#[from] ConfigError),
    #[error("no Kubernetes API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    #[error("cannot make a Kubernetes client: {0}")]
    Client(#[source] Box<kube::Error>),
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error("cannot serve on {address}: {source}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot listen for signals: {0}")]
    Signal(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT, then lets reconciles finish and gives the lease back.
///
/// # Errors
/// Something that the operator cannot do without is not there.
pub async fn run(config: Config) -> Result<(), RunError> {
    let catalogue = Arc::new(config.images.catalogue()?);
    let stop = stop_signal()?;
    let telemetry = Telemetry::default();
    let address = config.http_address;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let server = axum::serve(listener, telemetry.router()).with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(server.into_future());

    let client = client(&telemetry.metrics).await?;
    let scopes = config.scopes();
    let (trigger, wakes) = Trigger::new(&scopes);
    let stores = Arc::new(Stores::default());
    tokio::select! {
        () = cluster::start(&client, &scopes, &stores, &trigger) => {}
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "every watch of objects has seen a whole list");

    let leave = CancellationToken::new();
    let mut leadership = Leadership::seek(client.clone(), &config.lease, leave.clone());
    let leading = leadership.leading.clone();
    let cluster = Cluster::new(client.clone(), stores, leading.clone(), Some(config.lease.identity.clone()));
    // No proxy: what is asked is inside of the cluster. No redirects: a tenant's gateway must not choose what is asked.
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()?;
    let runner = Runner::new(usize::from(config.checks), trigger);
    let context = Arc::new(Context::new(cluster, runner, http, telemetry.metrics.clone(), catalogue));
    tokio::spawn(follow_leadership(leading.clone(), context.clone()));
    let (listed, controllers): (Vec<_>, Vec<_>) = wakes
        .into_iter()
        .map(|(scope, wakes)| {
            let listed = CancellationToken::new();
            let projects = projects(client.clone(), scope.as_deref(), context.clone(), listed.clone());
            (listed, control(projects, wakes, config.concurrency, leading.clone(), &context, &stop))
        })
        .unzip();
    tokio::spawn(async move {
        for listed in listed {
            listed.cancelled().await;
        }
        telemetry.set_ready();
    });
    // Reconciles finish what they do, for as long as the pod has; then the lease is given back.
    let finished = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        _ = future::join_all(controllers) => {}
        () = finished => tracing::warn!("a reconcile did not finish in time; what it left is done by the next instance"),
        () = leadership.ended() => {}
    }
    stop.cancel();
    leave.cancel();
    leadership.ended().await;
    // The server ends with the same token; it has nothing to say that matters now.
    let _ = server.await;
    Ok(())
}

/// Of the pod's 30 seconds.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// What an instance remembers is worthless once another one may have written.
async fn follow_leadership(mut leading: Leading, context: Arc<Context>) {
    while leading.changed().await.is_ok() {
        let leads = *leading.borrow_and_update();
        tracing::info!(leads, "leadership changed");
        context.metrics.leading(leads);
        if !leads {
            context.forget_all();
        }
    }
}

fn stop_signal() -> Result<CancellationToken, RunError> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping");
        token.cancel();
    });
    Ok(stop)
}

/// A client that counts its requests.
async fn client(metrics: &Arc<Metrics>) -> Result<Client, RunError> {
    let config = kube::Config::infer().await?;
    let metrics = metrics.clone();
    let count = ServiceBuilder::new().map_request(move |request: http::Request<kube::client::Body>| {
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("other");
        metrics.request(verb);
        request
    });
    let builder = ClientBuilder::try_from(config).map_err(|error| RunError::Client(Box::new(error)))?;
    Ok(builder.with_layer(&count.into_inner()).build())
}

/// A controller of one scope: woken by its own projects, by watches and checks, and by becoming leader.
fn control(
    (projects, store): (impl Stream<Item = watcher::Result<SupabaseProject>> + Send + 'static, Store<SupabaseProject>),
    wakes: Wakes,
    concurrency: u16,
    leading: Leading,
    context: &Arc<Context>,
    stop: &CancellationToken,
) -> BoxFuture<'static, ()> {
    let wakes = futures::stream::unfold(wakes, |mut wakes| async { Some((wakes.recv().await?, wakes)) });
    // Becoming leader is a reason to look at every project; the watches are warm already.
    let promotions = futures::stream::unfold(leading, |mut leading| async {
        loop {
            leading.changed().await.ok()?;
            if *leading.borrow_and_update() {
                return Some(((), leading));
            }
        }
    });
    Controller::for_stream(projects, store)
        .with_config(ControllerConfig::default().concurrency(concurrency))
        .reconcile_on(wakes)
        .reconcile_all_on(promotions)
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, on_error, context.clone())
        .for_each(|result| {
            if let Err(controller::Error::QueueError(error)) = result {
                tracing::warn!(%error, "watch of SupabaseProjects interrupted; it goes on by itself");
            }
            future::ready(())
        })
        .boxed()
}

/// Projects whose spec, labels, annotations or end changed (never those whose status we wrote), and the store of all.
/// `listed` is cancelled when the first list is whole: a store tells that to one listener only, and the controller is it.
fn projects(
    client: Client,
    scope: Option<&str>,
    context: Arc<Context>,
    listed: CancellationToken,
) -> (impl Stream<Item = watcher::Result<SupabaseProject>> + Send + 'static, Store<SupabaseProject>) {
    let writer = Writer::<SupabaseProject>::default();
    let store = writer.as_reader();
    let api: Api<DeserializeGuard<SupabaseProject>> = match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = watcher(api, watcher::Config::default().page_size(100))
        .default_backoff()
        .try_filter_map(|event| future::ready(Ok(readable(event))))
        .inspect_ok(move |event| match event {
            watcher::Event::Delete(project) => context.forget(project),
            watcher::Event::InitDone => listed.cancel(),
            _ => {}
        })
        .modify(|project| project.managed_fields_mut().clear());
    let relevant = predicates::generation
        .combine(predicates::labels)
        .combine(predicates::annotations)
        .combine(|project: &SupabaseProject| Some(u64::from(project.metadata.deletion_timestamp.is_some())));
    let relevant = reflector::reflector(writer, events)
        .applied_objects()
        .predicate_filter(relevant, PredicateConfig::default().ttl(Duration::from_secs(24 * 3600)));
    (relevant, store)
}

/// One object that this version cannot read must not hide the others.
fn readable(event: watcher::Event<DeserializeGuard<SupabaseProject>>) -> Option<watcher::Event<SupabaseProject>> {
    let read = |guard: DeserializeGuard<SupabaseProject>| match guard.0 {
        Ok(project) => Some(project),
        Err(invalid) => {
            let metadata = &invalid.metadata;
            tracing::error!(
                error = invalid.error,
                namespace = metadata.namespace,
                name = metadata.name,
                "a SupabaseProject does not fit this version's schema and is left alone"
            );
            None
        }
    };
    Some(match event {
        watcher::Event::Apply(guard) => watcher::Event::Apply(read(guard)?),
        watcher::Event::InitApply(guard) => watcher::Event::InitApply(read(guard)?),
        // Also of what could not be read, or its last readable form would stay in the store for ever.
        watcher::Event::Delete(guard) => {
            watcher::Event::Delete(guard.0.unwrap_or_else(|invalid| remains(invalid.metadata)))
        }
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    })
}

/// As much of an unreadable project as a store needs to forget it.
fn remains(metadata: ObjectMeta) -> SupabaseProject {
    SupabaseProject { metadata, spec: SupabaseProjectSpec::default(), status: None }
}
