//! The environment of Auth.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnectOptions;

use super::keys::SigningKeys;
use crate::checks::{Checks, Environment};
use crate::database;
use crate::values::{at_least, http_url, integer, is, one_of, port, positive};

pub struct Settings {
    pub external_url: String,
    pub keys: SigningKeys,
    pub token_lifetime: i64,
    pub port: u16,
}

/// Templates and subjects are users' own text.
const FREE_TEXT: &[&str] = &["GOTRUE_MAILER_SUBJECTS_", "GOTRUE_SMS_TEMPLATE", "GOTRUE_MFA_PHONE_TEMPLATE"];

const HOOKS: &[&str] = &[
    "CUSTOM_ACCESS_TOKEN",
    "MFA_VERIFICATION_ATTEMPT",
    "PASSWORD_VERIFICATION_ATTEMPT",
    "SEND_SMS",
    "SEND_EMAIL",
    "BEFORE_USER_CREATED",
    "AFTER_USER_CREATED",
];

/// Settings under `GOTRUE_EXTERNAL_` that end in `_ENABLED` and are no OAuth provider.
const NOT_OAUTH: &[&str] = &["EMAIL", "PHONE", "ANONYMOUS_USERS", "WEB3_SOLANA", "WEB3_ETHEREUM", "EMAIL_MAGIC_LINK"];

/// What Auth wants for every command, and its login.
pub fn check_always(checks: &Checks, environment: &Environment) -> Option<PgConnectOptions> {
    environment.check_rendered(checks, &["GOTRUE_", "API_EXTERNAL_URL"], FREE_TEXT);
    checks.variable(environment, "API_EXTERNAL_URL", |value| match http_url(value)?.path() {
        "/auth/v1" => Ok(()),
        _ => Err("must end in /auth/v1 without a trailing slash".to_owned()),
    });
    checks.variable(environment, "GOTRUE_SITE_URL", |value| {
        url::Url::parse(value).map_err(|error| format!("is not an absolute URL: {error}"))
    });
    checks.variable(environment, "GOTRUE_DB_DRIVER", is("postgres"));
    checks.variable(environment, "GOTRUE_JWT_SECRET", at_least(32));
    checks.variable(environment, "GOTRUE_DB_DATABASE_URL", |value| {
        let login = database::login(value, &["postgres", "postgresql"])?;
        if login.user != "supabase_auth_admin" {
            return Err("must log in as supabase_auth_admin".to_owned());
        }
        // Auth takes the raw password from PGPASSWORD where the URL has none.
        match (login.has_password, environment.get("PGPASSWORD")) {
            (true, _) => Ok(login.options),
            (false, Some(password)) if !password.is_empty() => Ok(login.options.password(password)),
            (false, _) => Err("has no password, and PGPASSWORD is not set".to_owned()),
        }
    })
}

/// What it takes beyond that to serve.
pub fn check_serving(checks: &Checks, environment: &Environment) -> Option<Settings> {
    let external_url = environment.text("API_EXTERNAL_URL").ok()?;
    checks.variable(environment, "GOTRUE_API_HOST", one_of(&["0.0.0.0", "::"]));
    let port = checks.variable(environment, "GOTRUE_API_PORT", port);
    checks.variable(environment, "GOTRUE_JWT_AUD", is("authenticated"));
    checks.variable(environment, "GOTRUE_JWT_DEFAULT_GROUP_NAME", is("authenticated"));
    checks.variable(environment, "GOTRUE_JWT_ISSUER", |value| {
        (value == external_url).then_some(()).ok_or_else(|| "must equal API_EXTERNAL_URL".to_owned())
    });
    let token_lifetime = checks.variable(environment, "GOTRUE_JWT_EXP", positive);
    let secret = environment.get("GOTRUE_JWT_SECRET").unwrap_or_default();
    let keys = match environment.get("GOTRUE_JWT_KEYS") {
        Some(_) => checks.variable(environment, "GOTRUE_JWT_KEYS", |value| SigningKeys::read(secret, value)),
        None => Some(SigningKeys::symmetric(secret)),
    };
    check_mail(checks, environment);
    check_features(checks, environment);
    check_providers(checks, environment, external_url);
    Some(Settings { external_url: external_url.to_owned(), keys: keys?, token_lifetime: token_lifetime?, port: port? })
}

fn check_mail(checks: &Checks, environment: &Environment) {
    // The default, /verify, replaces the path of API_EXTERNAL_URL: links would miss the gateway's route.
    for mail in ["INVITE", "CONFIRMATION", "RECOVERY", "EMAIL_CHANGE"] {
        checks.variable(environment, &format!("GOTRUE_MAILER_URLPATHS_{mail}"), |value| {
            value.starts_with("/auth/v1/").then_some(()).ok_or_else(|| "must start with /auth/v1/".to_owned())
        });
    }
    for (name, _) in environment.iter().filter(|(name, _)| name.starts_with("GOTRUE_MAILER_TEMPLATES_")) {
        checks.variable(environment, name, |value| {
            http_url(value).map(drop).map_err(|error| format!("templates are fetched over HTTP: {error}"))
        });
    }
    if environment.get("GOTRUE_SMTP_HOST").is_some() {
        checks.variable_if_set(environment, "GOTRUE_SMTP_PORT", port);
        checks.variable(environment, "GOTRUE_SMTP_ADMIN_EMAIL", |value| {
            value.contains('@').then_some(()).ok_or_else(|| "is no mail address".to_owned())
        });
    }
    if environment.is("GOTRUE_MAILER_AUTOCONFIRM", "true")
        && environment.is("GOTRUE_MAILER_ALLOW_UNVERIFIED_EMAIL_SIGN_INS", "true")
    {
        let error = "excludes GOTRUE_MAILER_ALLOW_UNVERIFIED_EMAIL_SIGN_INS";
        checks.record("GOTRUE_MAILER_AUTOCONFIRM", Err::<(), _>(error));
    }
    checks.variable_if_set(environment, "GOTRUE_MAILER_OTP_LENGTH", |value| match integer(value)? {
        6..=10 => Ok(()),
        _ => Err("must be 6 to 10".to_owned()),
    });
    checks.variable_if_set(environment, "GOTRUE_MAILER_OTP_EXP", positive);
    checks.variable_if_set(environment, "GOTRUE_PASSWORD_MIN_LENGTH", |value| match integer(value)? {
        6.. => Ok(()),
        _ => Err("must be 6 or more".to_owned()),
    });
}

