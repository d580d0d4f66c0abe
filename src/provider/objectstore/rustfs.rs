//! An object store as a Tenant of the RustFS operator (`rustfs.com/v1alpha1`). From its source, not from a live cluster:
//! the operator and its API are young.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::diagnosis::Surroundings;
use super::super::{Availability, Doubt, Observation, Patience, live, next_look, settled};
use super::{BUCKET, FIELDS, Layout, POOL, StorePlan, UserKeys, invalid};
use crate::plan::inputs::Secrets;
use crate::plan::{BucketEndpoint, Identity};
use crate::reason::{Problem, Reason};

pub const TENANT_LABEL: &str = "rustfs.tenant";
const PORT: u16 = 9000;

pub const LAYOUT: Layout = Layout {
    volumes_per_server: "/spec/pools/0/persistence/volumesPerServer",
    default_volumes: 4,
    size: "/spec/pools/0/persistence/volumeClaimTemplate/resources/requests/storage",
    default_image: None,
    check: geometry,
};

/// Some versions of the operator take a single volume; all of them take these.
fn geometry(servers: i32, volumes_per_server: i32) -> Result<(), Problem> {
    let needed = if servers == 3 { 6 } else { 4 };
    if servers * volumes_per_server < needed {
        return Err(invalid(format!(
            "spec.storage.managed.volumesPerServer: RustFS wants at least {needed} volumes in all; set it to {}",
            (needed + servers - 1) / servers
        )));
    }
    Ok(())
}

pub fn url(identity: &Identity) -> String {
    format!("http://{}-io.{}.svc:{PORT}", identity.name.rustfs(), identity.namespace)
}

pub fn configuration(root: &UserKeys) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("accesskey".to_owned(), root.access_key_id.expose().to_owned()),
        ("secretkey".to_owned(), root.secret_access_key.expose().to_owned()),
    ])
}

pub fn spec(plan: &StorePlan) -> Value {
    let mut spec = json!({
        "credsSecret": {"name": plan.identity.name.object_store_configuration().as_str()},
        "buckets": [{"name": BUCKET}],
        "pools": [{
            "name": POOL,
            "servers": plan.servers,
            "persistence": {"volumesPerServer": plan.volumes_per_server, "volumeClaimTemplate": plan.claim()},
            "resources": plan.resources,
        }],
    });
    if let (Some(image), Some(fields)) = (&plan.image, spec.as_object_mut()) {
        fields.insert("image".to_owned(), json!(image));
    }
    spec
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
    let Some(live) = live else { return settled(waiting("is being made")) };
    if live::is_deleting(live) {
        return settled(waiting("is being deleted; it is made anew after that"));
    }
    let state = live::text(live, "/status/currentState");
    let current = live::number(live, "/status/observedGeneration") == live::number(live, "/metadata/generation");
    let ready = current && live::is_true(live, "Ready");
    let degraded = live::is_true(live, "Degraded");
    let cause = around.cause(&plan.identity.namespace, &FIELDS);
    let said = match state {
        "" => format!("{object}: the RustFS operator has not answered; is it running?"),
        state => format!("{object}: {state}{}", refusal(live)),
    };
    if current && state == "Blocked" {
        let (look_closer, again) = next_look(live, patience);
        let problem = Problem::new(Reason::StorageFailed, format!("{said}; correct spec.storage.managed"));
        return Observation { availability: Availability::Failed(problem), remedy: None, look_closer, again };
    }
    if !ready && !degraded {
        let waiting = (Reason::StorageStarting, said);
        return Doubt { live, patience, cause, waiting, failed: Reason::StorageFailed }.observation(None);
    }
    match plan.endpoint(url(&plan.identity), secrets) {
        Err(problem) => settled(Availability::Failed(problem)),
        Ok(None) => settled(waiting("waits for its keys")),
        Ok(Some(endpoint)) if ready && !degraded => settled(Availability::Ready(endpoint)),
        Ok(Some(endpoint)) => {
            let (look_closer, again) = next_look(live, patience);
            let problem = Problem::new(Reason::StorageDegraded, said);
            Observation { availability: Availability::Degraded(endpoint, problem), remedy: None, look_closer, again }
        }
    }
}

/// What the first condition that is not as it should be says. Conditions that tell a fault are as they should be when
/// False.
fn refusal(live: &Value) -> String {
    const FAULTS: [&str; 2] = ["Reconciling", "Degraded"];
    let said = live::items(live, "/status/conditions").find(|condition| {
        live::text(condition, "/status") == "False"
            && !FAULTS.contains(&live::text(condition, "/type"))
            && live::text(condition, "/type") != "Ready"
    });
    said.map(|condition| format!(": {} {}", live::text(condition, "/type"), live::text(condition, "/message")))
        .unwrap_or_default()
}
