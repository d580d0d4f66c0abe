use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{CaSecretRef, SecretRef};

/// An existing S3 bucket, or a place where the operator may create it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Secret in the project's namespace with the keys `endpoint` (a URL), `region`, `bucket`, `accessKeyId` and
    /// `secretAccessKey`. The bucket is created when it does not exist and the credentials allow it.
    pub secret_ref: SecretRef,

    /// Put the bucket into the path of S3 requests instead of the host name, as MinIO and most S3 servers want it.
    /// Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,

    /// The CA that signed the S3 server's certificate, in addition to the public CAs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
}
