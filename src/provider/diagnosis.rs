//! Why an upstream object does not become ready: the cause lies in the Pods, Jobs, claims and Events behind it, which
//! its own status does not mention. In: these objects, reduced. Out: a [`Problem`] that names the object and the remedy.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod, PodSpec};

use crate::reason::{Problem, Reason};

/// What lies behind one upstream object; empty until somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    pub jobs: Vec<JobSeen>,
    pub pods: Vec<PodSeen>,
    pub stateful_sets: Vec<StatefulSetSeen>,
    pub claims: Vec<ClaimSeen>,
    pub events: Vec<EventSeen>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSeen {
    pub name: String,
    pub uid: String,
    pub image: String,
    pub created: Option<Timestamp>,
    pub failed: i32,
    pub succeeded: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSeen {
    pub name: String,
    /// Containers that wait for something else than their turn.
    pub stuck: Vec<Stuck>,
    pub unschedulable: Option<String>,
    /// Last words of a container that ended.
    pub said: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub container: String,
    pub image: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatefulSetSeen {
    pub name: String,
    pub uid: String,
    /// Images of its containers.
    pub images: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSeen {
    pub name: String,
    pub uid: String,
    pub bound: bool,
    /// uids of its owners.
    pub owners: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSeen {
    pub kind: String,
    pub name: String,
    pub reason: String,
    pub message: String,
}

impl From<&Job> for JobSeen {
    fn from(job: &Job) -> Self {
        let status = job.status.as_ref();
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        Self {
            name: job.metadata.name.clone().unwrap_or_default(),
            uid: job.metadata.uid.clone().unwrap_or_default(),
            image: pod.map(images).unwrap_or_default().into_iter().next().unwrap_or_default(),
            created: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
            failed: status.and_then(|status| status.failed).unwrap_or_default(),
            succeeded: status.and_then(|status| status.succeeded).unwrap_or_default() > 0,
        }
    }
}

impl From<&StatefulSet> for StatefulSetSeen {
    fn from(set: &StatefulSet) -> Self {
        Self {
            name: set.metadata.name.clone().unwrap_or_default(),
            uid: set.metadata.uid.clone().unwrap_or_default(),
            images: set.spec.template.spec.as_ref().map(images).unwrap_or_default(),
        }
    }
}

fn images(pod: &PodSpec) -> Vec<String> {
    pod.containers.iter().filter_map(|container| container.image.clone()).collect()
}

impl From<&Pod> for PodSeen {
    fn from(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let containers = status.into_iter().flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        });
        let unschedulable = status
            .into_iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
            .map(|condition| condition.message.clone().unwrap_or_default());
        let ended = status.into_iter().flat_map(|status| status.container_statuses.iter().flatten());
        let mut said = ended.filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.message.clone());
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            stuck: containers.filter_map(stuck).collect(),
            unschedulable,
            said: said.next(),
        }
    }
}

fn stuck(status: &ContainerStatus) -> Option<Stuck> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    // In a container whose turn has not come yet.
    if ["PodInitializing", "ContainerCreating"].contains(&reason.as_str()) {
        return None;
    }
    Some(Stuck {
        container: status.name.clone(),
        image: status.image.clone(),
        reason,
        message: waiting.message.clone().unwrap_or_default(),
    })
}

impl From<&PersistentVolumeClaim> for ClaimSeen {
    fn from(claim: &PersistentVolumeClaim) -> Self {
        let owners = claim.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone());
        Self {
            name: claim.metadata.name.clone().unwrap_or_default(),
            uid: claim.metadata.uid.clone().unwrap_or_default(),
            bound: claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound"),
            owners: owners.collect(),
        }
    }
}

impl From<&Event> for EventSeen {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.involved_object.kind.clone().unwrap_or_default(),
            name: event.involved_object.name.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
        }
    }
}

/// Fields of the spec that a remedy names.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub image: &'static str,
    pub storage_class: &'static str,
    pub resources: &'static str,
    /// What is wrong when the program itself ends with an error.
    pub failed: Reason,
    /// What the user may have set wrong then.
    pub settings: &'static str,
}