/// What Go would refuse to parse, and features that lack what they need.
fn check_features(checks: &Checks, environment: &Environment) {
    for (name, _) in environment.iter().filter(|(name, _)| name.starts_with("GOTRUE_")) {
        if name.ends_with("_ENABLED") || name.ends_with("_AUTOCONFIRM") || name == "GOTRUE_DISABLE_SIGNUP" {
            checks.variable(
                environment,
                name,
                one_of(&["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE"]),
            );
        }
        if name.ends_with("_MAX_FREQUENCY") || name.ends_with("_TIMEOUT") || name.ends_with("_TIMEBOX") {
            checks.variable(environment, name, duration);
        }
    }
    for hook in HOOKS.iter().filter(|hook| environment.is(&format!("GOTRUE_HOOK_{hook}_ENABLED"), "true")) {
        checks.variable(environment, &format!("GOTRUE_HOOK_{hook}_URI"), hook_uri);
    }
    if environment.is("GOTRUE_EXTERNAL_PHONE_ENABLED", "true") {
        let names = one_of(&["twilio", "twilio_verify", "messagebird", "textlocal", "vonage"]);
        checks.variable(environment, "GOTRUE_SMS_PROVIDER", names);
    }
    if environment.is("GOTRUE_SAML_ENABLED", "true") {
        checks.variable(environment, "GOTRUE_SAML_PRIVATE_KEY", Ok);
    }
    if environment.is("GOTRUE_SECURITY_CAPTCHA_ENABLED", "true") {
        checks.variable(environment, "GOTRUE_SECURITY_CAPTCHA_PROVIDER", one_of(&["hcaptcha", "turnstile"]));
        checks.variable(environment, "GOTRUE_SECURITY_CAPTCHA_SECRET", Ok);
    }
}

fn check_providers(checks: &Checks, environment: &Environment, external_url: &str) {
    let enabled: BTreeSet<&str> = environment
        .iter()
        .filter(|(_, value)| *value == "true")
        .filter_map(|(name, _)| name.strip_prefix("GOTRUE_EXTERNAL_")?.strip_suffix("_ENABLED"))
        .filter(|provider| !NOT_OAUTH.contains(provider))
        .collect();
    for provider in enabled {
        let name = |field: &str| format!("GOTRUE_EXTERNAL_{provider}_{field}");
        checks.variable(environment, &name("CLIENT_ID"), Ok);
        checks.variable(environment, &name("SECRET"), Ok);
        checks.variable(environment, &name("REDIRECT_URI"), |value| {
            let wanted = format!("{external_url}/callback");
            (wanted == value).then_some(()).ok_or_else(|| "must be API_EXTERNAL_URL with /callback".to_owned())
        });
        if provider == "KEYCLOAK" {
            checks.variable(environment, &name("URL"), http_url);
        }
    }
}

/// `http` is accepted for the pod itself only.
fn hook_uri(value: &str) -> Result<(), String> {
    let url = url::Url::parse(value).map_err(|error| format!("is not a URL: {error}"))?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]" | "host.docker.internal"));
    match url.scheme() {
        "https" | "pg-functions" => Ok(()),
        "http" if local => Ok(()),
        "http" => Err("http is refused but for localhost".to_owned()),
        _ => Err("must be https:// or pg-functions://".to_owned()),
    }
}

/// A Go duration: numbers with units, one after the other.
fn duration(value: &str) -> Result<(), String> {
    let mut rest = value;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let unit = ["ms", "us", "ns", "h", "m", "s"].into_iter().find(|unit| after.starts_with(unit));
        let zero = value == "0";
        match unit {
            Some(unit) if digits.parse::<f64>().is_ok() => rest = &after[unit.len()..],
            _ if zero => return Ok(()),
            _ => return Err("is no duration such as 1m or 24h".to_owned()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_over_http_reach_only_the_pod_itself() {
        for (uri, good) in [
            ("https://example.com/hook", true),
            ("pg-functions://postgres/public/hook", true),
            ("http://localhost:3000/hook", true),
            ("http://functions.svc:9000/hook", false),
            ("/hook", false),
        ] {
            assert_eq!(hook_uri(uri).is_ok(), good, "{uri}");
        }
    }

    #[test]
    fn durations_are_go_s() {
        for (text, good) in
            [("1m", true), ("1h30m", true), ("1.5s", true), ("100ms", true), ("60", false), ("m", false), ("0", true)]
        {
            assert_eq!(duration(text).is_ok(), good, "{text}");
        }
    }
}
