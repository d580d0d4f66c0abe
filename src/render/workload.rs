//! The one renderer of workloads: `ServiceAccount`, ConfigMap, Secret, Service and Deployment of a component.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMap, ConfigMapEnvSource, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource,
    EnvFromSource, ExecAction, HTTPGetAction, KeyToPath, Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, SeccompProfile, SecretEnvSource, SecretVolumeSource, SecurityContext, Service,
    ServiceAccount, ServicePort, ServiceSpec, SleepAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::{Digest, Kind, Manifest, RenderError, metadata, secrets};
use crate::components::{Command, Configuration, Shape, Stop, Workload};
use crate::plan::keys::Credentials;
use crate::plan::names::ObjectName;
use crate::plan::{Plan, WorkloadPlan};

/// Annotation of the pod template: a changed value rolls the pods that read it.
const CONFIG_HASH: &str = "supabase-operator.dev/config-hash";
const SECRET_HASH: &str = "supabase-operator.dev/secret-hash";

const PORT_NAME: &str = "http";

pub fn render(plan: &Plan, credentials: &Credentials, workload: &Workload) -> Result<Vec<Manifest>, RenderError> {
    let Some(settings) = plan.workloads.get(&workload.component) else {
        return Ok(Vec::new());
    };
    let name = plan.identity.name.component(workload.component);
    let meta = || metadata::object_meta(plan, &name, Some(workload.component));
    let configuration = (workload.configuration)(plan, credentials);
    let account =
        ServiceAccount { metadata: meta(), automount_service_account_token: Some(false), ..ServiceAccount::default() };
    let deployment = deployment(plan, &name, workload, settings, &configuration);
    let service = service(plan, meta(), workload);
    let mut manifests = vec![
        Manifest::new(Kind::ServiceAccount, name.clone(), &account)?,
        Manifest::new(Kind::Service, name.clone(), &service)?,
        Manifest::new(Kind::Deployment, name.clone(), &deployment)?,
    ];
    let Configuration { plain, secret, .. } = configuration;
    if !plain.is_empty() {
        let map = ConfigMap { metadata: meta(), data: Some(plain), ..ConfigMap::default() };
        manifests.push(Manifest::new(Kind::ConfigMap, name.clone(), &map)?);
    }
    if !secret.is_empty() {
        let entries = secret.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let secret = secrets::secret(meta(), entries);
        manifests.push(Manifest::new(Kind::Secret, name, &secret)?);
    }
    Ok(manifests)
}