/// Messages of others are cut: an Event may quote a page.
const QUOTE: usize = 300;

fn quote(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE).collect()
}

impl Surroundings {
    /// The first cause in the order in which things come to be: volume, place, image, configuration, program.
    pub fn cause(&self, namespace: &str, fields: &Fields) -> Option<Problem> {
        self.volume(namespace, fields)
            .or_else(|| self.place(namespace, fields))
            .or_else(|| self.container(namespace, fields))
            .or_else(|| self.refused(namespace))
            .or_else(|| self.job(namespace, fields))
    }

    /// Whether a container cannot start.
    pub fn is_stuck(&self, pod_prefix: &str) -> bool {
        self.pods.iter().any(|pod| pod.name.starts_with(pod_prefix) && !pod.stuck.is_empty())
    }

    fn volume(&self, namespace: &str, fields: &Fields) -> Option<Problem> {
        let pending = |name: &str| self.claims.iter().any(|claim| claim.name == name && !claim.bound);
        let event = self.events.iter().rfind(|event| {
            event.kind == "PersistentVolumeClaim" && event.reason == "ProvisioningFailed" && pending(&event.name)
        })?;
        Some(Problem::new(
            Reason::VolumeUnavailable,
            format!(
                "PersistentVolumeClaim {namespace}/{}: {}; make the StorageClass provide it, or make the project anew with another {}",
                event.name,
                quote(&event.message),
                fields.storage_class
            ),
        ))
    }

    fn place(&self, namespace: &str, fields: &Fields) -> Option<Problem> {
        let (name, message) = self.pods.iter().find_map(|pod| Some((&pod.name, pod.unschedulable.as_ref()?)))?;
        Some(Problem::new(
            Reason::PodUnschedulable,
            format!(
                "Pod {namespace}/{name} finds no node: {}; add nodes or volumes, or lower {}",
                quote(message),
                fields.resources
            ),
        ))
    }

    fn container(&self, namespace: &str, fields: &Fields) -> Option<Problem> {
        let (pod, stuck) = self.pods.iter().find_map(|pod| Some((&pod.name, pod.stuck.first()?)))?;
        let Stuck { container, image, reason, message } = stuck;
        let message = quote(message);
        let (kind, remedy) = match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => (
                Reason::ImageUnavailable,
                format!("image {image:?} cannot be pulled; set {} to one that can", fields.image),
            ),
            "CreateContainerConfigError" => {
                (Reason::SecretMissing, "create what it asks for, or remove the reference to it".to_owned())
            }
            _ => (fields.failed, format!("look at `kubectl -n {namespace} logs {pod} -c {container}`")),
        };
        Some(Problem::new(kind, format!("Pod {namespace}/{pod}, container {container}: {reason}: {message}; {remedy}")))
    }

    fn refused(&self, namespace: &str) -> Option<Problem> {
        let workload = |kind: &str| ["StatefulSet", "Job"].contains(&kind);
        let event = self.events.iter().rfind(|event| workload(&event.kind) && event.reason == "FailedCreate")?;
        // An old refusal is no news where there are Pods by now.
        if !self.pods.is_empty() {
            return None;
        }
        let EventSeen { kind, name, message, .. } = event;
        Some(Problem::new(
            Reason::PodRefused,
            format!(
                "{kind} {namespace}/{name} may not make its Pods: {}; lift what forbids it in this namespace",
                quote(message)
            ),
        ))
    }

    fn job(&self, namespace: &str, fields: &Fields) -> Option<Problem> {
        let job = self.jobs.iter().find(|job| job.failed > 0 && !job.succeeded)?;
        Some(Problem::new(
            fields.failed,
            format!(
                "Job {namespace}/{} failed {} times; look at `kubectl -n {namespace} logs job/{}`, and correct {}",
                job.name, job.failed, job.name, fields.settings
            ),
        ))
    }
}
