//! What is known of PostgreSQL images: a table. An image that is not in it can be used, if the spec says which user owns
//! its files.

/// One family of images.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownImage {
    /// Registry-less name, for example `supabase/postgres`: mirrors keep it.
    pub repository: &'static str,
    /// How the tag starts.
    pub tag: &'static str,
    /// User and group that PostgreSQL runs as; `None` where they are not known.
    pub owner: Option<(i64, i64)>,
    /// Libraries that it brings and that are worth loading at start.
    pub preload: &'static [&'static str],
    /// What it brings of the extensions and plugins that Supabase's services and users ask for.
    pub extensions: &'static [&'static str],
}

/// The image of a new database. Supabase's own brings `wal2json`, without which Realtime is silent about changes of
/// tables; of its versions this is the one that ran under CloudNativePG with a known user.
pub const DEFAULT: &str = "docker.io/supabase/postgres:15.14.1.021";

/// Not loaded from Supabase's images: `pgsodium` and `supabase_vault`. At start they read a key that a script writes
/// below /etc, which CloudNativePG mounts read-only.
const SUPABASE_PRELOAD: &[&str] = &["pg_stat_statements", "pgaudit", "pg_cron", "pg_net"];

const SUPABASE_EXTENSIONS: &[&str] = &[
    "pg_cron",
    "pg_graphql",
    "pg_net",
    "pg_stat_statements",
    "pgaudit",
    "pgcrypto",
    "uuid-ossp",
    "vector",
    "wal2json",
];

/// The first entry that fits wins.
pub static KNOWN: &[KnownImage] = &[
    // 101:102 is what two independent users of CloudNativePG run these images as.
    KnownImage {
        repository: "supabase/postgres",
        tag: "15.14.",
        owner: Some((101, 102)),
        preload: SUPABASE_PRELOAD,
        extensions: SUPABASE_EXTENSIONS,
    },
    KnownImage {
        repository: "supabase/postgres",
        tag: "",
        owner: None,
        preload: SUPABASE_PRELOAD,
        extensions: SUPABASE_EXTENSIONS,
    },
    // CloudNativePG's own images, all of them with its default user.
    KnownImage {
        repository: "cloudnative-pg/postgresql",
        tag: "",
        owner: Some((26, 26)),
        preload: &["pg_stat_statements"],
        extensions: &["pg_stat_statements", "pgcrypto", "uuid-ossp"],
    },
];

pub fn known(image: &str) -> Option<&'static KnownImage> {
    let (repository, tag) = split(image);
    let tag = tag.unwrap_or_default();
    let fits = |known: &&KnownImage| {
        let path = repository.strip_suffix(known.repository);
        path.is_some_and(|registry| registry.is_empty() || registry.ends_with('/')) && tag.starts_with(known.tag)
    };
    KNOWN.iter().find(fits)
}

/// Major version of PostgreSQL by the tag, as CloudNativePG reads it; `None` where the tag does not start with one.
pub fn major(image: &str) -> Option<u16> {
    let tag = split(image).1?;
    let digits = tag.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Repository and tag; a digest is neither.
fn split(image: &str) -> (&str, Option<&str>) {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_an_image_of_which_all_is_known() {
        assert_eq!(known(DEFAULT).unwrap().owner, Some((101, 102)));
        assert_eq!(major(DEFAULT), Some(15));
        assert!(known(DEFAULT).unwrap().extensions.contains(&"wal2json"));
    }

    #[test]
    fn images_are_recognised_behind_a_mirror_and_not_by_a_part_of_their_name() {
        let owner = |image: &str| known(image).and_then(|known| known.owner);
        assert_eq!(owner("registry.example.com:5000/mirror/supabase/postgres:15.14.1.005"), Some((101, 102)));
        assert_eq!(owner("ghcr.io/cloudnative-pg/postgresql:17-standard-trixie@sha256:00"), Some((26, 26)));
        assert_eq!(owner("supabase/postgres:17.6.1.136"), None);
        assert!(known("supabase/postgres:17.6.1.136").is_some());
        for unknown in ["example.com/notsupabase/postgres:15.14.1", "postgres:17", ""] {
            assert_eq!(known(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_major_version_is_read_from_the_tag() {
        for (image, version) in [
            ("supabase/postgres:17.6.1.136", Some(17)),
            ("example.com:5000/postgres", None),
            ("postgres:latest", None),
            ("postgres@sha256:17", None),
            ("postgres:16-bookworm@sha256:00", Some(16)),
        ] {
            assert_eq!(major(image), version, "{image}");
        }
    }

    #[test]
    fn everything_that_is_loaded_at_start_is_brought_along() {
        for known in KNOWN {
            for library in known.preload {
                assert!(known.extensions.contains(library), "{library} of {}", known.repository);
            }
        }
    }
}
