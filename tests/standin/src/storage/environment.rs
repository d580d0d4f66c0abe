//! The environment of the Storage API. Newer names win over older ones, as in its `config.ts`.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::store::Store;
use crate::checks::{Checks, Environment};
use crate::database;
use crate::token::{Verifier, jwks, legacy};
use crate::values::{at_least, http_url, is, one_of, pem_file, port, positive, writable};

pub struct Settings {
    pub login: PgConnectOptions,
    pub port: u16,
    pub super_user: String,
    /// anon, authenticated, service.
    pub roles: [String; 3],
    pub verifier: Verifier,
    pub tenant: String,
    pub largest_upload: usize,
    pub store: Store,
    pub public_url: String,
    pub imgproxy: Option<String>,
}

const PREFIXES: &[&str] = &[
    "DATABASE_",
    "DB_",
    "AUTH_JWT",
    "PGRST_JWT",
    "ANON_KEY",
    "SERVICE_KEY",
    "TENANT_ID",
    "PROJECT_REF",
    "UPLOAD_",
    "FILE_",
    "STORAGE_",
    "GLOBAL_S3",
    "AWS_ACCESS",
    "AWS_SECRET",
    "REQUEST_",
    "JWT_JWKS",
    "IMGPROXY_",
    "SERVER_",
    "TUS_",
];

/// The name that is read: the older one only where the newer is not set.
fn spelled(environment: &Environment, newer: &'static str, older: &'static str) -> &'static str {
    if environment.get(newer).is_none() && environment.get(older).is_some() { older } else { newer }
}

pub fn check(checks: &Checks, environment: &Environment) -> Option<Settings> {
    environment.check_rendered(checks, PREFIXES, &[]);
    let name = |newer, older| spelled(environment, newer, older);
    let port = checks.variable(environment, name("SERVER_PORT", "PORT"), port);
    let login = checks.variable(environment, "DATABASE_URL", |value| login(environment, value));
    let secret = name("AUTH_JWT_SECRET", "PGRST_JWT_SECRET");
    let secret = checks.variable(environment, secret, |value| at_least(32)(value).map(|()| value));
    checks.variable(environment, "ANON_KEY", legacy(secret, "anon"));
    checks.variable(environment, "SERVICE_KEY", legacy(secret, "service_role"));
    // Without it users' tokens, which are signed with the project's own key, are refused one by one.
    let keys = checks.variable(environment, "JWT_JWKS", |value| jwks(secret, value));
    let tenant = checks.variable(environment, "TENANT_ID", |value| match environment.get("PROJECT_REF") {
        Some(other) if other != value => Err("differs from PROJECT_REF, which would win".to_owned()),
        _ => Ok(value.to_owned()),
    });
    let limit = checks.variable(environment, name("UPLOAD_FILE_SIZE_LIMIT", "FILE_SIZE_LIMIT"), positive);
    let public_url = checks.variable(environment, "STORAGE_PUBLIC_URL", |value| {
        let url = http_url(value)?;
        if url.path().contains("/storage/v1") {
            return Err("must be without /storage/v1".to_owned());
        }
        if url.scheme() == "http" && environment.get("NODE_ENV").is_some() {
            return Err("is http, but NODE_ENV is set, which forces https".to_owned());
        }
        Ok(value.trim_end_matches('/').to_owned())
    });
    checks.variable(environment, "REQUEST_ALLOW_X_FORWARDED_PATH", is("true"));
    checks.variable(environment, "EXPOSE_DOCS", is("false"));
    checks.variable_if_set(environment, "DB_INSTALL_ROLES", is("false"));
    checks.variable_if_set(environment, "DATABASE_ENGINE", one_of(&["postgres", "multigres"]));
    both_or_neither(checks, environment, "S3_PROTOCOL_ACCESS_KEY_ID", "S3_PROTOCOL_ACCESS_KEY_SECRET");
    let enabled = name("IMAGE_TRANSFORMATION_ENABLED", "ENABLE_IMAGE_TRANSFORMATION");
    checks.variable_if_set(environment, enabled, one_of(&["true", "false"]));
    let imgproxy = environment.is(enabled, "true").then(|| checks.variable(environment, "IMGPROXY_URL", http_url));
    let store = check_backend(checks, environment);
    checks.record("write to /tmp", writable("/tmp"));
    let role = |name: &str, default: &str| environment.get(name).unwrap_or(default).to_owned();
    Some(Settings {
        port: port?,
        login: login?,
        super_user: role("DB_SUPER_USER", "postgres"),
        roles: [
            role("DB_ANON_ROLE", "anon"),
            role("DB_AUTHENTICATED_ROLE", "authenticated"),
            role("DB_SERVICE_ROLE", "service_role"),
        ],
        verifier: Verifier { secret: secret.map(str::to_owned), keys },
        tenant: tenant?,
        largest_upload: usize::try_from(limit?).ok()?,
        store: store?,
        public_url: public_url?,
        imgproxy: imgproxy.flatten().map(|url| url.as_str().trim_end_matches('/').to_owned()),
    })
}

