//! What must be true of a database before Supabase's services can use it, as ordered steps. Pure.
//!
//! A step is one transaction, idempotent, and has a digest of its text: the database remembers which digests were
//! applied, so a step runs again exactly when its text changes. Nothing is ever dropped, no object of `public` touched.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Role;
use crate::render::Digest;
use crate::sensitive::Sensitive;

/// Schema that PostgREST always serves, with the function that the operator calls before it says Ready.
pub const PROBE_SCHEMA: &str = "graphql_public";
pub const PROBE_FUNCTION: &str = "operator_ready";

/// One transaction.
#[derive(Debug)]
pub struct Step {
    pub id: &'static str,
    pub scope: Scope,
    pub digest: Digest,
    pub body: Body,
}

/// What a step changes, and so where it is remembered that it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Roles: all databases of the server share them. Remembered in a comment on a role, because a dump of the
    /// database that is restored elsewhere takes the database's memory with it, but not the roles.
    Server,
    /// Remembered in the table `supabase_operator.steps`.
    Database,
}

#[derive(Debug)]
pub enum Body {
    Sql(String),
    /// Set these login passwords. The statements are made when they run, from fresh verifiers, so that no clear
    /// password reaches the server's log.
    Passwords(BTreeMap<Role, Sensitive>),
}

/// Every step for a connection that is superuser, in order.
pub fn steps(passwords: &BTreeMap<Role, Sensitive>) -> Vec<Step> {
    let step =
        |scope, id, text: String| Step { id, scope, digest: Digest::of_bytes(text.as_bytes()), body: Body::Sql(text) };
    let sql = |id, text: String| step(Scope::Database, id, text);
    vec![
        step(Scope::Server, "roles", roles()),
        Step {
            id: "passwords",
            scope: Scope::Server,
            digest: passwords_digest(passwords),
            body: Body::Passwords(passwords.clone()),
        },
        sql("settings", include_str!("steps/settings.sql").to_owned()),
        sql("schemas", include_str!("steps/schemas.sql").to_owned()),
        sql("extensions", include_str!("steps/extensions.sql").to_owned()),
        sql("default-privileges", include_str!("steps/default_privileges.sql").to_owned()),
        sql("publication", include_str!("steps/publication.sql").to_owned()),
        sql("probe", include_str!("steps/probe.sql").to_owned()),
        sql("pooler", include_str!("steps/pooler.sql").to_owned()),
        sql("schema-reload", include_str!("steps/schema_reload.sql").to_owned()),
    ]
}

/// The comment on role `authenticator` by which a project claims a server, and remembers what it did to its roles.
/// Roles and their passwords are shared by all databases of a server, and the comment can be read from each of them:
/// two projects cannot take turns in changing them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub owner: String,
    /// Digest of each step of [`Scope::Server`] that was applied, by its id.
    pub applied: BTreeMap<String, String>,
}

const CLAIM_PREFIX: &str = "supabase-operator: used by SupabaseProject ";

impl Claim {
    pub fn new(owner: &str) -> Self {
        Self { owner: owner.to_owned(), applied: BTreeMap::new() }
    }

    /// `None` where the comment is not a claim of ours.
    pub fn parse(comment: &str) -> Option<Self> {
        let mut words = comment.strip_prefix(CLAIM_PREFIX)?.split_whitespace();
        let owner = words.next()?.to_owned();
        let applied =
            words.filter_map(|word| word.split_once('=')).map(|(id, digest)| (id.to_owned(), digest.to_owned()));
        Some(Self { owner, applied: applied.collect() })
    }

    pub fn text(&self) -> String {
        let applied: String = self.applied.iter().map(|(id, digest)| format!(" {id}={digest}")).collect();
        format!("{CLAIM_PREFIX}{}{applied}", self.owner)
    }

    /// The statement that writes the comment.
    pub fn statement(&self) -> String {
        format!("COMMENT ON ROLE authenticator IS {};", literal(&self.text()))
    }
}

/// Statement that sets a login password to a SCRAM verifier.
pub fn set_password(role: Role, verifier: &str) -> String {
    format!("ALTER ROLE {} PASSWORD {};", identifier(role.name()), literal(verifier))
}

