//! Whether a database that somebody else prepared is as the steps would have made it.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::Role;
use super::connect::connect;
use super::findings::Finding;
use super::layout::{CREATORS, MEMBERSHIPS, Need, OWNED_SCHEMAS};
use super::problem::explain;
use super::quote::literal;
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;

const REMEDY: &str = "let an administrator run again what \"supabase-operator sql\" prints for this project";

/// What is missing, in a database that has all roles and schemas.
pub async fn lacks(connection: &mut PgConnection, endpoint: &DatabaseEndpoint) -> Result<Vec<Finding>, Problem> {
    let missing: Vec<String> = sqlx::query_scalar(AssertSqlSafe(question()))
        .fetch_all(connection)
        .await
        .map_err(|error| explain(&error, endpoint))?;
    Ok(missing.into_iter().map(|what| Finding::unprepared(what, REMEDY)).collect())
}

/// Logs in as each role: the passwords are the project's, and an administrator has set them.
pub async fn passwords(
    endpoint: &DatabaseEndpoint,
    owner: &str,
    passwords: &BTreeMap<Role, Sensitive>,
) -> Result<(), Problem> {
    for (role, password) in passwords {
        let login = as_role(endpoint, *role, password);
        let connection = connect(&login).await.map_err(|problem| match problem.reason {
            Reason::DatabaseAuthenticationFailed => Problem::new(
                Reason::DatabaseUnprepared,
                format!(
                    "role {} of {}:{} does not accept its password in Secret {owner}-database-roles; {REMEDY}, with the passwords of that Secret",
                    role.name(),
                    endpoint.host,
                    endpoint.port
                ),
            ),
            _ => problem,
        })?;
        let _ = connection.close().await;
    }
    Ok(())
}

/// The same database for one of its services.
pub fn as_role(endpoint: &DatabaseEndpoint, role: Role, password: &Sensitive) -> DatabaseEndpoint {
    DatabaseEndpoint { username: role.name().to_owned(), password: password.clone(), ..endpoint.clone() }
}

/// A query for what is not as it must be. Everything it names exists.
fn question() -> String {
    let mut demands: Vec<(String, String)> = Vec::new();
    for role in Role::LOGINS {
        let name = literal(role.name());
        let login = format!("(SELECT rolcanlogin FROM pg_roles WHERE rolname = {name})");
        let connects = format!("has_database_privilege({name}, current_database(), 'CONNECT')");
        demands.push((format!("role {} may not log in", role.name()), login));
        demands.push((format!("role {} may not connect to the database", role.name()), connects));
    }
    for role in CREATORS {
        let creates = format!("has_database_privilege({}, current_database(), 'CREATE')", literal(role.name()));
        demands.push((format!("role {} may not create schemas in the database", role.name()), creates));
    }
    for membership in MEMBERSHIPS.iter().filter(|membership| membership.need != Need::Wish) {
        let (member, of) = (membership.member.name(), membership.of);
        let admin = if membership.need == Need::Admin { " WITH ADMIN OPTION" } else { "" };
        let is = format!("pg_has_role({}, {}, 'MEMBER{admin}')", literal(member), literal(of));
        demands.push((format!("role {member} is not a member of {of}{}", admin.to_lowercase()), is));
    }
    for (schema, owner) in OWNED_SCHEMAS {
        let creates = format!("has_schema_privilege({}, {}, 'CREATE')", literal(owner.name()), literal(schema));
        demands.push((format!("role {} may not create objects in schema {schema}", owner.name()), creates));
    }
    for schema in ["public", "extensions", "auth", "storage", "realtime", "graphql_public"] {
        for role in ["anon", "authenticated", "service_role"] {
            let uses = format!("has_schema_privilege({}, {}, 'USAGE')", literal(role), literal(schema));
            demands.push((format!("role {role} may not use schema {schema}"), uses));
        }
    }
    demands.push((
        "function graphql_public.operator_ready() does not exist".to_owned(),
        "EXISTS (SELECT FROM pg_proc WHERE proname = 'operator_ready' AND pronargs = 0 AND \
         pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'graphql_public'))"
            .to_owned(),
    ));
    let rows: Vec<String> = demands.iter().map(|(what, is)| format!("({}, {is})", literal(what))).collect();
    format!(
        "SELECT what FROM (VALUES {}) AS demand(what, holds) WHERE holds IS NOT TRUE ORDER BY what",
        rows.join(", ")
    )
}
