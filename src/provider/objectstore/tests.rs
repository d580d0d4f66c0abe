use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use super::*;
use crate::api::DeletionPolicy;
use crate::plan::inputs::SecretData;
use crate::provider::diagnosis::{EventSeen, PodSeen, StatefulSetSeen, Stuck};
use crate::provider::{Availability, Remedy};
use crate::testing;

const MADE: &str = "2026-11-23T12:00:00Z";
const IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-04-08T15-41-24Z";

fn identity() -> Identity {
    Identity::of(&testing::project()).unwrap()
}

fn provider(yaml: &str) -> Provider {
    let managed: ManagedStorageSpec = serde_saphyr::from_str(yaml).unwrap();
    Provider::of(Some(&StorageSpec { managed: Some(managed), ..StorageSpec::default() })).unwrap()
}

fn plan_of(yaml: &str, live: Option<&Value>) -> Result<StorePlan, Problem> {
    provider(yaml).plan(&identity(), Lifecycle::default(), live, &[])
}

fn secrets() -> Secrets {
    // Without repetition, so that no two keys are alike.
    let mut next = 0..=u8::MAX;
    let keys = mint(&mut |bytes: &mut [u8]| bytes.fill_with(|| next.next().unwrap()));
    let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), value.expose().as_bytes().to_vec())).collect();
    Secrets::from([("demo-object-store-keys".to_owned(), Some(Arc::new(SecretData { keys, ..SecretData::default() })))])
}

fn keys() -> StoreKeys {
    super::keys(&identity(), &secrets()).unwrap().unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "made for the call")]
fn tenant(status: Value) -> Value {
    json!({
        "metadata": {"name": "demo-minio", "namespace": "tenant", "creationTimestamp": MADE, "generation": 3},
        "spec": {"image": IMAGE},
        "status": status,
    })
}

fn healthy() -> Value {
    json!({"currentState": "Initialized", "healthStatus": "green", "availableReplicas": 1, "provisionedBuckets": true})
}

fn after(seconds: i64) -> Patience {
    let now = MADE.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
    Patience { now, deadline: Duration::from_secs(600), since: Some(MADE.parse().unwrap()) }
}

fn observe_with(yaml: &str, status: Value, around: &Surroundings, seconds: i64) -> Observation<BucketEndpoint> {
    let live = tenant(status);
    plan_of(yaml, None).unwrap().observe(Some(&live), around, &secrets(), &after(seconds))
}

fn observe(status: Value, seconds: i64) -> Observation<BucketEndpoint> {
    observe_with("{}", status, &Surroundings::default(), seconds)
}

#[test]
fn an_initialized_store_gives_the_endpoint_of_the_fixed_service() {
    let Availability::Ready(endpoint) = observe(healthy(), 20).availability else { panic!() };
    assert_eq!(endpoint.endpoint, "http://minio.tenant.svc");
    assert_eq!(endpoint.bucket, "supabase-storage");
    assert!(endpoint.force_path_style);
}

#[test]
fn green_and_initialized_are_not_believed_while_no_server_is_available() {
    let mut dead = healthy();
    dead["availableReplicas"] = json!(0);
    assert!(matches!(observe(dead, 20).availability, Availability::Waiting(..)));
    // What was never there is 0.
    assert!(matches!(
        observe(json!({"currentState": "Initialized", "healthStatus": "green"}), 20).availability,
        Availability::Waiting(..)
    ));
}

#[test]
fn a_starting_store_is_waited_for() {
    for state in [
        "",
        "Provisioning MinIO Statefulset",
        "Waiting for Tenant to be healthy",
        "Updating MinIO Version",
        "Restarting MinIO",
    ] {
        let seen = observe(json!({"currentState": state}), 20);
        assert!(matches!(seen.availability, Availability::Waiting(..)), "{state}: {seen:?}");
    }
    assert!(matches!(observe(Value::Null, 1).availability, Availability::Waiting(..)));
    let Availability::Failed(problem) =
        observe(json!({"currentState": "Waiting for Tenant to be healthy"}), 601).availability
    else {
        panic!()
    };
    assert_eq!(problem.reason, Reason::StorageFailed);
}

