//! An object store as a Tenant of the MinIO operator. Its status says less than it seems to: `Initialized` is shown while
//! the Pods cannot start, and `healthStatus` stays green when nothing answers any more. The numbers follow reality.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::diagnosis::{StatefulSetSeen, Surroundings};
use super::super::{Availability, Doubt, Observation, Patience, Remedy, live, next_look, settled};
use super::{BUCKET, FIELDS, KEYS_HASH, Layout, POOL, StorePlan, UserKeys, invalid};
use crate::plan::inputs::Secrets;
use crate::plan::names::ObjectName;
use crate::plan::{BucketEndpoint, Identity};
use crate::reason::{Problem, Reason};

pub const TENANT_LABEL: &str = "v1.min.io/tenant";
/// The operator names it so in every namespace.
const SERVICE: &str = "minio";
const USER: i64 = 1000;

pub const LAYOUT: Layout = Layout {
    volumes_per_server: "/spec/pools/0/volumesPerServer",
    default_volumes: 1,
    size: "/spec/pools/0/volumeClaimTemplate/spec/resources/requests/storage",
    // What the last release of the operator was made for.
    default_image: Some("quay.io/minio/minio:RELEASE.2025-04-08T15-41-24Z"),
    check: geometry,
};

fn geometry(servers: i32, volumes_per_server: i32) -> Result<(), Problem> {
    let needed = match servers {
        2 => 4,
        3 => 6,
        _ => 1,
    };
    if servers * volumes_per_server < needed {
        return Err(invalid(format!(
            "spec.storage.managed.volumesPerServer: MinIO wants at least {needed} volumes for {servers} servers; set it to {}",
            needed / servers
        )));
    }
    Ok(())
}

/// A second Tenant would take the Service of the first one away, at once. Of two that were made at once the first by name
/// stays.
pub fn alone(identity: &Identity, name: &ObjectName, there: bool, tenants: &[String]) -> Result<(), Problem> {
    let others = || tenants.iter().filter(|tenant| tenant.as_str() != name.as_str());
    let Some(other) = others().min().filter(|other| !there || other.as_str() < name.as_str()) else { return Ok(()) };
    let namespace = &identity.namespace;
    Err(Problem::new(
        Reason::NameTaken,
        format!(
            "spec.storage.managed: the MinIO operator serves one Tenant in a namespace, and {namespace} has {other} already; set provider to rustfs, use secretRef, or move one of them to another namespace"
        ),
    ))
}

/// Shell assignments, as the operator's sidecar reads them. The keys hold nothing that a shell would interpret.
pub fn configuration(root: &UserKeys) -> BTreeMap<String, String> {
    let (user, password) = (root.access_key_id.expose(), root.secret_access_key.expose());
    let file = format!("export MINIO_ROOT_USER=\"{user}\"\nexport MINIO_ROOT_PASSWORD=\"{password}\"\n");
    BTreeMap::from([("config.env".to_owned(), file)])
}

pub fn url(identity: &Identity) -> String {
    format!("http://{SERVICE}.{}.svc", identity.namespace)
}

pub fn spec(plan: &StorePlan, keys_hash: &str) -> Value {
    json!({
        "image": plan.image,
        "imagePullPolicy": "IfNotPresent",
        "requestAutoCert": false,
        "configuration": {"name": plan.identity.name.object_store_configuration().as_str()},
        "buckets": [{"name": BUCKET}],
        "pools": [{
            "name": POOL,
            "servers": plan.servers,
            "volumesPerServer": plan.volumes_per_server,
            "volumeClaimTemplate": {"metadata": {"name": "data"}, "spec": plan.claim()},
            "resources": plan.resources,
            "annotations": {KEYS_HASH: keys_hash},
            // Both replace the operator's defaults whole, which Pod Security `restricted` refuses.
            "securityContext": {
                "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "runAsNonRoot": true,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containerSecurityContext": {
                "runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }],
    })
}

pub fn observe(
    plan: &StorePlan,
    live: Option<&Value>,
    around: &Surroundings,
    secrets: &Secrets,
    patience: &Patience,
) -> Observation<BucketEndpoint> {
    let object = plan.object();
    let waiting = |what: &str| Availability::Waiting(Reason::StorageStarting, format!("{object} {what}"));
    let Some(live) = live else {
        return settled(if plan.lifecycle.suspended { Availability::Suspended } else { waiting("is being made") });
    };
    if plan.lifecycle.suspended {
        return settled(Availability::Waiting(Reason::Suspended, format!("{object} is being stopped")));
    }
    if live::is_deleting(live) {
        return settled(waiting("is being deleted; it is made anew after that"));
    }
    let state = live::text(live, "/status/currentState");
    let replicas = live::number(live, "/status/availableReplicas");
    let servers = i64::from(plan.servers);
    let remedy = remedy(plan, live, around);
    let cause = around.cause(&plan.identity.namespace, &FIELDS);
    if !state.is_empty() && state != "Initialized" && !is_starting(state) {
        let message =
            format!("{object}: {state}; correct spec.storage.managed, or look at the log of the MinIO operator");
        let (look_closer, again) = next_look(live, patience);
        let availability = Availability::Failed(Problem::new(Reason::StorageFailed, message));
        return Observation { availability, remedy, look_closer, again };
    }
    let healthy = live::text(live, "/status/healthStatus") == "green" && live::flag(live, "/status/provisionedBuckets");
    // The bucket was made once, so the store has worked; and most of its servers are there.
    let is_serving = live::flag(live, "/status/provisionedBuckets") && replicas > servers / 2;
    if !is_serving {
        let said = match state {
            "" => "the MinIO operator has not answered; is it running?".to_owned(),
            state => format!("{state}, {replicas} of {servers} servers are available"),
        };
        let waiting = (Reason::StorageStarting, format!("{object}: {said}"));
        return Doubt { live, patience, cause, waiting, failed: Reason::StorageFailed }.observation(remedy);
    }
    match plan.endpoint(url(&plan.identity), secrets) {
        Err(problem) => settled(Availability::Failed(problem)),
        Ok(None) => settled(waiting("waits for its keys")),
        Ok(Some(endpoint)) if state == "Initialized" && healthy && replicas == servers && remedy.is_none() => {
            settled(Availability::Ready(endpoint))
        }
        Ok(Some(endpoint)) => {
            let cause = cause.map(|cause| format!("; {}", cause.message)).unwrap_or_default();
            let said = format!("{object}: {state}, {replicas} of {servers} servers are available{cause}");
            let problem = Problem::new(Reason::StorageDegraded, said);
            let (look_closer, again) = next_look(live, patience);
            Observation { availability: Availability::Degraded(endpoint, problem), remedy, look_closer, again }
        }
    }
}

fn is_starting(state: &str) -> bool {
    ["Provisioning ", "Waiting ", "Updating ", "Restarting "].iter().any(|start| state.starts_with(start))
}

/// While MinIO does not run, its operator ignores a change of the image: the StatefulSet keeps the old one.
fn remedy(plan: &StorePlan, live: &Value, around: &Surroundings) -> Option<Remedy> {
    let wanted = plan.image.as_deref()?;
    if live::text(live, "/spec/image") != wanted {
        return None;
    }
    let name = format!("{}-{POOL}", plan.name);
    let set = around.stateful_sets.iter().find(|set| set.name == name)?;
    let outdated = !set.images.iter().any(|image| image == wanted);
    (outdated && around.is_stuck(&format!("{name}-"))).then(|| {
        let StatefulSetSeen { name, uid, .. } = set.clone();
        Remedy::DeleteStatefulSetOrphaning { name, uid }
    })
}
