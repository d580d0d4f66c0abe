//! Second factors and passkeys.

use super::{AuthSettings, invalid};
use crate::api::AuthSpec;
use crate::api::auth::{MfaSpec, WebAuthnSpec};
use crate::reason::Problem;

pub fn factors(out: &mut AuthSettings, spec: &AuthSpec) -> Result<(), Problem> {
    if let Some(mfa) = &spec.mfa {
        self::mfa(out, mfa);
    }
    if let Some(passkeys) = &spec.passkeys {
        out.option("GOTRUE_PASSKEY_ENABLED", passkeys.enabled);
        out.option("GOTRUE_PASSKEY_MAX_PASSKEYS_PER_USER", passkeys.max_passkeys_per_user);
    }
    match &spec.web_authn {
        Some(site) => web_authn(out, site),
        // Auth would start, warn, and fail each request.
        None if needs_web_authn(spec) => {
            return Err(invalid("webAuthn is missing: passkeys and mfa.webAuthn need to know the site"));
        }
        None => {}
    }
    Ok(())
}

fn needs_web_authn(spec: &AuthSpec) -> bool {
    let passkeys = spec.passkeys.as_ref().is_some_and(|passkeys| passkeys.enabled == Some(true));
    let factor = spec.mfa.as_ref().and_then(|mfa| mfa.web_authn.as_ref());
    passkeys || factor.is_some_and(|factor| factor.enroll == Some(true) || factor.verify == Some(true))
}

fn mfa(out: &mut AuthSettings, spec: &MfaSpec) {
    for (kind, factor) in [("TOTP", &spec.totp), ("WEB_AUTHN", &spec.web_authn)] {
        let Some(factor) = factor else { continue };
        out.option(&format!("GOTRUE_MFA_{kind}_ENROLL_ENABLED"), factor.enroll);
        out.option(&format!("GOTRUE_MFA_{kind}_VERIFY_ENABLED"), factor.verify);
    }
    if let Some(phone) = &spec.phone {
        out.option("GOTRUE_MFA_PHONE_ENROLL_ENABLED", phone.enroll);
        out.option("GOTRUE_MFA_PHONE_VERIFY_ENABLED", phone.verify);
        out.option("GOTRUE_MFA_PHONE_OTP_LENGTH", phone.otp_length);
        out.seconds("GOTRUE_MFA_PHONE_MAX_FREQUENCY", phone.max_frequency_seconds);
        out.option("GOTRUE_MFA_PHONE_TEMPLATE", phone.template.as_deref());
    }
    out.option("GOTRUE_MFA_MAX_ENROLLED_FACTORS", spec.max_enrolled_factors);
    out.option("GOTRUE_MFA_MAX_VERIFIED_FACTORS", spec.max_verified_factors);
    // A number of seconds, where all other durations have a unit.
    out.option("GOTRUE_MFA_CHALLENGE_EXPIRY_DURATION", spec.challenge_expiry_seconds);
    out.seconds("GOTRUE_MFA_FACTOR_EXPIRY_DURATION", spec.factor_expiry_seconds);
}

fn web_authn(out: &mut AuthSettings, spec: &WebAuthnSpec) {
    out.set("GOTRUE_WEBAUTHN_RP_ID", &spec.rp_id);
    out.set("GOTRUE_WEBAUTHN_RP_DISPLAY_NAME", &spec.rp_display_name);
    out.set("GOTRUE_WEBAUTHN_RP_ORIGINS", spec.rp_origins.join(","));
    out.seconds("GOTRUE_WEBAUTHN_CHALLENGE_EXPIRY_DURATION", spec.challenge_expiry_seconds);
}
