//! Fields that change more than one variable, and the walk over all of them.

use std::collections::BTreeSet;

use kube::CustomResourceExt as _;
use serde_json::Value;

use super::*;
use crate::api::SupabaseProject;

fn mail_and_phone_steps() -> Vec<Step> {
    let mail = "{smtpSecretRef: {name: mail}}";
    let phone = |rest: &str| format!("{{phone: {{{rest}}}}}");
    let twilio = phone("provider: twilio, secretRef: {name: twilio}");
    vec![
        step(
            &["smtpSecretRef.name"],
            "{}",
            mail,
            &[
                ("*GOTRUE_SMTP_HOST", "mail.example.com"),
                ("*GOTRUE_SMTP_PORT", "465"),
                ("*GOTRUE_SMTP_USER", "auth"),
                ("*GOTRUE_SMTP_PASS", "s3:cr/et "),
                ("*GOTRUE_SMTP_ADMIN_EMAIL", "noreply@example.com"),
            ],
        ),
        step(
            &["smtpSecretRef.name"],
            "{}",
            "{smtpSecretRef: {name: relay}}",
            &[
                ("*GOTRUE_SMTP_HOST", "relay"),
                ("*GOTRUE_SMTP_PORT", "25"),
                ("*GOTRUE_SMTP_ADMIN_EMAIL", "a@example.com"),
            ],
        ),
        step(
            &["smtpSenderName"],
            mail,
            "{smtpSecretRef: {name: mail}, smtpSenderName: 'The Shop'}",
            &[("GOTRUE_SMTP_SENDER_NAME", "The Shop")],
        ),
        step(
            &["smtpAdminEmail"],
            mail,
            "{smtpSecretRef: {name: mail}, smtpAdminEmail: b@example.com}",
            &[("GOTRUE_SMTP_ADMIN_EMAIL", "b@example.com"), ("*GOTRUE_SMTP_ADMIN_EMAIL", "-")],
        ),
        step(
            &["phone.testOtps[].phone", "phone.testOtps[].otp"],
            "{}",
            &phone("testOtps: [{phone: '4915112345678', otp: '123456'}, {phone: '12025550100', otp: '654321'}]"),
            &[("GOTRUE_SMS_TEST_OTP", "4915112345678:123456,12025550100:654321")],
        ),
        step(
            &["phone.provider", "phone.secretRef.name"],
            "{}",
            &twilio,
            &[
                ("GOTRUE_SMS_PROVIDER", "twilio"),
                ("*GOTRUE_SMS_TWILIO_ACCOUNT_SID", "AC1"),
                ("*GOTRUE_SMS_TWILIO_AUTH_TOKEN", "t"),
                ("*GOTRUE_SMS_TWILIO_MESSAGE_SERVICE_SID", "MG1"),
                ("*GOTRUE_SMS_TWILIO_CONTENT_SID", "HX1"),
            ],
        ),
        step(
            &["phone.provider"],
            "{}",
            &phone("provider: twilioVerify, secretRef: {name: twilio}"),
            &[
                ("GOTRUE_SMS_PROVIDER", "twilio_verify"),
                ("*GOTRUE_SMS_TWILIO_VERIFY_ACCOUNT_SID", "AC1"),
                ("*GOTRUE_SMS_TWILIO_VERIFY_AUTH_TOKEN", "t"),
                ("*GOTRUE_SMS_TWILIO_VERIFY_MESSAGE_SERVICE_SID", "MG1"),
            ],
        ),
        step(
            &["phone.provider"],
            "{}",
            &phone("provider: messagebird, secretRef: {name: messagebird}"),
            &[
                ("GOTRUE_SMS_PROVIDER", "messagebird"),
                ("*GOTRUE_SMS_MESSAGEBIRD_ACCESS_KEY", "k"),
                ("*GOTRUE_SMS_MESSAGEBIRD_ORIGINATOR", "Shop"),
            ],
        ),
        step(
            &["phone.provider"],
            "{}",
            &phone("provider: textlocal, secretRef: {name: textlocal}"),
            &[
                ("GOTRUE_SMS_PROVIDER", "textlocal"),
                ("*GOTRUE_SMS_TEXTLOCAL_API_KEY", "k"),
                ("*GOTRUE_SMS_TEXTLOCAL_SENDER", "Shop"),
            ],
        ),
        step(
            &["phone.provider"],
            "{}",
            &phone("provider: vonage, secretRef: {name: vonage}"),
            &[
                ("GOTRUE_SMS_PROVIDER", "vonage"),
                ("*GOTRUE_SMS_VONAGE_API_KEY", "k"),
                ("*GOTRUE_SMS_VONAGE_API_SECRET", "s"),
                ("*GOTRUE_SMS_VONAGE_FROM", "Shop"),
            ],
        ),
    ]
}

