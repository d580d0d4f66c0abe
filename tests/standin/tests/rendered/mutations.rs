//! Each variable taken away and each value changed ends the service before it listens, and it says which check noticed.
//! The few variables that upstream can do without are listed: that one of them goes missing is what `tests/golden` notices.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use supabase_operator::sensitive::Sensitive;
use supabase_operator::sql::Role;

use super::project::Project;
use super::units::{UNITS, Unit, migrations, servers};
use crate::contracts::postgres::SUPERUSER_PASSWORD;
use crate::contracts::process::{Variables, failed_checks};
use crate::contracts::secrets::claims;

/// Workloads, variables, and why upstream does not need them.
const NEEDLESS: &[(&[&str], &[&str], &str)] = &[
    (
        &["auth migrate"],
        &[
            "GOTRUE_API_HOST",
            "GOTRUE_API_PORT",
            "GOTRUE_JWT_AUD",
            "GOTRUE_JWT_DEFAULT_GROUP_NAME",
            "GOTRUE_JWT_EXP",
            "GOTRUE_JWT_ISSUER",
            "GOTRUE_JWT_KEYS",
            "GOTRUE_MAILER_URLPATHS_CONFIRMATION",
            "GOTRUE_MAILER_URLPATHS_EMAIL_CHANGE",
            "GOTRUE_MAILER_URLPATHS_INVITE",
            "GOTRUE_MAILER_URLPATHS_RECOVERY",
        ],
        "only `auth serve` uses it",
    ),
    (
        &["auth migrate", "auth"],
        &["GOTRUE_DB_CLEANUP_ENABLED", "GOTRUE_DB_MAX_POOL_SIZE"],
        "housekeeping; without it rows and connections have no limit",
    ),
    (&["auth migrate", "auth"], &["GOTRUE_JWT_ADMIN_ROLES"], "`service_role` is one of the default's"),
    (&["auth"], &["GOTRUE_JWT_KEYS"], "without keys Auth signs with the secret, which every service verifies too"),
    (&["realtime migrate", "realtime", "pooler migrate", "pooler", "studio"], &["PORT"], "the default is the same"),
    (&["realtime migrate", "realtime"], &["CLUSTER_STRATEGIES"], "`POSTGRES` is the default"),
    (
        &["realtime migrate", "realtime"],
        &["DISABLE_HEALTHCHECK_LOGGING", "RUN_JANITOR", "ERL_CRASH_DUMP", "HOME"],
        "logs, housekeeping, and where a crash is written",
    ),
    (&["realtime migrate", "realtime"], &["DB_SSL_CA_CERT"], "without it the server is not verified, which works"),
    (&["realtime migrate", "realtime"], &["SELF_HOST_TENANT_NAME"], "only Realtime's own seed uses it, which is off"),
    (&["pooler migrate", "pooler"], &["PROXY_PORT_SESSION", "PROXY_PORT_TRANSACTION"], "the defaults are the same"),
    (&["pooler migrate", "pooler"], &["DB_POOL_SIZE", "HOME"], "connections to its own tables; crash dumps"),
    (&["pooler migrate", "pooler"], &["CLUSTER_POSTGRES"], "a single replica works without"),
    (&["pooler migrate", "pooler"], &["GLOBAL_UPSTREAM_CA_PATH"], "read when a tenant wants its server verified"),
    (
        &["storage"],
        &["SERVER_HOST", "SERVER_REGION", "DB_INSTALL_ROLES", "DB_SUPER_USER"],
        "the default is the same, or a label",
    ),
    (&["storage"], &["STORAGE_S3_ENDPOINT", "STORAGE_S3_FORCE_PATH_STYLE"], "the default is Amazon's S3"),
    (&["storage"], &["IMAGE_TRANSFORMATION_ENABLED", "S3_PROTOCOL_ENABLED"], "a feature that is off or on by default"),
    (
        &["imgproxy"],
        &["IMGPROXY_USE_ETAG", "IMGPROXY_AUTO_WEBP", "IMGPROXY_MAX_SRC_RESOLUTION"],
        "features and a limit with defaults of their own",
    ),
    (
        &["studio"],
        &["DEFAULT_ORGANIZATION_NAME", "DEFAULT_PROJECT_NAME", "PGRST_DB_EXTRA_SEARCH_PATH", "PGRST_DB_MAX_ROWS"],
        "only shown",
    ),
    (&["functions"], &["DENO_DIR", "HOME"], "either one is enough"),
    (
        &["functions"],
        &["SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS"],
        "for functions that users write; the runtime does not read it",
    ),
];

