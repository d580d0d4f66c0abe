//! The API gateway's configuration, rendered from a route table for Envoy or for Kong.
//!
//! In: which services a project has and where they listen, its public URL, its API keys.
//! Out for Envoy: the text of its files, the command that starts it and the command that drains it.
//! Out for Kong: its one file and its environment.
//! Keys stand in exactly one file, that of [`routes_file`] or of [`kong_file`], which belongs into
//! a Secret; everything else may be read by anyone. Envoy re-reads its file without dropping a
//! connection, Kong reads it at its start only.
//!
//! It never does I/O, never fails and never opens a route because something is missing: an absent
//! key, role, service or route is a refusal.

mod cors;
mod envoy;
mod filters;
mod kong;
mod rds;
mod routes;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;

pub use envoy::{Layout, args, drain_command, files};
pub use kong::{KONG_DIR, KONG_FILE, KONG_PREFIX, KONG_STATUS_PORT, kong_environment, kong_file};
pub use rds::routes_file;
pub use routes::{Access, Match, Route, Timeouts, Translation, oauth_server_routes, routes};

/// The port of the gateway. Above 1024, so that no capability is needed.
pub const PORT: u16 = 8000;
/// Envoy's admin port. On loopback only: it prints every key and stops the process.
pub const ADMIN_PORT: u16 = 9901;
/// Answers 200 once listener, routes and key check work. The admin port's `/ready` is no
/// substitute: it says LIVE without any listener or route.
pub const READY_PATH: &str = "/_gateway/ready";
/// Where the `ConfigMap` with [`files`] is mounted, as a directory (a `subPath` is never updated).
pub const CONFIG_DIR: &str = "/etc/envoy";
/// Where the Secret with [`ROUTES_FILE`] is mounted, as a directory.
pub const SECRET_DIR: &str = "/etc/envoy-routes";
/// Where documents of the gateway's own are served, by name.
pub const DOCUMENTS_PATH: &str = "/_gateway/mail";
/// The name of [`routes_file`] in its Secret.
pub const ROUTES_FILE: &str = "rds.json";
/// How long a draining gateway finishes requests, in seconds. The pod's
/// `terminationGracePeriodSeconds` must be larger.
pub const DRAIN_SECONDS: u16 = 30;

/// The services behind the gateway, in the words of the route table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    Auth,
    Rest,
    Realtime,
    Storage,
    Functions,
    Meta,
    Studio,
}

impl Upstream {
    pub const ALL: [Self; 7] =
        [Self::Auth, Self::Rest, Self::Realtime, Self::Storage, Self::Functions, Self::Meta, Self::Studio];

    /// The name of its Envoy cluster, which is also its label in Envoy's metrics.
    pub fn cluster(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Rest => "rest",
            Self::Realtime => "realtime",
            Self::Storage => "storage",
            Self::Functions => "functions",
            Self::Meta => "meta",
            Self::Studio => "studio",
        }
    }

    /// Its name in the answer to a request for a service that the project does not have.
    pub fn title(self) -> &'static str {
        match self {
            Self::Auth => "Auth",
            Self::Rest => "PostgREST",
            Self::Realtime => "Realtime",
            Self::Storage => "Storage",
            Self::Functions => "Functions",
            Self::Meta => "Meta",
            Self::Studio => "Studio",
        }
    }
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A DNS name or an IP. A short Service name resolves in the pod's own namespace.
    pub host: String,
    pub port: u16,
}

/// HTML that the gateway serves by itself, by name: templates of mails, which Auth reads by HTTP only.
pub type Documents = BTreeMap<String, String>;

/// The services of the project. One without an address is not part of it: its routes answer 503.
pub type Upstreams = BTreeMap<Upstream, Address>;

/// All keys that the gateway accepts, each a list so that keys rotate with an overlap, and the
/// short internal JWTs that stand in for the opaque ones. An empty string is never a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// `sb_publishable_…`: the role `anon`.
    pub publishable: Vec<String>,
    /// `sb_secret_…`: the role `service_role`.
    pub secret: Vec<String>,
    /// Legacy HS256 JWTs of the role `anon`.
    pub anon: Vec<String>,
    /// Legacy HS256 JWTs of the role `service_role`.
    pub service: Vec<String>,
    /// What upstreams see in place of a publishable key. Empty: publishable keys answer 503.
    pub anon_jwt: String,
    /// What upstreams see in place of a secret key. Empty: secret keys answer 503.
    pub service_jwt: String,
    /// Who may open Studio. `None`: nobody.
    pub dashboard: Option<Dashboard>,
}

/// Shows how many keys there are, never a key.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("publishable", &self.publishable.len())
            .field("secret", &self.secret.len())
            .field("anon", &self.anon.len())
            .field("service", &self.service.len())
            .finish_non_exhaustive()
    }
}

/// The user of Studio's basic authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// Without colon and control characters.
    pub username: String,
    pub password: crate::sensitive::Sensitive,
}

impl Dashboard {
    /// Whether a gateway can ask for exactly this user: Envoy refuses an odd name, and no password is none to ask for.
    fn is_usable(&self) -> bool {
        let odd = |c: char| c == ':' || c.is_control();
        !self.username.trim().is_empty() && !self.username.contains(odd) && !self.password.expose().is_empty()
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
