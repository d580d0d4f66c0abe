//! Supabase Auth (`GoTrue`): from `spec.auth` and the user's Secrets to the environment that Auth starts with.
//!
//! Names and forms of the variables: `internal/conf/configuration.go` of github.com/supabase/auth, v2.196.0. What is
//! not set in the spec is not rendered, so that Auth's own default holds.

mod hooks;
mod mail;
mod mfa;
mod phone;
mod policy;
mod providers;
mod saml;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use crate::api::{AuthSpec, SecretRef};
use crate::plan::inputs::{SecretReader, Secrets};
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
pub use workload::WORKLOAD;

/// Where Auth listens.
pub const PORT: u16 = 9999;

/// What `spec.auth` says, as Auth reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthSettings {
    /// Environment variables that anybody may see.
    pub plain: BTreeMap<String, String>,
    /// Environment variables that hold what came from Secrets.
    pub secret: BTreeMap<String, Sensitive>,
    /// HTML of mails by file name. Auth reads templates by HTTP only, so the gateway serves them.
    pub templates: BTreeMap<String, String>,
}

impl AuthSettings {
    /// An empty value would not be the default but an empty setting; nothing is set then.
    fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.plain.insert(name.to_owned(), value);
        }
    }

    fn option<T: ToString>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(name, value.to_string());
        }
    }

    /// Whether Auth is an OAuth server itself, whose clients have no API key.
    pub fn has_oauth_server(&self) -> bool {
        self.plain.get("GOTRUE_OAUTH_SERVER_ENABLED").is_some_and(|enabled| enabled == "true")
    }

    /// A duration in Go's form.
    fn seconds(&mut self, name: &str, value: Option<i32>) {
        self.option(name, value.map(|seconds| format!("{seconds}s")));
    }

    fn set_secret(&mut self, name: &str, value: impl Into<String>) {
        self.secret.insert(name.to_owned(), Sensitive::new(value));
    }
}

/// Where the user's Secrets are read.
#[derive(Clone, Copy)]
struct Source<'a> {
    secrets: &'a Secrets,
    namespace: &'a str,
}

impl<'a> Source<'a> {
    fn open(self, field: &'static str, secret: &'a SecretRef) -> Result<SecretReader<'a>, Problem> {
        SecretReader::open(self.secrets, field, self.namespace, &secret.name)
    }
}

/// The variables that every project's Auth has, without the database and the keys. [`settings`] go on top of them.
pub fn base(public_url: &str) -> BTreeMap<String, String> {
    let external_url = external_url(public_url);
    let port = PORT.to_string();
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("GOTRUE_API_HOST", "0.0.0.0");
    set("GOTRUE_API_PORT", &port);
    set("API_EXTERNAL_URL", &external_url);
    set("GOTRUE_DB_DRIVER", "postgres");
    // Expired tokens, challenges and the like would stay for ever.
    set("GOTRUE_DB_CLEANUP_ENABLED", "true");
    // Unlimited by default, which would take every connection of a small server.
    set("GOTRUE_DB_MAX_POOL_SIZE", "10");
    set("GOTRUE_SITE_URL", public_url);
    set("GOTRUE_JWT_AUD", "authenticated");
    set("GOTRUE_JWT_DEFAULT_GROUP_NAME", "authenticated");
    set("GOTRUE_JWT_ADMIN_ROLES", "service_role");
    set("GOTRUE_JWT_ISSUER", &external_url);
    set("GOTRUE_JWT_EXP", "3600");
    // An absolute path replaces the one of API_EXTERNAL_URL, so Auth's default `/verify` would miss the gateway's route.
    for mail in ["INVITE", "CONFIRMATION", "RECOVERY", "EMAIL_CHANGE"] {
        set(&format!("GOTRUE_MAILER_URLPATHS_{mail}"), "/auth/v1/verify");
    }
    variables
}

fn external_url(public_url: &str) -> String {
    format!("{public_url}/auth/v1")
}

/// Resolves `spec.auth`: reads and checks the user's Secrets. `gateway_url` is the gateway's address inside of the
/// cluster, where Auth fetches the templates of mails.
///
/// # Errors
/// What is wrong, with the field, the Secret and the key that it is about.
pub fn settings(
    spec: &AuthSpec,
    secrets: &Secrets,
    namespace: &str,
    public_url: &str,
    gateway_url: &str,
) -> Result<AuthSettings, Problem> {
    let source = Source { secrets, namespace };
    let mut out = AuthSettings::default();
    out.option("GOTRUE_SITE_URL", spec.site_url.as_deref());
    out.set("GOTRUE_URI_ALLOW_LIST", spec.redirect_urls.join(","));
    out.option("GOTRUE_DISABLE_SIGNUP", spec.disable_signup);
    out.option("GOTRUE_EXTERNAL_ANONYMOUS_USERS_ENABLED", spec.anonymous_sign_ins);
    out.option("GOTRUE_JWT_EXP", spec.jwt_expiry_seconds);
    if let Some(email) = &spec.email {
        mail::email(&mut out, email, gateway_url);
    }
    mail::smtp(&mut out, spec, source)?;
    if let Some(phone) = &spec.phone {
        phone::phone(&mut out, phone, source)?;
    }
    providers::oauth(&mut out, spec, source, &external_url(public_url))?;
    if let Some(web3) = &spec.web3 {
        providers::web3(&mut out, web3);
    }
    if let Some(server) = &spec.oauth_server {
        providers::oauth_server(&mut out, server)?;
    }
    if let Some(saml) = &spec.saml {
        saml::saml(&mut out, saml, source)?;
    }
    mfa::factors(&mut out, spec)?;
    if let Some(hooks) = &spec.hooks {
        hooks::hooks(&mut out, hooks, source)?;
    }
    policy::limits(&mut out, spec);
    policy::password(&mut out, spec);
    policy::sessions(&mut out, spec);
    policy::security(&mut out, spec, source)?;
    Ok(out)
}

/// Names of the Secrets that [`settings`] reads, each once.
pub fn references(spec: &AuthSpec) -> Vec<String> {
    let hooks = spec.hooks.iter().flat_map(hooks::each).filter_map(|(_, hook)| hook.secret_ref.as_ref());
    let providers = spec.oauth_providers.iter().filter(|provider| providers::is_enabled(provider));
    let saml = spec.saml.as_ref().filter(|saml| saml.enabled == Some(true));
    let captcha = spec.security.as_ref().and_then(|security| security.captcha.as_ref());
    let mut names: Vec<_> = [&spec.smtp_secret_ref, &spec.oauth_secret_ref]
        .into_iter()
        .flatten()
        .chain(spec.phone.as_ref().and_then(|phone| phone.secret_ref.as_ref()))
        .chain(providers.filter_map(|provider| provider.secret_ref.as_ref()))
        .chain(saml.and_then(|saml| saml.secret_ref.as_ref()))
        .chain(captcha.map(|captcha| &captcha.secret_ref))
        .chain(hooks)
        .map(|secret| secret.name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The same rules stand in the CRD; these guard objects that are older than a rule.
fn invalid(message: &str) -> Problem {
    Problem::new(Reason::SpecInvalid, format!("spec.auth.{message}"))
}
