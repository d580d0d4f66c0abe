//! What must be true of a database before Supabase's services can use it, as ordered steps. Pure.
//!
//! A step is one transaction, idempotent, and has a digest of its text: the database remembers which digests were
//! applied, so a step runs again exactly when its text changes. What exists is kept: nothing is dropped, no object of
//! `public` touched, no attribute taken away, no function of somebody else replaced. So the texts ask before they change
//! something, and what only some servers allow is tried; [`super::findings`] says afterwards what is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Role;
use super::layout::{CREATORS, MEMBERSHIPS, Need, OWNED_SCHEMAS, SETTINGS, SHARED_SCHEMAS};
use super::profile::Profile;
use super::quote::{identifier, literal};
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

/// Where the database remembers what was done to it.
pub const LEDGER: &str = "CREATE SCHEMA IF NOT EXISTS supabase_operator; \
    CREATE TABLE IF NOT EXISTS supabase_operator.steps \
    (id text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Steps whose work belongs to the database but is not in a dump of it: a copy that was restored elsewhere remembers what it
/// does not have.
pub const OF_THE_PLACE: [&str; 2] = ["settings", "output-plugins"];

/// Whether their work is here.
pub const SETTLED: &str = "SELECT EXISTS (SELECT FROM pg_db_role_setting s \
    JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database() \
    JOIN pg_roles r ON r.oid = s.setrole AND r.rolname = 'supabase_auth_admin')";

/// Remembers a step.
pub const RECORD: &str = "INSERT INTO supabase_operator.steps (id, digest) VALUES ($1, $2) \
    ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, applied_at = now()";

/// The first statement of every transaction on roles. Advisory locks are a database's, roles are the server's: of two
/// transactions that write the same role the second waits for the first and then fails, whichever databases they are in.
pub const ROLE_LOCK: &str = "DO $$ BEGIN \
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN ALTER ROLE authenticator NOINHERIT; \
    ELSE CREATE ROLE authenticator LOGIN NOINHERIT; END IF; END $$;";

/// Every step that an administrator with these powers can take, in order. Of a prepared database there is nothing to
/// change.
pub fn steps(profile: Profile, passwords: &BTreeMap<Role, Sensitive>) -> Vec<Step> {
    let step =
        |scope, id, text: String| Step { id, scope, digest: Digest::of_bytes(text.as_bytes()), body: Body::Sql(text) };
    let sql = |id, text: String| step(Scope::Database, id, text);
    let passwords = Step {
        id: "passwords",
        scope: Scope::Server,
        digest: passwords_digest(passwords),
        body: Body::Passwords(passwords.clone()),
    };
    let mut steps = vec![
        step(Scope::Server, "roles", roles()),
        passwords,
        sql("settings", settings()),
        sql("output-plugins", include_str!("steps/output_plugins.sql").to_owned()),
        sql("schemas", schemas()),
        sql("extensions", include_str!("steps/extensions.sql").to_owned()),
        sql("default-privileges", include_str!("steps/default_privileges.sql").to_owned()),
        sql("publication", include_str!("steps/publication.sql").to_owned()),
        sql("probe", include_str!("steps/probe.sql").to_owned()),
        sql("pooler", include_str!("steps/pooler.sql").to_owned()),
        sql("schema-reload", include_str!("steps/schema_reload.sql").to_owned()),
    ];
    match profile {
        Profile::Superuser => {}
        Profile::ManagedService => steps.retain(|step| step.id != "pooler"),
        Profile::Prepared => steps.clear(),
    }
    steps
}

/// Statement that sets a login password to a SCRAM verifier.
pub fn set_password(role: Role, verifier: &str) -> String {
    format!("ALTER ROLE {} PASSWORD {};", identifier(role.name()), literal(verifier))
}

/// Statement that creates the policy with which a `service_role` that cannot bypass row level security sees all rows.
pub fn admit_service_role(table: &str) -> String {
    format!(
        "CREATE POLICY operator_service_role ON storage.{} FOR ALL TO service_role USING (true) WITH CHECK (true);",
        identifier(table)
    )
}

/// Rows of a VALUES list.
fn rows(rows: impl Iterator<Item = String>) -> String {
    rows.map(|row| format!("    ({row})")).collect::<Vec<_>>().join(",\n")
}

fn names(roles: impl Iterator<Item = &'static str>) -> String {
    roles.collect::<Vec<_>>().join(", ")
}