fn oauth_steps() -> Vec<Step> {
    let github = |rest: &str| format!("{{oauthProviders: [{{name: github, secretRef: {{name: github}}{rest}}}]}}");
    let field = |leaf: &str| format!("oauthProviders[].{leaf}");
    let callback = "https://api.example.com/auth/v1/callback";
    let github_variables = [
        ("GOTRUE_EXTERNAL_GITHUB_ENABLED", "true"),
        ("*GOTRUE_EXTERNAL_GITHUB_CLIENT_ID", "gh"),
        ("*GOTRUE_EXTERNAL_GITHUB_SECRET", "gh-secret"),
        ("GOTRUE_EXTERNAL_GITHUB_REDIRECT_URI", callback),
    ];
    let google = "{oauthProviders: [{name: google}], oauthSecretRef: {name: oauth}}";
    let google_variables = [
        ("GOTRUE_EXTERNAL_GOOGLE_ENABLED", "true"),
        ("*GOTRUE_EXTERNAL_GOOGLE_CLIENT_ID", "g"),
        ("*GOTRUE_EXTERNAL_GOOGLE_SECRET", "g-secret"),
        ("GOTRUE_EXTERNAL_GOOGLE_REDIRECT_URI", callback),
    ];
    let keycloak = "{oauthProviders: [{name: keycloak, secretRef: {name: github}, url: 'https://id/realms/a'}]}";
    vec![
        step(&[&field("name"), &field("secretRef.name")], "{}", &github(""), &github_variables),
        step(
            &[&field("enabled")],
            &github(""),
            &github(", enabled: false"),
            &github_variables.map(|(name, _)| (name, "-")),
        ),
        step(
            &[&field("additionalClientIds")],
            &github(""),
            &github(", additionalClientIds: [ios, android]"),
            &[("*GOTRUE_EXTERNAL_GITHUB_CLIENT_ID", "gh,ios,android")],
        ),
        step(
            &[&field("url")],
            &github(""),
            &github(", url: 'https://git.example.com'"),
            &[("GOTRUE_EXTERNAL_GITHUB_URL", "https://git.example.com")],
        ),
        step(
            &[&field("redirectUri")],
            &github(""),
            &github(", redirectUri: 'https://old.example.com/cb'"),
            &[("GOTRUE_EXTERNAL_GITHUB_REDIRECT_URI", "https://old.example.com/cb")],
        ),
        step(
            &[&field("emailOptional")],
            &github(""),
            &github(", emailOptional: true"),
            &[("GOTRUE_EXTERNAL_GITHUB_EMAIL_OPTIONAL", "true")],
        ),
        step(
            &[&field("skipNonceCheck")],
            keycloak,
            &keycloak.replace("name: keycloak", "name: keycloak, skipNonceCheck: true"),
            &[("GOTRUE_EXTERNAL_KEYCLOAK_SKIP_NONCE_CHECK", "true")],
        ),
        step(&["oauthSecretRef.name"], "{}", "{oauthSecretRef: {name: oauth}}", &google_variables),
        step(&["oauthSecretRef.name"], "{}", google, &google_variables),
        step(
            &["oauthSecretRef.name"],
            google,
            &google.replace("name: google", "name: google, enabled: false"),
            &google_variables.map(|(name, _)| (name, "-")),
        ),
    ]
}

