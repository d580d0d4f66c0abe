//! Labels, owner references and annotations: the only place that sets them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use crate::api::SupabaseProject;
use crate::components::Component;
use crate::plan::names::ObjectName;
use crate::plan::{Identity, Plan};

/// Field manager of everything that we apply.
pub const MANAGER: &str = "supabase-operator";

/// Selects every object of ours.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", MANAGER);

/// Name of the project that an object belongs to.
pub const PROJECT_LABEL: &str = "supabase-operator.dev/project";

pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// The component label of a Job's pod is that of its component with this behind it.
pub const MIGRATION_SUFFIX: &str = "-migration";

/// The release of a Deployment.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// Annotation of a Deployment: which migration its component's schema has.
pub const MIGRATION: &str = "supabase-operator.dev/migration";

pub fn labels(identity: &Identity, component: Option<Component>) -> BTreeMap<String, String> {
    let project = identity.name.as_str();
    let mut labels = BTreeMap::from([
        (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
        (PROJECT_LABEL.to_owned(), project.to_owned()),
        ("app.kubernetes.io/instance".to_owned(), project.to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "supabase".to_owned()),
    ]);
    if let Some(component) = component {
        labels.insert("app.kubernetes.io/name".to_owned(), component.name().to_owned());
        labels.insert(COMPONENT_LABEL.to_owned(), component.name().to_owned());
    }
    labels
}

/// The two labels that never change: a Deployment's selector is immutable.
pub fn selector(identity: &Identity, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (PROJECT_LABEL.to_owned(), identity.name.to_string()),
        (COMPONENT_LABEL.to_owned(), component.name().to_owned()),
    ])
}

pub fn object_meta(plan: &Plan, name: &ObjectName, component: Option<Component>) -> ObjectMeta {
    owned_meta(&plan.identity, name, component)
}

pub fn owned_meta(identity: &Identity, name: &ObjectName, component: Option<Component>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_string()),
        namespace: Some(identity.namespace.clone()),
        labels: Some(labels(identity, component)),
        owner_references: Some(vec![owner_reference(identity)]),
        ..ObjectMeta::default()
    }
}

/// Garbage collection removes children with their project. `blockOwnerDeletion` stays unset: it would need the right to
/// update finalizers and buys nothing.
pub fn owner_reference(identity: &Identity) -> OwnerReference {
    OwnerReference {
        api_version: SupabaseProject::api_version(&()).into_owned(),
        kind: SupabaseProject::kind(&()).into_owned(),
        name: identity.name.to_string(),
        uid: identity.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
