//! What is there already stays as it is.

use std::process::Command;

use supabase_operator::plan::DatabaseEndpoint;
use supabase_operator::reason::Reason;
use supabase_operator::sql::{self, Feature, Role};

use crate::harness::{Login, OWNER, Server, Version, passwords};

/// A database full of a user's own things, some of them with our names.
const USERS_THINGS: &str = "
    CREATE ROLE app_owner NOLOGIN; CREATE ROLE app_reader NOLOGIN; GRANT app_reader TO app_owner;
    CREATE TABLE public.schema_migrations (version text PRIMARY KEY);
    INSERT INTO public.schema_migrations VALUES ('20200101000000');
    CREATE TABLE public.users (id int PRIMARY KEY, email text); INSERT INTO public.users VALUES (1, 'a@example.com');
    ALTER TABLE public.users OWNER TO app_owner; GRANT SELECT ON public.users TO app_reader;
    CREATE FUNCTION public.uid() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION public.operator_ready() RETURNS int LANGUAGE sql AS 'SELECT 2';
    CREATE FUNCTION public.pg_has_role(name, text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''DROP TABLE public.users''';
    CREATE SCHEMA extensions; CREATE EXTENSION pgcrypto WITH SCHEMA public;
    CREATE FUNCTION extensions.pgrst_on_ddl() RETURNS int LANGUAGE sql AS 'SELECT 3';
    CREATE SCHEMA graphql_public;
    CREATE FUNCTION graphql_public.operator_ready() RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE SCHEMA app AUTHORIZATION app_owner; CREATE TABLE app.orders (id int); INSERT INTO app.orders VALUES (7);
    CREATE PUBLICATION supabase_realtime FOR TABLE app.orders;
    ALTER DATABASE app SET statement_timeout = '1h';";

fn dump(endpoint: &DatabaseEndpoint) -> String {
    let output = Command::new("/usr/lib/postgresql/15/bin/pg_dump")
        .args(["--host", "127.0.0.1", "--port", &endpoint.port.to_string(), "--username", "root", "--no-privileges"])
        .args(["--schema", "public", "--schema", "app", "--schema", "extensions", "--schema", "graphql_public", "app"])
        .env("PGPASSWORD", endpoint.password.expose())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A random token of each dump.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_has_is_byte_for_byte_as_it_was() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    server.run("app", USERS_THINGS).await;
    let (dumped, before) = (dump(&endpoint), server.catalogue("app").await);
    sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
    assert_eq!(dump(&endpoint), dumped);
    let after = server.catalogue("app").await;
    // Rights on the database and on schemas are added to; nothing else of what was there has changed.
    let changed: Vec<&String> = before.iter().filter(|line| !after.contains(line)).collect();
    let subjects: Vec<String> =
        changed.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        subjects,
        ["database app", "schema extensions", "schema graphql_public", "schema public"],
        "{changed:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_tool_initialised_is_adopted_as_it_is() {
    for version in Version::ALL {
        let server = Server::start(version).await;
        let endpoint = server.login(Login::Superuser).await;
        server
            .run(
                "app",
                "CREATE ROLE supabase_admin LOGIN SUPERUSER; CREATE ROLE anon NOLOGIN; CREATE ROLE authenticated NOLOGIN;
                 CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'theirs'; GRANT anon TO authenticator;
                 CREATE ROLE postgres LOGIN CREATEROLE;
                 ALTER ROLE anon IN DATABASE app SET statement_timeout = '42s';
                 CREATE SCHEMA auth; CREATE SCHEMA storage AUTHORIZATION supabase_admin;
                 CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';
                 CREATE TABLE auth.users (id uuid); CREATE SCHEMA pgbouncer;
                 CREATE FUNCTION pgbouncer.get_auth(text) RETURNS int LANGUAGE sql AS 'SELECT 4';",
            )
            .await;
        let before = server.catalogue("app").await;
        let refused = sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::DatabaseClaimed, "{}", refused.message);
        assert_eq!(server.catalogue("app").await, before);

        // The message ends with the statement that hands the roles over.
        let consent = refused.message.rsplit_once("hand them over: ").unwrap().1;
        server.run("app", consent).await;
        let seen = sql::inspect(&endpoint, OWNER).await.unwrap();
        assert!(seen.findings.iter().any(|finding| finding.what.contains("auth.uid()")), "{:#?}", seen.findings);
        assert!(seen.findings.iter().any(|finding| finding.what.contains("supabase_admin (SUPERUSER")));
        sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
        let after = server.catalogue("app").await;
        let kept = |start: &str| {
            let of = |catalogue: &[String]| catalogue.iter().find(|line| line.starts_with(start)).cloned().unwrap();
            assert_eq!(of(&after), of(&before));
        };
        kept("function auth.uid()");
        kept("function pgbouncer.get_auth(text) of root");
        kept("relation auth.users");
        kept("role postgres ");
        kept("setting anon in app");
        let owners = "SELECT nspname || ' ' || nspowner::regrole FROM pg_namespace WHERE nspname IN ('auth', 'storage') ORDER BY 1";
        assert_eq!(server.lines("app", owners).await, ["auth root", "storage supabase_admin"]);
        assert!(after.iter().any(|line| line.starts_with("role supabase_admin {super,")), "nothing is taken away");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_database_twice_and_another_database_of_the_server_are_refused_before_anything_changes() {
    for version in Version::ALL {
        for login in [Login::Superuser, Login::Master] {
            let server = Server::start(version).await;
            let endpoint = server.login(login).await;
            server.run("postgres", &format!("CREATE DATABASE other OWNER {}", endpoint.username)).await;
            sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
            for database in ["app", "other"] {
                let second = DatabaseEndpoint { database: database.to_owned(), ..endpoint.clone() };
                let before = server.catalogue(database).await;
                let problem = sql::initialize(&second, "tenant/second", &passwords()).await.unwrap_err();
                assert_eq!(problem.reason, Reason::DatabaseClaimed);
                assert!(problem.message.contains(OWNER) && problem.message.contains("a server of its own"));
                assert_eq!(server.catalogue(database).await, before);
            }
        }
    }
}

/// Whoever owns the schema of our memory could run code as the administrator who writes to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_somebody_else_laid_out_for_us_is_refused() {
    let server = Server::start(Version::Fifteen).await;
    let endpoint = server.login(Login::Superuser).await;
    server.run("app", "CREATE ROLE mallory; CREATE SCHEMA supabase_operator AUTHORIZATION mallory").await;
    let problem = sql::inspect(&endpoint, OWNER).await.unwrap_err();
    assert!(problem.message.contains("mallory"), "{}", problem.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_passwords_are_set_and_nothing_else() {
    for login in [Login::Superuser, Login::Master] {
        let server = Server::start(Version::Newest).await;
        let endpoint = server.login(login).await;
        sql::initialize(&endpoint, OWNER, &passwords()).await.unwrap();
        let mut changed = passwords();
        changed.insert(Role::Authenticator, supabase_operator::sensitive::Sensitive::new("another0123456789"));
        let initialized = sql::initialize(&endpoint, OWNER, &changed).await.unwrap();
        let login = DatabaseEndpoint {
            username: "authenticator".to_owned(),
            password: changed[&Role::Authenticator].clone(),
            ..endpoint.clone()
        };
        crate::harness::session(&login, "SELECT 1").await.unwrap();
        assert!(initialized.limit(Feature::Auth).is_none());
    }
}
