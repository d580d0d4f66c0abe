//! Each field of `spec.auth` against the variables that it becomes.

mod refusals;
mod steps;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::plan::inputs::SecretData;

const HOOK: &str = "v1,whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

/// DER of an `RSAPrivateKey` with a modulus of this many bytes. Not a key: its numbers do not fit together.
fn rsa_form(modulus: usize, exponent: &[u8]) -> Vec<u8> {
    fn part(tag: u8, content: &[u8]) -> Vec<u8> {
        let [.., high, low] = content.len().to_be_bytes();
        let length = match content.len() {
            0..128 => vec![low],
            128..256 => vec![0x81, low],
            _ => vec![0x82, high, low],
        };
        [&[tag], length.as_slice(), content].concat()
    }
    let mut numbers = part(2, &[0]);
    numbers.extend(part(2, &[&[0], vec![0xc1; modulus].as_slice()].concat()));
    numbers.extend(part(2, exponent));
    for _ in 0..6 {
        numbers.extend(part(2, &[7]));
    }
    part(0x30, &numbers)
}

fn saml_key() -> String {
    STANDARD.encode(rsa_form(256, &[1, 0, 1]))
}

fn secrets() -> Secrets {
    let saml = saml_key();
    let entries: &[(&str, &[(&str, &str)])] = &[
        (
            "mail",
            &[
                ("host", "mail.example.com\n"),
                ("port", "465"),
                ("username", "auth"),
                ("password", "s3:cr/et "),
                ("from", "noreply@example.com"),
            ],
        ),
        ("relay", &[("host", "relay"), ("port", "25"), ("from", "a@example.com")]),
        ("twilio", &[("accountSid", "AC1"), ("authToken", "t"), ("messageServiceSid", "MG1"), ("contentSid", "HX1")]),
        ("messagebird", &[("accessKey", "k"), ("originator", "Shop")]),
        ("textlocal", &[("apiKey", "k"), ("sender", "Shop")]),
        ("vonage", &[("apiKey", "k"), ("apiSecret", "s"), ("from", "Shop")]),
        ("github", &[("clientId", "gh"), ("clientSecret", "gh-secret")]),
        ("oauth", &[("google-client-id", "g"), ("google-client-secret", "g-secret")]),
        ("saml", &[("privateKey", &saml)]),
        ("hook", &[("secret", HOOK)]),
        ("captcha", &[("secret", "0xCAP\n")]),
    ];
    entries.iter().map(|(name, keys)| ((*name).to_owned(), Some(secret(keys)))).collect()
}

fn secret(keys: &[(&str, &str)]) -> Arc<SecretData> {
    let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
    Arc::new(SecretData { keys, ..SecretData::default() })
}

