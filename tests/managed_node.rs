//! Managed databases and object stores on a real node: the real CloudNativePG with its webhooks, and a stand-in of the
//! MinIO operator that runs real MinIO servers. `tests/cluster/operators` installs both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

#[path = "managed_node/harness.rs"]
mod harness;

use std::time::Duration;

use serde_json::{Value, json};
use supabase_operator::api::DeletionPolicy;
use supabase_operator::provider::retention::{self, Standing};
use supabase_operator::provider::{Availability, Lifecycle, Remedy};
use supabase_operator::reason::Reason;
use supabase_operator::{bucket, sql};

use harness::{Place, eventually};

const RETAIN: Lifecycle = Lifecycle { deletion: DeletionPolicy::Retain, suspended: false };
const SMALL: &str = "{resources: {requests: {cpu: 50m, memory: 256Mi}}}";

/// What is rendered is what is stored, whoever defaults and rewrites beside us.
#[tokio::test]
async fn applying_three_times_changes_nothing() {
    let place = Place::new("thrice").await;
    let profiles = [
        (RETAIN, "{}", "{}"),
        (Lifecycle { deletion: DeletionPolicy::Delete, suspended: true }, "{}", "{provider: rustfs}"),
        (
            Lifecycle { deletion: DeletionPolicy::Delete, suspended: false },
            "{instances: 3, storage: {size: 2048Gi, storageClassName: local-path}, parameters: {max_connections: '300'},
              resources: {requests: {cpu: '1', memory: 900Gi}},
              affinity: {podAntiAffinityType: required, topologyKey: topology.kubernetes.io/zone, nodeSelector: {disk: nvme},
                nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
                  {matchExpressions: [{key: pool, operator: In, values: [databases]}]}]}},
                tolerations: [{key: databases, operator: Exists, effect: NoSchedule}]}}",
            "{servers: 4, volumesPerServer: 2, size: 1024Mi, storageClassName: local-path, image: 'example.com/minio:1',
              resources: {limits: {memory: 1Gi}}}",
        ),
        (RETAIN, "{imageName: 'example.com:5000/postgres:17.6', postgresUID: 999, postgresGID: 998, sharedPreloadLibraries: []}",
            "{provider: rustfs, servers: 3, volumesPerServer: 2, image: 'example.com/rustfs:1', storageClassName: bulk}"),
    ];
    for (number, (lifecycle, database, storage)) in profiles.into_iter().enumerate() {
        let place = place.named(&format!("thrice{number}"), "");
        let place = place.named(&format!("thrice{number}"), &place.owner().await);
        let mut bodies = place.database(database).plan(&place.identity, lifecycle, None).unwrap().render().apply;
        let store = place.store(storage).plan(&place.identity, lifecycle, None, &[]).unwrap();
        bodies.extend(store.render(&place.keys(&store).await).apply);
        for body in &bodies {
            place.apply(body).await;
            for _ in 0..2 {
                place.apply_again(body).await;
            }
        }
        for body in bodies.iter().rev() {
            place.delete(body).await;
        }
    }
    place.remove().await;
}

#[tokio::test]
async fn a_small_stack_becomes_usable_is_suspended_and_woken_with_its_data() {
    let place = Place::new("whole").await;
    let database = place.database(SMALL);
    let store = place.store("{size: 256Mi, resources: {requests: {memory: 64Mi}}}");
    let plan = store.plan(&place.identity, RETAIN, None, &[]).unwrap();
    let keys = place.keys(&plan).await;
    let wanted = database.plan(&place.identity, RETAIN, None).unwrap();
    for body in wanted.render().apply.iter().chain(&plan.render(&keys).apply) {
        place.apply(body).await;
    }
    let postgres = place.database_ready(&database, RETAIN).await;
    let inspection = eventually(Duration::from_secs(20), "the database answers", || async {
        sql::inspect(&postgres, &place.identity.owner()).await.ok()
    })
    .await;
    assert!(inspection.version.starts_with("15."), "{}", inspection.version);
    let files = place.store_ready(&store, RETAIN).await;
    bucket::ensure(&files).await.unwrap();

    let suspended = Lifecycle { suspended: true, ..RETAIN };
    let live = place.live(&database.inputs(&place.identity)).await;
    let asleep = database.plan(&place.identity, suspended, live.as_ref()).unwrap();
    place.apply(&asleep.render().apply[0]).await;
    let wanted = store.plan(&place.identity, suspended, None, &[]).unwrap().render(&keys);
    for (kind, name) in &wanted.withdraw {
        place.withdraw(*kind, name).await;
    }
    eventually(Duration::from_secs(90), "both are suspended", || async {
        let postgres = place.observe_database(&database, suspended, Duration::ZERO).await.availability;
        let files = place.observe_store(&store, suspended, Duration::ZERO).await.availability;
        (postgres == Availability::Suspended && files == Availability::Suspended).then_some(())
    })
    .await;
    eventually(Duration::from_secs(60), "no pod is left", || async { place.pods().await.is_empty().then_some(()) })
        .await;

    let awake =
        database.plan(&place.identity, RETAIN, place.live(&database.inputs(&place.identity)).await.as_ref()).unwrap();
    for body in awake.render().apply.iter().chain(&plan.render(&keys).apply) {
        place.apply(body).await;
    }
    assert_eq!(place.database_ready(&database, RETAIN).await, postgres, "CloudNativePG kept its Secrets");
    // Its Service follows a second later.
    eventually(Duration::from_secs(20), "it answers", || async {
        sql::inspect(&postgres, &place.identity.owner()).await.ok()
    })
    .await;
    bucket::ensure(&place.store_ready(&store, RETAIN).await).await.unwrap();
    place.remove().await;
}

