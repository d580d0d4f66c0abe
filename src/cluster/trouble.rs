//! What keeps pods from serving, in the words of the kubelet, the scheduler and the program itself.
//!
//! A slow start is no trouble. A program that ends again and again is, and its last words are the best that can be told.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::core::DynamicObject;

use super::seen::{ProjectKey, has_condition, project_of};
use crate::reason::Reason;
use crate::render::{COMPONENT_LABEL, MIGRATION_SUFFIX};

/// What is wrong with a pod, or with the making of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Name of the component.
    pub component: String,
    /// Whether the pod migrates its schema, and does not serve.
    pub migrating: bool,
    pub reason: Reason,
    /// Not yet cleared of secrets that the program may have printed.
    pub message: String,
}

/// Longest part of a program's last words that is told.
const WORDS_LIMIT: usize = 600;

impl Trouble {
    /// Of a pod of ours; `None` if nothing is wrong with it.
    pub fn of_pod(pod: &Pod) -> Option<(ProjectKey, Self)> {
        let project = project_of(&pod.metadata)?;
        if pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let label = pod.metadata.labels.as_ref()?.get(COMPONENT_LABEL)?;
        let component = label.strip_suffix(MIGRATION_SUFFIX).unwrap_or(label);
        let migrating = component.len() < label.len();
        let status = pod.status.as_ref()?;
        let mut containers = status.container_statuses.iter().flatten();
        let unscheduled = status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
        });
        let (reason, message) = match unscheduled {
            Some(condition) => {
                (Reason::ComponentUnschedulable, format!("no node takes its pod: {}", said(condition.message.as_ref())))
            }
            None => containers.find_map(|container| of_container(container, migrating))?,
        };
        Some((project, Self { component: component.to_owned(), migrating, reason, message }))
    }

    /// Of a Deployment whose pods cannot even be made: quota, admission.
    pub fn of_deployment(object: &DynamicObject) -> Option<(ProjectKey, Self)> {
        let message = has_condition(object, "ReplicaFailure")?;
        let project = project_of(&object.metadata)?;
        let component = object.metadata.labels.as_ref()?.get(COMPONENT_LABEL)?.clone();
        let message = format!("its pods cannot be made: {message}");
        Some((project, Self { component, migrating: false, reason: Reason::ComponentUnschedulable, message }))
    }
}

fn of_container(container: &ContainerStatus, migrating: bool) -> Option<(Reason, String)> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let why = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let words = || said(waiting.and_then(|waiting| waiting.message.as_ref()));
    match why {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => {
            return Some((Reason::ImageUnavailable, format!("image {} cannot be had: {}", container.image, words())));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            return Some((Reason::ComponentCrashing, format!("its container cannot start: {}", words())));
        }
        _ => {}
    }
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let ended = states.into_iter().flatten().find_map(|state| state.terminated.as_ref());
    let ended = ended.filter(|ended| ended.exit_code != 0)?;
    // One end is not a loop: a service may give up on a database that comes a moment later.
    let looping = why == "CrashLoopBackOff" || (container.restart_count >= 2 && !container.ready);
    if !looping {
        return None;
    }
    let reason = if migrating { Reason::MigrationFailed } else { Reason::ComponentCrashing };
    let killed = ended.reason.as_deref() == Some("OOMKilled");
    let how = if killed {
        "was killed for want of memory".to_owned()
    } else {
        format!("ended with code {}", ended.exit_code)
    };
    let words = said(ended.message.as_ref());
    let said = if words.is_empty() { String::new() } else { format!("; it said: {words}") };
    Some((reason, format!("it {how} again and again{said}")))
}

/// The end of what was said, on one line.
fn said(message: Option<&String>) -> String {
    let line = message.map(String::as_str).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let skip = line.chars().count().saturating_sub(WORDS_LIMIT);
    let end: String = line.chars().skip(skip).collect();
    if skip > 0 { format!("…{end}") } else { end }
}

/// Every trouble, by the uid of the object.
#[derive(Default)]
pub struct Troubles(HashMap<Box<str>, (ProjectKey, Trouble)>);

