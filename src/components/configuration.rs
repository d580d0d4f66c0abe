//! What a component reads at start: the content of its ConfigMap and its Secret, and what else its pod brings along.

use std::collections::BTreeMap;

use super::connection::AUTHORITIES;
use crate::render::Digest;
use crate::sensitive::Sensitive;

/// Configuration of one component. `plain` becomes its ConfigMap, `secret` its Secret.
#[derive(Debug, Default)]
pub struct Configuration {
    pub plain: BTreeMap<String, String>,
    pub plain_content: Content,
    pub secret: BTreeMap<String, Sensitive>,
    pub secret_content: Content,
    /// Variables from fields of the pod itself: name and path.
    pub pod_fields: &'static [(&'static str, &'static str)],
    /// Secrets of the user's whose keys become variables.
    pub user_secrets: Vec<UserSecret>,
    pub mounts: Vec<Mount>,
    /// Of the service account: what a cloud knows the pods by.
    pub identity: BTreeMap<String, String>,
}

/// How entries reach the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// As environment variables.
    #[default]
    Environment,
    /// As files of this directory. A changed one rolls the pods.
    Files(&'static str),
    /// As files of this directory which the program reads again by itself when they change.
    WatchedFiles(&'static str),
}

/// A Secret of the user's. Its digest rolls the pods when its data changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSecret {
    pub name: String,
    pub digest: Digest,
}

/// Something of the user's that is mounted read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// `content` rolls the pods when it changes.
    ConfigMap {
        name: String,
        directory: String,
        content: Digest,
    },
    Claim {
        name: String,
        directory: String,
        sub_path: Option<String>,
    },
}

impl Configuration {
    /// Whether a value names a file of the project's certificate authorities, which are mounted then.
    pub fn names_authorities(&self) -> bool {
        let secret = self.secret.values().map(Sensitive::expose);
        self.plain.values().map(String::as_str).chain(secret).any(|value| value.contains(AUTHORITIES))
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.plain.insert(name.to_owned(), value.into());
    }

    pub fn set_secret(&mut self, name: &str, value: &Sensitive) {
        self.secret.insert(name.to_owned(), value.clone());
    }
}
