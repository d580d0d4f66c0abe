//! Supabase releases: which image each component runs. Pure.
//!
//! The built-in sets are those that upstream published together; an installation adds its own in a file of the same
//! shape ([`Catalogue::extended`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::components::{COMPONENTS, Component, ENVOY, KONG, Workload};
use crate::reason::{Problem, Reason};

/// A set of images that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    pub name: String,
    /// Image of each workload, by its key in a catalogue.
    images: BTreeMap<&'static str, String>,
}

impl Release {
    /// Every release has an image for each workload: [`Catalogue`] holds no other.
    pub fn image(&self, workload: &Workload) -> &str {
        self.images.get(workload.image_key).map_or("", String::as_str)
    }
}

/// The built-in releases, oldest first. Columns: as in [`COLUMNS`].
///
/// Sources: tag `self-hosted/v0.8.1` of github.com/supabase/supabase (`docker/docker-compose.yml` and
/// `docker-compose.kong.yml`); the values of chart 0.7.2 of github.com/supabase-community/supabase-kubernetes;
/// `docker/CHANGELOG.md` of the former for its release of 2026-02-16.
const BUILT_IN: [(&str, [&str; 11]); 3] = [
    (
        "2026-02-16",
        [
            "docker.io/envoyproxy/envoy:v1.37.0",
            "docker.io/library/kong:2.8.1",
            "docker.io/supabase/gotrue:v2.186.0",
            "docker.io/postgrest/postgrest:v14.5",
            "docker.io/supabase/realtime:v2.76.5",
            "docker.io/supabase/storage-api:v1.37.8",
            "docker.io/darthsim/imgproxy:v3.30.1",
            "docker.io/supabase/postgres-meta:v0.95.2",
            "docker.io/supabase/studio:2026.02.16-sha-26c615c",
            "docker.io/supabase/edge-runtime:v1.70.3",
            "docker.io/supabase/supavisor:2.7.4",
        ],
    ),
    (
        "2026-08-05",
        [
            "docker.io/envoyproxy/envoy:v1.38.0",
            "docker.io/kong/kong:3.9.1",
            "docker.io/supabase/gotrue:v2.189.0",
            "docker.io/postgrest/postgrest:v14.12",
            "docker.io/supabase/realtime:v2.102.3",
            "docker.io/supabase/storage-api:v1.60.4",
            "docker.io/darthsim/imgproxy:v3.30.1",
            "docker.io/supabase/postgres-meta:v0.96.6",
            "docker.io/supabase/studio:2026.07.07-sha-a6a04f2",
            "docker.io/supabase/edge-runtime:v1.74.0",
            "docker.io/supabase/supavisor:2.7.4",
        ],
    ),
    (
        "v0.8.1",
        [
            "docker.io/envoyproxy/envoy:v1.39.1",
            "docker.io/kong/kong:3.9.3",
            "docker.io/supabase/gotrue:v2.196.0",
            "docker.io/postgrest/postgrest:v14.17",
            "docker.io/supabase/realtime:v2.134.10",
            "docker.io/supabase/storage-api:v1.74.0",
            "docker.io/darthsim/imgproxy:v3.31.4",
            "docker.io/supabase/postgres-meta:v0.99.0",
            "docker.io/supabase/studio:2026.09.07-sha-7996410",
            "docker.io/supabase/edge-runtime:v1.76.2",
            "docker.io/supabase/supavisor:2.9.12",
        ],
    ),
];

/// Keys of the workloads in a catalogue, in the order of the columns above.
const COLUMNS: [&str; 11] = [
    "envoy",
    "kong",
    "auth",
    "postgrest",
    "realtime",
    "storageApi",
    "imgproxy",
    "meta",
    "studio",
    "functions",
    "pooler",
];

