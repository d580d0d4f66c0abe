//! The table of components. What is generic about a Supabase service lives once in [`crate::render::workload`];
//! an entry here and its file hold only what is different: ports, probes, configuration.
//!
//! Pure: a component turns a [`Plan`] and the [`Credentials`] into configuration values.

pub mod auth;
mod configuration;
mod connection;
mod functions;
pub mod gateway;
mod imgproxy;
mod meta;
pub mod pooler;
mod postgrest;
pub mod realtime;
mod storage;
mod studio;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::{ComponentSpec, GatewaySpec, SupabaseProjectSpec, WorkloadSpec};
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::{Credentials, Purpose};
use crate::tenants::Tenant;
pub use configuration::{Configuration, Content, Mount, UserSecret};
pub use connection::AUTHORITIES;
pub use gateway::{ENVOY, KONG};

/// In the order in which conditions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    Gateway,
    Auth,
    Postgrest,
    Realtime,
    Storage,
    Imgproxy,
    Meta,
    Studio,
    Functions,
    Pooler,
}

impl Component {
    /// The component's part of object names and label values.
    pub fn name(self) -> &'static str {
        self.workload().name
    }

    /// Its entry in the table; for the gateway, the one that runs by default.
    pub fn workload(self) -> &'static Workload {
        match self {
            Self::Gateway => ENVOY,
            Self::Auth => &auth::WORKLOAD,
            Self::Postgrest => &postgrest::WORKLOAD,
            Self::Realtime => &realtime::WORKLOAD,
            Self::Storage => &storage::WORKLOAD,
            Self::Imgproxy => &imgproxy::WORKLOAD,
            Self::Meta => &meta::WORKLOAD,
            Self::Studio => &studio::WORKLOAD,
            Self::Functions => &functions::WORKLOAD,
            Self::Pooler => &pooler::WORKLOAD,
        }
    }
}

/// Every component.
pub static COMPONENTS: [&Workload; 10] = [
    ENVOY,
    &auth::WORKLOAD,
    &postgrest::WORKLOAD,
    &realtime::WORKLOAD,
    &storage::WORKLOAD,
    &imgproxy::WORKLOAD,
    &meta::WORKLOAD,
    &studio::WORKLOAD,
    &functions::WORKLOAD,
    &pooler::WORKLOAD,
];

/// What a component is told through its API, of those that have tenants: Realtime and the pooler.
pub fn tenant(plan: &Plan, credentials: &Credentials, component: Component) -> Tenant {
    let workload = component.workload();
    let (purpose, body) = match component {
        Component::Pooler => (Purpose::PoolerApi, pooler::tenant(plan, credentials)),
        _ => (Purpose::RealtimeApi, realtime::tenant(plan, credentials)),
    };
    let (host, namespace) = (plan.identity.name.component(component), &plan.identity.namespace);
    Tenant {
        service: workload.title,
        address: format!("http://{host}.{namespace}.svc:{}", workload.port),
        id: plan.project_id.clone(),
        api_secret: credentials.derived(purpose),
        body,
    }
}

/// What is different about one component.
#[derive(Debug)]
pub struct Workload {
    pub component: Component,
    /// Part of object names and labels.
    pub name: &'static str,
    /// The field of the spec, and the key in `status.components`.
    pub field: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Type of its condition.
    pub condition: &'static str,
    /// Its image in a release.
    pub image_key: &'static str,
    /// On a first bring-up and on a change of release, a wave starts when the one before it serves.
    pub wave: u8,
    /// Its part of the spec.
    pub settings: fn(&SupabaseProjectSpec) -> Settings<'_>,
    /// What the gateway's routes call it; `None` if nothing reaches it through the gateway.
    pub upstream: Option<Upstream>,
    /// Where the Service listens and the container serves HTTP.
    pub port: u16,
    /// Further ports of the Service, by name.
    pub more_ports: &'static [(&'static str, u16)],
    /// Numeric user: images that start as root are run as this one instead.
    pub user: i64,
    pub probes: Probes,
    pub command: Command,
    /// A program of the image that migrates the component's schema: it runs once, in a Job, before the replicas start.
    pub migration: Option<&'static [&'static str]>,
    /// Directories of the container that must be writable, besides `/tmp`.
    pub writable: &'static [&'static str],
    pub configuration: fn(&Plan, &Credentials) -> Configuration,
    pub size: Size,
    pub stop: Stop,
}

