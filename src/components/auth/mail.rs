//! Mails: who may sign in by mail, what is written, and which server sends it.

use super::{AuthSettings, Source};
use crate::api::AuthSpec;
use crate::api::auth::{EmailNotifications, EmailSpec, EmailTemplate, EmailTemplates};
use crate::gateway::DOCUMENTS_PATH;
use crate::plan::inputs::SecretReader;
use crate::reason::{Problem, Reason};

pub fn email(out: &mut AuthSettings, spec: &EmailSpec, gateway_url: &str) {
    out.option("GOTRUE_EXTERNAL_EMAIL_ENABLED", spec.enabled);
    out.option("GOTRUE_EXTERNAL_EMAIL_MAGIC_LINK_ENABLED", spec.magic_link);
    out.option("GOTRUE_MAILER_AUTOCONFIRM", spec.autoconfirm);
    out.option("GOTRUE_MAILER_SECURE_EMAIL_CHANGE_ENABLED", spec.secure_email_change);
    out.option("GOTRUE_MAILER_OTP_EXP", spec.otp_expiry_seconds);
    out.option("GOTRUE_MAILER_OTP_LENGTH", spec.otp_length);
    out.seconds("GOTRUE_SMTP_MAX_FREQUENCY", spec.max_frequency_seconds);
    if let Some(templates) = &spec.templates {
        self::templates(out, templates, gateway_url);
    }
    if let Some(notifications) = &spec.notifications {
        self::notifications(out, notifications);
    }
}

fn templates(out: &mut AuthSettings, spec: &EmailTemplates, gateway_url: &str) {
    let kinds = [
        ("INVITE", "invite", &spec.invite),
        ("CONFIRMATION", "confirmation", &spec.confirmation),
        ("RECOVERY", "recovery", &spec.recovery),
        ("EMAIL_CHANGE", "emailChange", &spec.email_change),
        ("MAGIC_LINK", "magicLink", &spec.magic_link),
        ("REAUTHENTICATION", "reauthentication", &spec.reauthentication),
    ];
    for (variable, kind, template) in kinds {
        let Some(EmailTemplate { subject, content, url }) = template else { continue };
        out.option(&format!("GOTRUE_MAILER_SUBJECTS_{variable}"), subject.as_deref());
        let location = format!("GOTRUE_MAILER_TEMPLATES_{variable}");
        if let Some(content) = content {
            let file = format!("{kind}.html");
            out.set(&location, format!("{gateway_url}{DOCUMENTS_PATH}/{file}"));
            out.templates.insert(file, content.clone());
        } else {
            out.option(&location, url.as_deref());
        }
    }
}

fn notifications(out: &mut AuthSettings, spec: &EmailNotifications) {
    let kinds = [
        ("PASSWORD_CHANGED", spec.password_changed),
        ("EMAIL_CHANGED", spec.email_changed),
        ("PHONE_CHANGED", spec.phone_changed),
        ("IDENTITY_LINKED", spec.identity_linked),
        ("IDENTITY_UNLINKED", spec.identity_unlinked),
        ("MFA_FACTOR_ENROLLED", spec.mfa_factor_enrolled),
        ("MFA_FACTOR_UNENROLLED", spec.mfa_factor_unenrolled),
    ];
    for (kind, enabled) in kinds {
        out.option(&format!("GOTRUE_MAILER_NOTIFICATIONS_{kind}_ENABLED"), enabled);
    }
}

pub fn smtp(out: &mut AuthSettings, spec: &AuthSpec, source: Source<'_>) -> Result<(), Problem> {
    let Some(reference) = &spec.smtp_secret_ref else { return Ok(()) };
    let secret = source.open("spec.auth.smtpSecretRef", reference)?;
    let port = secret.line("port")?;
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(secret.problem(Reason::SecretInvalid, "key \"port\" must be a number from 1 to 65535"));
    }
    out.set_secret("GOTRUE_SMTP_HOST", secret.line("host")?);
    out.set_secret("GOTRUE_SMTP_PORT", port);
    if secret.data.keys.contains_key("username") || secret.data.keys.contains_key("password") {
        out.set_secret("GOTRUE_SMTP_USER", secret.line("username")?);
        out.set_secret("GOTRUE_SMTP_PASS", secret.password("password")?.expose());
    }
    match &spec.smtp_admin_email {
        Some(address) => out.set("GOTRUE_SMTP_ADMIN_EMAIL", address),
        None => out.set_secret("GOTRUE_SMTP_ADMIN_EMAIL", sender(&secret)?),
    }
    out.option("GOTRUE_SMTP_SENDER_NAME", spec.smtp_sender_name.as_deref());
    Ok(())
}

/// Auth puts the name of the sender before the address itself, so `Name <address>` would become garbage.
fn sender<'a>(secret: &SecretReader<'a>) -> Result<&'a str, Problem> {
    let address = secret.line("from")?;
    let is_bare = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "<>@".contains(c));
    match address.split_once('@') {
        Some((user, host)) if is_bare(user) && is_bare(host) => Ok(address),
        _ => Err(secret.problem(
            Reason::SecretInvalid,
            "key \"from\" must be a bare address like noreply@example.com; the name goes into spec.auth.smtpSenderName",
        )),
    }
}
