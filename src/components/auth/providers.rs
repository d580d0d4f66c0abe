//! Identities of others: OAuth providers, wallets; and Auth as a provider for other apps.

use std::collections::BTreeMap;

use super::{AuthSettings, Source, invalid};
use crate::api::AuthSpec;
use crate::api::auth::{OAuthProvider, OAuthProviderSpec, OAuthServerSpec, Web3Spec};
use crate::plan::inputs::SecretReader;
use crate::reason::{Problem, Reason};

const CLIENT_ID: &str = "-client-id";
const CLIENT_SECRET: &str = "-client-secret";

pub fn is_enabled(provider: &OAuthProviderSpec) -> bool {
    provider.enabled.unwrap_or(true)
}

pub fn oauth(out: &mut AuthSettings, spec: &AuthSpec, source: Source<'_>, external_url: &str) -> Result<(), Problem> {
    let shared = match &spec.oauth_secret_ref {
        Some(reference) => Some(source.open("spec.auth.oauthSecretRef", reference)?),
        None => None,
    };
    let mut providers: BTreeMap<_, _> = spec.oauth_providers.iter().map(|entry| (entry.name, entry.clone())).collect();
    if let Some(shared) = &shared {
        for name in names_in(shared)? {
            providers.entry(name).or_insert_with(|| unlisted(name));
        }
    }
    for provider in providers.values().filter(|provider| is_enabled(provider)) {
        let (id, secret) = client(provider, shared.as_ref(), source).map_err(|problem| {
            Problem::new(problem.reason, format!("{} (OAuth provider {})", problem.message, provider.name.as_str()))
        })?;
        render(out, provider, &id, &secret, external_url)?;
    }
    Ok(())
}

fn render(
    out: &mut AuthSettings,
    provider: &OAuthProviderSpec,
    id: &str,
    secret: &str,
    external_url: &str,
) -> Result<(), Problem> {
    if provider.name == OAuthProvider::Keycloak && provider.url.is_none() {
        return Err(invalid("oauthProviders: keycloak needs url, the address of your realm"));
    }
    let prefix = format!("GOTRUE_EXTERNAL_{}", provider.name.as_str().to_uppercase());
    // The first id is the one of the web flow.
    let ids = [id].into_iter().chain(provider.additional_client_ids.iter().map(String::as_str)).collect::<Vec<_>>();
    let redirect = provider.redirect_uri.clone().unwrap_or_else(|| format!("{external_url}/callback"));
    out.set(&format!("{prefix}_ENABLED"), "true");
    out.set_secret(&format!("{prefix}_CLIENT_ID"), ids.join(","));
    out.set_secret(&format!("{prefix}_SECRET"), secret);
    out.set(&format!("{prefix}_REDIRECT_URI"), redirect);
    out.option(&format!("{prefix}_URL"), provider.url.as_deref());
    out.option(&format!("{prefix}_SKIP_NONCE_CHECK"), provider.skip_nonce_check);
    out.option(&format!("{prefix}_EMAIL_OPTIONAL"), provider.email_optional);
    Ok(())
}

/// Client id and secret of a provider, from its own Secret or the shared one.
fn client(
    provider: &OAuthProviderSpec,
    shared: Option<&SecretReader<'_>>,
    source: Source<'_>,
) -> Result<(String, String), Problem> {
    let read = |secret: &SecretReader<'_>, id_key: &str, secret_key: &str| {
        let id = secret.line(id_key)?;
        // Auth takes a list here and would split it.
        if id.contains(',') {
            let what = format!("key {id_key:?} must be one client id; others go into additionalClientIds");
            return Err(secret.problem(Reason::SecretInvalid, &what));
        }
        Ok((id.to_owned(), secret.line(secret_key)?.to_owned()))
    };
    if let Some(reference) = &provider.secret_ref {
        let secret = source.open("spec.auth.oauthProviders[].secretRef", reference)?;
        return read(&secret, "clientId", "clientSecret");
    }
    let name = provider.name.as_str();
    match shared {
        Some(shared) => read(shared, &format!("{name}{CLIENT_ID}"), &format!("{name}{CLIENT_SECRET}")),
        None => Err(invalid("oauthProviders: a provider needs secretRef, unless oauthSecretRef is set")),
    }
}

/// The providers that the shared Secret has keys of.
fn names_in(shared: &SecretReader<'_>) -> Result<Vec<OAuthProvider>, Problem> {
    let mut names = Vec::new();
    for key in shared.data.keys.keys() {
        let Some(name) = key.strip_suffix(CLIENT_ID).or_else(|| key.strip_suffix(CLIENT_SECRET)) else { continue };
        let Some(provider) = OAuthProvider::ALL.into_iter().find(|provider| provider.as_str() == name) else {
            let known = OAuthProvider::ALL.map(OAuthProvider::as_str).join(", ");
            let what = format!("key {key:?} names no provider that Auth knows; these are {known}");
            return Err(shared.problem(Reason::SecretInvalid, &what));
        };
        names.push(provider);
    }
    Ok(names)
}

fn unlisted(name: OAuthProvider) -> OAuthProviderSpec {
    OAuthProviderSpec {
        name,
        enabled: None,
        secret_ref: None,
        additional_client_ids: Vec::new(),
        url: None,
        redirect_uri: None,
        skip_nonce_check: None,
        email_optional: None,
    }
}

pub fn web3(out: &mut AuthSettings, spec: &Web3Spec) {
    for (chain, spec) in [("SOLANA", &spec.solana), ("ETHEREUM", &spec.ethereum)] {
        let Some(spec) = spec else { continue };
        let prefix = format!("GOTRUE_EXTERNAL_WEB3_{chain}");
        out.option(&format!("{prefix}_ENABLED"), spec.enabled);
        out.seconds(&format!("{prefix}_MAXIMUM_VALIDITY_DURATION"), spec.maximum_validity_seconds);
    }
}

pub fn oauth_server(out: &mut AuthSettings, spec: &OAuthServerSpec) -> Result<(), Problem> {
    if spec.enabled == Some(true) && spec.authorization_path.is_none() {
        return Err(invalid("oauthServer: enabled needs authorizationPath, the page that asks the user for consent"));
    }
    out.option("GOTRUE_OAUTH_SERVER_ENABLED", spec.enabled);
    out.option("GOTRUE_OAUTH_SERVER_ALLOW_DYNAMIC_REGISTRATION", spec.allow_dynamic_registration);
    out.option("GOTRUE_OAUTH_SERVER_AUTHORIZATION_PATH", spec.authorization_path.as_deref());
    out.seconds("GOTRUE_OAUTH_SERVER_AUTHORIZATION_TTL", spec.authorization_ttl_seconds);
    Ok(())
}
