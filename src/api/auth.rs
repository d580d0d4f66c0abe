use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ComponentSpec;

/// Settings of Auth.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,
}
