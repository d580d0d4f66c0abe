use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cnpg::ClusterPlan;
use super::*;
use crate::kind::Kind;
use crate::plan::inputs::SecretData;
use crate::provider::diagnosis::{ClaimSeen, EventSeen, JobSeen, PodSeen, Stuck};
use crate::provider::{Availability, Remedy, Upstream};
use crate::reason::Reason;
use crate::testing;

const MADE: &str = "2026-11-23T12:00:00Z";

fn identity() -> Identity {
    Identity::of(&testing::project()).unwrap()
}

fn spec(yaml: &str) -> ManagedDatabaseSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn plan_of(yaml: &str, live: Option<&Value>) -> Result<ClusterPlan, Problem> {
    let DatabasePlan::Cluster(plan) =
        Provider::CloudNativePg(spec(yaml)).plan(&identity(), Lifecycle::default(), live)?;
    Ok(plan)
}

fn body(plan: ClusterPlan) -> Value {
    DatabasePlan::Cluster(plan).render().apply.remove(0).body
}

fn secrets() -> Secrets {
    let secret = |pairs: &[(&str, &str)]| {
        let keys = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Some(Arc::new(SecretData { keys, ..SecretData::default() }))
    };
    Secrets::from([
        (
            "demo-db-superuser".to_owned(),
            secret(&[
                ("username", "postgres"),
                ("password", "p4ss"),
                ("uri", "postgresql://postgres:p4ss@demo-db-rw:5432/*"),
            ]),
        ),
        ("demo-db-ca".to_owned(), secret(&[("ca.crt", "-----BEGIN CERTIFICATE-----\n"), ("ca.key", "k")])),
    ])
}

/// A live Cluster that was made at [`MADE`] and last changed by us `edited` seconds later.
#[allow(clippy::needless_pass_by_value, reason = "made for the call")]
fn cluster(status: Value, edited: i64) -> Value {
    let made: jiff::Timestamp = MADE.parse().unwrap();
    let written = (made + jiff::SignedDuration::from_secs(edited)).to_string();
    json!({
        "metadata": {
            "name": "demo-db", "namespace": "tenant", "creationTimestamp": MADE,
            "managedFields": [{"manager": "supabase-operator", "operation": "Apply", "time": written}],
        },
        "status": status,
    })
}

fn healthy() -> Value {
    json!({
        "phase": "Cluster in healthy state", "image": images::DEFAULT, "readyInstances": 1,
        "currentPrimary": "demo-db-1", "targetPrimary": "demo-db-1",
        "instancesStatus": {"healthy": ["demo-db-1"]},
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}],
    })
}

fn after(seconds: i64) -> Patience {
    let now = MADE.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds);
    Patience { now, deadline: Duration::from_secs(600), since: Some(MADE.parse().unwrap()) }
}

fn observe_with(live: Option<&Value>, around: &Surroundings, patience: &Patience) -> Observation<DatabaseEndpoint> {
    let plan = Provider::CloudNativePg(ManagedDatabaseSpec::default()).plan(&identity(), Lifecycle::default(), None);
    plan.unwrap().observe(live, around, &secrets(), patience)
}

fn observe(status: Value, seconds: i64) -> Observation<DatabaseEndpoint> {
    observe_with(Some(&cluster(status, 0)), &Surroundings::default(), &after(seconds))
}

fn bootstrapping() -> Value {
    json!({
        "phase": "Setting up primary", "targetPrimary": "demo-db-1", "image": images::DEFAULT,
        "conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}],
    })
}

#[test]
fn a_healthy_cluster_gives_a_verified_endpoint_that_is_not_taken_from_the_uri() {
    let Availability::Ready(endpoint) = observe(healthy(), 20).availability else { panic!() };
    assert_eq!(endpoint.host, "demo-db-rw.tenant.svc");
    assert_eq!(endpoint.database, "postgres");
    assert_eq!(endpoint.password.expose(), "p4ss");
    assert!(endpoint.ssl_mode.verifies());
    assert!(!endpoint.ca.unwrap().contains('k'));
}

