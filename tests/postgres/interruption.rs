//! The operator dies in the middle, or is not alone.

use sqlx::AssertSqlSafe;
use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::reason::Reason;
use supabase_operator::sql::{self, Role};

use crate::door::Door;
use crate::harness::{Login, OWNER, Server, Version, passwords};

/// Takes back everything that an initialisation made.
async fn reset(server: &Server, owner: &str) {
    let mut connection = server.root("postgres").await;
    let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).chain(["postgres"]).collect();
    let roles = format!(
        "DO $$ DECLARE r name; BEGIN
           FOR r IN SELECT rolname FROM pg_roles WHERE rolname = ANY (ARRAY['{}']) LOOP
             EXECUTE format('DROP OWNED BY %I', r);
             EXECUTE format('DROP ROLE %I', r);
           END LOOP;
         END $$",
        names.join("', '")
    );
    let database = format!("CREATE DATABASE app OWNER {owner}");
    for statement in ["DROP DATABASE app WITH (FORCE)", &roles, &database] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

async fn dies_after_each_statement(version: Version, login: Login) {
    let server = Server::start(version).await;
    let endpoint = server.login(login).await;
    sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
    let whole = server.catalogue("app").await;
    let mut deaths = 0;
    loop {
        reset(&server, &endpoint.username).await;
        let door = Door::open(server.port, deaths + 1).await;
        let through = DatabaseEndpoint { port: door.port, ..endpoint.clone() };
        let cut = sql::initialize(&through, OWNER, &passwords()).await;
        if !door.is_closed() {
            cut.unwrap();
            break;
        }
        assert_eq!(cut.unwrap_err().reason, Reason::DatabaseUnreachable, "statement {deaths}");
        deaths += 1;
        sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
        assert_eq!(server.catalogue("app").await, whole, "died after statement {deaths}");
    }
    assert!(deaths > 30, "only {deaths} statements were counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_that_dies_after_any_statement_ends_where_it_would_have() {
    tokio::join!(
        dies_after_each_statement(Version::Fifteen, Login::Superuser),
        dies_after_each_statement(Version::Newest, Login::Superuser)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_user_that_dies_after_any_statement_ends_where_it_would_have() {
    tokio::join!(
        dies_after_each_statement(Version::Fifteen, Login::Master),
        dies_after_each_statement(Version::Newest, Login::Master)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_initialisation_changes_nothing() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            let first = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            let before = server.catalogue("app").await;
            let transactions = "SELECT pg_current_xact_id()::text";
            let then = server.lines("app", transactions).await;
            assert_eq!(sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap(), first);
            assert_eq!(server.catalogue("app").await, before);
            let now = server.lines("app", transactions).await;
            let number = |lines: &[String]| lines[0].parse::<u64>().unwrap();
            // The questions above take one each; nothing else was written but the incarnation's ON CONFLICT DO NOTHING.
            assert!(number(&now) - number(&then) <= 2, "{version:?} {login:?}: {then:?} to {now:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_race_for_the_same_project_end_where_one_would_have() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            let whole = server.catalogue("app").await;
            for _ in 0..5 {
                reset(&server, &endpoint.username).await;
                let passwords = passwords();
                let one = sql::initialize(&endpoint, OWNER, &passwords);
                let two = sql::initialize(&endpoint, OWNER, &passwords);
                let (one, two) = tokio::join!(one, two);
                assert_eq!(one.unwrap(), two.unwrap());
                assert_eq!(server.catalogue("app").await, whole);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_projects_that_race_for_one_server_one_wins_and_the_other_changes_nothing() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let app = server.login(login).await;
            server.run("postgres", &format!("CREATE DATABASE other OWNER {}", app.username)).await;
            let other = DatabaseEndpoint { database: "other".to_owned(), ..app.clone() };
            for _ in 0..5 {
                server.run("postgres", "DROP DATABASE other WITH (FORCE)").await;
                reset(&server, &app.username).await;
                server.run("postgres", &format!("CREATE DATABASE other OWNER {}", app.username)).await;
                let passwords = passwords();
                let (one, two) = tokio::join!(
                    sql::initialize(&app, OWNER, &passwords),
                    sql::initialize(&other, "tenant/second", &passwords)
                );
                assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
                let loser = if one.is_ok() { "other" } else { "app" };
                let problem = one.and(two).unwrap_err();
                assert_eq!(problem.reason, Reason::DatabaseClaimed, "{}", problem.message);
                let schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname IN ('auth', 'storage', 'realtime')";
                assert!(server.lines(loser, schemas).await.is_empty());
            }
        }
    }
}

/// A dump, like a template, carries what a database remembers, and neither its settings nor the rights on it.
#[tokio::test]
async fn a_copy_gets_what_no_dump_carries() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
    let whole = server.catalogue("app").await;
    let named = |line: &&String| line.split([' ', '/']).any(|word| word == "app");
    let wanted: Vec<String> = whole.iter().filter(named).map(|line| line.replace("app", "copy")).collect();
    assert!(wanted.len() > 5, "{wanted:?}");
    let copy = format!("CREATE DATABASE copy TEMPLATE app OWNER {}", endpoint.username);
    server.run("postgres", &copy).await;
    let copy = DatabaseEndpoint { database: "copy".to_owned(), ..endpoint };
    let before = server.catalogue("copy").await;
    assert!(wanted.iter().all(|line| !before.contains(line)));
    sql::initialize(&copy, OWNER, &passwords()).await.unwrap();
    let after = server.catalogue("copy").await;
    let missing: Vec<&String> = wanted.iter().filter(|line| !after.contains(line)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