/// A release in a file: a name, what it is based on, and the images that differ.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReleaseEntry {
    pub name: String,
    /// Release whose images stand for those that are not named; default: the newest built-in one.
    pub base: Option<String>,
    #[serde(default)]
    pub images: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    #[error("release {0:?} is listed twice; remove one")]
    Twice(String),
    #[error("the name of release {0:?} must be a label value: at most 63 letters, digits, '-', '_' and '.'")]
    Name(String),
    #[error("release {name:?} is based on {base:?}, which is not listed before it")]
    Base { name: String, base: String },
    #[error("release {name:?} has an image for {key:?}, which is no component; known are {}", COLUMNS.join(", "))]
    Component { name: String, key: String },
}

/// Every release that this installation knows, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub struct Catalogue {
    releases: Vec<Arc<Release>>,
}

impl Default for Catalogue {
    fn default() -> Self {
        let release = |(name, images): &(&str, [&str; 11])| {
            let images = COLUMNS.into_iter().zip(images.iter().map(|image| (*image).to_owned())).collect();
            Arc::new(Release { name: (*name).to_owned(), images })
        };
        Self { releases: BUILT_IN.iter().map(release).collect() }
    }
}

impl Catalogue {
    /// The built-in releases, and those of this installation after them.
    ///
    /// # Errors
    /// An entry that does not make sense.
    pub fn extended(entries: Vec<ReleaseEntry>) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for ReleaseEntry { name, base, images } in entries {
            if catalogue.find(&name).is_some() {
                return Err(CatalogueError::Twice(name));
            }
            if !is_label_value(&name) {
                return Err(CatalogueError::Name(name));
            }
            let based_on = match base {
                Some(base) => catalogue.find(&base).ok_or_else(|| CatalogueError::Base { name: name.clone(), base })?,
                None => Self::default().newest(),
            };
            let mut merged = based_on.images.clone();
            for (key, image) in images {
                let Some(known) = COLUMNS.into_iter().find(|column| *column == key) else {
                    return Err(CatalogueError::Component { name, key });
                };
                merged.insert(known, image);
            }
            catalogue.releases.push(Arc::new(Release { name, images: merged }));
        }
        Ok(catalogue)
    }

    /// The same with every image of `docker.io` taken from a mirror, for example `registry.example.com/dockerhub`.
    #[must_use]
    pub fn mirrored(&self, mirror: &str) -> Self {
        let mirror = mirror.trim_end_matches('/');
        let mirrored = |image: &String| match image.strip_prefix("docker.io/") {
            Some(path) => format!("{mirror}/{path}"),
            None => image.clone(),
        };
        let release = |release: &Arc<Release>| {
            let images = release.images.iter().map(|(key, image)| (*key, mirrored(image))).collect();
            Arc::new(Release { name: release.name.clone(), images })
        };
        Self { releases: self.releases.iter().map(release).collect() }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.releases.iter().map(|release| release.name.as_str())
    }

    /// Every image of every release, for `supabase-operator releases`: release, component, image.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &'static str, &str)> {
        self.releases
            .iter()
            .flat_map(|release| release.images.iter().map(|(key, image)| (release.name.as_str(), *key, image.as_str())))
    }

    fn find(&self, name: &str) -> Option<Arc<Release>> {
        self.releases.iter().find(|release| release.name == name).cloned()
    }

    fn newest(&self) -> Arc<Release> {
        let empty = || Arc::new(Release { name: String::new(), images: BTreeMap::new() });
        self.releases.last().cloned().unwrap_or_else(empty)
    }

    /// The release of a project: the wanted one, else the one that it runs, else the newest.
    ///
    /// # Errors
    /// It is unknown here, or older than what the project runs.
    pub fn choose(&self, wanted: Option<&str>, running: Option<&str>) -> Result<Arc<Release>, Problem> {
        let Some(name) = wanted.or(running) else { return Ok(self.newest()) };
        let Some(release) = self.find(name) else {
            let known: Vec<&str> = self.names().collect();
            let known = known.join(", ");
            let message = format!(
                "spec.release: release {name:?} is not in this operator's catalogue; choose one of {known}, or add it to the chart's value releases"
            );
            return Err(Problem::new(Reason::ReleaseUnknown, message));
        };
        let position = |name: &str| self.names().position(|known| known == name);
        if let (Some(running), Some(from)) = (running, running.and_then(position))
            && position(name).is_some_and(|to| to < from)
        {
            let message = format!(
                "spec.release: {name:?} is older than {running:?}, which this project runs; services cannot undo their migrations: choose {running:?} or a newer one"
            );
            return Err(Problem::new(Reason::ReleaseOlder, message));
        }
        Ok(release)
    }
}

