//! What is to be said about a database: what stands in the way, what cannot work there, and what to do about it. Pure.

use super::Role;
use super::claim::Claim;
use super::facts::Facts;
use super::limits::limits;
use super::profile::Profile;
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};

/// What a finding means for the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be done with this database.
    Refused,
    /// An administrator has to do something first.
    Unprepared,
    /// A feature does not work here; the others do.
    Limited,
    /// Worth knowing.
    Notice,
}

/// What can be missing while the rest works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// All of Realtime.
    Realtime,
    /// Of Realtime what needs the database's log: changes of tables.
    PostgresChanges,
    /// Row level security does not hold the service key back.
    ServiceRole,
    /// `PostgREST` notices new tables by itself.
    SchemaReload,
    /// Supavisor verifies its clients' passwords by the database's.
    Pooler,
    /// Dashboard and postgres-meta see every row.
    Dashboard,
    /// Extensions that user SQL expects.
    Extensions,
    /// Auth's migrations.
    Auth,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub reason: Reason,
    /// What does not work, where the severity is [`Severity::Limited`].
    pub feature: Option<Feature>,
    pub what: String,
    pub remedy: String,
}

impl Finding {
    fn refused(reason: Reason, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Refused, reason, feature: None, what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn unprepared(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let reason = Reason::DatabaseUnprepared;
        Self { severity: Severity::Unprepared, reason, feature: None, what: what.into(), remedy: remedy.into() }
    }

    pub fn limited(feature: Feature, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        let reason = Reason::DatabaseLimited;
        Self { severity: Severity::Limited, reason, feature: Some(feature), what, remedy }
    }

    pub fn notice(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let reason = Reason::Connected;
        Self { severity: Severity::Notice, reason, feature: None, what: what.into(), remedy: remedy.into() }
    }

    pub fn text(&self) -> String {
        format!("{}; {}", self.what, self.remedy)
    }
}

/// The first finding that is at least as bad as this, with what else is as bad in its message.
pub fn problem(findings: &[Finding], severity: Severity) -> Option<Problem> {
    let mut bad = findings.iter().filter(|finding| finding.severity <= severity);
    let first = bad.next()?;
    let message = bad.fold(first.text(), |text, finding| format!("{text}. {}", finding.text()));
    Some(Problem::new(first.reason, message))
}

/// Everything to say about what was seen, the worst first.
pub fn findings(facts: &Facts, endpoint: &DatabaseEndpoint, owner: &str, profile: Profile) -> Vec<Finding> {
    let mut findings = server(facts, endpoint);
    findings.extend(claimed(facts, endpoint, owner));
    findings.extend(match profile {
        Profile::Superuser => superuser(facts, endpoint),
        Profile::ManagedService => managed_service(facts, endpoint),
        Profile::Prepared => prepared(facts, endpoint),
    });
    findings.extend(foreign(facts));
    findings.extend(limits(facts, profile));
    findings.extend(notices(facts, endpoint));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn server(facts: &Facts, endpoint: &DatabaseEndpoint) -> Vec<Finding> {
    let DatabaseEndpoint { host, port, username, secret, .. } = endpoint;
    let mut findings = Vec::new();
    if facts.pooled {
        findings.push(Finding::refused(
            Reason::DatabasePooled,
            format!("{host}:{port} is a connection pooler that gives a session to several clients in turns"),
            format!(
                "Auth, Storage and Realtime need sessions of their own: put the address of PostgreSQL itself (not of PgBouncer, RDS Proxy or the like) into key \"host\" of Secret {secret}"
            ),
        ));
    }
    if facts.recovering {
        findings.push(Finding::refused(
            Reason::DatabaseUnreachable,
            format!("{host}:{port} is a standby that cannot be written to"),
            format!("point Secret {secret} at the primary"),
        ));
    } else if facts.read_only {
        findings.push(Finding::refused(
            Reason::DatabaseUnreachable,
            format!("{host}:{port} is set read-only (default_transaction_read_only), as managed services do when storage is full"),
            "make it writable again",
        ));
    }
    if Role::LOGINS.iter().any(|role| role.name() == username) {
        findings.push(Finding::refused(
            Reason::DatabasePrivilegeMissing,
            format!("user {username:?} is a role whose password the operator sets"),
            format!("put another administrator of the server into Secret {secret}"),
        ));
    }
    findings
}

/// Roles that somebody else uses.
fn claimed(facts: &Facts, endpoint: &DatabaseEndpoint, owner: &str) -> Option<Finding> {
    let DatabaseEndpoint { host, port, .. } = endpoint;
    let comment = facts.role(Role::Authenticator).and_then(|role| role.comment.as_deref()).unwrap_or_default();
    let existing: Vec<&str> =
        Role::LOGINS.iter().map(|role| role.name()).filter(|name| facts.roles.contains_key(*name)).collect();
    let claim = Claim::new(owner).statement();
    // The claim stands on this role, whoever the others are.
    let there = facts.role(Role::Authenticator).is_some();
    let consent = if there { claim } else { format!("CREATE ROLE authenticator LOGIN NOINHERIT; {claim}") };
    let (what, remedy) = match Claim::parse(comment) {
        Some(claim) if claim.owner == owner => return None,
        None if existing.is_empty() => return None,
        Some(Claim { owner: other, .. }) => (
            format!(
                "the roles of {host}:{port} are used by SupabaseProject {other}, and roles belong to a whole server"
            ),
            hand_over(
                "give this project a server of its own, or, if that project is gone, hand them over",
                owner,
                &consent,
            ),
        ),
        None => (
            format!(
                "{host}:{port} has roles that this operator did not make ({}), and their users would lose their passwords",
                existing.join(", ")
            ),
            hand_over("give this project a server of its own, or hand them over", owner, &consent),
        ),
    };
    Some(Finding::refused(Reason::DatabaseClaimed, what, remedy))
}

/// Without a project there is nobody to hand them to.
fn hand_over(remedy: &str, owner: &str, consent: &str) -> String {
    if owner.is_empty() { remedy.to_owned() } else { format!("{remedy}: {consent}") }
}

fn superuser(facts: &Facts, endpoint: &DatabaseEndpoint) -> Vec<Finding> {
    let DatabaseEndpoint { host, port, username, secret, .. } = endpoint;
    if facts.user.superuser {
        return Vec::new();
    }
    vec![Finding::refused(
        Reason::DatabasePrivilegeMissing,
        format!("user {username:?} of {host}:{port} is not a superuser"),
        format!("put a superuser into Secret {secret}, or set spec.database.privileges to ManagedService or Prepared"),
    )]
}

fn managed_service(facts: &Facts, endpoint: &DatabaseEndpoint) -> Vec<Finding> {
    let DatabaseEndpoint { host, port, database, username, secret, .. } = endpoint;
    let (user, mut findings) = (&facts.user, Vec::new());
    let mut refuse = |what: String, remedy: String| {
        findings.push(Finding::refused(Reason::DatabasePrivilegeMissing, what, remedy));
    };
    let prepared = "or let an administrator run what \"supabase-operator sql\" prints, and set spec.database.privileges to Prepared";
    if !user.superuser && !user.create_role {
        refuse(
            format!("user {username:?} of {host}:{port} may not create roles"),
            format!("as an administrator: ALTER ROLE \"{username}\" CREATEROLE; {prepared}"),
        );
    }
    if !user.superuser && !user.owns_database {
        refuse(
            format!(
                "database {database:?} of {host}:{port} does not belong to user {username:?}, who could not let the services in"
            ),
            format!("as its owner: ALTER DATABASE \"{database}\" OWNER TO \"{username}\"; {prepared}"),
        );
    }
    let role = |name: &&str| facts.roles.get(*name).filter(|_| !user.superuser);
    // Before 16 who may create roles administers all of them, but for superusers.
    let foreign =
        |name: &&str| role(name).is_some_and(|role| !role.administered && facts.number >= 160_000 && !role.superuser);
    let above = |name: &&str| role(name).is_some_and(|role| role.superuser);
    let names = || Role::ALL.iter().map(|role| role.name());
    let (roles, above): (Vec<&str>, Vec<&str>) = (names().filter(foreign).collect(), names().filter(above).collect());
    if !above.is_empty() {
        refuse(
            format!(
                "roles that exist are superusers ({}), and user {username:?} of {host}:{port} may not change those",
                above.join(", ")
            ),
            format!(
                "as a superuser: ALTER ROLE {} NOSUPERUSER; or put a superuser into Secret {secret}; {prepared}",
                above.join(" NOSUPERUSER; ALTER ROLE ")
            ),
        );
    }
    if !roles.is_empty() {
        refuse(
            format!("user {username:?} of {host}:{port} may not administer roles that exist ({})", roles.join(", ")),
            format!("as an administrator: GRANT {} TO \"{username}\" WITH ADMIN OPTION; {prepared}", roles.join(", ")),
        );
    }
    let schemas: Vec<&str> = facts
        .schemas
        .iter()
        .filter(|(name, schema)| {
            !schema.ours && *name != "public" && !user.superuser && is_foreign_owner(facts, &schema.owner)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !schemas.is_empty() {
        refuse(
            format!("schemas of {host}:{port}/{database} do not belong to user {username:?} ({})", schemas.join(", ")),
            format!(
                "as an administrator: ALTER SCHEMA … OWNER TO \"{username}\" for each; {prepared} (Secret {secret})"
            ),
        );
    }
    findings
}

/// Before PostgreSQL 16 who may create roles may join every role but a superuser.
fn is_foreign_owner(facts: &Facts, owner: &str) -> bool {
    match facts.roles.get(owner) {
        Some(role) => role.superuser || (facts.number >= 160_000 && !role.administered),
        None => true,
    }
}

fn prepared(facts: &Facts, endpoint: &DatabaseEndpoint) -> Vec<Finding> {
    let DatabaseEndpoint { host, port, database, username, secret, .. } = endpoint;
    let remedy = "let an administrator run what \"supabase-operator sql\" prints for this project";
    let or_more = format!("{remedy}, or put a user who may create roles and owns the database into Secret {secret}");
    if !facts.is_laid_out() || !facts.publication {
        let what =
            format!("{host}:{port}/{database} lacks roles or schemas of Supabase, and user {username:?} only verifies");
        return vec![Finding::unprepared(what, or_more)];
    }
    if !facts.ledger {
        let what = format!(
            "user {username:?} cannot read and write table supabase_operator.steps of {host}:{port}/{database}"
        );
        return vec![Finding::unprepared(what, remedy)];
    }
    Vec::new()
}

/// What others made and keep.
fn foreign(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(schema) = facts.schemas.get("supabase_operator").filter(|schema| !schema.trusted) {
        // Its owner could have an administrator's connection run code.
        findings.push(Finding::refused(
            Reason::DatabasePrivilegeMissing,
            format!(
                "schema supabase_operator, in which the operator remembers what it did, belongs to {:?}",
                schema.owner
            ),
            "rename it, or give it to the owner of the database",
        ));
    }
    if !facts.foreign_auth_functions.is_empty() {
        let functions = facts.foreign_auth_functions.join(", ");
        findings.push(Finding::limited(
            Feature::Auth,
            format!("functions that Auth's migrations replace belong to somebody else ({functions}); they are kept as they are"),
            "ALTER FUNCTION … OWNER TO supabase_auth_admin for each, or Auth does not start",
        ));
    }
    let powerful: Vec<&str> = Role::ALL
        .iter()
        .map(|role| role.name())
        .filter(|name| facts.roles.get(*name).is_some_and(|role| role.superuser || role.create_role))
        .collect();
    if !powerful.is_empty() {
        findings.push(Finding::notice(
            format!(
                "roles of services exist with more than these need: {} (SUPERUSER or CREATEROLE)",
                powerful.join(", ")
            ),
            "ALTER ROLE … NOSUPERUSER NOCREATEROLE for each, if nothing else needs it",
        ));
    }
    findings
}

fn notices(facts: &Facts, endpoint: &DatabaseEndpoint) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.tls {
        findings.push(Finding::notice(
            format!("connections to {}:{} are not encrypted", endpoint.host, endpoint.port),
            "set spec.database.sslMode to verify-full, with the server's CA, unless the network is trusted",
        ));
    }
    findings
}

/// What is to be said of a server that may have fewer connections than the services' pools together.
pub fn crowded(facts: &Facts, pools: u32) -> Option<Finding> {
    let most = facts.setting("max_connections").parse::<u32>().ok().filter(|most| *most < pools)?;
    Some(Finding::notice(
        format!("max_connections is {most}, and the pools of the services may hold {pools} connections together"),
        "raise max_connections, or have fewer replicas",
    ))
}
