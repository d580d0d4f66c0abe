//! What the preflight says, for each kind of user and of encryption, word for word where it matters.

use supabase_operator::api::{Privileges, SslMode};
use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::reason::Reason;
use supabase_operator::sql::{self, Feature, Profile, Severity};

use crate::harness::{Login, OWNER, Server, Setup, Version, outline, passwords};

const LIMITED: Severity = Severity::Limited;

/// What a user without superuser cannot have, in the order in which it is said.
fn of_a_master() -> Vec<(Severity, Option<Feature>)> {
    let features = [
        Feature::ServiceRole,
        Feature::Dashboard,
        // It may neither set log_min_messages nor replicate.
        Feature::Realtime,
        Feature::Realtime,
        Feature::SchemaReload,
        Feature::Pooler,
    ];
    features.map(|feature| (LIMITED, Some(feature))).to_vec()
}

fn of_a_superuser(version: Version) -> Vec<(Severity, Option<Feature>)> {
    match version {
        Version::Fifteen => vec![],
        // npm's package has no wal2json.
        Version::Newest => vec![(LIMITED, Some(Feature::PostgresChanges))],
    }
}

async fn endpoints(server: &Server, login: Login) -> Vec<(DatabaseEndpoint, bool)> {
    let endpoint = server.login(login).await;
    if endpoint.ca.is_none() {
        return vec![(endpoint, false)];
    }
    let required = DatabaseEndpoint { ssl_mode: SslMode::Require, ca: None, ..endpoint.clone() };
    vec![(required, true), (endpoint, true)]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_with_each_encryption_gets_exactly_its_findings() {
    for version in Version::ALL {
        for tls in [false, true] {
            for login in [Login::Superuser, Login::Master, Login::Limited] {
                let server = Server::start_with(version, Setup { tls, ..Setup::default() }).await;
                for (endpoint, encrypted) in endpoints(&server, login).await {
                    let seen = sql::look(&endpoint, OWNER).await.unwrap();
                    let (profile, mut expected) = match login {
                        Login::Superuser => (Profile::Superuser, of_a_superuser(version)),
                        Login::Master => (Profile::ManagedService, of_a_master()),
                        Login::Limited => (Profile::Prepared, vec![(Severity::Unprepared, None)]),
                    };
                    if !encrypted {
                        expected.push((Severity::Notice, None));
                    }
                    let case = format!("{version:?} {login:?} {:?}", endpoint.ssl_mode);
                    assert_eq!(seen.profile, profile, "{case}");
                    assert_eq!(outline(&seen.findings), expected, "{case}: {:#?}", seen.findings);
                    assert_eq!(seen.facts.tls, encrypted, "{case}");
                    assert_eq!(seen, sql::look(&endpoint, OWNER).await.unwrap(), "{case}: twice the same");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_foreseen_is_what_is_missing_afterwards() {
    for version in Version::ALL {
        for (login, expected) in [(Login::Superuser, of_a_superuser(version)), (Login::Master, of_a_master())] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            let initialized = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            assert_eq!(outline(&initialized.limits), expected, "{version:?} {login:?}: {:#?}", initialized.limits);
            let seen = sql::inspect(&endpoint, OWNER).await.unwrap();
            assert_eq!(seen.limits().cloned().collect::<Vec<_>>(), initialized.limits);
        }
    }
}

/// Since 16 who creates roles gives what it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_bypasses_and_replicates_gives_both_since_sixteen() {
    for version in Version::ALL {
        let server = Server::start(version).await;
        let endpoint = server.login(Login::Master).await;
        server.run("app", "ALTER ROLE master BYPASSRLS REPLICATION; GRANT SET ON PARAMETER log_min_messages TO master WITH GRANT OPTION").await;
        let foreseen = sql::inspect(&endpoint, OWNER).await.unwrap();
        let initialized = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
        assert_eq!(foreseen.limits().cloned().collect::<Vec<_>>(), initialized.limits, "{version:?}");
        let limited = |feature| initialized.limit(feature).is_some();
        assert_eq!(limited(Feature::ServiceRole), version == Version::Fifteen);
        assert_eq!(limited(Feature::Realtime), version == Version::Fifteen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_does_not_fit_the_user_is_refused_with_what_to_do() {
    let server = Server::start(Version::Fifteen).await;
    let limited = server.login(Login::Limited).await;
    for (privileges, words) in [
        (Privileges::Superuser, "put a superuser into Secret tenant/postgres"),
        (Privileges::ManagedService, "ALTER ROLE \"limited\" CREATEROLE"),
    ] {
        let endpoint = DatabaseEndpoint { privileges, ..limited.clone() };
        let before = server.catalogue("app").await;
        let problem = sql::inspect(&endpoint, OWNER).await.unwrap_err();
        assert_eq!(problem.reason, Reason::DatabasePrivilegeMissing);
        assert!(problem.message.contains(words), "{}", problem.message);
        assert_eq!(sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap_err(), problem);
        assert_eq!(server.catalogue("app").await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_somebody_else_is_refused_with_what_to_do() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Master).await;
    server.run("postgres", "ALTER DATABASE app OWNER TO root").await;
    let problem = sql::inspect(&endpoint, OWNER).await.unwrap_err();
    assert!(problem.message.contains("ALTER DATABASE \"app\" OWNER TO \"master\""), "{}", problem.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_password_the_operator_would_set_is_refused() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    let password = endpoint.password.expose().replace('\\', "\\\\").replace('\'', "''");
    server.run("app", &format!("CREATE ROLE supabase_admin LOGIN SUPERUSER PASSWORD E'{password}'")).await;
    server.run("app", "COMMENT ON ROLE supabase_admin IS 'mine'").await;
    let endpoint = DatabaseEndpoint { username: "supabase_admin".to_owned(), ..endpoint };
    let problem = sql::inspect(&endpoint, OWNER).await.unwrap_err();
    assert!(problem.message.contains("whose password the operator sets"), "{}", problem.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_realtime_lacks_are_named_with_their_remedy() {
    let settings = [("wal_level", "replica"), ("output_plugin_libraries", "pgoutput"), ("max_connections", "20")];
    let server = Server::start_with(Version::Fifteen, Setup { settings: &settings, ..Setup::default() }).await;
    let endpoint = server.login(Login::Superuser).await;
    let seen = sql::inspect(&endpoint, OWNER).await.unwrap();
    let text: Vec<String> = seen.findings.iter().map(sql::Finding::text).collect();
    for words in ["set wal_level to logical", "add it to output_plugin_libraries"] {
        assert!(text.iter().any(|text| text.contains(words)), "{words}: {text:#?}");
    }
    assert!(sql::crowded(&seen.facts, 21).unwrap().what.starts_with("max_connections is 20"));
    assert_eq!(sql::crowded(&seen.facts, 20), None);
}