#[test]
fn initialized_is_no_sign_of_anything() {
    let seen = observe(bootstrapping(), 5);
    assert!(matches!(seen.availability, Availability::Waiting(Reason::DatabaseStarting, _)), "{seen:?}");
    assert!(!seen.look_closer);
    assert_eq!(seen.again, Some(Duration::from_secs(55)));
}

#[test]
fn a_cluster_without_any_status_is_waited_for() {
    for status in [Value::Null, json!({}), json!({"image": images::DEFAULT})] {
        let seen = observe(status, 1);
        assert!(matches!(seen.availability, Availability::Waiting(..)), "{seen:?}");
    }
    assert!(matches!(observe_with(None, &Surroundings::default(), &after(0)).availability, Availability::Waiting(..)));
}

#[test]
fn a_writable_primary_serves_while_standbys_are_still_joining() {
    let plan = plan_of("instances: 3", None).unwrap();
    let live = cluster(
        json!({
            "phase": "Creating a new replica", "image": images::DEFAULT, "readyInstances": 1,
            "currentPrimary": "demo-db-1", "targetPrimary": "demo-db-1",
            "instancesStatus": {"healthy": ["demo-db-1"]},
            "conditions": [{"type": "Ready", "status": "False"}],
        }),
        0,
    );
    let seen = DatabasePlan::Cluster(plan).observe(Some(&live), &Surroundings::default(), &secrets(), &after(20));
    let Availability::Degraded(_, problem) = seen.availability else { panic!("{seen:?}") };
    assert!(problem.message.contains("1 of 3 instances"), "{}", problem.message);
}

#[test]
fn a_failover_under_way_is_not_served_from() {
    let mut status = healthy();
    status["targetPrimary"] = json!("pending");
    assert!(matches!(observe(status, 500).availability, Availability::Waiting(..)));
    let mut status = healthy();
    status["instancesStatus"] = json!({});
    status.as_object_mut().unwrap().remove("readyInstances");
    assert!(matches!(observe(status, 500).availability, Availability::Waiting(..)));
}

#[test]
fn a_ready_left_over_from_another_image_is_not_believed() {
    let plan = plan_of("imageName: example.com/supabase/postgres:15.14.1.099", None).unwrap();
    let live = cluster(healthy(), 0);
    let seen = DatabasePlan::Cluster(plan).observe(Some(&live), &Surroundings::default(), &secrets(), &after(20));
    assert!(matches!(seen.availability, Availability::Degraded(..)), "{seen:?}");
}

#[test]
fn a_hibernated_cluster_is_suspended_although_it_says_ready() {
    let mut status = healthy();
    status["conditions"].as_array_mut().unwrap().push(json!({"type": "cnpg.io/hibernation", "status": "True"}));
    let lifecycle = Lifecycle { suspended: true, ..Lifecycle::default() };
    let provider = Provider::of(None).unwrap();
    let plan = provider.plan(&identity(), lifecycle, None).unwrap();
    let seen = |live: &Value| plan.observe(Some(live), &Surroundings::default(), &secrets(), &after(20)).availability;
    assert_eq!(seen(&cluster(status.clone(), 0)), Availability::Suspended);
    assert!(matches!(seen(&cluster(healthy(), 0)), Availability::Waiting(Reason::Suspended, _)));
    // Somebody else's hibernation is told, not served from.
    let Availability::Waiting(_, message) = observe(status, 20).availability else { panic!() };
    assert!(message.contains("cnpg.io/hibernation"), "{message}");
    assert_eq!(plan.render().apply[0].body["metadata"]["annotations"]["cnpg.io/hibernation"], "on");
}

#[test]
fn secrets_that_are_still_to_come_are_waited_for_and_named() {
    let provider = Provider::of(None).unwrap();
    let plan = provider.plan(&identity(), Lifecycle::default(), None).unwrap();
    let seen = plan.observe(Some(&cluster(healthy(), 0)), &Surroundings::default(), &Secrets::new(), &after(20));
    let Availability::Waiting(_, message) = seen.availability else { panic!() };
    assert!(message.contains("demo-db-superuser"), "{message}");
}