#[tokio::test]
async fn a_wrong_image_is_found_and_mending_it_heals_the_bootstrap() {
    let place = Place::new("image").await;
    let wrong = place.database("{imageName: 'example.com/supabase/postgres:15.14.1.999', storage: {size: 256Mi}}");
    let plan = wrong.plan(&place.identity, RETAIN, None).unwrap();
    place.apply(&plan.render().apply[0]).await;
    let problem = eventually(Duration::from_secs(120), "the cause is found", || async {
        match place.observe_database(&wrong, RETAIN, Duration::from_secs(120)).await.availability {
            Availability::Failed(problem) => Some(problem),
            _ => None,
        }
    })
    .await;
    assert_eq!(problem.reason, Reason::ImageUnavailable, "{}", problem.message);
    let mended = place.database("{imageName: 'docker.io/supabase/postgres:15.14.1.021', storage: {size: 256Mi}}");
    let plan =
        mended.plan(&place.identity, RETAIN, place.live(&mended.inputs(&place.identity)).await.as_ref()).unwrap();
    place.apply(&plan.render().apply[0]).await;
    let remedy = eventually(Duration::from_secs(60), "there is a remedy", || async {
        place.observe_database(&mended, RETAIN, Duration::from_secs(120)).await.remedy
    })
    .await;
    assert!(matches!(&remedy, Remedy::DeleteJob { name, .. } if name == "orders-db-1-initdb"), "{remedy:?}");
    place.take(&remedy).await;
    place.database_ready(&mended, RETAIN).await;
    place.remove().await;
}

#[tokio::test]
async fn a_missing_storage_class_is_named() {
    let place = Place::new("class").await;
    let database = place.database("{storage: {size: 256Mi, storageClassName: nowhere}}");
    let plan = database.plan(&place.identity, RETAIN, None).unwrap();
    place.apply(&plan.render().apply[0]).await;
    let problem = eventually(Duration::from_secs(120), "the cause is found", || async {
        match place.observe_database(&database, RETAIN, Duration::from_secs(120)).await.availability {
            Availability::Failed(problem) => Some(problem),
            _ => None,
        }
    })
    .await;
    assert!(problem.message.contains("nowhere"), "{}", problem.message);
    assert_eq!(problem.reason, Reason::VolumeUnavailable, "{}", problem.message);
    place.remove().await;
}

#[tokio::test]
async fn a_store_with_a_wrong_image_is_healed_without_losing_a_file() {
    let place = Place::new("files").await;
    let good = place.store("{size: 256Mi, resources: {requests: {memory: 64Mi}}}");
    let plan = good.plan(&place.identity, RETAIN, None, &[]).unwrap();
    let keys = place.keys(&plan).await;
    for body in &plan.render(&keys).apply {
        place.apply(body).await;
    }
    let files = place.store_ready(&good, RETAIN).await;
    bucket::ensure(&files).await.unwrap();
    let claims = place.claims().await;

    let wrong = place.store("{size: 256Mi, image: 'example.com/minio:nope', resources: {requests: {memory: 64Mi}}}");
    let tenant = place.live(&wrong.inputs(&place.identity)).await;
    let plan = wrong.plan(&place.identity, RETAIN, tenant.as_ref(), &[]).unwrap();
    place.apply(&plan.render(&keys).apply[1]).await;
    eventually(Duration::from_secs(120), "the store is down, and it is known why", || async {
        match place.observe_store(&wrong, RETAIN, Duration::from_secs(120)).await.availability {
            Availability::Failed(problem) => (problem.reason == Reason::ImageUnavailable).then_some(()),
            _ => None,
        }
    })
    .await;
    // Rolled back; the StatefulSet keeps the wrong image.
    let back = place.store(
        "{size: 256Mi, image: 'quay.io/minio/minio:RELEASE.2025-04-08T15-41-24Z', resources: {requests: {memory: 64Mi}}}",
    );
    let plan = back.plan(&place.identity, RETAIN, tenant.as_ref(), &[]).unwrap();
    place.apply(&plan.render(&keys).apply[1]).await;
    let remedy = eventually(Duration::from_secs(60), "there is a remedy", || async {
        place.observe_store(&back, RETAIN, Duration::from_secs(120)).await.remedy
    })
    .await;
    place.take(&remedy).await;
    bucket::ensure(&place.store_ready(&back, RETAIN).await).await.unwrap();
    assert_eq!(place.claims().await, claims, "the volume is the same");
    place.remove().await;
}