#[test]
fn any_other_state_is_an_error_and_told_in_its_own_words() {
    let Availability::Failed(problem) =
        observe(json!({"currentState": "pool #0 with 2 servers must have more"}), 6).availability
    else {
        panic!()
    };
    assert!(problem.message.contains("pool #0 with 2 servers must have more"), "{}", problem.message);
}

#[test]
fn a_store_that_lost_a_minority_of_its_servers_still_serves() {
    let mut status = healthy();
    status["availableReplicas"] = json!(3);
    let seen = observe_with("servers: 4", status, &Surroundings::default(), 5000);
    assert!(matches!(seen.availability, Availability::Degraded(..)), "{seen:?}");
    assert!(seen.look_closer);
}

fn stuck(image: &str, set: &str) -> Surroundings {
    Surroundings {
        pods: vec![PodSeen {
            name: "demo-minio-p0-0".into(),
            stuck: vec![Stuck {
                container: "minio".into(),
                image: image.into(),
                reason: "ImagePullBackOff".into(),
                message: "not found".into(),
            }],
            ..PodSeen::default()
        }],
        stateful_sets: vec![StatefulSetSeen {
            name: "demo-minio-p0".into(),
            uid: "s".into(),
            images: vec![set.into(), "sidecar".into()],
        }],
        ..Surroundings::default()
    }
}

#[test]
fn a_stateful_set_that_keeps_a_wrong_image_is_deleted_without_its_pods() {
    let delete = Some(Remedy::DeleteStatefulSetOrphaning { name: "demo-minio-p0".into(), uid: "s".into() });
    let around = stuck("example.com/nope:1", "example.com/nope:1");
    assert_eq!(
        observe_with("{}", json!({"currentState": "Waiting for Tenant to be healthy"}), &around, 90).remedy,
        delete
    );
    // After a bad upgrade the Tenant says that all is well.
    assert_eq!(observe_with("{}", healthy(), &around, 90).remedy, delete);
}

#[test]
fn a_stateful_set_is_left_alone_while_its_image_is_the_wanted_one_or_its_pods_start() {
    assert_eq!(observe_with("{}", healthy(), &stuck(IMAGE, IMAGE), 90).remedy, None);
    let rolling = Surroundings { pods: Vec::new(), ..stuck("", "example.com/old:1") };
    assert_eq!(observe_with("{}", healthy(), &rolling, 90).remedy, None);
    // The Tenant does not have the new image yet.
    let around = stuck("example.com/nope:1", "example.com/nope:1");
    assert_eq!(observe_with("image: example.com/next:2", healthy(), &around, 90).remedy, None);
}

#[test]
fn causes_name_the_fields_of_storage() {
    let Availability::Failed(problem) = observe_with(
        "{}",
        json!({"currentState": "Waiting for Tenant to be healthy"}),
        &stuck("example.com/nope:1", IMAGE),
        90,
    )
    .availability
    else {
        panic!()
    };
    assert_eq!(problem.reason, Reason::ImageUnavailable);
    assert!(problem.message.contains("spec.storage.managed.image"), "{}", problem.message);
    let refused = Surroundings {
        events: vec![EventSeen {
            kind: "StatefulSet".into(),
            name: "demo-minio-p0".into(),
            reason: "FailedCreate".into(),
            message: "violates PodSecurity".into(),
        }],
        ..Surroundings::default()
    };
    let Availability::Failed(problem) =
        observe_with("{}", json!({"currentState": "Waiting for Tenant to be healthy"}), &refused, 90).availability
    else {
        panic!()
    };
    assert_eq!(problem.reason, Reason::PodRefused);
}

#[test]
fn of_two_tenants_that_were_made_at_once_the_first_by_name_stays() {
    let plan = |other: &str| {
        let tenants = ["demo-minio".to_owned(), other.to_owned()];
        provider("{}").plan(&identity(), Lifecycle::default(), Some(&json!({})), &tenants)
    };
    assert!(plan("other-minio").is_ok());
    assert_eq!(plan("another-minio").unwrap_err().reason, Reason::NameTaken);
}