fn stuck_pod(reason: &str, message: &str) -> PodSeen {
    PodSeen {
        name: "demo-db-1-initdb-abcde".to_owned(),
        stuck: vec![Stuck {
            container: "initdb".to_owned(),
            image: "example.com/nope:15".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }],
        ..PodSeen::default()
    }
}

#[test]
fn the_cause_of_a_stuck_bootstrap_is_found_behind_the_cluster() {
    let pending = ClaimSeen { name: "demo-db-1".into(), uid: "c".into(), bound: false, owners: Vec::new() };
    let event = |kind: &str, name: &str, reason: &str, message: &str| EventSeen {
        kind: kind.into(),
        name: name.into(),
        reason: reason.into(),
        message: message.into(),
    };
    let around = |change: &dyn Fn(&mut Surroundings)| {
        let mut around = Surroundings::default();
        change(&mut around);
        around
    };
    let cases = [
        (
            around(&|around| around.pods.push(stuck_pod("ImagePullBackOff", "not found"))),
            Reason::ImageUnavailable,
            "spec.database.managed.imageName",
        ),
        (
            around(&|around| around.pods.push(stuck_pod("CreateContainerConfigError", "secret \"x\" not found"))),
            Reason::SecretMissing,
            "secret \"x\" not found",
        ),
        (
            around(&|around| {
                around.claims.push(pending.clone());
                around.events.push(event(
                    "PersistentVolumeClaim",
                    "demo-db-1",
                    "ProvisioningFailed",
                    "class \"fast\" not found",
                ));
                // Its Pod cannot be placed for the same cause, which says less.
                around.pods.push(PodSeen { unschedulable: Some("unbound".into()), stuck: vec![], ..stuck_pod("", "") });
            }),
            Reason::VolumeUnavailable,
            "class \"fast\" not found",
        ),
        (
            around(&|around| {
                around.pods.push(PodSeen {
                    unschedulable: Some("Insufficient memory".into()),
                    stuck: vec![],
                    ..stuck_pod("", "")
                });
            }),
            Reason::PodUnschedulable,
            "Insufficient memory",
        ),
        (
            around(&|around| around.events.push(event("Job", "demo-db-1-initdb", "FailedCreate", "exceeded quota"))),
            Reason::PodRefused,
            "exceeded quota",
        ),
    ];
    for (around, reason, said) in cases {
        let seen = observe_with(Some(&cluster(bootstrapping(), 0)), &around, &after(90));
        let Availability::Failed(problem) = seen.availability else { panic!("{reason}: {seen:?}") };
        assert_eq!(problem.reason, reason);
        assert!(problem.message.contains(said), "{}", problem.message);
        // In the first minute it may be nothing.
        let early = observe_with(Some(&cluster(bootstrapping(), 0)), &around, &after(10));
        assert!(matches!(early.availability, Availability::Waiting(..)), "{early:?}");
    }
}

#[test]
fn waiting_without_a_cause_ends_at_the_deadline() {
    assert!(observe(bootstrapping(), 90).look_closer);
    assert!(matches!(observe(bootstrapping(), 599).availability, Availability::Waiting(..)));
    let Availability::Failed(problem) = observe(bootstrapping(), 601).availability else { panic!() };
    assert_eq!(problem.reason, Reason::DatabaseFailed);
    assert!(problem.message.contains("10 minutes"), "{}", problem.message);
}

#[test]
fn a_primary_lost_long_after_its_making_is_given_time() {
    let mut status = healthy();
    status["instancesStatus"] = json!({});
    let live = cluster(status, 0);
    let lost_now = Patience { since: None, ..after(90_000) };
    let seen = observe_with(Some(&live), &Surroundings::default(), &lost_now);
    assert!(matches!(seen.availability, Availability::Waiting(..)), "{seen:?}");
}

fn job(image: &str, created: i64, failed: i32) -> JobSeen {
    let made: jiff::Timestamp = MADE.parse().unwrap();
    JobSeen {
        name: "demo-db-1-initdb".into(),
        uid: "j".into(),
        image: image.into(),
        created: Some(made + jiff::SignedDuration::from_secs(created)),
        failed,
        succeeded: false,
    }
}