fn needless(unit: &Unit, variable: &str) -> Option<&'static str> {
    let mut found =
        NEEDLESS.iter().filter(|(units, names, _)| units.contains(&unit.label) && names.contains(&variable));
    found.next().map(|(_, _, reason)| *reason)
}

/// A change to a workload's environment that must be noticed.
struct Mutation {
    unit: &'static Unit,
    what: String,
    /// The variable that it takes away.
    dropped: Option<String>,
    change: Box<dyn Fn(&mut Variables) + Send + Sync>,
}

fn unit(label: &str) -> &'static Unit {
    UNITS.iter().find(|unit| unit.label == label).unwrap()
}

fn mutation(label: &str, what: &str, change: impl Fn(&mut Variables) + Send + Sync + 'static) -> Mutation {
    Mutation { unit: unit(label), what: what.to_owned(), dropped: None, change: Box::new(change) }
}

/// The same variable with another value, made from the first.
fn edit(
    label: &str,
    name: &'static str,
    what: &str,
    change: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Mutation {
    mutation(label, what, move |variables| {
        let before = variables.get(name).unwrap_or_else(|| panic!("{name} is not rendered"));
        let after = change(before);
        assert_ne!(*before, after, "{name}");
        variables.insert(name.to_owned(), after);
    })
}

fn set(label: &str, name: &'static str, what: &str, value: impl Into<String>) -> Mutation {
    let value = value.into();
    edit(label, name, what, move |_| value.clone())
}

fn dropped(project: &Project) -> Vec<Mutation> {
    let of_unit = |unit: &'static Unit| {
        let names = project.names(unit).into_iter();
        names.map(move |name| Mutation {
            unit,
            what: format!("without `{name}`"),
            dropped: Some(name.clone()),
            change: Box::new(move |variables: &mut Variables| {
                variables.remove(&name).unwrap();
            }),
        })
    };
    UNITS.iter().flat_map(of_unit).collect()
}

/// A connection string with another user or password.
fn login(url: &str, user: Option<&str>, password: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    if let Some(user) = user {
        url.set_username(user).unwrap();
    }
    url.set_password(Some(password)).unwrap();
    url.into()
}

const URLS: [(&str, &str, Role); 5] = [
    ("auth migrate", "GOTRUE_DB_DATABASE_URL", Role::StorageAdmin),
    ("auth", "GOTRUE_DB_DATABASE_URL", Role::StorageAdmin),
    ("storage", "DATABASE_URL", Role::AuthAdmin),
    ("functions", "SUPABASE_DB_URL", Role::AuthAdmin),
    ("pooler", "DATABASE_URL", Role::AuthAdmin),
];

fn logins(project: &Project) -> Vec<Mutation> {
    let passwords = &project.rendered.credentials.passwords;
    let mut all = Vec::new();
    for (label, name, other) in URLS {
        let password = passwords[&other].expose().to_owned();
        let again = password.clone();
        all.push(edit(label, name, "with another role's password", move |url| login(url, None, &password)));
        all.push(edit(label, name, "with another role's login", move |url| login(url, Some(other.name()), &again)));
        all.push(edit(label, name, "with the superuser's login", |url| {
            login(url, Some("postgres"), SUPERUSER_PASSWORD)
        }));
    }
    let password = passwords[&Role::AuthAdmin].expose().to_owned();
    for (label, user, key) in
        [("realtime", "DB_USER", "DB_PASSWORD"), ("studio", "POSTGRES_USER_READ_WRITE", "POSTGRES_PASSWORD")]
    {
        let others = [
            ("another role's login", Role::AuthAdmin.name(), password.clone()),
            ("the superuser's login", "postgres", SUPERUSER_PASSWORD.to_owned()),
        ];
        all.push(set(label, key, "with another role's password", password.clone()));
        for (what, name, password) in others {
            all.push(mutation(label, &format!("with {what}"), move |variables| {
                variables.insert(user.to_owned(), name.to_owned());
                variables.insert(key.to_owned(), password.clone());
            }));
        }
    }
    all
}

