//! Pods of a workload: those that serve, and the one that migrates. Both satisfy the Pod Security Standard `restricted`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapEnvSource, Container, ContainerPort, EnvFromSource, EnvVar, EnvVarSource, ExecAction,
    HTTPGetAction, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe,
    SeccompProfile, SecretEnvSource, SecurityContext, SleepAction, TCPSocketAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::workload::Part;
use super::{Digest, metadata, volumes};
use crate::components::{Command, Configuration, Content, Mount, Probes, Stop, Workload};
use crate::plan::names::ObjectName;

/// Annotations of the pod template: a changed value rolls the pods that read it.
const CONFIG_HASH: &str = "supabase-operator.dev/config-hash";
const SECRET_HASH: &str = "supabase-operator.dev/secret-hash";

pub const PORT_NAME: &str = "http";

/// Labels and annotations: the user's, and over them ours.
pub fn metadata(part: &Part<'_>, ours: BTreeMap<String, String>) -> ObjectMeta {
    let mut labels = part.settings.pod.labels.clone();
    labels.extend(ours);
    let mut annotations = part.settings.pod.annotations.clone();
    annotations.extend(hashes(part));
    ObjectMeta { labels: Some(labels), annotations: some(annotations), ..ObjectMeta::default() }
}

fn some(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn hashes(part: &Part<'_>) -> BTreeMap<String, String> {
    let Configuration { plain, plain_content, secret, secret_content, user_secrets, mounts, identity, .. } =
        part.configuration;
    let mut hashes = BTreeMap::new();
    let reread = |content: &Content| matches!(content, Content::WatchedFiles(_));
    let config = if reread(plain_content) { None } else { (!plain.is_empty()).then_some(plain) };
    let authorities = part.configuration.names_authorities().then_some((&part.plan.database.ca, &part.plan.bucket.ca));
    let mut contents: Vec<String> = mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::ConfigMap { content, .. } => Some(content.to_hex()),
            Mount::Claim { .. } => None,
        })
        .collect();
    // A cloud puts what it made of them into new pods alone.
    contents.extend((!identity.is_empty()).then(|| Digest::of(&json!(identity)).to_hex()));
    if config.is_some() || authorities.is_some() || !contents.is_empty() {
        hashes.insert(CONFIG_HASH.to_owned(), Digest::of(&json!([config, authorities, contents])).to_hex());
    }
    let users: Vec<String> = user_secrets.iter().map(|secret| secret.digest.to_hex()).collect();
    if (!secret.is_empty() && !reread(secret_content)) || !users.is_empty() {
        let exposed: BTreeMap<_, _> = secret.iter().map(|(key, value)| (key, value.expose())).collect();
        hashes.insert(SECRET_HASH.to_owned(), Digest::of(&json!([exposed, users])).to_hex());
    }
    hashes
}

/// The pods of the Deployment.
pub fn serving(part: &Part<'_>) -> PodSpec {
    let workload = part.workload();
    let (command, args) = match &workload.command {
        Command::Image => (None, None),
        Command::Arguments(args) => (None, Some(owned(args))),
        Command::Program(program, args) => (Some(vec![(*program).to_owned()]), list(args())),
    };
    let container = Container {
        command,
        args,
        ports: Some(ports(workload)),
        startup_probe: Some(Probe {
            period_seconds: Some(2),
            failure_threshold: Some(workload.probes.start_seconds / 2),
            ..probe(&workload.probes, Some(workload.probes.ready))
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(5),
            ..probe(&workload.probes, Some(workload.probes.ready))
        }),
        liveness_probe: Some(Probe { period_seconds: Some(10), ..probe(&workload.probes, workload.probes.live) }),
        lifecycle: Some(Lifecycle { pre_stop: Some(pre_stop(&workload.stop)), ..Lifecycle::default() }),
        ..container(part)
    };
    PodSpec {
        termination_grace_period_seconds: Some(match workload.stop {
            Stop::Sleep { seconds } => seconds + 25,
            Stop::Drain { grace_seconds, .. } => grace_seconds,
        }),
        topology_spread_constraints: list(spread(part)),
        containers: vec![container],
        ..pod(part)
    }
}