fn roles() -> String {
    let mut sql = String::new();
    for role in Role::ALL {
        let name = role.name();
        // CREATE ROLE has no IF NOT EXISTS.
        let _ = writeln!(
            sql,
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN CREATE ROLE {}; END IF; END $$;",
            literal(name),
            identifier(name),
        );
        let _ = writeln!(sql, "ALTER ROLE {} {};", identifier(name), role.attributes());
    }
    sql.push_str(MEMBERSHIPS);
    sql
}

/// Auth and Realtime grant to a role named `postgres`; where the administrator has another name it is made, without login.
const MEMBERSHIPS: &str = "\
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') THEN CREATE ROLE postgres NOLOGIN; END IF; END $$;
GRANT anon, authenticated, service_role TO authenticator, supabase_storage_admin, supabase_realtime_admin;
GRANT supabase_realtime_admin TO supabase_admin WITH ADMIN OPTION;
GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin;
GRANT anon, authenticated, service_role, dashboard_user TO supabase_meta_admin;
GRANT pg_read_all_data, pg_monitor, pg_signal_backend TO supabase_meta_admin;
GRANT pg_read_all_data TO supabase_read_only_user;
";

fn passwords_digest(passwords: &BTreeMap<Role, Sensitive>) -> Digest {
    // The passwords have 160 random bits each, so that a digest of them tells nothing.
    let lines: String =
        passwords.iter().map(|(role, password)| format!("{}:{}\n", role.name(), password.expose())).collect();
    Digest::of_bytes(lines.as_bytes())
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that is safe whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> BTreeMap<Role, Sensitive> {
        Role::LOGINS.iter().map(|role| (*role, Sensitive::new(format!("secret{}", role.name())))).collect()
    }

    fn text(steps: &[Step]) -> String {
        steps
            .iter()
            .filter_map(|step| match &step.body {
                Body::Sql(text) => Some(text.as_str()),
                Body::Passwords(_) => None,
            })
            .collect()
    }

    #[test]
    fn nothing_is_dropped_and_no_password_stands_in_a_statement() {
        let text = text(&steps(&passwords())).to_uppercase();
        for forbidden in ["DROP", "DELETE", "TRUNCATE"] {
            assert!(text.split_whitespace().all(|word| word != forbidden), "{forbidden}");
        }
        assert!(!text.contains("SECRETAUTHENTICATOR"));
    }

    #[test]
    fn digests_change_with_text_and_passwords_and_with_nothing_else() {
        let digests = |passwords: &BTreeMap<Role, Sensitive>| -> Vec<Digest> {
            steps(passwords).iter().map(|step| step.digest).collect()
        };
        let base = digests(&passwords());
        assert_eq!(base, digests(&passwords()));
        let mut changed = passwords();
        changed.insert(Role::MetaAdmin, Sensitive::new("other"));
        let differing: Vec<usize> = base
            .iter()
            .zip(digests(&changed))
            .enumerate()
            .filter_map(|(index, (a, b))| (*a != b).then_some(index))
            .collect();
        assert_eq!(differing, [1], "only the passwords step");
    }

    #[test]
    fn only_three_roles_bypass_row_level_security_and_none_can_become_superuser() {
        for role in Role::ALL {
            let attributes = role.attributes();
            for word in ["SUPERUSER", "CREATEROLE", "CREATEDB"] {
                assert!(attributes.split(' ').all(|attribute| attribute != word), "{attributes}");
            }
            let bypasses = attributes.split(' ').any(|word| word == "BYPASSRLS");
            let may = matches!(role, Role::ServiceRole | Role::MetaAdmin | Role::ReadOnlyUser);
            assert_eq!(bypasses, may, "{}", role.name());
        }
    }

    #[test]
    fn literals_are_quoted() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\b'"), r"E'a\\b'''");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn claims_read_back() {
        let mut claim = Claim::new("ns/demo");
        assert_eq!(Claim::parse(&claim.text()), Some(claim.clone()));
        claim.applied.insert("roles".to_owned(), "0123".to_owned());
        claim.applied.insert("passwords".to_owned(), "4567".to_owned());
        assert_eq!(Claim::parse(&claim.text()), Some(claim));
        assert_eq!(Claim::parse("a comment of somebody"), None);
    }
}