#[tokio::test]
async fn a_bootstrap_that_fails_on_a_setting_is_told_and_healed() {
    let place = Place::new("setting").await;
    let bad = place.database("{storage: {size: 256Mi}, parameters: {no_such_parameter: '1'}}");
    place.apply(&bad.plan(&place.identity, RETAIN, None).unwrap().render().apply[0]).await;
    let problem = eventually(Duration::from_secs(180), "the failure is found", || async {
        match place.observe_database(&bad, RETAIN, Duration::from_secs(120)).await.availability {
            Availability::Failed(problem) => Some(problem),
            _ => None,
        }
    })
    .await;
    assert_eq!(problem.reason, Reason::DatabaseFailed, "{}", problem.message);
    assert!(problem.message.contains("logs"), "{}", problem.message);
    let good = place.database("{storage: {size: 256Mi}}");
    let live = place.live(&good.inputs(&place.identity)).await;
    place.apply(&good.plan(&place.identity, RETAIN, live.as_ref()).unwrap().render().apply[0]).await;
    let remedy = eventually(Duration::from_secs(60), "there is a remedy", || async {
        place.observe_database(&good, RETAIN, Duration::from_secs(120)).await.remedy
    })
    .await;
    place.take(&remedy).await;
    place.database_ready(&good, RETAIN).await;
    place.remove().await;
}

/// `Delete` needs no finalizer: volumes that a Tenant leaves behind get the project as a second owner.
#[tokio::test]
async fn what_is_deleted_with_its_project_leaves_no_volume_and_what_is_retained_is_adopted() {
    for deletion in [DeletionPolicy::Delete, DeletionPolicy::Retain] {
        let place = Place::new(if deletion == DeletionPolicy::Delete { "delete" } else { "retain" }).await;
        let uid = place.owner().await;
        let first = place.named("orders", &uid);
        let lifecycle = Lifecycle { deletion, suspended: false };
        let database = first.database(SMALL);
        let store = first.store("{size: 256Mi, resources: {requests: {memory: 64Mi}}}");
        let plan = store.plan(&first.identity, lifecycle, None, &[]).unwrap();
        let keys = first.keys(&plan).await;
        let wanted = database.plan(&first.identity, lifecycle, None).unwrap();
        for body in wanted.render().apply.iter().chain(&plan.render(&keys).apply) {
            first.apply(body).await;
        }
        first.database_ready(&database, lifecycle).await;
        first.store_ready(&store, lifecycle).await;
        for claim in first.around(&store.inputs(&first.identity)).await.claims {
            if let Some(body) = retention::claim(&first.identity, deletion, &claim) {
                first.apply_claim(&body).await;
            }
        }
        let claims = first.claims().await;
        assert_eq!(claims.len(), 2, "{claims:?}");
        first.delete_project().await;
        if deletion == DeletionPolicy::Delete {
            eventually(Duration::from_secs(90), "everything is gone", || async {
                (first.claims().await.is_empty() && first.pods().await.is_empty()).then_some(())
            })
            .await;
        } else {
            let second = first.named("orders", &first.owner().await);
            let live = second.live(&database.inputs(&second.identity)).await;
            assert_eq!(retention::standing(&second.identity, "Cluster", live.as_ref()), Standing::Ours);
            assert_eq!(second.claims().await, claims);
            // The next project asks for the same, and nothing happens.
            let plan = database.plan(&second.identity, lifecycle, live.as_ref()).unwrap();
            second.apply_again(&plan.render().apply[0]).await;
        }
        first.remove().await;
    }
}

/// What upstream refuses is what we refuse first; this one only upstream can know.
#[tokio::test]
async fn upstream_refuses_what_our_rules_say_it_refuses() {
    let place = Place::new("refused").await;
    let plan = place.database("{storage: {size: 1Gi}}").plan(&place.identity, RETAIN, None).unwrap();
    let mut body = plan.render().apply.remove(0);
    place.apply(&body).await;
    let refuse = |pointer: &str, value: Value| {
        let mut body = body.clone();
        *body.body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (changed, said) in [
        (refuse("/spec/storage/size", json!("500Mi")), "can't shrink existing storage"),
        (refuse("/spec/postgresUID", json!(102)), "immutable"),
        (refuse("/spec/imageName", json!("supabase/postgres:latest")), "'latest' as image tag"),
        (refuse("/spec/postgresql/parameters", json!({"port": "1"})), "Can't set fixed configuration parameter"),
    ] {
        let error = place.try_apply(&changed).await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    body.body["spec"]["noSuchField"] = json!(1);
    assert!(place.try_apply(&body).await.expect_err("strict").to_string().contains("noSuchField"));
    place.remove().await;
}
