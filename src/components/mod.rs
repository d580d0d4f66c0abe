//! The table of components. What is generic about a Supabase service lives once in [`crate::render::workload`];
//! an entry here and its file hold only what is different: ports, probes, configuration.
//!
//! Pure: a component turns a [`Plan`] and the [`Credentials`] into configuration values.

pub mod auth;
pub mod gateway;
mod meta;
mod postgrest;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::{ComponentSpec, SupabaseProjectSpec};
use crate::gateway::Upstream;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::sensitive::Sensitive;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    Gateway,
    Postgrest,
    Meta,
}

impl Component {
    /// The component's part of object names, label values and keys of `status.components`.
    pub fn name(self) -> &'static str {
        self.workload().name
    }

    pub fn workload(self) -> &'static Workload {
        match self {
            Self::Gateway => &gateway::WORKLOAD,
            Self::Postgrest => &postgrest::WORKLOAD,
            Self::Meta => &meta::WORKLOAD,
        }
    }
}

/// Every component, in the order in which objects are applied and conditions are listed.
pub static COMPONENTS: [&Workload; 3] = [&postgrest::WORKLOAD, &meta::WORKLOAD, &gateway::WORKLOAD];

/// What is different about one component.
#[derive(Debug)]
pub struct Workload {
    pub component: Component,
    /// Part of object names and labels; also the field of the spec.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Type of its condition.
    pub condition: &'static str,
    /// Its part of the spec.
    pub spec: fn(&SupabaseProjectSpec) -> Option<&ComponentSpec>,
    /// What the gateway's routes call it; `None` if nothing reaches it through the gateway.
    pub upstream: Option<Upstream>,
    /// Where the Service listens and the container serves.
    pub port: u16,
    /// Numeric user: images that start as root are run as this one instead.
    pub user: i64,
    pub probes: Probes,
    pub command: Command,
    pub configuration: fn(&Plan, &Credentials) -> Configuration,
    pub size: Size,
    pub stop: Stop,
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

/// HTTP probes on the container.
#[derive(Debug)]
pub struct Probes {
    pub port: u16,
    pub ready: &'static str,
    pub live: &'static str,
    /// How long a start may take, in seconds.
    pub start_seconds: i32,
}

/// What the container runs.
#[derive(Debug)]
pub enum Command {
    /// What the image says.
    Image,
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

/// What a component reads at start: the content of its ConfigMap and its Secret.
#[derive(Debug, Default)]
pub struct Configuration {
    pub plain: BTreeMap<String, String>,
    pub secret: BTreeMap<String, Sensitive>,
    pub shape: Shape,
}

/// How configuration reaches the program.
#[derive(Debug, Default)]
pub enum Shape {
    /// As environment variables. `files` are variables of the ConfigMap that are mounted as a file too.
    #[default]
    Environment,
    EnvironmentWithFile {
        variable: &'static str,
        directory: &'static str,
        file: &'static str,
    },
    /// As files. The program notices by itself when those of the Secret change, so its pods are not rolled for them.
    Files {
        plain_directory: &'static str,
        secret_directory: &'static str,
    },
}

impl Configuration {
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.plain.insert(name.to_owned(), value.into());
    }

    pub fn set_secret(&mut self, name: &str, value: &Sensitive) {
        self.secret.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_each_component_once_under_its_own_name() {
        let mut names: Vec<_> = COMPONENTS.iter().map(|workload| workload.component.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMPONENTS.len());
        for workload in COMPONENTS {
            assert_eq!(workload.component.workload().component, workload.component);
        }
    }
}
