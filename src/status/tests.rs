use super::*;
use crate::api::ComponentPhase;
use crate::checks::Latency;
use crate::sql::{Feature, Finding};
use crate::testing;
use std::time::Duration;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn complete() -> Rollout {
    Rollout { wanted: 1, updated: 1, available: 1, total: 1, observed: true, ..Rollout::default() }
}

fn usable() -> Findings {
    Findings {
        plan: Some(testing::plan()),
        postgresql: Progress::Done(testing::inspection()),
        s3: Progress::Done(Checked { latency: Latency(Duration::from_millis(9)), proven: true }),
        keys: Progress::Done(KeysStatus { signing_key_id: "kid".into(), created_at: None }),
        database: Progress::Done(Initialized { incarnation: "one".into(), limits: Vec::new() }),
        objects: Progress::Done(()),
        rollouts: testing::plan().workloads.into_keys().map(|component| (component, complete())).collect(),
        usable: Progress::Done(()),
        ..Findings::default()
    }
}

fn first(findings: &Findings) -> SupabaseProjectStatus {
    report(&SupabaseProjectStatus::default(), 1, findings, now())
}

fn of<'a>(status: &'a SupabaseProjectStatus, type_: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == type_).unwrap()
}

fn problem(reason: Reason) -> Problem {
    Problem::new(reason, format!("{reason} happened; mend it"))
}

#[test]
fn ready_only_when_requests_were_answered() {
    let status = first(&usable());
    assert_eq!((of(&status, "Ready").status.as_str(), status.phase), ("True", Some(Phase::Running)));
    for usable_progress in [Progress::NotStarted, Progress::Running, Progress::Failed(problem(Reason::GatewayRefused))]
    {
        let status = first(&Findings { usable: usable_progress.clone(), ..usable() });
        assert_eq!(of(&status, "Ready").status, "False", "{usable_progress:?}");
        assert_ne!(status.phase, Some(Phase::Running));
    }
}

#[test]
fn the_bring_up_walks_through_the_phases() {
    let mut findings = Findings { plan: Some(testing::plan()), ..Findings::default() };
    let mut phases = vec![first(&findings).phase.unwrap()];
    let done = usable();
    findings.postgresql = done.postgresql;
    findings.s3 = done.s3;
    phases.push(first(&findings).phase.unwrap());
    findings.keys = done.keys;
    phases.push(first(&findings).phase.unwrap());
    findings.database = done.database;
    phases.push(first(&findings).phase.unwrap());
    findings.objects = done.objects;
    phases.push(first(&findings).phase.unwrap());
    findings.rollouts = done.rollouts;
    phases.push(first(&findings).phase.unwrap());
    findings.usable = done.usable;
    phases.push(first(&findings).phase.unwrap());
    assert_eq!(
        phases,
        [
            Phase::ValidatingDependencies,
            Phase::DeployingSecrets,
            Phase::InitializingDatabase,
            Phase::DeployingNetwork,
            Phase::DeployingComponents,
            Phase::Configuring,
            Phase::Running,
        ]
    );
}

#[test]
fn a_failure_is_the_message_even_behind_a_step_that_waits() {
    let findings = Findings {
        postgresql: Progress::Running,
        s3: Progress::Failed(problem(Reason::StorageCredentialsRefused)),
        ..Findings::default()
    };
    let status = first(&findings);
    assert_eq!(of(&status, "Ready").reason, "StorageCredentialsRefused");
    assert_eq!(status.message.as_deref(), Some("StorageCredentialsRefused happened; mend it"));
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(of(&status, "Progressing").status, "False");
}

#[test]
fn a_generation_counts_as_seen_when_what_is_to_stay_stays() {
    let old = first(&usable());
    let early = report(&old, 2, &Findings { still_owned: true, ..usable() }, now());
    assert_eq!(early.observed_generation, old.observed_generation);
    assert_eq!(report(&early, 2, &usable(), now()).observed_generation, Some(2));
}

#[test]
fn suspension_is_told_once_a_step_and_is_no_warning() {
    let running = first(&usable());
    let at = |suspension| Findings { suspension: Some(suspension), ..usable() };
    let stopping = report(&running, 1, &at(Suspension::Stopping), now());
    assert_eq!(stopping.phase, Some(Phase::Updating));
    let stopped = report(&stopping, 1, &at(Suspension::Stopped), now());
    for (old, new, reason) in [(&running, &stopping, "Suspending"), (&stopping, &stopped, "Suspended")] {
        let told = transitions(old, new);
        let [ready] = told[..] else { panic!("{told:?}") };
        assert_eq!((ready.type_.as_str(), ready.reason.as_str(), is_warning(ready)), ("Ready", reason, false));
    }
    assert_eq!(transitions(&stopped, &running).iter().filter(|condition| is_warning(condition)).count(), 0);
}

#[test]
fn equal_findings_give_an_equal_status_later_too() {
    let before = first(&usable());
    let later = report(&before, 1, &usable(), now() + Duration::from_secs(3600));
    assert_eq!(before, later);
}