fn other_steps() -> Vec<Step> {
    let site = |origins: &str, rest: &str| {
        format!("{{webAuthn: {{rpId: example.com, rpDisplayName: Shop, rpOrigins: [{origins}]{rest}}}}}")
    };
    let here = "'https://example.com'";
    let symbols = "abcdefghijklmnopqrstuvwxyz:ABCDEFGHIJKLMNOPQRSTUVWXYZ:0123456789";
    let all = format!(r#"{symbols}:!@#$%^&*()_+-=[]{{}};'\\:"|<>?,./`~"#);
    let characters = |value: &str| format!("{{password: {{requiredCharacters: {value}}}}}");
    vec![
        step(
            &["webAuthn.rpId", "webAuthn.rpDisplayName"],
            "{}",
            &site(here, ""),
            &[
                ("GOTRUE_WEBAUTHN_RP_ID", "example.com"),
                ("GOTRUE_WEBAUTHN_RP_DISPLAY_NAME", "Shop"),
                ("GOTRUE_WEBAUTHN_RP_ORIGINS", "https://example.com"),
            ],
        ),
        step(
            &["webAuthn.rpOrigins"],
            &site(here, ""),
            &site("'https://a.example.com', 'https://b.example.com'", ""),
            &[("GOTRUE_WEBAUTHN_RP_ORIGINS", "https://a.example.com,https://b.example.com")],
        ),
        step(
            &["webAuthn.challengeExpirySeconds"],
            &site(here, ""),
            &site(here, ", challengeExpirySeconds: 60"),
            &[("GOTRUE_WEBAUTHN_CHALLENGE_EXPIRY_DURATION", "60s")],
        ),
        step(
            &["saml.secretRef.name"],
            "{}",
            "{saml: {enabled: true, secretRef: {name: saml}}}",
            &[("GOTRUE_SAML_ENABLED", "true"), ("*GOTRUE_SAML_PRIVATE_KEY", &saml_key())],
        ),
        step(
            &["security.captcha.provider", "security.captcha.secretRef.name"],
            "{}",
            "{security: {captcha: {provider: turnstile, secretRef: {name: captcha}}}}",
            &[
                ("GOTRUE_SECURITY_CAPTCHA_ENABLED", "true"),
                ("GOTRUE_SECURITY_CAPTCHA_PROVIDER", "turnstile"),
                ("*GOTRUE_SECURITY_CAPTCHA_SECRET", "0xCAP"),
            ],
        ),
        step(
            &["password.requiredCharacters"],
            &characters("lower_upper_letters_digits_symbols"),
            &characters("lower_upper_letters_digits"),
            &[("GOTRUE_PASSWORD_REQUIRED_CHARACTERS", symbols)],
        ),
        step(
            &["password.requiredCharacters"],
            "{}",
            &characters("lower_upper_letters_digits_symbols"),
            &[("GOTRUE_PASSWORD_REQUIRED_CHARACTERS", &all)],
        ),
    ]
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<_> = plain_steps().chain(template_steps()).chain(hook_steps()).collect();
    steps.extend(mail_and_phone_steps());
    steps.extend(oauth_steps());
    steps.extend(other_steps());
    steps
}

#[test]
fn a_field_changes_its_own_variables_and_no_other() {
    for Step { before, after, changes, .. } in steps() {
        let (old, new) = (rendered(&before), rendered(&after));
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changed: BTreeMap<_, _> = names
            .into_iter()
            .filter(|name| old.get(*name) != new.get(*name))
            .map(|name| (name.clone(), new.get(name).cloned().unwrap_or_else(|| "-".to_owned())))
            .collect();
        assert_eq!(changed, changes.into_iter().collect(), "{before} -> {after}");
    }
}

#[test]
fn no_field_of_the_schema_is_without_a_step() {
    fn leaves(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
        if let Some(items) = schema.get("items").filter(|items| items.get("properties").is_some()) {
            return leaves(&format!("{path}[]"), items, found);
        }
        let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
            found.insert(path.to_owned());
            return;
        };
        for (name, field) in fields {
            leaves(&format!("{path}.{name}"), field, found);
        }
    }
    let crd = serde_json::to_value(SupabaseProject::crd()).unwrap();
    let mut auth = crd
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/auth")
        .expect("spec.auth is in the schema")
        .clone();
    // What every component has is rendered in one place for all of them.
    for common in ["enabled", "image", "replicas", "resources", "extraEnv", "podTemplate"] {
        auth["properties"].as_object_mut().unwrap().remove(common).expect(common);
    }
    let mut found = BTreeSet::new();
    leaves("", &auth, &mut found);
    let covered: BTreeSet<_> =
        steps().into_iter().flat_map(|step| step.fields).map(|path| format!(".{path}")).collect();
    assert_eq!(covered, found);
}

