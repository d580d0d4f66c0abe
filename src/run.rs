//! Wiring: client, watches, lease, controllers, web server, and their end. No decision is made here.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, future};
use kube::api::Api;
use kube::client::ClientBuilder;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config as ControllerConfig, Controller};
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Client, ResourceExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

use crate::api::SupabaseProject;
use crate::checks::Runner;
use crate::cluster::{self, Cluster, Leading, Scope, Stores, Trigger, Wakes};
use crate::config::Config;
use crate::controller::{Context, on_error, reconcile};
use crate::leader::Leadership;
use crate::telemetry::{Metrics, Telemetry};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("no Kubernetes API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    #[error("cannot make a Kubernetes client: {0}")]
    Client(#[source] Box<kube::Error>),
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    #[error("cannot take part in the leader lease: {0}")]
    Lease(#[from] kube_lease_manager::LeaseManagerError),
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
        () = cluster::start(&client, &scopes, &stores, &trigger) => telemetry.set_ready(),
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "every watch has seen a whole list");

    let leadership = Leadership::seek(client.clone(), &config.lease).await?;
    let leading = leadership.leading.clone();
    let cluster = Cluster::new(client.clone(), stores, leading.clone(), Some(config.lease.identity.clone()));
    // No proxy: what is asked is inside of the cluster.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    let runner = Runner::new(usize::from(config.checks), trigger);
    let context = Arc::new(Context::new(cluster, runner, http, telemetry.metrics.clone()));
    let controllers = wakes.into_iter().map(|(scope, wakes)| {
        control(client.clone(), scope, wakes, config.concurrency, leading.clone(), context.clone(), stop.clone())
    });
    future::join_all(controllers).await;

    drop(leading);
    drop(context);
    leadership.release().await;
    // The server ends with the same token; it has nothing to say that matters now.
    let _ = server.await;
    Ok(())
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

async fn control(
    client: Client,
    scope: Scope,
    wakes: Wakes,
    concurrency: u16,
    leading: Leading,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let writer = Writer::<SupabaseProject>::default();
    let store = writer.as_reader();
    let projects = projects(client, scope.as_deref(), writer, context.clone());
    let wakes = futures::stream::unfold(wakes, |mut wakes| async { Some((wakes.recv().await?, wakes)) });
    let metrics = context.metrics.clone();
    // Becoming leader is a reason to look at every project; the watches are warm already.
    let promotions = futures::stream::unfold(leading, move |mut leading| {
        let metrics = metrics.clone();
        async move {
            loop {
                leading.changed().await.ok()?;
                let leads = *leading.borrow_and_update();
                tracing::info!(leads, "leadership changed");
                metrics.leading(leads);
                if leads {
                    return Some(((), leading));
                }
            }
        }
    });
    Controller::for_stream(projects, store)
        .with_config(ControllerConfig::default().concurrency(concurrency))
        .reconcile_on(wakes)
        .reconcile_all_on(promotions)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, context)
        .for_each(|_| future::ready(()))
        .await;
}

/// Projects whose spec, labels, annotations or end changed; never those whose status we wrote.
fn projects(
    client: Client,
    scope: Option<&str>,
    writer: Writer<SupabaseProject>,
    context: Arc<Context>,
) -> impl Stream<Item = Result<SupabaseProject, watcher::Error>> + Send + 'static {
    let api: Api<DeserializeGuard<SupabaseProject>> = match scope {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let events = watcher(api, watcher::Config::default().page_size(100))
        .default_backoff()
        .try_filter_map(|event| future::ready(Ok(readable(event))))
        .inspect_ok(move |event| {
            if let watcher::Event::Delete(project) = event {
                context.forget(project);
            }
        })
        .modify(|project| project.managed_fields_mut().clear());
    let relevant = predicates::generation
        .combine(predicates::labels)
        .combine(predicates::annotations)
        .combine(|project: &SupabaseProject| Some(u64::from(project.metadata.deletion_timestamp.is_some())));
    reflector::reflector(writer, events)
        .applied_objects()
        .predicate_filter(relevant, PredicateConfig::default().ttl(Duration::from_secs(24 * 3600)))
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
        watcher::Event::Delete(guard) => watcher::Event::Delete(read(guard)?),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    })
}