fn roles() -> String {
    let wanted = rows(Role::ALL.iter().map(|role| {
        let attributes = role.attributes();
        format!("{}, {}, {}", literal(role.name()), attributes.login, attributes.inherit)
    }));
    let granted = |role: &Role, attribute: &str| format!("{}, '{attribute}'", literal(role.name()));
    let bypassing = Role::ALL.iter().filter(|role| role.attributes().bypass_rls).map(|r| granted(r, "BYPASSRLS"));
    let replicating = Role::ALL.iter().filter(|role| role.attributes().replication).map(|r| granted(r, "REPLICATION"));
    let attributes = rows(bypassing.chain(replicating));
    let memberships = rows(MEMBERSHIPS.iter().filter(|membership| membership.need != Need::Admin).map(|membership| {
        let wish = membership.need == Need::Wish;
        format!("{}, {}, {wish}", literal(membership.member.name()), literal(membership.of))
    }));
    let mut sql = format!(
        "\
DO $$
DECLARE r record;
BEGIN
  FOR r IN SELECT * FROM (VALUES
{wanted}
  ) AS wanted(name, login, inherit) LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) THEN EXECUTE format('CREATE ROLE %I', r.name); END IF;
    -- A role that exists keeps what it has beyond this.
    IF r.login AND NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = r.name) THEN
      EXECUTE format('ALTER ROLE %I LOGIN', r.name);
    END IF;
    IF r.inherit <> (SELECT rolinherit FROM pg_roles WHERE rolname = r.name) THEN
      EXECUTE format('ALTER ROLE %I %s', r.name, CASE WHEN r.inherit THEN 'INHERIT' ELSE 'NOINHERIT' END);
    END IF;
  END LOOP;
  -- Auth and Realtime grant to a role of this name, whoever is the administrator.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'postgres') THEN CREATE ROLE postgres NOLOGIN; END IF;
END $$;
-- Superusers may give these; others where they have them, or where the provider allows it.
DO $$
DECLARE r record;
BEGIN
  FOR r IN SELECT * FROM (VALUES
{attributes}
  ) AS wanted(name, attribute) LOOP
    CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = r.name
      AND (rolsuper OR CASE r.attribute WHEN 'BYPASSRLS' THEN rolbypassrls ELSE rolreplication END));
    BEGIN
      EXECUTE format('ALTER ROLE %I %s', r.name, r.attribute);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
    END;
  END LOOP;
END $$;
DO $$
DECLARE
  r record;
  -- Since PostgreSQL 16 a membership may be without the right to switch.
  kind text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  FOR r IN SELECT * FROM (VALUES
{memberships}
  ) AS wanted(member, granted, wish) LOOP
    CONTINUE WHEN pg_has_role(r.member, r.granted, kind);
    BEGIN
      EXECUTE format('GRANT %I TO %I', r.granted, r.member);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN IF NOT r.wish THEN RAISE; END IF;
    END;
  END LOOP;
END $$;
"
    );
    for membership in MEMBERSHIPS.iter().filter(|membership| membership.need == Need::Admin) {
        let (of, member) = (membership.of, membership.member.name());
        let _ = writeln!(
            sql,
            "DO $$ BEGIN IF NOT pg_has_role('{member}', '{of}', 'MEMBER WITH ADMIN OPTION') THEN \
             GRANT {of} TO {member} WITH ADMIN OPTION; END IF; END $$;"
        );
    }
    sql.push_str(include_str!("steps/log_parameter.sql"));
    sql.push_str(&memberships_of_administrator());
    sql
}

/// Who is no superuser must be a member of a role to make a schema that belongs to it, or to set its default privileges.
fn memberships_of_administrator() -> String {
    let mut owners: Vec<&str> = OWNED_SCHEMAS.iter().map(|(_, owner)| owner.name()).collect();
    owners.push(Role::MetaAdmin.name());
    owners.sort_unstable();
    owners.dedup();
    let owners = owners.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
    format!(
        "\
-- Who is no superuser makes schemas only for roles that it is a member of.
DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY[{owners}] LOOP
    IF NOT pg_has_role(current_user, r, 'USAGE') OR (current_setting('server_version_num')::int >= 160000
        AND NOT pg_has_role(current_user, r, 'SET')) THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', r);
    END IF;
  END LOOP;
END $$;
"
    )
}