fn keys(project: &Project) -> Vec<Mutation> {
    let credentials = &project.rendered.credentials;
    let bytes = STANDARD.decode(credentials.jwt_secret.expose()).unwrap();
    let wrong = jsonwebtoken::encode(&Header::default(), &claims("anon"), &EncodingKey::from_secret(&bytes)).unwrap();
    let jwks: Value = serde_json::from_str(credentials.jwks.expose()).unwrap();
    let signing: Value = serde_json::from_str(credentials.signing_keys.expose()).unwrap();
    let private = json!({"keys": signing}).to_string();
    let mut all = vec![
        set("auth", "GOTRUE_JWT_KEYS", "with the public keys as signing keys", jwks.to_string()),
        set("storage", "SERVICE_KEY", "with the anon key as service key", credentials.anon_key.expose()),
        set("studio", "PG_META_CRYPTO_KEY", "with a key that postgres-meta does not have", "another key"),
        set(
            "studio",
            "SUPABASE_SECRET_KEY",
            "with the publishable key as secret key",
            credentials.publishable_key.expose(),
        ),
    ];
    for (label, name) in [("storage", "ANON_KEY"), ("studio", "SUPABASE_ANON_KEY"), ("functions", "SUPABASE_ANON_KEY")]
    {
        all.push(set(label, name, "with an anon key signed with the decoded JWT secret", wrong.clone()));
    }
    for (label, name) in [("storage", "JWT_JWKS"), ("functions", "SUPABASE_JWKS")] {
        all.push(set(label, name, "with the JWKS as an array", jwks["keys"].to_string()));
        all.push(set(label, name, "with a private key in the JWKS", private.clone()));
    }
    for (label, name) in [
        ("realtime", "DB_ENC_KEY"),
        ("realtime", "SECRET_KEY_BASE"),
        ("realtime", "API_JWT_SECRET"),
        ("pooler", "VAULT_ENC_KEY"),
        ("pooler", "SECRET_KEY_BASE"),
    ] {
        let least = if name == "DB_ENC_KEY" { 15 } else { 31 };
        all.push(edit(label, name, &format!("with `{name}` of {least} bytes"), move |key| key[..least].to_owned()));
    }
    all
}

/// The server takes nothing but TLS, and each service verifies it.
fn encryption() -> Vec<Mutation> {
    let without = |url: &str| url.split('?').next().unwrap().to_owned();
    let disabled = move |url: &str| format!("{}?sslmode=disable", without(url));
    let other = |text: &str| text.replace("database.crt", "other.crt");
    vec![
        // libpq's own default encrypts where it can.
        edit("auth", "GOTRUE_DB_DATABASE_URL", "without TLS", disabled),
        edit("functions", "SUPABASE_DB_URL", "without TLS", disabled),
        edit("storage", "DATABASE_URL", "without `sslmode`", without),
        edit("pooler", "DATABASE_URL", "without `ssl`", without),
        edit("realtime", "DB_SSL", "without TLS", |_| "false".to_owned()),
        edit("auth", "GOTRUE_DB_DATABASE_URL", "with another CA", other),
        edit("storage", "DATABASE_URL", "with another CA", other),
        edit("realtime", "DB_SSL_CA_CERT", "with another CA", other),
    ]
}