/// As the driver for Node reads it: nothing said is plain text, and whatever verifies at all verifies everything.
fn login(environment: &Environment, value: &str) -> Result<PgConnectOptions, String> {
    let login = database::login(value, &["postgres", "postgresql"])?;
    if login.user != "supabase_storage_admin" {
        return Err("must log in as supabase_storage_admin".to_owned());
    }
    if !login.has_password {
        return Err("has no password".to_owned());
    }
    let options = login.options.options([("search_path", "storage,public,extensions")]);
    Ok(match (login.ssl_mode.as_deref(), environment.get("NODE_EXTRA_CA_CERTS")) {
        (None | Some("disable"), _) => options.ssl_mode(PgSslMode::Disable),
        (Some("no-verify"), _) => options,
        (Some(_), Some(path)) if !login.has_authority => {
            pem_file(path).map_err(|error| format!("NODE_EXTRA_CA_CERTS: {error}"))?;
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(path)
        }
        (Some(_), _) => options.ssl_mode(PgSslMode::VerifyFull),
    })
}

fn both_or_neither(checks: &Checks, environment: &Environment, one: &str, other: &str) {
    if environment.get(one).is_some() || environment.get(other).is_some() {
        checks.variable(environment, one, Ok);
        checks.variable(environment, other, Ok);
    }
}

fn check_backend(checks: &Checks, environment: &Environment) -> Option<Store> {
    let name = |newer, older| spelled(environment, newer, older);
    let backend =
        checks.variable(environment, "STORAGE_BACKEND", |value| one_of(&["s3", "file"])(value).map(|()| value))?;
    if backend == "file" {
        let path = name("STORAGE_FILE_BACKEND_PATH", "FILE_STORAGE_BACKEND_PATH");
        return checks.variable(environment, path, |path| writable(path).map(|()| Store::File(path.into())));
    }
    let bucket = checks.variable(environment, name("STORAGE_S3_BUCKET", "GLOBAL_S3_BUCKET"), Ok);
    let region = checks.variable(environment, name("STORAGE_S3_REGION", "REGION"), Ok);
    let endpoint = name("STORAGE_S3_ENDPOINT", "GLOBAL_S3_ENDPOINT");
    let endpoint = checks.variable_if_set(environment, endpoint, |value| http_url(value).map(|_| value));
    let path_style = name("STORAGE_S3_FORCE_PATH_STYLE", "GLOBAL_S3_FORCE_PATH_STYLE");
    checks.variable_if_set(environment, path_style, one_of(&["true", "false"]));
    both_or_neither(checks, environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    checks.variable_if_set(environment, "NODE_EXTRA_CA_CERTS", pem_file);
    let keys = environment.get("AWS_ACCESS_KEY_ID").zip(environment.get("AWS_SECRET_ACCESS_KEY"));
    let (bucket, region) = (bucket?, region?);
    let aws = format!("https://s3.{region}.amazonaws.com");
    let store = Store::s3(
        endpoint.unwrap_or(&aws),
        region,
        bucket,
        keys,
        environment.is(path_style, "true"),
        environment.get("NODE_EXTRA_CA_CERTS"),
    );
    checks.record("S3 client", store)
}