fn settings() -> String {
    let settings = rows(
        SETTINGS
            .iter()
            .map(|(role, name, value)| format!("{}, {}, {}", literal(role.name()), literal(name), literal(value))),
    );
    let logins = names(Role::LOGINS.iter().map(|role| role.name()));
    let creators = names(CREATORS.iter().map(|role| role.name()));
    format!(
        "\
-- Limited to this database, so that other databases of the server see nothing of it. What somebody has set stays.
DO $$
DECLARE d text := current_database(); s record;
BEGIN
  FOR s IN SELECT * FROM (VALUES
{settings}
  ) AS wanted(role, name, value) LOOP
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_db_role_setting t JOIN pg_database b ON b.oid = t.setdatabase AND b.datname = d,
        unnest(t.setconfig) AS c WHERE t.setrole = s.role::regrole AND split_part(c, '=', 1) = s.name);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %I = %s', s.role, d, s.name, s.value);
  END LOOP;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO {logins}', d);
  EXECUTE format('GRANT CREATE ON DATABASE %I TO {creators}', d);
END $$;
"
    )
}

fn schemas() -> String {
    let mut sql = String::new();
    for schema in SHARED_SCHEMAS {
        let _ = writeln!(sql, "CREATE SCHEMA IF NOT EXISTS {schema};");
    }
    let owned = rows(OWNED_SCHEMAS.iter().map(|(name, owner)| format!("{}, {}", literal(name), literal(owner.name()))));
    let _ = write!(
        sql,
        "\
DO $$
DECLARE s record;
BEGIN
  FOR s IN SELECT * FROM (VALUES
{owned}
  ) AS wanted(name, owner) LOOP
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = s.name) THEN
      EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', s.name, s.owner);
    ELSIF NOT has_schema_privilege(s.owner, s.name, 'CREATE') OR NOT has_schema_privilege(s.owner, s.name, 'USAGE') THEN
      -- Made by somebody else, and stays theirs.
      EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', s.name, s.owner);
    END IF;
  END LOOP;
END $$;
GRANT USAGE ON SCHEMA public, extensions, auth, storage, realtime, graphql_public
  TO anon, authenticated, service_role, postgres, supabase_meta_admin;
-- Realtime names the published tables and the functions of their policies.
GRANT USAGE ON SCHEMA public, extensions, auth TO supabase_admin, supabase_realtime_admin;
GRANT USAGE, CREATE ON SCHEMA realtime TO supabase_realtime_admin;
GRANT CREATE ON SCHEMA public, extensions TO supabase_meta_admin;
"
    );
    sql
}

fn passwords_digest(passwords: &BTreeMap<Role, Sensitive>) -> Digest {
    // The passwords have 160 random bits each, so that a digest of them tells nothing.
    let lines: String =
        passwords.iter().map(|(role, password)| format!("{}:{}\n", role.name(), password.expose())).collect();
    Digest::of_bytes(lines.as_bytes())
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
        let text = text(&steps(Profile::Superuser, &passwords())).to_uppercase();
        for forbidden in ["DROP", "DELETE", "TRUNCATE", "OWNER"] {
            assert!(text.split_whitespace().all(|word| word != forbidden), "{forbidden}");
        }
        assert!(!text.contains("SECRETAUTHENTICATOR"));
    }

    /// PostgreSQL refuses these of who is no superuser, even where they would change nothing.
    #[test]
    fn no_attribute_is_taken_away() {
        let text = text(&steps(Profile::ManagedService, &passwords()));
        for forbidden in ["NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS", "NOCREATEROLE", "NOCREATEDB"] {
            assert!(!text.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn who_is_no_superuser_makes_no_function_that_reads_passwords_and_a_prepared_database_is_not_changed() {
        let ids = |profile| -> Vec<&str> { steps(profile, &passwords()).iter().map(|step| step.id).collect() };
        let superuser = ids(Profile::Superuser);
        let managed = ids(Profile::ManagedService);
        assert!(superuser.contains(&"pooler"));
        assert_eq!(managed, superuser.into_iter().filter(|id| *id != "pooler").collect::<Vec<_>>());
        assert!(ids(Profile::Prepared).is_empty());
    }

    #[test]
    fn digests_change_with_text_and_passwords_and_with_nothing_else() {
        let digests = |passwords: &BTreeMap<Role, Sensitive>| -> Vec<Digest> {
            steps(Profile::Superuser, passwords).iter().map(|step| step.digest).collect()
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
        let text = text(&steps(Profile::Superuser, &passwords()));
        for word in ["SUPERUSER", "CREATEROLE", "CREATEDB"] {
            assert!(text.split(|c: char| !c.is_alphanumeric()).all(|found| found != word), "{word}");
        }
        let bypassing: Vec<&Role> = Role::ALL.iter().filter(|role| role.attributes().bypass_rls).collect();
        assert_eq!(bypassing, [&Role::ServiceRole, &Role::MetaAdmin, &Role::ReadOnlyUser]);
    }
}
