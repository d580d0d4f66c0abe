//! Poses as the Storage API.

mod environment;
mod migrations;
mod multipart;
mod objects;
mod server;
mod store;

use std::sync::Arc;

use sqlx::PgConnection;

use crate::checks::{Checks, Environment};
use crate::database::{self, can, holds, quoted};

pub async fn run(environment: Environment) {
    let checks = Arc::new(Checks::new("storage"));
    let settings = environment::check(&checks, &environment);
    checks.stop_at_failures();
    let Some(settings) = settings else { return };
    let mut connection = database::connect(&checks, &settings.login).await;
    check_database(&checks, &mut connection, &settings).await;
    database::notifications(&checks, &settings.login).await;
    checks.stop_at_failures();
    checks.record("migrations", migrations::apply(&mut connection, &settings).await);
    checks.stop_at_failures();
    drop(connection);
    server::serve(settings, checks).await;
}

async fn check_database(checks: &Checks, connection: &mut PgConnection, settings: &environment::Settings) {
    let table = "CREATE TABLE storage.standin(i int)";
    can(checks, connection, "create table in storage", table).await;
    let grant = format!("{table}; GRANT ALL ON storage.standin TO {} WITH GRANT OPTION", quoted(&settings.super_user));
    can(checks, connection, "grant to DB_SUPER_USER", &grant).await;
    for role in &settings.roles {
        let switch = format!("SET LOCAL ROLE {}", quoted(role));
        can(checks, connection, &format!("switch to {role}"), &switch).await;
        let question = format!("SELECT has_schema_privilege({}, 'storage', 'USAGE')", literal(role));
        let otherwise = "lacks USAGE on schema storage, which Storage never grants";
        holds(checks, connection, &format!("schema of {role}"), &question, otherwise).await;
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
