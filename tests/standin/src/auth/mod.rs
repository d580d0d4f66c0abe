//! Poses as Auth (GoTrue): `auth`, `auth migrate`, `auth serve`.

mod environment;
mod keys;
mod migrations;
mod server;
mod users;

use std::sync::Arc;

use sqlx::PgConnection;

use crate::checks::{Checks, Environment};
use crate::database::{self, can, holds};

pub async fn run(environment: Environment, words: &[&str]) {
    let checks = Arc::new(Checks::new("auth"));
    let command = match words {
        [] => Ok((true, true)),
        ["migrate"] => Ok((true, false)),
        ["serve"] => Ok((false, true)),
        _ => Err("arguments must be none, migrate or serve"),
    };
    let command = checks.record("arguments", command);
    let login = environment::check_always(&checks, &environment);
    let settings = match command {
        Some((_, true)) => environment::check_serving(&checks, &environment),
        _ => None,
    };
    checks.stop_at_failures();
    let (Some((migrate, _)), Some(login)) = (command, login) else { return };

    let mut connection = database::connect(&checks, &login).await;
    check_database(&checks, &mut connection).await;
    checks.stop_at_failures();
    if migrate {
        checks.record("migrations", migrations::apply(&mut connection).await.map_err(|e| database::explain(&e)));
    } else {
        checks.record("migrations", migrations::are_applied(&mut connection).await);
    }
    checks.stop_at_failures();
    drop(connection);
    if let Some(settings) = settings {
        server::serve(settings, &login, environment, checks).await;
    }
}

async fn check_database(checks: &Checks, connection: &mut PgConnection) {
    let first = "SELECT coalesce((current_schemas(false))[1] = 'auth', false)";
    let remedy = "schema auth is not first in the search path: set it for the role or in the connection string";
    holds(checks, connection, "search_path", first, remedy).await;
    can(checks, connection, "create table in auth", "CREATE TABLE auth.standin(i int)").await;
    can(checks, connection, "create type in auth", "CREATE TYPE auth.standin_t AS ENUM ('a')").await;
    let grant = "CREATE TABLE auth.standin(i int); GRANT SELECT ON auth.standin TO postgres";
    can(checks, connection, "grant to postgres", grant).await;
    let functions = "SELECT NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = to_regnamespace('auth') \
        AND pg_get_userbyid(proowner) <> current_user)";
    let remedy = "schema auth has functions of another owner: migrations could not replace them";
    holds(checks, connection, "functions in auth", functions, remedy).await;
}