#[test]
fn a_measured_latency_is_no_news() {
    let before = first(&usable());
    let slower = Findings {
        postgresql: Progress::Done(Inspection { latency: Latency(Duration::from_secs(1)), ..testing::inspection() }),
        ..usable()
    };
    assert!(same(&before, &report(&before, 1, &slower, now())));
}

#[test]
fn transition_times_move_with_the_status_only() {
    let before = first(&usable());
    let later = now() + Duration::from_secs(60);
    let mut rolling = usable();
    rolling.rollouts.insert(Component::Postgrest, Rollout { updated: 0, total: 2, ..complete() });
    let status = report(&before, 2, &rolling, later);
    assert_eq!(of(&status, "Ready").status, "True");
    assert_eq!(of(&status, "Ready").last_transition_time.0, now());
    assert_eq!(of(&status, "Progressing").last_transition_time.0, later);
    assert_eq!(of(&status, "Ready").observed_generation, Some(2));
    assert_eq!(status.phase, Some(Phase::Updating));
}

#[test]
fn losing_the_database_is_degraded_and_comes_back() {
    let running = first(&usable());
    let mut findings = usable();
    findings.postgresql = Progress::Failed(problem(Reason::DatabaseUnreachable));
    findings.rollouts.insert(Component::Postgrest, Rollout { available: 0, ..complete() });
    let lost = report(&running, 1, &findings, now());
    assert_eq!(of(&lost, "Ready").reason, "DatabaseUnreachable");
    assert_eq!(of(&lost, "Degraded").status, "True");
    assert_eq!(of(&lost, "Available").status, "False");
    assert_eq!(of(&lost, "PostgRESTReady").reason, "ComponentUnavailable");
    let postgresql = lost.dependencies.as_ref().unwrap().postgresql.as_ref().unwrap();
    assert!(!postgresql.connected);
    assert_eq!(postgresql.last_connected_time, Some(Time(now())));
    let told: Vec<&str> = transitions(&running, &lost).iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(told, ["Ready", "PostgreSQLConnected", "PostgRESTReady"]);
    let back = report(&lost, 1, &usable(), now());
    assert_eq!(of(&back, "Ready").status, "True");
    assert_eq!(of(&back, "Degraded").status, "False");
}

#[test]
fn starting_is_no_event_and_a_first_problem_is() {
    let nothing = SupabaseProjectStatus::default();
    let starting = first(&Findings { postgresql: Progress::Running, s3: Progress::Running, ..Findings::default() });
    assert!(transitions(&nothing, &starting).is_empty());
    let refused = first(&Findings {
        postgresql: Progress::Failed(problem(Reason::DatabaseAuthenticationFailed)),
        ..Findings::default()
    });
    let told: Vec<&str> = transitions(&starting, &refused).iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(told, ["Ready", "PostgreSQLConnected"]);
    assert!(transitions(&refused, &refused).is_empty());
}

#[test]
fn zero_pods_are_said_to_be_wanted() {
    let mut findings = usable();
    let plan = findings.plan.as_mut().unwrap();
    plan.workloads.get_mut(&Component::Meta).unwrap().replicas = 0;
    findings.rollouts.insert(Component::Meta, Rollout { observed: true, ..Rollout::default() });
    findings.usable = Progress::NotStarted;
    let status = first(&findings);
    assert_eq!(of(&status, "MetaReady").reason, "ScaledToZero");
    assert!(of(&status, "Ready").message.contains("spec.meta.replicas is 0"));
    assert_eq!(status.components["meta"].phase, ComponentPhase::ScaledToZero);
}

#[test]
fn every_condition_appears_once_and_carries_the_generation() {
    let status = report(&SupabaseProjectStatus::default(), 7, &usable(), now());
    let mut types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}

#[test]
fn what_is_not_known_any_more_is_kept_from_the_last_status() {
    let before = first(&usable());
    let blocked = Findings { postgresql: Progress::Failed(problem(Reason::SecretMissing)), ..Findings::default() };
    let after = report(&before, 2, &blocked, now());
    assert_eq!(after.keys, before.keys, "or the keys would be made anew");
    assert_eq!(after.endpoints, before.endpoints);
    assert_eq!(after.release, before.release);
}

#[test]
fn a_tenant_that_a_service_refuses_is_a_failure_of_its_component() {
    let refused = Progress::Failed(problem(Reason::TenantRefused));
    let status =
        first(&Findings { tenants: [(Component::Realtime, refused)].into(), usable: Progress::NotStarted, ..usable() });
    assert_eq!(of(&status, "RealtimeReady").reason, "TenantRefused");
    assert_eq!((of(&status, "Ready").reason.as_str(), status.phase), ("TenantRefused", Some(Phase::Failed)));
    assert_eq!(of(&status, "Degraded").status, "True");
}

