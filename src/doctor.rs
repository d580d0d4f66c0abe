//! A look at a project's database from anywhere, told in words, and the SQL for the one who prepares it.

use std::fmt::Write as _;
use std::path::Path;

use crate::api::{DatabaseSpec, SecretRef, SupabaseProject};
use crate::offline::{Documents, OfflineError};
use crate::plan::{DatabaseEndpoint, Identity, endpoints, pools};
use crate::sql::{self, Finding, Inspection, Profile, Role, Severity};

/// Where the database is reached from here, if not where the Secret says.
#[derive(clap::Args, Debug, Default)]
pub struct Address {
    /// Host, instead of the Secret's.
    #[arg(long)]
    host: Option<String>,
    /// Port, instead of the Secret's.
    #[arg(long)]
    port: Option<u16>,
}

/// Who runs the SQL.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Administrator {
    Superuser,
    /// The master user of a managed service: owns the database, may create roles.
    ManagedService,
}

/// What a look found, in words.
pub struct Diagnosis {
    pub text: String,
    /// Nothing stands in the way.
    pub usable: bool,
}

/// Looks at the database that a file tells of.
///
/// # Errors
/// The file cannot be read, or tells of no database; or there is no connection.
pub async fn examine(file: &Path, address: &Address) -> Result<Diagnosis, OfflineError> {
    let documents = Documents::read(file)?;
    let (mut endpoint, owner) = subject(&documents, file)?;
    if let Some(host) = &address.host {
        endpoint.host.clone_from(host);
    }
    endpoint.port = address.port.unwrap_or(endpoint.port);
    let mut inspection = sql::look(&endpoint, &owner).await.map_err(OfflineError::Problem)?;
    let spec = documents.projects.first().map(|project| project.spec.clone()).unwrap_or_default();
    inspection.findings.extend(sql::crowded(&inspection.facts, pools::of_spec(&spec)));
    let usable = inspection.findings.iter().all(|finding| finding.severity > Severity::Unprepared);
    Ok(Diagnosis { text: report(&inspection, &endpoint), usable })
}

/// The SQL that prepares the database of the project in a file.
///
/// # Errors
/// The file cannot be read, or holds no project; or nothing says who the operator's user is.
pub fn script(file: &Path, administrator: Administrator, user: Option<String>) -> Result<String, OfflineError> {
    let documents = Documents::read(file)?;
    let project = documents.projects.first().ok_or_else(|| nothing(file))?;
    let (identity, endpoint) = of_project(project, &documents)?;
    let user = match user {
        Some(user) => user,
        None => endpoint.map_err(OfflineError::Problem)?.username,
    };
    let profile = match administrator {
        Administrator::Superuser => Profile::Superuser,
        Administrator::ManagedService => Profile::ManagedService,
    };
    Ok(sql::script(profile, &identity.owner(), &user))
}

fn nothing(file: &Path) -> OfflineError {
    OfflineError::Nothing { file: file.display().to_string() }
}

/// The database of the first project, or of the first Secret where there is none.
fn subject(documents: &Documents, file: &Path) -> Result<(DatabaseEndpoint, String), OfflineError> {
    if let Some(project) = documents.projects.first() {
        let (identity, endpoint) = of_project(project, documents)?;
        return Ok((endpoint.map_err(OfflineError::Problem)?, identity.owner()));
    }
    let secret = documents.secrets.first().ok_or_else(|| nothing(file))?;
    let namespace = secret.metadata.namespace.as_deref().unwrap_or("default");
    let name = secret.metadata.name.clone().unwrap_or_default();
    let spec = DatabaseSpec { secret_ref: Some(SecretRef { name: name.clone() }), ..DatabaseSpec::default() };
    let endpoint =
        endpoints::database(&spec, &documents.secrets_of(namespace), namespace).map_err(OfflineError::Problem)?;
    Ok((endpoint, format!("{namespace}/{name}")))
}

type Endpoint = Result<DatabaseEndpoint, crate::reason::Problem>;

fn of_project(project: &SupabaseProject, documents: &Documents) -> Result<(Identity, Endpoint), OfflineError> {
    let mut project = project.clone();
    project.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let identity = Identity::of(&project).map_err(OfflineError::Problem)?;
    let secrets = documents.secrets_of(&identity.namespace);
    let endpoint = endpoints::database(&project.spec.database.unwrap_or_default(), &secrets, &identity.namespace);
    Ok((identity, endpoint))
}

