//! Settings of the operator, parsed once from arguments and environment.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cluster::Scope;
use crate::plan::releases::{Catalogue, CatalogueError, ReleaseEntry};

/// Settings of `supabase-operator run`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Format of the log.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a tracing filter such as `info,kube=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// Namespaces whose projects are served, separated by commas. Empty: all.
    #[arg(long, env = "WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,

    /// Projects that are reconciled at once.
    #[arg(long, env = "CONCURRENCY", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Checks of databases, buckets and gateways that run at once, each with at most one SQL connection.
    #[arg(long, env = "CHECKS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub checks: u16,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub http_address: SocketAddr,

    #[command(flatten)]
    pub images: Images,

    #[command(flatten)]
    pub lease: Lease,
}

/// Which images there are, and where they come from.
#[derive(Args, Clone, Debug, Default)]
pub struct Images {
    /// YAML file with releases besides the built-in ones: a list of `name`, `base` and `images`.
    #[arg(long, env = "RELEASES")]
    pub releases: Option<PathBuf>,

    /// Registry, with a path if it has one, that stands for docker.io in the images of releases.
    #[arg(long, env = "IMAGE_REGISTRY")]
    pub image_registry: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--releases: cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("--releases: {} is no list of releases: {message}", file.display())]
    Yaml { file: PathBuf, message: String },
    #[error("--releases: {0}")]
    Catalogue(#[from] CatalogueError),
}

impl Images {
    /// The releases of this installation.
    ///
    /// # Errors
    /// The file cannot be read, or does not make sense.
    pub fn catalogue(&self) -> Result<Catalogue, ConfigError> {
        let catalogue = match &self.releases {
            None => Catalogue::default(),
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.clone(), source })?;
                // An empty file is an empty list.
                let entries: Option<Vec<ReleaseEntry>> = serde_saphyr::from_str(&text)
                    .map_err(|error| ConfigError::Yaml { file: file.clone(), message: error.to_string() })?;
                Catalogue::extended(entries.unwrap_or_default())?
            }
        };
        let mirror = self.image_registry.as_deref().filter(|mirror| !mirror.is_empty());
        Ok(match mirror {
            Some(mirror) => catalogue.mirrored(mirror),
            None => catalogue,
        })
    }
}

/// The Lease by which instances of the operator agree on one that writes.
#[derive(Args, Clone, Debug)]
pub struct Lease {
    /// Name of the Lease.
    #[arg(id = "lease-name", long = "lease-name", env = "LEASE_NAME", default_value = "supabase-operator")]
    pub name: String,

    /// Namespace of the Lease.
    #[arg(id = "lease-namespace", long = "lease-namespace", env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,

    /// Name of this instance.
    #[arg(id = "identity", long = "identity", env = "POD_NAME", default_value_t = a_name_of_its_own())]
    pub identity: String,
}

/// Outside of a pod: two that share a name would both believe that they hold the lease.
fn a_name_of_its_own() -> String {
    format!("supabase-operator-{:016x}", rand::random::<u64>())
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

impl Config {
    pub fn scopes(&self) -> Vec<Scope> {
        let distinct: BTreeSet<&str> =
            self.watch_namespace.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
        let named: Vec<Scope> = distinct.into_iter().map(|name| Some(name.to_owned())).collect();
        if named.is_empty() { vec![None] } else { named }
    }
}