#[test]
fn a_failover_degrades_and_does_not_fail() {
    let old = first(&usable());
    let starting = Progress::Waiting(problem(Reason::DatabaseStarting));
    let new = report(&old, 1, &Findings { postgresql: starting, ..usable() }, now());
    assert_eq!(new.phase, Some(Phase::Updating));
    assert_eq!((of(&new, "Ready").status.as_str(), of(&new, "Ready").reason.as_str()), ("False", "DatabaseStarting"));
    assert_eq!(
        (of(&new, "Degraded").status.as_str(), of(&new, "PostgreSQLConnected").status.as_str()),
        ("True", "Unknown")
    );
}

#[test]
fn a_suspended_project_says_so_everywhere() {
    let status = first(&Findings { suspension: Some(Suspension::Stopped), ..usable() });
    assert_eq!(status.phase, Some(Phase::Suspended));
    for type_ in ["Ready", "AuthReady"] {
        let condition = of(&status, type_);
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Suspended"), "{type_}");
    }
    assert_eq!(of(&status, "Progressing").status, "False");
}

fn limits() -> Vec<Finding> {
    vec![
        Finding::limited(Feature::ServiceRole, "service_role is held back", "let it through"),
        Finding::limited(Feature::Realtime, "nothing is replicated", "replicate"),
    ]
}

#[test]
fn what_a_database_cannot_do_is_said_and_the_project_is_ready_without_it() {
    let mut findings = usable();
    findings.database = Progress::Done(Initialized { incarnation: "one".into(), limits: limits() });
    findings.plan = findings.plan.map(|plan| plan.within(&limits()));
    findings.rollouts.remove(&Component::Realtime);
    let status = first(&findings);
    assert_eq!(of(&status, "Ready").status, "True");
    let realtime = of(&status, "RealtimeReady");
    assert_eq!((realtime.status.as_str(), realtime.reason.as_str()), ("False", "DatabaseLimited"));
    assert_eq!(realtime.message, "Realtime is not deployed: nothing is replicated; replicate");
    let initialized = of(&status, "DatabaseInitialized");
    assert_eq!(initialized.status, "True");
    assert!(initialized.message.contains("service_role is held back; let it through"), "{}", initialized.message);
    assert!(!status.components.contains_key("realtime") && of(&status, "Available").status == "True");
}

#[test]
fn only_changes_of_tables_are_missing_where_realtime_runs_all_the_same() {
    let limits = vec![Finding::limited(Feature::PostgresChanges, "no wal2json", "install it")];
    let database = Progress::Done(Initialized { incarnation: "one".into(), limits });
    let status = first(&Findings { database, ..usable() });
    assert_eq!(of(&status, "RealtimeReady").message, "1 of 1 pods available; no wal2json; install it");
    assert_eq!((of(&status, "RealtimeReady").status.as_str(), of(&status, "Ready").status.as_str()), ("True", "True"));
    assert_eq!(of(&status, "AuthReady").message, "1 of 1 pods available");
}

#[test]
fn storage_is_ready_when_the_service_key_was_let_in_where_that_is_needed() {
    for (admission, storage) in [
        (Progress::NotStarted, "True"),
        (Progress::Running, "Unknown"),
        (Progress::Failed(problem(Reason::DatabaseUnreachable)), "False"),
        (Progress::Done(()), "True"),
    ] {
        let status = first(&Findings { admission, ..usable() });
        assert_eq!(of(&status, "StorageAPIReady").status, storage);
        assert_eq!(of(&status, "Ready").status == "True", storage == "True");
    }
}

#[test]
fn a_server_is_told_of_with_what_is_worth_knowing_about_it() {
    let mut inspection = testing::inspection();
    inspection.findings = vec![Finding::notice("connections are not encrypted", "encrypt them")];
    inspection.facts.settings.insert("max_connections".to_owned(), "20".to_owned());
    let status = first(&Findings { postgresql: Progress::Done(inspection), ..usable() });
    let said = &of(&status, "PostgreSQLConnected").message;
    assert!(
        said.starts_with("PostgreSQL 17.2, profile Superuser. connections are not encrypted; encrypt them"),
        "{said}"
    );
    assert!(said.contains("max_connections is 20, and the pools of the services may hold 59"), "{said}");
}

#[test]
fn a_database_that_waits_for_its_administrator_is_connected_and_says_what_to_run() {
    let unprepared = Problem::new(Reason::DatabaseUnprepared, "run what \"supabase-operator sql\" prints");
    let findings = Findings {
        database: Progress::Failed(unprepared),
        objects: Progress::NotStarted,
        usable: Progress::NotStarted,
        rollouts: BTreeMap::new(),
        ..usable()
    };
    let status = first(&findings);
    assert_eq!(of(&status, "PostgreSQLConnected").status, "True");
    assert_eq!(of(&status, "SecretsReady").status, "True");
    for condition in ["DatabaseInitialized", "Ready"] {
        assert_eq!(of(&status, condition).reason, "DatabaseUnprepared");
        assert!(of(&status, condition).message.contains("supabase-operator sql"));
    }
}
