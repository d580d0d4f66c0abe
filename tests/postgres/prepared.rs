//! An administrator runs the printed SQL, and the operator only verifies.

use std::fs;

use supabase_operator::api::Privileges;
use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::reason::Reason;
use supabase_operator::sql::{self, Profile, Role};

use crate::harness::{Login, OWNER, ROOT, Server, Setup, Version, passwords, psql};

fn variables() -> Vec<(String, String)> {
    passwords().iter().map(|(role, password)| (role.name().to_owned(), password.expose().to_owned())).collect()
}

/// Runs the printed SQL as an administrator, and says whether it worked.
fn prepare(server: &Server, administrator: &DatabaseEndpoint, profile: Profile, operator: &str) -> String {
    let file = server.directory.path().join("script.sql");
    fs::write(&file, sql::script(profile, OWNER, operator)).unwrap();
    let output = psql(administrator, &variables(), &file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

/// What differs in how it is remembered: the script knows no passwords, and lets the operator write its memory.
fn comparable(catalogue: Vec<String>) -> Vec<String> {
    let remembered = |line: &String| {
        line.starts_with("schema supabase_operator ")
            || line.starts_with("relation supabase_operator.")
            || line.starts_with("role comment authenticator ")
    };
    catalogue.into_iter().filter(|line| !remembered(line)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_sql_gives_the_same_database() {
    for version in Version::ALL {
        for (login, profile) in [(Login::Superuser, Profile::Superuser), (Login::Master, Profile::ManagedService)] {
            let by_operator = Server::start(version).await;
            let endpoint = by_operator.login(login).await;
            sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();

            let by_hand = Server::start(version).await;
            let administrator = by_hand.login(login).await;
            let said = prepare(&by_hand, &administrator, profile, &administrator.username);
            assert_eq!(said, "", "a script that works says nothing");
            let once = by_hand.catalogue("app").await;
            prepare(&by_hand, &administrator, profile, &administrator.username);
            assert_eq!(by_hand.catalogue("app").await, once, "it can be run again");
            assert_eq!(comparable(once), comparable(by_operator.catalogue("app").await), "{version:?} {login:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_any_privilege_is_enough_for_a_prepared_database() {
    for version in Version::ALL {
        for tls in [false, true] {
            let server = Server::start_with(version, Setup { tls, ..Setup::default() }).await;
            let limited = server.login(Login::Limited).await;
            server.run("postgres", "ALTER DATABASE app OWNER TO root").await;
            let root = server.endpoint(ROOT, "app");
            let unprepared = sql::initialize(&limited, OWNER, &passwords()).await.unwrap_err();
            assert_eq!(unprepared.reason, Reason::DatabaseUnprepared, "{}", unprepared.message);
            // The connection is fine: the passwords that the administrator needs are made next.
            sql::inspect(&limited, OWNER).await.unwrap();

            prepare(&server, &root, Profile::Superuser, "limited");
            let before = server.catalogue("app").await;
            let initialized = sql::initialize(&limited, OWNER, &passwords()).await.unwrap();
            assert!(initialized.limits.is_empty(), "{version:?} {:#?}", initialized.limits);
            assert_eq!(server.catalogue("app").await, before, "it was only verified");
            assert_eq!(sql::initialize(&limited, OWNER, &passwords()).await.unwrap(), initialized);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_prepared_database_lacks_is_named() {
    let server = Server::start(Version::Fifteen).await;
    let limited = server.login(Login::Limited).await;
    let root = server.endpoint(ROOT, "app");
    prepare(&server, &root, Profile::Superuser, "limited");
    for (damage, words, repair) in [
        ("REVOKE anon FROM authenticator", "role authenticator is not a member of anon", "GRANT anon TO authenticator"),
        (
            "REVOKE USAGE ON SCHEMA storage FROM anon",
            "role anon may not use schema storage",
            "GRANT USAGE ON SCHEMA storage TO anon",
        ),
        (
            "REVOKE CREATE ON DATABASE app FROM supabase_admin",
            "role supabase_admin may not create schemas",
            "GRANT CREATE ON DATABASE app TO supabase_admin",
        ),
        ("ALTER ROLE supabase_storage_admin PASSWORD 'another'", "role supabase_storage_admin of", ""),
    ] {
        server.run("app", damage).await;
        let problem = sql::initialize(&limited, OWNER, &passwords()).await.unwrap_err();
        assert_eq!(problem.reason, Reason::DatabaseUnprepared, "{}", problem.message);
        assert!(problem.message.contains(words), "{damage}: {}", problem.message);
        server.run("app", repair).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_a_password_or_for_a_server_in_use_changes_nothing() {
    let server = Server::start(Version::Fifteen).await;
    let root = server.login(Login::Superuser).await;
    let file = server.directory.path().join("script.sql");
    fs::write(&file, sql::script(Profile::Superuser, OWNER, ROOT)).unwrap();
    let before = server.catalogue("app").await;
    let mut some = variables();
    some.pop();
    let output = psql(&root, &some, &file);
    assert!(!output.status.success());
    assert_eq!(server.catalogue("app").await, before);

    sql::initialize(&root, "tenant/second", &passwords()).await.unwrap();
    let before = server.catalogue("app").await;
    let output = psql(&root, &variables(), &file);
    assert!(String::from_utf8_lossy(&output.stderr).contains("tenant/second"));
    assert_eq!(server.catalogue("app").await, before);
}

/// A verifier is as good as a password.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_takes_verifiers() {
    let server = Server::start(Version::Newest).await;
    let root = server.login(Login::Superuser).await;
    let file = server.directory.path().join("script.sql");
    fs::write(&file, sql::script(Profile::Superuser, OWNER, ROOT)).unwrap();
    let verifiers: Vec<(String, String)> = passwords()
        .iter()
        .map(|(role, password): (&Role, _)| {
            let verifier = postgres_protocol::password::scram_sha_256(password.expose().as_bytes());
            (role.name().to_owned(), verifier)
        })
        .collect();
    let output = psql(&root, &verifiers, &file);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let prepared = DatabaseEndpoint { privileges: Privileges::Prepared, ..root };
    sql::initialize(&prepared, OWNER, &passwords()).await.unwrap();
}
