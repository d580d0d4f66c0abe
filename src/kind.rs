//! The kinds of objects that a project becomes: Kubernetes' own, and those of the operators that run data for it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::{ApiResource, GroupVersionKind};

/// Kinds of objects that belong to a project, in the order in which they are applied: what a pod needs comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ServiceAccount,
    ConfigMap,
    Secret,
    Upstream(Upstream),
    Service,
    PodDisruptionBudget,
    Job,
    Deployment,
}

/// Objects of other operators that a project asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upstream {
    Cluster,
    MinioTenant,
    RustfsTenant,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Secret,
        Self::Upstream(Upstream::Cluster),
        Self::Upstream(Upstream::MinioTenant),
        Self::Upstream(Upstream::RustfsTenant),
        Self::Service,
        Self::PodDisruptionBudget,
        Self::Job,
        Self::Deployment,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Upstream(upstream) => upstream.kind(),
            Self::Service => "Service",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::Job => "Job",
            Self::Deployment => "Deployment",
        }
    }

    pub fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::Secret => ApiResource::erase::<Secret>(&()),
            Self::Upstream(upstream) => upstream.resource(),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::Job => ApiResource::erase::<Job>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
        }
    }

    /// What holds data is deleted by no pass that merely does not want it any more.
    pub fn upstream(self) -> Option<Upstream> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }
}

impl Upstream {
    pub const ALL: [Self; 3] = [Self::Cluster, Self::MinioTenant, Self::RustfsTenant];

    pub fn group(self) -> &'static str {
        match self {
            Self::Cluster => "postgresql.cnpg.io",
            Self::MinioTenant => "minio.min.io",
            Self::RustfsTenant => "rustfs.com",
        }
    }

    pub fn version(self) -> &'static str {
        match self {
            Self::Cluster => "v1",
            Self::MinioTenant => "v2",
            Self::RustfsTenant => "v1alpha1",
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::MinioTenant | Self::RustfsTenant => "Tenant",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::MinioTenant | Self::RustfsTenant => "tenants",
        }
    }

    pub fn api_version(self) -> String {
        format!("{}/{}", self.group(), self.version())
    }

    pub fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group(), self.version(), self.kind());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }
}
