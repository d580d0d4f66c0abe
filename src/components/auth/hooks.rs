//! Hooks, and the secrets that sign their requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AuthSettings, Source, invalid};
use crate::api::auth::{HookSpec, HooksSpec};
use crate::plan::inputs::SecretReader;
use crate::reason::{Problem, Reason};

/// What one hook is called.
pub struct Moment {
    variable: &'static str,
    secret_field: &'static str,
}

/// The hooks that are set.
pub fn each(spec: &HooksSpec) -> impl Iterator<Item = (Moment, &HookSpec)> {
    let hooks = [
        ("CUSTOM_ACCESS_TOKEN", "spec.auth.hooks.customAccessToken.secretRef", &spec.custom_access_token),
        (
            "MFA_VERIFICATION_ATTEMPT",
            "spec.auth.hooks.mfaVerificationAttempt.secretRef",
            &spec.mfa_verification_attempt,
        ),
        (
            "PASSWORD_VERIFICATION_ATTEMPT",
            "spec.auth.hooks.passwordVerificationAttempt.secretRef",
            &spec.password_verification_attempt,
        ),
        ("SEND_SMS", "spec.auth.hooks.sendSms.secretRef", &spec.send_sms),
        ("SEND_EMAIL", "spec.auth.hooks.sendEmail.secretRef", &spec.send_email),
        ("BEFORE_USER_CREATED", "spec.auth.hooks.beforeUserCreated.secretRef", &spec.before_user_created),
        ("AFTER_USER_CREATED", "spec.auth.hooks.afterUserCreated.secretRef", &spec.after_user_created),
    ];
    hooks.into_iter().filter_map(|(variable, secret_field, hook)| {
        hook.as_ref().map(|hook| (Moment { variable, secret_field }, hook))
    })
}

pub fn hooks(out: &mut AuthSettings, spec: &HooksSpec, source: Source<'_>) -> Result<(), Problem> {
    for (Moment { variable, secret_field }, hook) in each(spec) {
        let prefix = format!("GOTRUE_HOOK_{variable}");
        out.set(&format!("{prefix}_ENABLED"), "true");
        out.set(&format!("{prefix}_URI"), &hook.uri);
        match &hook.secret_ref {
            Some(reference) => {
                let secret = source.open(secret_field, reference)?;
                out.set_secret(&format!("{prefix}_SECRETS"), signing(&secret)?);
            }
            None if hook.uri.starts_with("pg-functions://") => {}
            None => return Err(invalid("hooks: an https:// uri needs secretRef, which signs the requests")),
        }
    }
    Ok(())
}

/// One or more symmetric secrets of the Standard Webhooks specification. Auth accepts asymmetric ones in its
/// configuration too, and then fails to sign with them (`internal/hooks/hookshttp/hookshttp.go`).
fn signing<'a>(secret: &SecretReader<'a>) -> Result<&'a str, Problem> {
    let value = secret.line("secret")?;
    let is_usable = |part: &str| {
        part.strip_prefix("v1,whsec_")
            .filter(|encoded| (32..=88).contains(&encoded.len()))
            .is_some_and(|encoded| STANDARD.decode(encoded).is_ok())
    };
    if value.split('|').all(is_usable) {
        return Ok(value);
    }
    Err(secret.problem(
        Reason::SecretInvalid,
        "key \"secret\" must be \"v1,whsec_\" and base64 of 24 to 64 random bytes, or several of these with | between \
         them; make one with: echo v1,whsec_$(openssl rand -base64 32)",
    ))
}
