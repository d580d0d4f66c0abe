//! A look at a project's database and bucket from anywhere, told in words, and the SQL for the one who prepares them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::api::{DatabaseSpec, SecretRef, SupabaseProject};
use crate::bucket::{self, LIST, Look, Step};
use crate::offline::{Documents, OfflineError};
use crate::plan::{BucketEndpoint, DatabaseEndpoint, Identity, endpoints, pools, s3};
use crate::reason::{Problem, Reason};
use crate::sql::{self, Finding, Inspection, Profile, Role, Severity};

/// A third of what S3 servers allow.
const MUCH_SKEW: Duration = Duration::from_secs(5 * 60);

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

/// Looks at the database and the bucket that a file tells of.
///
/// # Errors
/// The file cannot be read, or tells of neither.
pub async fn examine(file: &Path, address: &Address) -> Result<Diagnosis, OfflineError> {
    let documents = Documents::read(file)?;
    let bucket = subject_bucket(&documents);
    let mut diagnosis = match subject(&documents, file) {
        Ok((endpoint, owner)) => examine_database(&documents, endpoint, &owner, address).await,
        // Of the bucket alone is asked.
        Err(OfflineError::Problem(problem)) if matches!(bucket, Some(Ok(_))) => {
            let text = format!("{:<12}not looked at: {}\n", "database", problem.message);
            Diagnosis { text, usable: is_elsewhere(&problem) }
        }
        Err(error) => return Err(error),
    };
    match bucket {
        None => {}
        Some(Err(problem)) => {
            diagnosis.usable &= is_elsewhere(&problem);
            let _ = write!(diagnosis.text, "\n{:<12}not looked at: {}\n", "bucket", problem.message);
        }
        Some(Ok(bucket)) => {
            let (text, usable) = match bucket::look(&bucket).await {
                Ok(look) => (report_bucket(&look, &bucket), look.steps.iter().all(is_no_obstacle)),
                Err(problem) => (format!("{:<12}{}\n", "bucket", problem.message), false),
            };
            diagnosis.usable &= usable;
            let _ = write!(diagnosis.text, "\n{text}");
        }
    }
    Ok(diagnosis)
}

/// Not what is asked about: the file need not hold every Secret.
fn is_elsewhere(problem: &Problem) -> bool {
    problem.reason == Reason::SecretMissing
}

/// Storage needs no list, and the operator makes a bucket that is missing.
fn is_no_obstacle(step: &Step) -> bool {
    match &step.result {
        Ok(_) => true,
        Err(problem) => step.what == LIST || problem.reason == Reason::BucketMissing,
    }
}

async fn examine_database(
    documents: &Documents,
    mut endpoint: DatabaseEndpoint,
    owner: &str,
    address: &Address,
) -> Diagnosis {
    if let Some(host) = &address.host {
        endpoint.host.clone_from(host);
    }
    endpoint.port = address.port.unwrap_or(endpoint.port);
    let mut inspection = match sql::look(&endpoint, owner).await {
        Ok(inspection) => inspection,
        Err(problem) => return Diagnosis { text: format!("{:<12}{}\n", "database", problem.message), usable: false },
    };
    let spec = documents.projects.first().map(|project| project.spec.clone()).unwrap_or_default();
    inspection.findings.extend(sql::crowded(&inspection.facts, pools::of_spec(&spec)));
    let usable = inspection.findings.iter().all(|finding| finding.severity > Severity::Unprepared);
    Diagnosis { text: report(&inspection, &endpoint), usable }
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

/// The database of the first project with the project's name, or of the first Secret where there is none.
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
    // No project: whose the roles are is told, and nobody's consent is asked for.
    Ok((endpoint, String::new()))
}

/// The bucket of the first project, if it is one of its own.
fn subject_bucket(documents: &Documents) -> Option<Result<BucketEndpoint, Problem>> {
    let project = documents.projects.first()?;
    let storage = project.spec.storage.as_ref().filter(|storage| storage.secret_ref.is_some())?;
    let namespace = project.metadata.namespace.as_deref().unwrap_or("default");
    Some(endpoints::bucket(storage, &documents.secrets_of(namespace), namespace))
}

type Endpoint = Result<DatabaseEndpoint, Problem>;

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

/// The steps of a look with their times, and what is worth knowing.
fn report_bucket(look: &Look, bucket: &BucketEndpoint) -> String {
    let BucketEndpoint { endpoint, region, bucket: name, force_path_style, login, .. } = bucket;
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label:<12}{value}");
    };
    let service = s3::Service::of(endpoint).name();
    let server = look.server.as_ref().map(|server| format!(", it calls itself {server}")).unwrap_or_default();
    line("bucket", &format!("{name}, {endpoint} ({service}{server})"));
    line("region", region);
    line(
        "requests",
        if *force_path_style { "with the bucket in the path" } else { "with the bucket in the host name" },
    );
    let keys = if login.keys().is_some() { "keys of the Secret" } else { "the service account of Storage's pods" };
    line("login", keys);
    for Step { what, result } in &look.steps {
        let took = result.as_ref().map(|took| format!("{} ms", took.as_millis()));
        line(what, &took.unwrap_or_else(|problem| problem.message.clone()));
    }
    if let Some(skew) = look.skew {
        // The server tells whole seconds.
        let said = match skew.as_secs() {
            -1..=1 => "the server's agrees with this one".to_owned(),
            ahead @ 2.. => format!("the server's is {ahead} s ahead of this one"),
            behind => format!("the server's is {} s behind this one", behind.unsigned_abs()),
        };
        line("clock", &said);
    }
    let style = format!("set spec.storage.forcePathStyle to {}: it works so", !force_path_style);
    let skewed = look.skew.is_some_and(|skew| skew.unsigned_abs() > MUCH_SKEW);
    let unproven = login.keys().is_none() && look.steps.iter().all(|step| step.result.is_ok());
    for (is, what) in [
        (look.other_style_works, style.as_str()),
        (skewed, "set the clocks: a request whose time is 15 minutes off is refused"),
        (unproven, "whether it can be used is shown by a project's Storage alone"),
    ] {
        if is {
            let _ = writeln!(text, "  - {what}");
        }
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