#[test]
fn every_step_is_accepted_by_serde_and_renders_no_empty_value() {
    for Step { after, .. } in steps() {
        for (name, value) in rendered(&after) {
            assert!(!value.is_empty(), "{after}: {name}");
        }
    }
}

#[test]
fn an_empty_spec_sets_nothing() {
    assert_eq!(rendered("{}").len(), 0);
}

#[test]
fn the_base_agrees_with_what_the_spec_can_override() {
    let base = base("https://api.example.com");
    assert_eq!(base["API_EXTERNAL_URL"], "https://api.example.com/auth/v1");
    assert_eq!(base["GOTRUE_JWT_ISSUER"], base["API_EXTERNAL_URL"]);
    assert_eq!(base["GOTRUE_MAILER_URLPATHS_EMAIL_CHANGE"], "/auth/v1/verify");
    assert_eq!(base["GOTRUE_SITE_URL"], "https://api.example.com");
    let github = rendered("{oauthProviders: [{name: github, secretRef: {name: github}}]}");
    let callback = format!("{}/callback", base["API_EXTERNAL_URL"]);
    assert_eq!(github["GOTRUE_EXTERNAL_GITHUB_REDIRECT_URI"], callback);
}

#[test]
fn every_provider_has_the_variables_of_its_name() {
    for provider in crate::api::auth::OAuthProvider::ALL {
        let name = provider.as_str();
        assert_eq!(serde_json::to_value(provider).unwrap(), name);
        let url = if name == "keycloak" { ", url: 'https://id/realms/a'" } else { "" };
        let found = rendered(&format!("{{oauthProviders: [{{name: {name}, secretRef: {{name: github}}{url}}}]}}"));
        assert_eq!(found[&format!("GOTRUE_EXTERNAL_{}_ENABLED", name.to_uppercase())], "true");
    }
}

#[test]
fn the_references_are_the_secrets_that_are_read() {
    let everything = "{smtpSecretRef: {name: mail}, oauthSecretRef: {name: oauth},
        phone: {provider: twilio, secretRef: {name: twilio}},
        oauthProviders: [{name: github, secretRef: {name: github}}, {name: x, enabled: false, secretRef: {name: none}}],
        saml: {enabled: true, secretRef: {name: saml}},
        security: {captcha: {provider: hcaptcha, secretRef: {name: captcha}}},
        hooks: {sendSms: {uri: 'https://x', secretRef: {name: hook}}, sendEmail: {uri: 'https://y', secretRef: {name: hook}}}}";
    let names = references(&spec(everything));
    assert_eq!(names, ["captcha", "github", "hook", "mail", "oauth", "saml", "twilio"]);
    assert!(resolve(everything, &secrets()).is_ok());
    for name in names {
        let mut secrets = secrets();
        secrets.insert(name.clone(), None);
        let problem = resolve(everything, &secrets).unwrap_err();
        assert_eq!(problem.reason, Reason::SecretMissing);
        assert!(problem.message.contains(&format!("tenant/{name}")), "{}", problem.message);
    }
}