fn service(plan: &Plan, metadata: ObjectMeta, workload: &Workload) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(metadata::selector(&plan.identity, workload.component)),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: i32::from(workload.port),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn deployment(
    plan: &Plan,
    name: &ObjectName,
    workload: &Workload,
    settings: &WorkloadPlan,
    configuration: &Configuration,
) -> Deployment {
    let volumes = volumes(name, configuration);
    let pod = PodSpec {
        service_account_name: Some(name.to_string()),
        automount_service_account_token: Some(false),
        // Service addresses as environment variables would collide with settings such as PGRST_* of a project "pgrst".
        enable_service_links: Some(false),
        security_context: Some(pod_security(workload.user)),
        termination_grace_period_seconds: Some(match workload.stop {
            Stop::Sleep { seconds } => seconds + 25,
            Stop::Drain { grace_seconds, .. } => grace_seconds,
        }),
        containers: vec![container(name, workload, settings, configuration)],
        volumes: Some(volumes),
        ..PodSpec::default()
    };
    Deployment {
        metadata: metadata::object_meta(plan, name, Some(workload.component)),
        spec: DeploymentSpec {
            replicas: Some(settings.replicas),
            revision_history_limit: Some(3),
            selector: LabelSelector {
                match_labels: Some(metadata::selector(&plan.identity, workload.component)),
                ..LabelSelector::default()
            },
            // New pods first: an update never has fewer pods than wanted.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(metadata::labels(&plan.identity, Some(workload.component))),
                    annotations: Some(hashes(configuration)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

fn hashes(configuration: &Configuration) -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::new();
    if !configuration.plain.is_empty() {
        hashes.insert(CONFIG_HASH.to_owned(), Digest::of(&json!(configuration.plain)).to_hex());
    }
    let reread = matches!(configuration.shape, Shape::Files { .. });
    if !configuration.secret.is_empty() && !reread {
        let exposed: BTreeMap<_, _> = configuration.secret.iter().map(|(key, value)| (key, value.expose())).collect();
        hashes.insert(SECRET_HASH.to_owned(), Digest::of(&json!(exposed)).to_hex());
    }
    hashes
}

fn container(
    name: &ObjectName,
    workload: &Workload,
    settings: &WorkloadPlan,
    configuration: &Configuration,
) -> Container {
    let (command, args) = match workload.command {
        Command::Image => (None, None),
        Command::Program(program, args) => (Some(vec![program.to_owned()]), Some(args())),
    };
    let environment = !matches!(configuration.shape, Shape::Files { .. });
    Container {
        name: workload.component.name().to_owned(),
        image: Some(settings.image.clone()),
        command,
        args,
        ports: Some(ports(workload)),
        env_from: environment.then(|| env_from(name, configuration)),
        env: (!settings.extra_env.is_empty()).then(|| settings.extra_env.clone()),
        resources: Some(settings.resources.clone()),
        startup_probe: Some(Probe {
            period_seconds: Some(2),
            failure_threshold: Some(workload.probes.start_seconds / 2),
            ..probe(workload, workload.probes.ready)
        }),
        readiness_probe: Some(Probe { period_seconds: Some(5), ..probe(workload, workload.probes.ready) }),
        liveness_probe: Some(Probe { period_seconds: Some(10), ..probe(workload, workload.probes.live) }),
        lifecycle: Some(Lifecycle { pre_stop: Some(pre_stop(&workload.stop)), ..Lifecycle::default() }),
        security_context: Some(container_security()),
        volume_mounts: Some(mounts(configuration)),
        ..Container::default()
    }
}

fn ports(workload: &Workload) -> Vec<ContainerPort> {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut ports = vec![port(PORT_NAME, workload.port)];
    if workload.probes.port != workload.port {
        ports.push(port("admin", workload.probes.port));
    }
    ports
}

fn env_from(name: &ObjectName, configuration: &Configuration) -> Vec<EnvFromSource> {
    let mut sources = Vec::new();
    if !configuration.plain.is_empty() {
        sources.push(EnvFromSource {
            config_map_ref: Some(ConfigMapEnvSource { name: name.to_string(), optional: None }),
            ..EnvFromSource::default()
        });
    }
    if !configuration.secret.is_empty() {
        sources.push(EnvFromSource {
            secret_ref: Some(SecretEnvSource { name: name.to_string(), optional: None }),
            ..EnvFromSource::default()
        });
    }
    sources
}

fn probe(workload: &Workload, path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(workload.probes.port)),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

fn pre_stop(stop: &Stop) -> LifecycleHandler {
    match stop {
        Stop::Sleep { seconds } => {
            LifecycleHandler { sleep: Some(SleepAction { seconds: *seconds }), ..LifecycleHandler::default() }
        }
        Stop::Drain { command, .. } => {
            LifecycleHandler { exec: Some(ExecAction { command: Some(command()) }), ..LifecycleHandler::default() }
        }
    }
}

fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

const TMP: &str = "tmp";
const CONFIG: &str = "config";
const SECRET: &str = "secret";

fn volumes(name: &ObjectName, configuration: &Configuration) -> Vec<Volume> {
    let mut volumes =
        vec![Volume { name: TMP.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }];
    let config_map = |items| Volume {
        name: CONFIG.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: name.to_string(), items, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    };
    match configuration.shape {
        Shape::Environment => {}
        Shape::EnvironmentWithFile { variable, file, .. } => {
            let item = KeyToPath { key: variable.to_owned(), path: file.to_owned(), ..KeyToPath::default() };
            volumes.push(config_map(Some(vec![item])));
        }
        Shape::Files { .. } => {
            volumes.push(config_map(None));
            volumes.push(Volume {
                name: SECRET.to_owned(),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(name.to_string()),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            });
        }
    }
    volumes
}

fn mounts(configuration: &Configuration) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(TMP, "/tmp", None)];
    match configuration.shape {
        Shape::Environment => {}
        Shape::EnvironmentWithFile { directory, .. } => mounts.push(mount(CONFIG, directory, Some(true))),
        Shape::Files { plain_directory, secret_directory } => {
            mounts.push(mount(CONFIG, plain_directory, Some(true)));
            mounts.push(mount(SECRET, secret_directory, Some(true)));
        }
    }
    mounts
}