/// What was seen and what it means.
pub fn report(inspection: &Inspection, endpoint: &DatabaseEndpoint) -> String {
    let DatabaseEndpoint { host, port, database, ssl_mode, .. } = endpoint;
    let Inspection { version, facts, profile, findings, .. } = inspection;
    let encrypted = if facts.tls { "encrypted" } else { "not encrypted" };
    let user = &facts.user;
    let abilities: Vec<&str> = [
        (user.superuser, "SUPERUSER"),
        (user.create_role, "CREATEROLE"),
        (user.bypass_rls, "BYPASSRLS"),
        (user.replication, "REPLICATION"),
        (user.owns_database, "owns the database"),
    ]
    .into_iter()
    .filter_map(|(has, word)| has.then_some(word))
    .collect();
    let list = |words: &[&str]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let of = |names: &[String]| list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let roles: Vec<&str> =
        Role::ALL.iter().map(|role| role.name()).filter(|name| facts.roles.contains_key(*name)).collect();
    let schemas: Vec<String> =
        facts.schemas.iter().map(|(name, schema)| format!("{name} (of {})", schema.owner)).collect();
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label:<12}{value}");
    };
    line("server", &format!("PostgreSQL {version}, {host}:{port}"));
    line("database", database);
    line("connection", &format!("{encrypted}, sslMode {}", ssl_mode.as_str()));
    line("user", &format!("{}: {}", user.name, list(&abilities)));
    line("member of", &of(&user.member_of));
    line("profile", profile.as_str());
    for (name, value) in &facts.settings {
        line("setting", &format!("{name} = {value}"));
    }
    line("extensions", &of(&facts.extensions));
    line("roles", &list(&roles));
    line("schemas", &of(&schemas));
    for (severity, title) in [
        (Severity::Refused, "This database cannot be used:"),
        (Severity::Unprepared, "An administrator must do something first:"),
        (Severity::Limited, "What does not work here:"),
        (Severity::Notice, "Worth knowing:"),
    ] {
        section(&mut text, title, findings.iter().filter(|finding| finding.severity == severity));
    }
    if findings.is_empty() {
        text.push_str("\nEverything works here.\n");
    }
    text
}

fn section<'a>(text: &mut String, title: &str, findings: impl Iterator<Item = &'a Finding>) {
    for (index, finding) in findings.enumerate() {
        if index == 0 {
            let _ = writeln!(text, "\n{title}");
        }
        let _ = writeln!(text, "  - {}\n    {}", finding.what, finding.remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use crate::sql::Feature;
    use crate::testing;

    #[test]
    fn a_report_says_what_was_seen_and_each_finding_with_its_remedy_and_no_password() {
        let finding = |severity, what: &str| Finding {
            severity,
            reason: Reason::DatabasePrivilegeMissing,
            feature: Some(Feature::Realtime),
            what: what.to_owned(),
            remedy: format!("mend {what}"),
        };
        let mut inspection = testing::inspection();
        inspection.profile = Profile::ManagedService;
        inspection.facts.settings.insert("wal_level".to_owned(), "replica".to_owned());
        inspection.findings = vec![finding(Severity::Refused, "this"), finding(Severity::Limited, "that")];
        let endpoint = testing::plan().database;
        let text = report(&inspection, &endpoint);
        for words in ["PostgreSQL 17.2", "ManagedService", "wal_level = replica", "- this\n    mend this", "- that"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(text.find("cannot be used").unwrap() < text.find("does not work").unwrap());
        assert!(!text.contains(endpoint.password.expose()));
    }

    #[test]
    fn a_script_names_project_and_user() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("project.yaml");
        let yaml = "kind: SupabaseProject\napiVersion: supabase-operator.dev/v1alpha1\nmetadata: {name: demo, namespace: tenant}\n\
            spec: {database: {secretRef: {name: db}}, storage: {secretRef: {name: s3}}}\n---\nkind: Secret\napiVersion: v1\n\
            metadata: {name: db, namespace: tenant}\nstringData: {host: h, port: '5432', database: d, username: limited, password: very-secret}\n";
        std::fs::write(&file, yaml).unwrap();
        let sql = script(&file, Administrator::ManagedService, None).unwrap();
        assert!(sql.contains("SupabaseProject tenant/demo") && sql.contains("TO \"limited\""));
        assert!(!sql.contains("very-secret"));
        assert!(script(&file, Administrator::Superuser, Some("other".to_owned())).unwrap().contains("TO \"other\""));
    }
}