fn remedy(status: Value, edited: i64, job: JobSeen, pods: Vec<PodSeen>) -> Option<Remedy> {
    let around = Surroundings { jobs: vec![job], pods, ..Surroundings::default() };
    observe_with(Some(&cluster(status, edited)), &around, &after(edited + 5)).remedy
}

#[test]
fn a_bootstrap_job_that_keeps_what_was_corrected_since_is_deleted() {
    let delete = Some(Remedy::DeleteJob { name: "demo-db-1-initdb".into(), uid: "j".into() });
    let stuck = || vec![stuck_pod("ImagePullBackOff", "")];
    assert_eq!(remedy(bootstrapping(), 100, job("example.com/nope:15", 1, 0), stuck()), delete);
    // The image is the same, and something else was corrected after the Job was made.
    assert_eq!(remedy(bootstrapping(), 100, job(images::DEFAULT, 1, 2), vec![]), delete);
    let mut unrecoverable = bootstrapping();
    unrecoverable["phase"] = json!("Cluster is unrecoverable and needs manual intervention");
    assert_eq!(remedy(unrecoverable, 700, job(images::DEFAULT, 1, 6), vec![]), delete);
}

#[test]
fn a_job_is_left_alone_while_it_works_and_when_nothing_was_corrected() {
    let stuck = || vec![stuck_pod("ImagePullBackOff", "")];
    assert_eq!(remedy(bootstrapping(), 0, job(images::DEFAULT, 1, 3), stuck()), None);
    assert_eq!(remedy(bootstrapping(), 100, job("example.com/nope:15", 1, 0), vec![]), None);
    let done = JobSeen { succeeded: true, ..job("example.com/nope:15", 1, 1) };
    assert_eq!(remedy(bootstrapping(), 100, done, stuck()), None);
    // There was a primary, so there may be data.
    let mut had_data = bootstrapping();
    had_data["currentPrimary"] = json!("demo-db-1");
    assert_eq!(remedy(had_data, 100, job("example.com/nope:15", 1, 3), stuck()), None);
}

#[test]
fn an_edit_is_looked_behind_at_once() {
    let live = cluster(bootstrapping(), 100);
    assert!(observe_with(Some(&live), &Surroundings::default(), &after(101)).look_closer);
}

#[test]
fn an_image_that_never_became_a_database_does_not_stay() {
    let mut live = cluster(bootstrapping(), 100);
    live["spec"]["imageName"] = json!("example.com/supabase/postgres:15.14.1.099");
    assert_eq!(plan_of("{}", Some(&live)).unwrap().image, images::DEFAULT);
    live["status"]["currentPrimary"] = json!("demo-db-1");
    assert_eq!(plan_of("{}", Some(&live)).unwrap().image, "example.com/supabase/postgres:15.14.1.099");
}

