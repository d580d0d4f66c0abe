//! Supabase releases: which image each component runs. One table, tested as a set.

use crate::components::Component;

/// A set of images that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// The tag `self-hosted/<name>` of github.com/supabase/supabase whose compose file pins these images.
    pub name: &'static str,
    pub gateway: &'static str,
    pub postgrest: &'static str,
    pub meta: &'static str,
}

impl Release {
    pub fn image(&self, component: Component) -> &'static str {
        match component {
            Component::Gateway => self.gateway,
            Component::Postgrest => self.postgrest,
            Component::Meta => self.meta,
        }
    }
}

/// The release that projects run.
pub static NEWEST: Release = Release {
    name: "v0.8.1",
    gateway: "docker.io/envoyproxy/envoy:v1.39.1",
    postgrest: "docker.io/postgrest/postgrest:v14.17",
    meta: "docker.io/supabase/postgres-meta:v0.99.0",
};