fn spec(yaml: &str) -> AuthSpec {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn resolve(yaml: &str, secrets: &Secrets) -> Result<AuthSettings, Problem> {
    settings(&spec(yaml), secrets, "tenant", "https://api.example.com", "http://demo-gateway.tenant.svc:8000")
}

/// Everything that a spec becomes: variables, those of the Secret with a `*`, templates with a `/`.
fn rendered(yaml: &str) -> BTreeMap<String, String> {
    let AuthSettings { plain, secret, templates } =
        resolve(yaml, &secrets()).unwrap_or_else(|p| panic!("{yaml}: {p:?}"));
    let secret = secret.into_iter().map(|(name, value)| (format!("*{name}"), value.expose().to_owned()));
    let templates = templates.into_iter().map(|(name, value)| (format!("/{name}"), value));
    plain.into_iter().chain(secret).chain(templates).collect()
}

/// A field that is a variable and nothing else: path, value in YAML, end of the variable's name, value.
const PLAIN: &[[&str; 4]] = &[
    ["siteUrl", "'https://app.example.com'", "SITE_URL", "https://app.example.com"],
    ["redirectUrls", "['https://*.example.com/**', 'app://x']", "URI_ALLOW_LIST", "https://*.example.com/**,app://x"],
    ["disableSignup", "true", "DISABLE_SIGNUP", "true"],
    ["anonymousSignIns", "true", "EXTERNAL_ANONYMOUS_USERS_ENABLED", "true"],
    ["jwtExpirySeconds", "600", "JWT_EXP", "600"],
    ["email.enabled", "false", "EXTERNAL_EMAIL_ENABLED", "false"],
    ["email.magicLink", "false", "EXTERNAL_EMAIL_MAGIC_LINK_ENABLED", "false"],
    ["email.autoconfirm", "true", "MAILER_AUTOCONFIRM", "true"],
    ["email.secureEmailChange", "false", "MAILER_SECURE_EMAIL_CHANGE_ENABLED", "false"],
    ["email.otpExpirySeconds", "900", "MAILER_OTP_EXP", "900"],
    ["email.otpLength", "8", "MAILER_OTP_LENGTH", "8"],
    ["email.maxFrequencySeconds", "5", "SMTP_MAX_FREQUENCY", "5s"],
    ["email.notifications.passwordChanged", "true", "MAILER_NOTIFICATIONS_PASSWORD_CHANGED_ENABLED", "true"],
    ["email.notifications.emailChanged", "true", "MAILER_NOTIFICATIONS_EMAIL_CHANGED_ENABLED", "true"],
    ["email.notifications.phoneChanged", "true", "MAILER_NOTIFICATIONS_PHONE_CHANGED_ENABLED", "true"],
    ["email.notifications.identityLinked", "true", "MAILER_NOTIFICATIONS_IDENTITY_LINKED_ENABLED", "true"],
    ["email.notifications.identityUnlinked", "true", "MAILER_NOTIFICATIONS_IDENTITY_UNLINKED_ENABLED", "true"],
    ["email.notifications.mfaFactorEnrolled", "true", "MAILER_NOTIFICATIONS_MFA_FACTOR_ENROLLED_ENABLED", "true"],
    ["email.notifications.mfaFactorUnenrolled", "true", "MAILER_NOTIFICATIONS_MFA_FACTOR_UNENROLLED_ENABLED", "true"],
    ["phone.enabled", "true", "EXTERNAL_PHONE_ENABLED", "true"],
    ["phone.autoconfirm", "true", "SMS_AUTOCONFIRM", "true"],
    ["phone.otpExpirySeconds", "90", "SMS_OTP_EXP", "90"],
    ["phone.otpLength", "7", "SMS_OTP_LENGTH", "7"],
    ["phone.maxFrequencySeconds", "20", "SMS_MAX_FREQUENCY", "20s"],
    ["phone.template", "'{{ .Code }}, please'", "SMS_TEMPLATE", "{{ .Code }}, please"],
    ["phone.testOtpsValidUntil", "2027-01-31T00:00:00Z", "SMS_TEST_OTP_VALID_UNTIL", "2027-01-31T00:00:00Z"],
    ["web3.solana.enabled", "true", "EXTERNAL_WEB3_SOLANA_ENABLED", "true"],
    ["web3.solana.maximumValiditySeconds", "60", "EXTERNAL_WEB3_SOLANA_MAXIMUM_VALIDITY_DURATION", "60s"],
    ["web3.ethereum.enabled", "true", "EXTERNAL_WEB3_ETHEREUM_ENABLED", "true"],
    ["web3.ethereum.maximumValiditySeconds", "60", "EXTERNAL_WEB3_ETHEREUM_MAXIMUM_VALIDITY_DURATION", "60s"],
    ["mfa.totp.enroll", "false", "MFA_TOTP_ENROLL_ENABLED", "false"],
    ["mfa.totp.verify", "false", "MFA_TOTP_VERIFY_ENABLED", "false"],
    ["mfa.phone.enroll", "true", "MFA_PHONE_ENROLL_ENABLED", "true"],
    ["mfa.phone.verify", "true", "MFA_PHONE_VERIFY_ENABLED", "true"],
    ["mfa.phone.otpLength", "9", "MFA_PHONE_OTP_LENGTH", "9"],
    ["mfa.phone.maxFrequencySeconds", "30", "MFA_PHONE_MAX_FREQUENCY", "30s"],
    ["mfa.phone.template", "'{{ .Code }}!'", "MFA_PHONE_TEMPLATE", "{{ .Code }}!"],
    ["mfa.webAuthn.enroll", "false", "MFA_WEB_AUTHN_ENROLL_ENABLED", "false"],
    ["mfa.webAuthn.verify", "false", "MFA_WEB_AUTHN_VERIFY_ENABLED", "false"],
    ["mfa.maxEnrolledFactors", "3", "MFA_MAX_ENROLLED_FACTORS", "3"],
    ["mfa.maxVerifiedFactors", "2", "MFA_MAX_VERIFIED_FACTORS", "2"],
    ["mfa.challengeExpirySeconds", "400", "MFA_CHALLENGE_EXPIRY_DURATION", "400"],
    ["mfa.factorExpirySeconds", "400", "MFA_FACTOR_EXPIRY_DURATION", "400s"],
    ["passkeys.enabled", "false", "PASSKEY_ENABLED", "false"],
    ["passkeys.maxPasskeysPerUser", "4", "PASSKEY_MAX_PASSKEYS_PER_USER", "4"],
    ["saml.enabled", "false", "SAML_ENABLED", "false"],
    ["saml.allowEncryptedAssertions", "true", "SAML_ALLOW_ENCRYPTED_ASSERTIONS", "true"],
    ["saml.relayStateValiditySeconds", "240", "SAML_RELAY_STATE_VALIDITY_PERIOD", "240s"],
    ["rateLimits.clientAddressHeader", "X-Forwarded-For", "RATE_LIMIT_HEADER", "X-Forwarded-For"],
    ["rateLimits.emailSent", "7", "RATE_LIMIT_EMAIL_SENT", "7"],
    ["rateLimits.smsSent", "7", "RATE_LIMIT_SMS_SENT", "7"],
    ["rateLimits.verify", "7", "RATE_LIMIT_VERIFY", "7"],
    ["rateLimits.tokenRefresh", "7", "RATE_LIMIT_TOKEN_REFRESH", "7"],
    ["rateLimits.sso", "7", "RATE_LIMIT_SSO", "7"],
    ["rateLimits.anonymousUsers", "7", "RATE_LIMIT_ANONYMOUS_USERS", "7"],
    ["rateLimits.otp", "7", "RATE_LIMIT_OTP", "7"],
    ["rateLimits.web3", "7", "RATE_LIMIT_WEB3", "7"],
    ["rateLimits.passkey", "7", "RATE_LIMIT_PASSKEY", "7"],
    ["rateLimits.oauthDynamicClientRegister", "7", "RATE_LIMIT_O_AUTH_DYNAMIC_CLIENT_REGISTER", "7"],
    ["rateLimits.samlAssertion", "7", "SAML_RATE_LIMIT_ASSERTION", "7"],
    ["rateLimits.mfaChallengeAndVerify", "7", "MFA_RATE_LIMIT_CHALLENGE_AND_VERIFY", "7"],
    ["password.minLength", "12", "PASSWORD_MIN_LENGTH", "12"],
    [
        "password.requiredCharacters",
        "letters_digits",
        "PASSWORD_REQUIRED_CHARACTERS",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:0123456789",
    ],
    ["password.leaked.enabled", "true", "PASSWORD_HIBP_ENABLED", "true"],
    ["password.leaked.failClosed", "true", "PASSWORD_HIBP_FAIL_CLOSED", "true"],
    ["sessions.timeboxSeconds", "86400", "SESSIONS_TIMEBOX", "86400s"],
    ["sessions.inactivityTimeoutSeconds", "3600", "SESSIONS_INACTIVITY_TIMEOUT", "3600s"],
    ["sessions.allowLowAalSeconds", "60", "SESSIONS_ALLOW_LOW_AAL", "60s"],
    ["sessions.singlePerUser", "true", "SESSIONS_SINGLE_PER_USER", "true"],
    ["security.refreshTokenRotation", "false", "SECURITY_REFRESH_TOKEN_ROTATION_ENABLED", "false"],
    ["security.refreshTokenReuseIntervalSeconds", "10", "SECURITY_REFRESH_TOKEN_REUSE_INTERVAL", "10"],
    [
        "security.updatePasswordRequireReauthentication",
        "true",
        "SECURITY_UPDATE_PASSWORD_REQUIRE_REAUTHENTICATION",
        "true",
    ],
    [
        "security.updatePasswordRequireCurrentPassword",
        "true",
        "SECURITY_UPDATE_PASSWORD_REQUIRE_CURRENT_PASSWORD",
        "true",
    ],
    ["security.manualLinking", "true", "SECURITY_MANUAL_LINKING_ENABLED", "true"],
    ["oauthServer.enabled", "false", "OAUTH_SERVER_ENABLED", "false"],
    ["oauthServer.allowDynamicRegistration", "true", "OAUTH_SERVER_ALLOW_DYNAMIC_REGISTRATION", "true"],
    ["oauthServer.authorizationPath", "/consent", "OAUTH_SERVER_AUTHORIZATION_PATH", "/consent"],
    ["oauthServer.authorizationTtlSeconds", "60", "OAUTH_SERVER_AUTHORIZATION_TTL", "60s"],
];

/// A step from one spec to another, and the variables whose values change by it; `-` for one that goes.
struct Step {
    fields: Vec<String>,
    before: String,
    after: String,
    changes: Vec<(String, String)>,
}

fn step(fields: &[&str], before: &str, after: &str, changes: &[(&str, &str)]) -> Step {
    Step {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        before: before.to_owned(),
        after: after.to_owned(),
        changes: changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn plain_steps() -> impl Iterator<Item = Step> {
    PLAIN.iter().map(|[path, value, variable, expected]| {
        let mut yaml = (*value).to_owned();
        for name in path.rsplit('.') {
            yaml = format!("{{{name}: {yaml}}}");
        }
        step(&[path], "{}", &yaml, &[(&format!("GOTRUE_{variable}"), expected)])
    })
}

fn template_steps() -> impl Iterator<Item = Step> {
    let kinds = [
        ("invite", "INVITE"),
        ("confirmation", "CONFIRMATION"),
        ("recovery", "RECOVERY"),
        ("emailChange", "EMAIL_CHANGE"),
        ("magicLink", "MAGIC_LINK"),
        ("reauthentication", "REAUTHENTICATION"),
    ];
    kinds.into_iter().flat_map(|(kind, variable)| {
        let path = |leaf: &str| format!("email.templates.{kind}.{leaf}");
        let yaml = |leaf: &str| format!("{{email: {{templates: {{{kind}: {{{leaf}}}}}}}}}");
        let url = format!("GOTRUE_MAILER_TEMPLATES_{variable}");
        let served = format!("http://demo-gateway.tenant.svc:8000/_gateway/mail/{kind}.html");
        let subject = format!("GOTRUE_MAILER_SUBJECTS_{variable}");
        [
            step(&[&path("subject")], "{}", &yaml("subject: Hello"), &[(&subject, "Hello")]),
            step(&[&path("url")], "{}", &yaml("url: 'https://x/y'"), &[(&url, "https://x/y")]),
            step(
                &[&path("content")],
                "{}",
                &yaml("content: '<p>Hi</p>'"),
                &[(&url, &served), (&format!("/{kind}.html"), "<p>Hi</p>")],
            ),
        ]
    })
}

fn hook_steps() -> impl Iterator<Item = Step> {
    let kinds = [
        ("customAccessToken", "CUSTOM_ACCESS_TOKEN"),
        ("mfaVerificationAttempt", "MFA_VERIFICATION_ATTEMPT"),
        ("passwordVerificationAttempt", "PASSWORD_VERIFICATION_ATTEMPT"),
        ("sendSms", "SEND_SMS"),
        ("sendEmail", "SEND_EMAIL"),
        ("beforeUserCreated", "BEFORE_USER_CREATED"),
        ("afterUserCreated", "AFTER_USER_CREATED"),
    ];
    kinds.into_iter().flat_map(|(kind, variable)| {
        let variable = |end: &str| format!("GOTRUE_HOOK_{variable}_{end}");
        let function = "pg-functions://postgres/public/hook";
        let uri = format!("hooks.{kind}.uri");
        let secret = format!("hooks.{kind}.secretRef.name");
        let yaml = |hook: &str| format!("{{hooks: {{{kind}: {hook}}}}}");
        let local = yaml(&format!("{{uri: '{function}'}}"));
        let remote = yaml("{uri: 'https://x/hook', secretRef: {name: hook}}");
        [
            step(&[&uri], "{}", &local, &[(&variable("ENABLED"), "true"), (&variable("URI"), function)]),
            step(
                &[&secret],
                &local,
                &remote,
                &[(&variable("URI"), "https://x/hook"), (&format!("*{}", variable("SECRETS")), HOOK)],
            ),
        ]
    })
}
