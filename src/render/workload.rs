//! The one renderer of workloads: `ServiceAccount`, ConfigMap, Secret, Service, Job, Deployment and disruption budget of
//! a component.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::pod::{self, PORT_NAME};
use super::{Digest, Manifest, RenderError, metadata, secrets};
use crate::components::{Configuration, Workload};
use crate::kind::Kind;
use crate::plan::keys::Credentials;
use crate::plan::names::ObjectName;
use crate::plan::{Plan, WorkloadPlan};

/// One workload on its way to manifests.
pub struct Part<'a> {
    pub plan: &'a Plan,
    pub settings: &'a WorkloadPlan,
    pub configuration: &'a Configuration,
    pub name: &'a ObjectName,
}

impl Part<'_> {
    pub fn workload(&self) -> &'static Workload {
        self.settings.workload
    }

    fn meta(&self) -> ObjectMeta {
        metadata::object_meta(self.plan, self.name, Some(self.workload().component))
    }
}

/// `incarnation` tells one database from another in its place: migrations are a database's.
pub fn render(
    plan: &Plan,
    credentials: &Credentials,
    settings: &WorkloadPlan,
    incarnation: &str,
) -> Result<Vec<Manifest>, RenderError> {
    let workload = settings.workload;
    let name = plan.identity.name.component(workload.component);
    let configuration = (workload.configuration)(plan, credentials);
    let part = Part { plan, settings, configuration: &configuration, name: &name };
    let mut metadata = part.meta();
    metadata.annotations = Some(configuration.identity.clone()).filter(|annotations| !annotations.is_empty());
    let account =
        ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() };
    let migrated = workload.migration.map(|command| marker(command, &settings.image, incarnation));
    let mut manifests = vec![
        Manifest::new(Kind::ServiceAccount, name.clone(), &account)?,
        Manifest::new(Kind::Service, name.clone(), &service(&part))?,
        Manifest {
            migration: migrated,
            ..Manifest::new(Kind::Deployment, name.clone(), &deployment(&part, migrated))?
        },
    ];
    if let Some((name, job)) = migration(&part, migrated) {
        manifests.push(Manifest { migration: migrated, ..Manifest::new(Kind::Job, name, &job)? });
    }
    if settings.replicas > 1 {
        manifests.push(Manifest::new(Kind::PodDisruptionBudget, name.clone(), &disruption_budget(&part))?);
    }
    let Configuration { plain, secret, .. } = &configuration;
    if !plain.is_empty() {
        let map = ConfigMap { metadata: part.meta(), data: Some(plain.clone()), ..ConfigMap::default() };
        manifests.push(Manifest::new(Kind::ConfigMap, name.clone(), &map)?);
    }
    if !secret.is_empty() {
        let entries = secret.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let secret = secrets::secret(part.meta(), entries);
        manifests.push(Manifest::new(Kind::Secret, name, &secret)?);
    }
    for manifest in &mut manifests {
        manifest.component = Some(workload.component);
    }
    Ok(manifests)
}

/// What a migration was done with. Another image or another database needs another one.
fn marker(command: &[&str], image: &str, incarnation: &str) -> Digest {
    Digest::of(&json!([command, image, incarnation]))
}

fn service(part: &Part<'_>) -> Service {
    let workload = part.workload();
    let listening = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let more = workload.more_ports.iter().map(|(name, number)| listening(name, *number));
    Service {
        metadata: part.meta(),
        spec: Some(ServiceSpec {
            selector: Some(metadata::selector(&part.plan.identity, workload.component)),
            ports: Some(std::iter::once(listening(PORT_NAME, workload.port)).chain(more).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn selector(part: &Part<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(metadata::selector(&part.plan.identity, part.workload().component)),
        ..LabelSelector::default()
    }
}

fn deployment(part: &Part<'_>, migrated: Option<Digest>) -> Deployment {
    let component = part.workload().component;
    let mut metadata = part.meta();
    // Of the Deployment alone: on its pods a new release would restart what did not change.
    metadata.labels.get_or_insert_default().insert(metadata::VERSION_LABEL.to_owned(), part.plan.release.name.clone());
    metadata.annotations = migrated.map(|digest| BTreeMap::from([(metadata::MIGRATION.to_owned(), digest.to_hex())]));
    let labels = metadata::labels(&part.plan.identity, Some(component));
    Deployment {
        metadata,
        spec: DeploymentSpec {
            replicas: Some(part.settings.replicas),
            revision_history_limit: Some(3),
            selector: selector(part),
            // New pods first: an update never has fewer pods than wanted.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec { metadata: Some(pod::metadata(part, labels)), spec: Some(pod::serving(part)) },
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

/// The Job that migrates the component's schema, by a name that follows its content, because a Job cannot be changed.
fn migration(part: &Part<'_>, marker: Option<Digest>) -> Option<(ObjectName, Job)> {
    let command = part.workload().migration?;
    let component = part.workload().component;
    let mut labels = metadata::labels(&part.plan.identity, Some(component));
    // Not the component's own label: its Service would send requests to the Job's pod.
    labels.insert(metadata::COMPONENT_LABEL.to_owned(), format!("{}{}", component.name(), metadata::MIGRATION_SUFFIX));
    let template =
        PodTemplateSpec { metadata: Some(pod::metadata(part, labels)), spec: Some(pod::migrating(part, command)) };
    let content = Digest::of(&json!([template, marker.map(Digest::to_hex)]));
    let name = part.plan.identity.name.migration(component, content);
    let job = Job {
        metadata: metadata::object_meta(part.plan, &name, Some(component)),
        spec: Some(JobSpec {
            // It is tried again until it succeeds, every five minutes at the least: what stands in its way may go.
            backoff_limit: Some(1_000_000),
            template,
            ..JobSpec::default()
        }),
        ..Job::default()
    };
    Some((name, job))
}

fn disruption_budget(part: &Part<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: part.meta(),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(part)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