#[test]
fn a_store_that_wakes_must_fit_the_volumes_it_left() {
    let plan = plan_of("{servers: 4}", None).unwrap();
    assert!(plan.fits(0).is_ok() && plan.fits(4).is_ok());
    let problem = plan.fits(1).unwrap_err();
    assert!(problem.message.contains("are on 1 volumes"), "{}", problem.message);
}

#[test]
fn a_second_tenant_in_a_namespace_is_refused_before_it_breaks_the_first() {
    let tenants = ["demo-minio".to_owned(), "other".to_owned()];
    let problem = provider("{}").plan(&identity(), Lifecycle::default(), None, &tenants).unwrap_err();
    assert_eq!(problem.reason, Reason::NameTaken);
    assert!(problem.message.contains("other"), "{}", problem.message);
    assert!(provider("{}").plan(&identity(), Lifecycle::default(), None, &tenants[..1]).is_ok());
    assert!(provider("provider: rustfs").plan(&identity(), Lifecycle::default(), None, &tenants).is_ok());
}

#[test]
fn geometries_that_the_provider_refuses_are_refused_first() {
    for (yaml, said) in [
        ("servers: 2", "set it to 2"),
        ("{servers: 3, volumesPerServer: 1}", "set it to 2"),
        ("{provider: rustfs, volumesPerServer: 1}", "set it to 4"),
    ] {
        let problem = plan_of(yaml, None).unwrap_err();
        assert!(problem.message.contains(said), "{yaml}: {}", problem.message);
    }
    for yaml in ["{}", "{servers: 2, volumesPerServer: 2}", "servers: 4", "provider: rustfs"] {
        assert!(plan_of(yaml, None).is_ok(), "{yaml}");
    }
}

#[test]
fn what_files_are_spread_over_stays_and_sizes_only_grow() {
    let live = json!({"spec": {"image": "example.com/minio:1", "pools": [{
        "servers": 4, "volumesPerServer": 2,
        "volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "50Gi"}}}},
    }]}});
    let plan = plan_of("{}", Some(&live)).unwrap();
    assert_eq!((plan.servers, plan.volumes_per_server, plan.size.as_str()), (4, 2, "50Gi"));
    assert_eq!(plan.image.as_deref(), Some("example.com/minio:1"));
    for yaml in ["servers: 1", "volumesPerServer: 1", "size: 20Gi"] {
        assert_eq!(plan_of(yaml, Some(&live)).unwrap_err().reason, Reason::SpecInvalid, "{yaml}");
    }
}

#[test]
fn changed_root_keys_change_the_tenant_and_its_pods() {
    let plan = plan_of("{}", None).unwrap();
    let hashes = |keys: &StoreKeys| {
        let tenant = plan.render(keys).apply.remove(1).body;
        let annotation = |pointer: &str| tenant.pointer(pointer).unwrap()[KEYS_HASH].clone();
        [annotation("/metadata/annotations"), annotation("/spec/pools/0/annotations")]
    };
    let changed = |user: UserKeys| UserKeys { secret_access_key: Sensitive::new("another-secret"), ..user };
    let before = hashes(&keys());
    let after = hashes(&StoreKeys { root: changed(keys().root), ..keys() });
    assert_ne!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    // The user's keys reach the store by a request: no pod restarts for them.
    assert_eq!(before, hashes(&StoreKeys { user: changed(keys().user), ..keys() }));
}

#[test]
fn keys_that_a_shell_would_interpret_are_refused() {
    for bad in ["short", "with space in", "quote\"inside", "dollar$(id)x"] {
        for key in ["rootAccessKeyId", "rootSecretAccessKey", "accessKeyId", "secretAccessKey"] {
            let mut secrets = secrets();
            testing::set_key(&mut secrets, "demo-object-store-keys", key, bad);
            let problem = super::keys(&identity(), &secrets).unwrap_err();
            assert_eq!(problem.reason, Reason::KeysInvalid);
            assert!(problem.message.contains(key) && !problem.message.contains(bad), "{}", problem.message);
        }
    }
    assert_eq!(super::keys(&identity(), &Secrets::new()).unwrap(), None);
}