impl Troubles {
    pub fn saw(&mut self, uid: &str, trouble: Option<(ProjectKey, Trouble)>) -> Option<ProjectKey> {
        let old = match &trouble {
            Some(new) => self.0.insert(uid.into(), new.clone()),
            None => self.0.remove(uid),
        };
        (old != trouble).then(|| trouble.or(old).map(|(project, _)| project)).flatten()
    }

    pub fn of(&self, project: &ProjectKey) -> Vec<Trouble> {
        let mut troubles: Vec<Trouble> =
            self.0.values().filter(|(of, _)| of == project).map(|(_, trouble)| trouble.clone()).collect();
        troubles.sort_by(|a, b| (&a.component, a.reason, &a.message).cmp(&(&b.component, b.reason, &b.message)));
        troubles
    }

    pub fn uids(&self, namespace: Option<&str>) -> HashSet<Box<str>> {
        let inside = |project: &ProjectKey| namespace.is_none_or(|namespace| namespace == project.namespace);
        self.0.iter().filter(|(_, (project, _))| inside(project)).map(|(uid, _)| uid.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::PROJECT_LABEL;
    use serde_json::{Value, json};

    fn pod(component: &str, status: &Value) -> Pod {
        let metadata = json!({
            "name": "p", "namespace": "tenant", "uid": "u",
            "labels": {PROJECT_LABEL: "demo", COMPONENT_LABEL: component},
        });
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    fn container(restarts: i32, state: &Value, last: &Value) -> Value {
        json!({"containerStatuses": [{
            "name": "c", "image": "example.com/a:1", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        }]})
    }

    fn of(component: &str, status: &Value) -> Option<Trouble> {
        Trouble::of_pod(&pod(component, status)).map(|(_, trouble)| trouble)
    }

    #[test]
    fn a_crash_loop_is_told_with_the_program_s_last_words_and_a_slow_start_is_not() {
        let ended = json!({"terminated": {"exitCode": 1, "message": "config:\n SITE_URL is missing\n"}});
        let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let trouble = of("auth", &container(3, &backing_off, &ended)).unwrap();
        assert_eq!((trouble.component.as_str(), trouble.reason), ("auth", Reason::ComponentCrashing));
        assert!(trouble.message.contains("code 1") && trouble.message.ends_with("config: SITE_URL is missing"));
        assert_eq!(of("auth", &container(3, &json!({"running": {}}), &ended)).unwrap().message, trouble.message);
        assert_eq!(of("auth", &container(1, &json!({"running": {}}), &ended)), None, "one end is no loop");
        assert_eq!(of("auth", &container(0, &json!({"running": {}}), &json!({}))), None);
        assert_eq!(of("auth", &container(0, &json!({"waiting": {"reason": "ContainerCreating"}}), &json!({}))), None);
    }

    #[test]
    fn a_migration_that_fails_is_called_one() {
        let ended = json!({"terminated": {"exitCode": 1, "message": "no"}});
        let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let trouble = of("auth-migration", &container(2, &backing_off, &ended)).unwrap();
        assert!(trouble.component == "auth" && trouble.migrating && trouble.reason == Reason::MigrationFailed);
    }

    #[test]
    fn images_and_nodes_that_are_not_there_are_told() {
        let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
        let trouble = of("auth", &container(0, &pull, &json!({}))).unwrap();
        assert!(trouble.reason == Reason::ImageUnavailable && trouble.message.contains("example.com/a:1"));
        let unscheduled = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available",
        }]});
        let trouble = of("auth", &unscheduled).unwrap();
        assert!(trouble.reason == Reason::ComponentUnschedulable && trouble.message.contains("0/1 nodes"));
    }

    #[test]
    fn only_news_wake() {
        let mut troubles = Troubles::default();
        let ended = json!({"terminated": {"exitCode": 1}});
        let looping = container(3, &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended);
        let seen = || Trouble::of_pod(&pod("auth", &looping));
        let project = ProjectKey { namespace: "tenant".into(), name: "demo".into() };
        assert_eq!(troubles.saw("u", seen()), Some(project.clone()));
        assert_eq!(troubles.saw("u", seen()), None);
        assert_eq!(troubles.of(&project).len(), 1);
        assert_eq!(troubles.saw("u", None), Some(project));
        assert_eq!(troubles.saw("u", None), None);
    }
}
