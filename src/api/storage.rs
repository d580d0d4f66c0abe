use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecretRef, SecretRef};

/// The S3 bucket: either in an object store run for this project (`managed`, the default), or in an existing one
/// (`secretRef`).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("!(has(self.managed) && has(self.secretRef))").message("storage is either managed or the one of secretRef; remove one of the two"))]
#[x_kube(validation = kube::core::Rule::new("has(self.secretRef) || (!has(self.forcePathStyle) && !has(self.caSecretRef) && !has(self.workloadIdentity))").message("forcePathStyle, caSecretRef and workloadIdentity are for an object store of your own (secretRef)"))]
pub struct StorageSpec {
    /// An object store of the project's own. Default, when there is no `secretRef`: MinIO with one server and one
    /// volume of 20Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedStorageSpec>,

    /// Secret in the project's namespace with the keys `endpoint` (a URL), `region`, `bucket`, `accessKeyId` and
    /// `secretAccessKey`, or with the names that AWS' tools read: `AWS_ENDPOINT_URL_S3`, `AWS_REGION`, `AWS_BUCKET`,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Without an `endpoint` it is Amazon S3 in the region. The region may
    /// be left out for Amazon S3, Cloudflare R2 and Google Cloud Storage, whose addresses tell it. The bucket is created
    /// when it does not exist and the credentials allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Put the bucket into the path of S3 requests instead of the host name, as MinIO and most S3 servers want it.
    /// Default: true, but for Amazon S3 false, unless the bucket's name has dots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,

    /// The CA that signed the S3 server's certificate, in addition to the public CAs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The Storage API uses no keys but proves who it is by its service account, `<project>-storage`: IAM roles for
    /// service accounts or Pod Identity on Amazon EKS. The Secret has no keys then. Default: keys of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// Who the Storage API is, to a cloud.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// Annotations of the service account, for example `eks.amazonaws.com/role-arn`. Pod Identity needs none. Default:
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An object store that the operator asks another operator for: the Tenant `<project>-minio` or `<project>-rustfs`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("(has(self.provider) ? self.provider : 'minio') == (has(oldSelf.provider) ? oldSelf.provider : 'minio')").message("provider cannot change: the files stay where they are; make a new project and copy them"))]
#[x_kube(validation = kube::core::Rule::new("!has(oldSelf.servers) || (has(self.servers) && self.servers == oldSelf.servers)").message("servers cannot change: the files are spread over them"))]
#[x_kube(validation = kube::core::Rule::new("!has(oldSelf.volumesPerServer) || (has(self.volumesPerServer) && self.volumesPerServer == oldSelf.volumesPerServer)").message("volumesPerServer cannot change: the files are spread over them"))]
pub struct ManagedStorageSpec {
    /// Who runs it: `minio` (the MinIO operator; one such project in a namespace, because the operator names its
    /// Service `minio`) or `rustfs` (the RustFS operator). It must be installed. Cannot change. Default: `minio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<StorageProvider>,

    /// Number of servers; cannot change. MinIO wants at least 4 volumes in all for 2 servers and 6 for 3. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub servers: Option<i32>,

    /// Volumes of each server; cannot change. With more than one in all, files survive the loss of some.
    /// Default: 1 for `minio`, 4 for `rustfs`, which wants at least 4 in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub volumes_per_server: Option<i32>,

    /// Size of each volume, a whole number of `Mi`, `Gi` or `Ti`. It can grow where the StorageClass can, and never
    /// shrinks. Default: 20Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    #[x_kube(validation = kube::core::Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0").message("size cannot shrink"))]
    pub size: Option<String>,

    /// StorageClass of the volumes; has an effect on new volumes only. Default: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,

    /// Image of the server. Default: the image that the store has; for a new MinIO
    /// `quay.io/minio/minio:RELEASE.2025-04-08T15-41-24Z`, for RustFS what its operator chooses. MinIO's makers publish
    /// no more images: name one of a maintained source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = kube::core::Rule::new("!self.matches('\\\\s')").message("image must not contain white space"))]
    pub image: Option<String>,

    /// CPU and memory of each server; replaces the default as a whole. Default: requests of 100m CPU and 256Mi, a
    /// limit of 1Gi of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// Operators that can run an object store.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum StorageProvider {
    #[default]
    Minio,
    Rustfs,
}