#[test]
fn the_user_of_the_bucket_is_not_root() {
    let mut secrets = secrets();
    let root = keys().root.access_key_id;
    assert_ne!(root, keys().user.access_key_id);
    testing::set_key(&mut secrets, "demo-object-store-keys", "accessKeyId", root.expose());
    let problem = super::keys(&identity(), &secrets).unwrap_err();
    assert_eq!(problem.reason, Reason::KeysInvalid);
    assert!(problem.message.contains("make them different"), "{}", problem.message);
}

#[test]
fn root_keys_are_for_the_store_and_the_users_keys_for_the_bucket() {
    for (yaml, status) in [
        ("{}", healthy()),
        (
            "provider: rustfs",
            json!({"observedGeneration": 3, "currentState": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}),
        ),
    ] {
        let seen = observe_with(yaml, status, &Surroundings::default(), 20).availability;
        let Availability::Ready(endpoint) = seen else { panic!("{yaml}: {seen:?}") };
        assert_eq!(endpoint.login, BucketLogin::Granted { user: keys().user, root: keys().root });
        assert_eq!(endpoint.secret, "tenant/demo-object-store-keys");
    }
}

#[test]
fn the_root_keys_stand_in_secrets_alone_and_the_users_keys_not_even_there() {
    for yaml in ["{}", "provider: rustfs"] {
        let wanted = plan_of(yaml, None).unwrap().render(&keys());
        let [secret, tenant] = &wanted.apply[..] else { panic!() };
        assert!(!tenant.body.to_string().contains(keys().root.secret_access_key.expose()));
        assert!(!format!("{wanted:?}").contains(&secret.body["data"].to_string()));
        let data = secret.body["data"].as_object().unwrap().values();
        let text: String = data
            .map(|value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap())
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect();
        assert!(text.contains(keys().root.secret_access_key.expose()));
        assert!(!text.contains(keys().user.secret_access_key.expose()));
    }
}

#[test]
fn a_suspended_minio_is_withdrawn_and_rustfs_goes_on() {
    let suspended = Lifecycle { suspended: true, deletion: DeletionPolicy::Delete };
    let plan = provider("{}").plan(&identity(), suspended, None, &[]).unwrap();
    let wanted = plan.render(&keys());
    assert_eq!(wanted.withdraw, [(Upstream::MinioTenant, identity().name.minio())]);
    assert_eq!(wanted.apply.len(), 1, "its Secret stays");
    let seen = |live: Option<&Value>| plan.observe(live, &Surroundings::default(), &secrets(), &after(20)).availability;
    assert_eq!(seen(None), Availability::Suspended);
    assert!(matches!(seen(Some(&tenant(healthy()))), Availability::Waiting(Reason::Suspended, _)));
    let rustfs = provider("provider: rustfs").plan(&identity(), suspended, None, &[]).unwrap();
    assert_eq!(rustfs.render(&keys()).withdraw, []);
}

#[test]
fn rustfs_is_ready_by_its_conditions_for_the_current_generation() {
    let observe =
        |status: Value, seconds: i64| observe_with("provider: rustfs", status, &Surroundings::default(), seconds);
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let Availability::Ready(endpoint) =
        observe(json!({"observedGeneration": 3, "currentState": "Ready", "conditions": ready}), 20).availability
    else {
        panic!()
    };
    assert_eq!(endpoint.endpoint, "http://demo-rustfs-io.tenant.svc:9000");
    let stale = observe(json!({"observedGeneration": 2, "currentState": "Ready", "conditions": ready}), 20);
    assert!(matches!(stale.availability, Availability::Waiting(..)), "{stale:?}");
    let blocked = json!({"observedGeneration": 3, "currentState": "Blocked", "conditions": [
        {"type": "Ready", "status": "False", "message": "not ready"},
        {"type": "CredentialsReady", "status": "False", "message": "Secret has no key accesskey"},
    ]});
    let Availability::Failed(problem) = observe(blocked, 20).availability else { panic!() };
    assert!(problem.message.contains("no key accesskey"), "{}", problem.message);
}
