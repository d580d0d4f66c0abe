//! The SQL of an initialisation, for an administrator who runs it by hand. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Role;
use super::claim::Claim;
use super::profile::Profile;
use super::quote::{identifier, literal};
use super::steps::{Body, LEDGER, ROLE_LOCK, Scope, Step, steps};

/// Everything that the operator would do with these powers, for `psql`. It can be run again at any time. Passwords are
/// variables of psql, of the roles' names.
///
/// `operator`: the user of the Secret, who needs no more than to read and write what the operator remembers.
pub fn script(profile: Profile, owner: &str, operator: &str) -> String {
    let steps = steps(profile, &BTreeMap::new());
    let mut sql = head(profile, owner);
    let server: Vec<&Step> = steps.iter().filter(|step| step.scope == Scope::Server).collect();
    let mut claim = Claim::new(owner);
    let _ = writeln!(sql, "\nBEGIN;\n-- roles\n{ROLE_LOCK}\n{}", refuse_others(owner));
    for step in &server {
        match &step.body {
            Body::Sql(text) => {
                sql.push_str(text);
                claim.applied.insert(step.id.to_owned(), step.digest.to_hex());
            }
            Body::Passwords(_) => sql.push_str(&passwords()),
        }
    }
    let _ = writeln!(sql, "{}\nCOMMIT;", claim.statement());
    let operator = identifier(operator);
    let _ = writeln!(
        sql,
        "\nBEGIN;\n-- what the operator remembers\n{};\n\
         GRANT USAGE ON SCHEMA supabase_operator TO {operator};\n\
         GRANT SELECT, INSERT, UPDATE ON supabase_operator.steps TO {operator};\nCOMMIT;",
        LEDGER.replace("; CREATE", ";\nCREATE")
    );
    for step in steps.iter().filter(|step| step.scope == Scope::Database) {
        let Body::Sql(text) = &step.body else { continue };
        let (id, digest) = (literal(step.id), literal(&step.digest.to_hex()));
        let _ = writeln!(
            sql,
            "\nBEGIN;\n-- {}\n{text}INSERT INTO supabase_operator.steps (id, digest) VALUES ({id}, {digest})\n  \
             ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, applied_at = now();\nCOMMIT;",
            step.id
        );
    }
    sql
}

fn head(profile: Profile, owner: &str) -> String {
    let who = match profile {
        Profile::Superuser | Profile::Prepared => "a superuser",
        Profile::ManagedService => "the owner of the database who may create roles",
    };
    let secret = format!("{owner}-database-roles");
    let (namespace, name) = secret.split_once('/').unwrap_or(("default", &secret));
    let mut sql = format!(
        "\
-- Prepares a database for SupabaseProject {owner}. To be run with psql in that database, by {who}:
--
--   psql --no-psqlrc --dbname … --file passwords.psql --file this-file
--
-- Each login has a password of its own, which psql takes from a variable of the role's name, or its SCRAM verifier. They
-- are in Secret {secret} once the project exists:
--
--   kubectl get secret --namespace {namespace} {name} -o go-template=\\
--     '{{{{range $role, $password := .data}}}}\\set {{{{$role}}}} {{{{base64decode $password}}}}{{{{\"\\n\"}}}}{{{{end}}}}' >passwords.psql
--
-- Nothing is dropped, nothing in schema public is changed but who may use it, and it can be run again.
\\set ON_ERROR_STOP on
SET search_path = pg_catalog;
SET client_min_messages = warning;
SET password_encryption = 'scram-sha-256';
SET lock_timeout = '10s';
"
    );
    for role in Role::LOGINS {
        let name = role.name();
        let _ = writeln!(
            sql,
            "\\if :{{?{name}}}\n\\else\n\\echo variable {name} is not set\nSELECT 1 / 0 AS \"a password is missing\";\n\\endif"
        );
    }
    sql
}

/// A script does not ask before it takes roles over.
fn refuse_others(owner: &str) -> String {
    let prefix = literal(&Claim::new("").text());
    let mine = literal(&Claim::new(owner).text());
    format!(
        "DO $$ DECLARE c text := shobj_description('authenticator'::regrole, 'pg_authid'); BEGIN\n  \
         IF starts_with(c, {prefix}) AND c <> {mine} AND NOT starts_with(c, {mine} || ' ') THEN\n    \
         RAISE 'the roles of this server are in use: %', c;\n  END IF;\nEND $$;"
    )
}

fn passwords() -> String {
    Role::LOGINS
        .iter()
        .map(|role| format!("ALTER ROLE {} PASSWORD :'{}';\n", identifier(role.name()), role.name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_login_gets_a_password_from_a_variable_and_none_stands_there() {
        let sql = script(Profile::Superuser, "tenant/demo", "operator");
        for role in Role::LOGINS {
            assert!(sql.contains(&format!("ALTER ROLE \"{0}\" PASSWORD :'{0}';", role.name())), "{}", role.name());
        }
        assert!(!sql.contains("SCRAM-SHA-256$"));
    }

    #[test]
    fn names_are_quoted() {
        let sql = script(Profile::ManagedService, "tenant/demo", "o\"; DROP TABLE x; --");
        assert!(sql.contains("TO \"o\"\"; DROP TABLE x; --\""));
    }
}
