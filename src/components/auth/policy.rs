//! Limits, passwords, sessions, and what guards them.

use super::{AuthSettings, Source};
use crate::api::AuthSpec;
use crate::api::auth::{CaptchaProvider, RequiredCharacters};
use crate::reason::Problem;

pub fn limits(out: &mut AuthSettings, spec: &AuthSpec) {
    let Some(limits) = &spec.rate_limits else { return };
    out.option("GOTRUE_RATE_LIMIT_HEADER", limits.client_address_header.as_deref());
    out.option("GOTRUE_RATE_LIMIT_EMAIL_SENT", limits.email_sent);
    out.option("GOTRUE_RATE_LIMIT_SMS_SENT", limits.sms_sent);
    out.option("GOTRUE_RATE_LIMIT_VERIFY", limits.verify);
    out.option("GOTRUE_RATE_LIMIT_TOKEN_REFRESH", limits.token_refresh);
    out.option("GOTRUE_RATE_LIMIT_SSO", limits.sso);
    out.option("GOTRUE_RATE_LIMIT_ANONYMOUS_USERS", limits.anonymous_users);
    out.option("GOTRUE_RATE_LIMIT_OTP", limits.otp);
    out.option("GOTRUE_RATE_LIMIT_WEB3", limits.web3);
    out.option("GOTRUE_RATE_LIMIT_PASSKEY", limits.passkey);
    // Auth's log calls it `…_OAUTH_…`, but what it reads comes from splitting the words of `OAuth`.
    out.option("GOTRUE_RATE_LIMIT_O_AUTH_DYNAMIC_CLIENT_REGISTER", limits.oauth_dynamic_client_register);
    out.option("GOTRUE_SAML_RATE_LIMIT_ASSERTION", limits.saml_assertion);
    out.option("GOTRUE_MFA_RATE_LIMIT_CHALLENGE_AND_VERIFY", limits.mfa_challenge_and_verify);
}

pub fn password(out: &mut AuthSettings, spec: &AuthSpec) {
    let Some(password) = &spec.password else { return };
    out.option("GOTRUE_PASSWORD_MIN_LENGTH", password.min_length);
    out.option("GOTRUE_PASSWORD_REQUIRED_CHARACTERS", password.required_characters.map(character_sets));
    if let Some(leaked) = &password.leaked {
        out.option("GOTRUE_PASSWORD_HIBP_ENABLED", leaked.enabled);
        out.option("GOTRUE_PASSWORD_HIBP_FAIL_CLOSED", leaked.fail_closed);
    }
}

/// Sets of characters with `:` between them; `\:` is a colon.
fn character_sets(required: RequiredCharacters) -> String {
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const DIGITS: &str = "0123456789";
    const SYMBOLS: &str = r#"!@#$%^&*()_+-=[]{};'\\:"|<>?,./`~"#;
    match required {
        RequiredCharacters::LettersDigits => format!("{LOWER}{UPPER}:{DIGITS}"),
        RequiredCharacters::LowerUpperLettersDigits => format!("{LOWER}:{UPPER}:{DIGITS}"),
        RequiredCharacters::LowerUpperLettersDigitsSymbols => format!("{LOWER}:{UPPER}:{DIGITS}:{SYMBOLS}"),
    }
}

pub fn sessions(out: &mut AuthSettings, spec: &AuthSpec) {
    let Some(sessions) = &spec.sessions else { return };
    out.seconds("GOTRUE_SESSIONS_TIMEBOX", sessions.timebox_seconds);
    out.seconds("GOTRUE_SESSIONS_INACTIVITY_TIMEOUT", sessions.inactivity_timeout_seconds);
    out.seconds("GOTRUE_SESSIONS_ALLOW_LOW_AAL", sessions.allow_low_aal_seconds);
    out.option("GOTRUE_SESSIONS_SINGLE_PER_USER", sessions.single_per_user);
}

pub fn security(out: &mut AuthSettings, spec: &AuthSpec, source: Source<'_>) -> Result<(), Problem> {
    let Some(security) = &spec.security else { return Ok(()) };
    if let Some(captcha) = &security.captcha {
        let secret = source.open("spec.auth.security.captcha.secretRef", &captcha.secret_ref)?;
        let provider = match captcha.provider {
            CaptchaProvider::Hcaptcha => "hcaptcha",
            CaptchaProvider::Turnstile => "turnstile",
        };
        out.set("GOTRUE_SECURITY_CAPTCHA_ENABLED", "true");
        out.set("GOTRUE_SECURITY_CAPTCHA_PROVIDER", provider);
        out.set_secret("GOTRUE_SECURITY_CAPTCHA_SECRET", secret.line("secret")?);
    }
    out.option("GOTRUE_SECURITY_REFRESH_TOKEN_ROTATION_ENABLED", security.refresh_token_rotation);
    out.option("GOTRUE_SECURITY_REFRESH_TOKEN_REUSE_INTERVAL", security.refresh_token_reuse_interval_seconds);
    out.option(
        "GOTRUE_SECURITY_UPDATE_PASSWORD_REQUIRE_REAUTHENTICATION",
        security.update_password_require_reauthentication,
    );
    out.option(
        "GOTRUE_SECURITY_UPDATE_PASSWORD_REQUIRE_CURRENT_PASSWORD",
        security.update_password_require_current_password,
    );
    out.option("GOTRUE_SECURITY_MANUAL_LINKING_ENABLED", security.manual_linking);
    Ok(())
}