/// The pod of the Job.
pub fn migrating(part: &Part<'_>, command: &[&str]) -> PodSpec {
    let container = Container { command: Some(owned(command)), ..container(part) };
    PodSpec { restart_policy: Some("OnFailure".to_owned()), containers: vec![container], ..pod(part) }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What both kinds of pods have.
fn pod(part: &Part<'_>) -> PodSpec {
    let template = part.settings.pod.clone();
    PodSpec {
        service_account_name: Some(part.name.to_string()),
        automount_service_account_token: Some(false),
        // Service addresses as environment variables would collide with settings such as PGRST_* of a project "pgrst".
        enable_service_links: Some(false),
        security_context: Some(pod_security(part.workload().user, template.security_context)),
        volumes: Some(volumes::volumes(part)),
        affinity: part.settings.affinity.clone(),
        tolerations: list(template.tolerations),
        node_selector: some(template.node_selector),
        priority_class_name: template.priority_class_name,
        image_pull_secrets: list(template.image_pull_secrets),
        ..PodSpec::default()
    }
}

/// What the containers of both have.
fn container(part: &Part<'_>) -> Container {
    Container {
        name: part.workload().component.name().to_owned(),
        image: Some(part.settings.image.clone()),
        env_from: list(env_from(part.name, part.configuration)),
        env: list(environment(part)),
        resources: Some(part.settings.resources.clone()),
        security_context: Some(container_security()),
        volume_mounts: Some(volumes::mounts(part)),
        // The last words of a program that fails become a condition.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn spread(part: &Part<'_>) -> Vec<TopologySpreadConstraint> {
    let own = || LabelSelector {
        match_labels: Some(metadata::selector(&part.plan.identity, part.workload().component)),
        ..LabelSelector::default()
    };
    let constraints = part.settings.pod.topology_spread_constraints.iter().cloned();
    constraints
        .map(|constraint| TopologySpreadConstraint {
            label_selector: Some(constraint.label_selector.clone().unwrap_or_else(own)),
            ..constraint
        })
        .collect()
}

fn ports(workload: &Workload) -> Vec<ContainerPort> {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut ports = vec![port(PORT_NAME, workload.port)];
    ports.extend(workload.more_ports.iter().map(|(name, number)| port(name, *number)));
    if workload.probes.port != workload.port {
        ports.push(port("admin", workload.probes.port));
    }
    ports
}

/// Variables that are none of ConfigMap and Secret: fields of the pod, and the user's, which win.
fn environment(part: &Part<'_>) -> Vec<EnvVar> {
    let users = &part.settings.extra_env;
    let field = |(name, path): &(&str, &str)| EnvVar {
        name: (*name).to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                // What the API server would default.
                api_version: Some("v1".to_owned()),
                field_path: (*path).to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let fields = part.configuration.pod_fields.iter().filter(|(name, _)| users.iter().all(|user| user.name != *name));
    fields.map(field).chain(users.iter().cloned()).collect()
}

/// The user's Secrets first: of two variables of one name the later wins.
fn env_from(name: &ObjectName, configuration: &Configuration) -> Vec<EnvFromSource> {
    let secret = |name: String| EnvFromSource {
        secret_ref: Some(SecretEnvSource { name, optional: None }),
        ..EnvFromSource::default()
    };
    let mut sources: Vec<EnvFromSource> =
        configuration.user_secrets.iter().map(|user| secret(user.name.clone())).collect();
    if !configuration.plain.is_empty() && configuration.plain_content == Content::Environment {
        sources.push(EnvFromSource {
            config_map_ref: Some(ConfigMapEnvSource { name: name.to_string(), optional: None }),
            ..EnvFromSource::default()
        });
    }
    if !configuration.secret.is_empty() && configuration.secret_content == Content::Environment {
        sources.push(secret(name.to_string()));
    }
    sources
}

fn probe(probes: &Probes, path: Option<&str>) -> Probe {
    let port = IntOrString::Int(i32::from(probes.port));
    let base = Probe { timeout_seconds: Some(3), ..Probe::default() };
    match path {
        Some(path) => Probe {
            http_get: Some(HTTPGetAction { path: Some(path.to_owned()), port, ..HTTPGetAction::default() }),
            ..base
        },
        None => Probe { tcp_socket: Some(TCPSocketAction { port, ..TCPSocketAction::default() }), ..base },
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

/// Ours, with each field that the user set in its place.
fn pod_security(user: i64, users: Option<PodSecurityContext>) -> PodSecurityContext {
    let ours = PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    };
    let Some(users) = users else { return ours };
    PodSecurityContext {
        run_as_non_root: users.run_as_non_root.or(ours.run_as_non_root),
        run_as_user: users.run_as_user.or(ours.run_as_user),
        run_as_group: users.run_as_group.or(ours.run_as_group),
        fs_group: users.fs_group.or(ours.fs_group),
        seccomp_profile: users.seccomp_profile.clone().or(ours.seccomp_profile),
        ..users
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