fn is_label_value(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&name.len()) && name.chars().all(inner) && name.starts_with(ends) && name.ends_with(ends)
}

/// The workloads that a catalogue has images for: the components, with both gateways.
pub fn workloads() -> impl Iterator<Item = &'static Workload> {
    let components = COMPONENTS.into_iter().filter(|workload| workload.component != Component::Gateway);
    [ENVOY, KONG].into_iter().chain(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_an_image_for_every_workload() {
        let keys: Vec<&str> = workloads().map(|workload| workload.image_key).collect();
        assert_eq!(keys.len(), COLUMNS.len());
        for (release, key, image) in Catalogue::default().rows() {
            assert!(keys.contains(&key), "{key}");
            assert!(image.starts_with("docker.io/") && image.contains(':'), "{release} {key} {image}");
        }
    }

    #[test]
    fn a_project_keeps_its_release_until_another_is_wanted() {
        let catalogue = Catalogue::default();
        let chosen = |wanted, running| catalogue.choose(wanted, running).map(|release| release.name.clone());
        assert_eq!(chosen(None, None).unwrap(), "v0.8.1");
        assert_eq!(chosen(None, Some("2026-02-16")).unwrap(), "2026-02-16");
        assert_eq!(chosen(Some("v0.8.1"), Some("2026-02-16")).unwrap(), "v0.8.1");
        assert_eq!(chosen(Some("2026-02-16"), Some("v0.8.1")).unwrap_err().reason, Reason::ReleaseOlder);
        let unknown = chosen(Some("v9"), None).unwrap_err();
        assert!(unknown.reason == Reason::ReleaseUnknown && unknown.message.contains("2026-08-05, v0.8.1"));
    }

    #[test]
    fn an_installation_adds_releases_after_the_built_in_ones() {
        let entry = |name: &str, base: Option<&str>, images: &[(&str, &str)]| ReleaseEntry {
            name: name.to_owned(),
            base: base.map(str::to_owned),
            images: images.iter().map(|(key, image)| ((*key).to_owned(), (*image).to_owned())).collect(),
        };
        let ours = entry("ours", Some("2026-08-05"), &[("auth", "registry.example.com/gotrue@sha256:00")]);
        let catalogue = Catalogue::extended(vec![ours]).unwrap();
        let release = catalogue.choose(None, None).unwrap();
        assert_eq!(release.name, "ours");
        assert_eq!(release.images["auth"], "registry.example.com/gotrue@sha256:00");
        assert_eq!(release.images["studio"], "docker.io/supabase/studio:2026.07.07-sha-a6a04f2");
        for (wrong, said) in [
            (entry("v0.8.1", None, &[]), "listed twice"),
            (entry("-x", None, &[]), "label value"),
            (entry("x", Some("y"), &[]), "not listed before"),
            (entry("x", None, &[("gotrue", "a:b")]), "no component"),
        ] {
            assert!(Catalogue::extended(vec![wrong]).unwrap_err().to_string().contains(said));
        }
    }

    #[test]
    fn a_mirror_stands_for_docker_hub_alone() {
        let own = ReleaseEntry {
            name: "own".to_owned(),
            base: None,
            images: BTreeMap::from([("auth".to_owned(), "quay.io/a:1".to_owned())]),
        };
        let catalogue = Catalogue::extended(vec![own]).unwrap().mirrored("registry.example.com/hub/");
        let release = catalogue.choose(None, None).unwrap();
        assert_eq!(release.images["meta"], "registry.example.com/hub/supabase/postgres-meta:v0.99.0");
        assert_eq!(release.images["auth"], "quay.io/a:1");
    }
}
