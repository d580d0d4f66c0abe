//! The only constructors of Kubernetes names. In: a project's name. Out: names that the API server accepts.

use std::fmt;

use crate::components::Component;
use crate::render::Digest;

/// Name of a project: the first part of the name of everything that it owns.
///
/// Invariant: a DNS-1035 label of at most [`ProjectName::MAX`] characters, so that `<project>-<component>` fits a
/// Service name (63 characters) for every component.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectName(String);

impl ProjectName {
    pub const MAX: usize = 40;

    /// # Errors
    /// Says which rule the name breaks. The CRD has the same rule; this one guards objects that are older than it.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let valid_character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if name.len() > Self::MAX || !starts_well || name.ends_with('-') || !name.chars().all(valid_character) {
            return Err(NameError(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Workload, Service, `ServiceAccount` and configuration of a component share one name.
    pub fn component(&self, component: Component) -> ObjectName {
        self.child(component.name())
    }

    /// Secret with all key material. The name and its first four keys are those of the older operators.
    pub fn jwt(&self) -> ObjectName {
        self.child("jwt")
    }

    /// Secret with the password of each database role.
    pub fn database_roles(&self) -> ObjectName {
        self.child("database-roles")
    }

    /// Secret with what an app needs.
    pub fn api_keys(&self) -> ObjectName {
        self.child("api-keys")
    }

    /// Secret with what a trusted server needs.
    pub fn service_keys(&self) -> ObjectName {
        self.child("service-keys")
    }

    /// Job that looks into an image.
    pub fn image_probe(&self, image: &Digest) -> ObjectName {
        self.child(&format!("image-{}", image.to_hex().chars().take(8).collect::<String>()))
    }

    /// CloudNativePG's Cluster. Instances, Services and Secrets of it are named after it.
    pub fn database(&self) -> ObjectName {
        self.child("db")
    }

    /// Secret that CloudNativePG makes with the superuser's login.
    pub fn database_superuser(&self) -> ObjectName {
        self.child("db-superuser")
    }

    /// Secret that CloudNativePG makes with the CA of the database servers.
    pub fn database_ca(&self) -> ObjectName {
        self.child("db-ca")
    }

    /// The MinIO operator's Tenant.
    pub fn minio(&self) -> ObjectName {
        self.child("minio")
    }

    /// The RustFS operator's Tenant.
    pub fn rustfs(&self) -> ObjectName {
        self.child("rustfs")
    }

    /// Secret with the generated keys of the managed object store.
    pub fn object_store_keys(&self) -> ObjectName {
        self.child("object-store-keys")
    }

    /// The same keys in the form that the object store's operator reads.
    pub fn object_store_configuration(&self) -> ObjectName {
        self.child("object-store-config")
    }

    /// Secret with the dashboard's login.
    pub fn dashboard(&self) -> ObjectName {
        self.child("dashboard")
    }

    /// `ConfigMap` with the certificate authorities of database and bucket.
    pub fn authorities(&self) -> ObjectName {
        self.child("authorities")
    }

    /// Job that migrates a component's schema. A Job cannot be changed, so another content is another name.
    pub fn migration(&self, component: Component, content: Digest) -> ObjectName {
        let content = content.to_hex();
        self.child(&format!("{}-{}", component.name(), content.get(..8).unwrap_or(&content)))
    }

    fn child(&self, suffix: &str) -> ObjectName {
        ObjectName(format!("{}-{suffix}", self.0))
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an object that a project owns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the name {0:?} must be at most {max} characters: lower-case letters, digits and '-', starting with a letter",
    max = ProjectName::MAX
)]
pub struct NameError(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::COMPONENTS;
    use proptest::prelude::*;

    #[test]
    fn names_that_kubernetes_refuses_are_refused() {
        for bad in ["", "-a", "a-", "A", "1a", "a.b", "a_b", &"a".repeat(41)] {
            assert!(ProjectName::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_child_name_is_a_dns_label(name in "[a-z]([-a-z0-9]{0,38}[a-z0-9])?") {
            let project = ProjectName::parse(&name).unwrap();
            let mut children: Vec<_> = COMPONENTS.iter().map(|w| project.component(w.component)).collect();
            children.extend([project.jwt(), project.database_roles(), project.api_keys(), project.service_keys()]);
            // CloudNativePG's limit for a Cluster, and room for `-p0-` and a pod's number behind a Tenant.
            for child in [project.database(), project.minio(), project.rustfs()] {
                prop_assert!(child.as_str().len() <= 50);
                children.push(child);
            }
            children.extend([project.object_store_keys(), project.object_store_configuration()]);
            children.extend([project.dashboard(), project.authorities()]);
            children.extend(COMPONENTS.iter().map(|w| project.migration(w.component, Digest::of_bytes(b"content"))));
            for child in children {
                prop_assert!(child.as_str().len() <= 63);
                prop_assert!(child.as_str().starts_with(&name));
            }
        }
    }
}
