//! The gateway, the only door to a project: Envoy, or Kong. The route table and both gateways' files are made in
//! [`crate::gateway`]; this is where a plan meets them.

use std::collections::BTreeMap;

use super::{Command, Component, Configuration, Content, Probes, Settings, Size, Stop, Workload};
use crate::gateway::{self, Address, Dashboard, Keys, Route, Upstreams};
use crate::plan::keys::Credentials;
use crate::plan::{Identity, Login, Plan};
use crate::sensitive::Sensitive;

pub static ENVOY: &Workload = &Workload {
    component: Component::Gateway,
    name: "gateway",
    field: "gateway",
    title: "the API gateway",
    condition: "GatewayReady",
    image_key: "envoy",
    wave: 0,
    settings: |spec| Settings::gateway(spec),
    upstream: None,
    port: gateway::PORT,
    more_ports: &[],
    user: 101,
    // The data port, not the admin port: that one says ready without listeners and without routes.
    probes: Probes {
        port: gateway::PORT,
        ready: gateway::READY_PATH,
        live: Some(gateway::READY_PATH),
        start_seconds: 60,
    },
    command: Command::Program("/usr/local/bin/envoy", gateway::args),
    migration: None,
    writable: &[],
    configuration: envoy,
    size: Size { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
    stop: Stop::Drain { command: gateway::drain_command, grace_seconds: 45 },
};

/// The same objects and Service as Envoy's: a change of type is a rollout.
pub static KONG: &Workload = &Workload {
    component: Component::Gateway,
    name: "gateway",
    field: "gateway",
    title: "the API gateway (Kong)",
    condition: "KongReady",
    image_key: "kong",
    wave: 0,
    settings: |spec| Settings::gateway(spec),
    upstream: None,
    port: gateway::PORT,
    more_ports: &[],
    user: 1001,
    probes: Probes {
        port: gateway::PORT,
        ready: gateway::READY_PATH,
        live: Some(gateway::READY_PATH),
        start_seconds: 120,
    },
    command: Command::Image,
    migration: None,
    writable: &[gateway::KONG_PREFIX],
    configuration: kong,
    // Each nginx worker holds the whole configuration and its Lua machine.
    size: Size { cpu: "100m", memory: "512Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

/// Address of a project's gateway inside of the cluster. The cluster's domain is left to the resolver.
pub fn internal_url(identity: &Identity) -> String {
    let service = identity.name.component(Component::Gateway);
    format!("http://{service}.{}.svc:{}", identity.namespace, gateway::PORT)
}

fn upstreams(plan: &Plan) -> Upstreams {
    let address = |workload: &Workload| Address {
        host: plan.identity.name.component(workload.component).to_string(),
        port: workload.port,
    };
    let workloads = plan.workloads.values().map(|settings| settings.workload);
    workloads.filter_map(|workload| Some((workload.upstream?, address(workload)))).collect()
}

fn routes(plan: &Plan) -> Vec<Route> {
    let oauth_server = plan.auth.has_oauth_server();
    let mut routes = if oauth_server { gateway::oauth_server_routes(&plan.public_url) } else { Vec::new() };
    routes.extend(gateway::routes(&plan.project_id, &plan.public_url));
    routes
}

fn keys(plan: &Plan, credentials: &Credentials) -> Keys {
    let one = |key: &Sensitive| vec![key.expose().to_owned()];
    let Login { username, password } = plan.dashboard(credentials);
    Keys {
        publishable: one(&credentials.publishable_key),
        secret: one(&credentials.secret_key),
        anon: one(&credentials.anon_key),
        service: one(&credentials.service_role_key),
        anon_jwt: credentials.anon_token.expose().to_owned(),
        service_jwt: credentials.service_role_token.expose().to_owned(),
        dashboard: Some(Dashboard { username, password }),
    }
}

fn envoy(plan: &Plan, credentials: &Credentials) -> Configuration {
    let upstreams = upstreams(plan);
    let routes = routes(plan);
    let files = gateway::files(&upstreams);
    let routes_file =
        Sensitive::new(gateway::routes_file(&routes, &upstreams, &keys(plan, credentials), &plan.auth.templates));
    Configuration {
        plain: files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect(),
        plain_content: Content::Files(gateway::CONFIG_DIR),
        secret: BTreeMap::from([(gateway::ROUTES_FILE.to_owned(), routes_file)]),
        secret_content: Content::WatchedFiles(gateway::SECRET_DIR),
        ..Configuration::default()
    }
}

fn kong(plan: &Plan, credentials: &Credentials) -> Configuration {
    let keys = keys(plan, credentials);
    let file = Sensitive::new(gateway::kong_file(&routes(plan), &upstreams(plan), &keys, &plan.auth.templates));
    let variables = gateway::kong_environment();
    Configuration {
        plain: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        secret: BTreeMap::from([(gateway::KONG_FILE.to_owned(), file)]),
        secret_content: Content::Files(gateway::KONG_DIR),
        ..Configuration::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn either_gateway_has_the_keys_in_its_secret_alone() {
        let credentials = testing::credentials();
        for workload in [ENVOY, KONG] {
            let config = (workload.configuration)(&testing::plan(), &credentials);
            let secret: String = config.secret.values().map(Sensitive::expose).collect();
            assert!(secret.contains(credentials.secret_key.expose()), "{}", workload.image_key);
            for key in credentials.all() {
                assert!(config.plain.values().all(|plain| !plain.contains(key.expose())), "{}", workload.image_key);
            }
        }
    }

    #[test]
    fn a_component_that_a_project_lacks_has_no_upstream() {
        let mut plan = testing::plan();
        assert_eq!(upstreams(&plan).len(), 7);
        plan.workloads.remove(&Component::Functions);
        assert_eq!(upstreams(&plan).len(), 6);
    }
}
