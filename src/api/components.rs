use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What can be set for every component.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSpec {
    /// Container image. Default: the image of the project's release.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = kube::core::Rule::new("!self.matches('\\\\s')").message("image must not contain white space"))]
    pub image: Option<String>,

    /// Number of pods; 0 means none. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub replicas: Option<i32>,

    /// CPU and memory of each pod; replaces the default as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,

    /// Further environment variables of the container. A variable of the same name as one that the operator sets
    /// replaces it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub extra_env: Vec<EnvVar>,
}

/// Settings of PostgREST.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PostgrestSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Database schemas that the API serves; the first one is the default of requests that name none.
    /// `graphql_public` is always served: the operator's own readiness function lives there.
    /// Default: `public` and `graphql_public`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = kube::core::Rule::new("self.all(s, !s.contains(',') && s.trim() == s)").message("a schema name must not contain a comma or surrounding white space"))]
    pub schemas: Vec<String>,

    /// Largest number of rows that one request returns. Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rows: Option<i32>,
}
