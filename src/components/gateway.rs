//! Envoy, the only door to a project. The route table and Envoy's files are made in [`crate::gateway`]; this is where
//! a plan meets them.

use std::collections::BTreeMap;

use super::{COMPONENTS, Command, Component, Configuration, Probes, Shape, Size, Stop, Workload};
use crate::gateway::{self, Address, Keys, Upstreams};
use crate::plan::keys::Credentials;
use crate::plan::{Identity, Plan};
use crate::sensitive::Sensitive;

pub static WORKLOAD: Workload = Workload {
    component: Component::Gateway,
    name: "gateway",
    title: "the API gateway",
    condition: "GatewayReady",
    spec: |spec| spec.gateway.as_ref(),
    upstream: None,
    port: gateway::PORT,
    user: 101,
    // The data port, not the admin port: that one says ready without listeners and without routes.
    probes: Probes { port: gateway::PORT, ready: gateway::READY_PATH, live: gateway::READY_PATH, start_seconds: 60 },
    command: Command::Program("/usr/local/bin/envoy", gateway::args),
    configuration,
    size: Size { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
    stop: Stop::Drain { command: gateway::drain_command, grace_seconds: 45 },
};

/// Address of a project's gateway inside of the cluster. The cluster's domain is left to the resolver.
pub fn internal_url(identity: &Identity) -> String {
    let service = identity.name.component(Component::Gateway);
    format!("http://{service}.{}.svc:{}", identity.namespace, WORKLOAD.port)
}

fn upstreams(plan: &Plan) -> Upstreams {
    let address = |workload: &Workload| Address {
        host: plan.identity.name.component(workload.component).to_string(),
        port: workload.port,
    };
    COMPONENTS.iter().filter_map(|workload| Some((workload.upstream?, address(workload)))).collect()
}

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let upstreams = upstreams(plan);
    let routes = gateway::routes(plan.identity.name.as_str(), &plan.public_url);
    let one = |key: &Sensitive| vec![key.expose().to_owned()];
    let keys = Keys {
        publishable: one(&credentials.publishable_key),
        secret: one(&credentials.secret_key),
        anon: one(&credentials.anon_key),
        service: one(&credentials.service_role_key),
        anon_jwt: credentials.anon_token.expose().to_owned(),
        service_jwt: credentials.service_role_token.expose().to_owned(),
        dashboard: None,
    };
    let files = gateway::files(&upstreams);
    let routes_file = Sensitive::new(gateway::routes_file(&routes, &upstreams, &keys));
    Configuration {
        plain: files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect(),
        secret: BTreeMap::from([(gateway::ROUTES_FILE.to_owned(), routes_file)]),
        shape: Shape::Files { plain_directory: gateway::CONFIG_DIR, secret_directory: gateway::SECRET_DIR },
    }
}