/// What the spec says of a component.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    pub enabled: bool,
    pub workload: Option<&'a WorkloadSpec>,
}

impl<'a> Settings<'a> {
    /// Of a component that a project has unless it says otherwise.
    fn of(spec: Option<&'a ComponentSpec>) -> Self {
        Self { enabled: spec.and_then(|spec| spec.enabled).unwrap_or(true), workload: spec.map(|spec| &spec.workload) }
    }

    /// Of a component that a project has only if it says so.
    fn optional(spec: Option<&'a ComponentSpec>) -> Self {
        Self { enabled: spec.is_some_and(|spec| spec.enabled == Some(true)), ..Self::of(spec) }
    }

    fn gateway(spec: &'a SupabaseProjectSpec) -> Self {
        let gateway = spec.gateway.as_ref().map(|GatewaySpec { workload, .. }| workload);
        Self { enabled: true, workload: gateway.or(spec.kong.as_ref()) }
    }
}

/// Each is one entry of the table.
impl PartialEq for Workload {
    fn eq(&self, other: &Self) -> bool {
        self.image_key == other.image_key
    }
}

impl Workload {
    pub fn resources(&self) -> ResourceRequirements {
        let quantities = |pairs: &[(&str, &str)]| {
            let map = pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())));
            Some(map.collect::<BTreeMap<_, _>>())
        };
        ResourceRequirements {
            requests: quantities(&[("cpu", self.size.cpu), ("memory", self.size.memory)]),
            limits: quantities(&[("memory", self.size.memory_limit)]),
            ..ResourceRequirements::default()
        }
    }
}

/// Default resources, in canonical quantities. No CPU limit: throttling a quiet service helps nobody.
#[derive(Debug)]
pub struct Size {
    pub cpu: &'static str,
    pub memory: &'static str,
    pub memory_limit: &'static str,
}

/// Probes on the container.
#[derive(Debug)]
pub struct Probes {
    pub port: u16,
    /// Path of the readiness and startup probe.
    pub ready: &'static str,
    /// Path of the liveness probe; `None` only asks whether the port is open.
    pub live: Option<&'static str>,
    /// How long a start may take, in seconds.
    pub start_seconds: i32,
}

/// What the container runs.
#[derive(Debug)]
pub enum Command {
    /// What the image says.
    Image,
    /// The image's entry point with these arguments.
    Arguments(&'static [&'static str]),
    /// This program with these arguments.
    Program(&'static str, fn() -> Vec<String>),
}

/// How a container ends without cutting requests off.
#[derive(Debug)]
pub enum Stop {
    /// The program finishes its requests on SIGTERM; wait a little first, so that no new ones are routed to it.
    Sleep { seconds: i64 },
    /// The program must be told to drain.
    Drain { command: fn() -> Vec<String>, grace_seconds: i64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_each_component_once_under_its_own_name() {
        for part in [|w: &Workload| w.name, |w: &Workload| w.field, |w: &Workload| w.condition] {
            let mut parts: Vec<_> = COMPONENTS.iter().map(|workload| part(workload)).collect();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), COMPONENTS.len());
        }
        for (workload, next) in COMPONENTS.iter().zip(&COMPONENTS[1..]) {
            assert_eq!(workload.component.workload().component, workload.component);
            assert!(workload.component < next.component && workload.wave <= next.wave, "{}", next.name);
        }
    }
}