#[test]
fn what_the_spec_leaves_open_stays_as_it_is() {
    let live = json!({"spec": {
        "imageName": "example.com/own:16.4", "postgresUID": 999, "postgresGID": 998, "storage": {"size": "50Gi"},
    }});
    let plan = plan_of("{}", Some(&live)).unwrap();
    assert_eq!(
        (plan.image.as_str(), plan.uid, plan.gid, plan.size.as_str()),
        ("example.com/own:16.4", 999, 998, "50Gi")
    );
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_field_and_the_remedy() {
    let running = |image: &str, uid: i64| {
        json!({"spec": {
            "imageName": image, "postgresUID": uid, "postgresGID": uid + 1, "storage": {"size": "10Gi"},
        }})
    };
    let cases = [
        ("imageName: example.com/own:latest", None, "must start with the version"),
        ("imageName: supabase/postgres:17.6.1.136", None, "set postgresUID and postgresGID"),
        ("imageName: example.com/own:17", None, "id postgres"),
        (
            "imageName: supabase/postgres:15.14.1.3",
            Some(running("example.com/own:15", 999)),
            "name an image that runs as the latter",
        ),
        (
            "{imageName: 'example.com/own:16', postgresUID: 999, postgresGID: 1000}",
            Some(running("example.com/own:15", 999)),
            "name an image of 15",
        ),
        ("storage: {size: 9Gi}", Some(running(images::DEFAULT, 101)), "set at least 10Gi"),
        ("parameters: {archive_mode: 'off'}", None, "\"archive_mode\""),
    ];
    for (yaml, live, said) in cases {
        let problem = plan_of(yaml, live.as_ref()).unwrap_err();
        assert_eq!(problem.reason, Reason::SpecInvalid);
        assert!(problem.message.contains("spec.database.managed"), "{}", problem.message);
        assert!(problem.message.contains(said), "{yaml}: {}", problem.message);
    }
}

#[test]
fn an_unknown_image_is_taken_with_its_user() {
    let plan = plan_of("{imageName: 'example.com/own:17.2', postgresUID: 999, postgresGID: 998}", None).unwrap();
    let body = body(plan);
    assert_eq!(body["spec"]["postgresUID"], 999);
    assert!(body["spec"]["postgresql"]["shared_preload_libraries"].is_null());
}

#[test]
fn sizes_are_sent_as_they_are_read_back() {
    assert_eq!(body(plan_of("storage: {size: 2048Mi}", None).unwrap())["spec"]["storage"]["size"], "2Gi");
}

#[test]
fn parameters_of_the_spec_win_over_defaults() {
    let body = body(plan_of("parameters: {max_slot_wal_keep_size: '-1', max_connections: '200'}", None).unwrap());
    assert_eq!(
        body["spec"]["postgresql"]["parameters"],
        json!({"max_connections": "200", "max_slot_wal_keep_size": "-1"})
    );
}

#[test]
fn only_delete_makes_the_project_own_the_cluster() {
    let render = |deletion| {
        let lifecycle = Lifecycle { deletion, ..Lifecycle::default() };
        let plan = Provider::of(None).unwrap().plan(&identity(), lifecycle, None).unwrap();
        plan.render().apply.remove(0)
    };
    let retained = render(crate::api::DeletionPolicy::Retain);
    assert_eq!(retained.kind, Kind::Upstream(Upstream::Cluster));
    assert!(retained.body["metadata"]["ownerReferences"].is_null());
    let deleted = render(crate::api::DeletionPolicy::Delete);
    assert_eq!(deleted.body["metadata"]["ownerReferences"][0]["uid"], identity().uid);
}

#[test]
fn a_secret_ref_means_no_provider() {
    let own =
        DatabaseSpec { secret_ref: Some(crate::api::SecretRef { name: "own".into() }), ..DatabaseSpec::default() };
    assert_eq!(Provider::of(Some(&own)), None);
    assert!(Provider::of(Some(&DatabaseSpec::default())).is_some());
}

#[test]
fn an_unknown_image_is_asked_about_and_informs_the_plan() {
    let image = "example.com/own:17.2";
    let provider = |yaml: &str| Provider::CloudNativePg(spec(yaml));
    for (yaml, unknown) in [
        ("{}", false),
        ("imageName: example.com/own:17.2", true),
        ("{imageName: 'example.com/own:17.2', postgresUID: 999, postgresGID: 998}", false),
        ("{imageName: 'example.com/own:17.2', sharedPreloadLibraries: [pgaudit]}", true),
        ("imageName: ghcr.io/cloudnative-pg/postgresql:17.6", false),
        // Known, but for its user.
        ("imageName: supabase/postgres:17.6.1.136", true),
    ] {
        assert_eq!(provider(yaml).unknown_image(None).is_some(), unknown, "{yaml}");
    }
    // A Cluster that runs it already: the libraries must stay what they are.
    let live =
        json!({"spec": {"imageName": image, "postgresUID": 999, "postgresGID": 998, "storage": {"size": "10Gi"}}});
    assert_eq!(provider("{}").unknown_image(Some(&live)).as_deref(), Some(image));

    let preload_libraries = vec!["pg_cron".to_owned()];
    let seen = DatabaseImage { image: image.to_owned(), postgres_uid: 999, postgres_gid: 998, preload_libraries };
    let informed = provider("imageName: example.com/own:17.2").informed(&seen);
    let plan = informed.plan(&identity(), Lifecycle::default(), None).unwrap();
    let DatabasePlan::Cluster(plan) = plan;
    assert_eq!((plan.uid, plan.gid, plan.libraries), (999, 998, vec!["pg_cron".to_owned()]));
}