/// What ended the process; `None` if nothing did.
async fn noticed(project: &Project, mutation: &Mutation, secrets: &[&str]) -> Option<String> {
    let mut process = project.process(mutation.unit);
    project.add_other_authority(mutation.unit);
    (mutation.change)(&mut process.program.variables);
    let (status, text) = process.program.begins().await;
    for secret in secrets {
        assert!(!text.contains(secret), "{} {} tells a secret: {text}", mutation.unit.label, mutation.what);
    }
    if matches!(status, None | Some(0)) {
        return None;
    }
    let checks = failed_checks(&text);
    let own = checks.iter().find(|check| Some(*check) == mutation.dropped.as_ref());
    // It was past all checks, and something else listens on the default port.
    own.or(checks.first()).filter(|check| *check != "listen").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_about_what_is_rendered_is_noticed() {
    let project = Project::initialized("{sslMode: verify-full, caSecretRef: {name: orders-ca}}").await;
    let (project, credentials) = (&project, &project.rendered.credentials);
    let mut secrets = vec![SUPERUSER_PASSWORD, "s3-secret-key", "eyJ", credentials.jwt_secret.expose()];
    secrets.extend(credentials.passwords.values().map(Sensitive::expose));
    let mut rows = Vec::new();
    for unit in servers().filter(|unit| migrations().any(|migration| migration.component == unit.component)) {
        let early = mutation(unit.label, "before its migration", |_| {});
        rows.push((noticed(project, &early, &secrets).await, early));
    }
    for unit in migrations() {
        project.process(unit).program.succeeds().await;
    }
    let all = [dropped(project), logins(project), keys(project), encryption()].into_iter().flatten();
    let secrets = &secrets;
    let run = |mutation: Mutation| async move { (noticed(project, &mutation, secrets).await, mutation) };
    rows.extend(futures::stream::iter(all).map(run).buffered(4).collect::<Vec<_>>().await);

    let mut wrong = String::new();
    for (check, mutation) in &rows {
        let needless = mutation.dropped.as_ref().and_then(|variable| needless(mutation.unit, variable));
        let Mutation { unit: Unit { label, .. }, what, .. } = mutation;
        match (check, needless) {
            (None, None) => writeln!(wrong, "{label} {what}: nobody noticed").unwrap(),
            (Some(check), Some(_)) => writeln!(wrong, "{label} {what}: needed after all ({check})").unwrap(),
            _ => {}
        }
    }
    let page = page(&rows);
    println!("{page}");
    assert!(wrong.is_empty(), "\n{wrong}");
    for (units, names, _) in NEEDLESS {
        let known =
            units.iter().all(|label| names.iter().all(|name| project.names(unit(label)).iter().any(|it| it == name)));
        assert!(known, "{units:?} have no {names:?}");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts.md");
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::write(&file, page).unwrap();
    } else {
        let current = std::fs::read_to_string(&file).unwrap_or_default() == page;
        assert!(current, "docs/contracts.md is stale; run this test with UPDATE_CONTRACTS=1 and read the diff");
    }
}

const HEAD: &str = "# What is noticed when it is missing or wrong

The environment that the operator renders for each service, with one thing about it changed, in the stand-in of that
service: the check that ended it. Services start on a PostgreSQL that the operator initialised, over verified TLS.

Written by `UPDATE_CONTRACTS=1 cargo test --package supabase-standin --test rendered`.

";

fn page(rows: &[(Option<String>, Mutation)]) -> String {
    let mut page = HEAD.to_owned();
    let mut kept: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    page.push_str("| service | what changed | check that noticed |\n|---|---|---|\n");
    for (check, mutation) in rows {
        let label = mutation.unit.label;
        match (check, &mutation.dropped) {
            (Some(check), _) => writeln!(page, "| {label} | {} | {check} |", mutation.what).unwrap(),
            (None, Some(name)) => {
                let reason = needless(mutation.unit, name).unwrap_or("?");
                kept.entry((label, reason)).or_default().push(format!("`{name}`"));
            }
            (None, None) => {}
        }
    }
    page.push_str(
        "\n## What upstream can do without\n\nThat one of these goes missing is noticed by `tests/golden`.\n\n",
    );
    page.push_str("| service | variables | why |\n|---|---|---|\n");
    for ((label, reason), names) in kept {
        writeln!(page, "| {label} | {} | {reason} |", names.join(", ")).unwrap();
    }
    page
}
