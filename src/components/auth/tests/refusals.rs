//! Wrong input, and what is said about it.

use super::*;

/// What is said when a key of a Secret has this value; an empty one means that the key is missing.
fn refusal(yaml: &str, name: &str, key: &str, value: &str) -> Problem {
    let mut secrets = secrets();
    let mut keys = secrets[name].as_ref().unwrap().keys.clone();
    if value.is_empty() {
        keys.remove(key);
    } else {
        keys.insert(key.to_owned(), value.as_bytes().to_vec());
    }
    secrets.insert(name.to_owned(), Some(Arc::new(SecretData { keys, ..SecretData::default() })));
    let problem = resolve(yaml, &secrets).expect_err(&format!("{yaml} {key}={value}"));
    assert!(problem.message.contains(&format!("tenant/{name}")), "{}", problem.message);
    assert!(problem.message.contains(key), "{}", problem.message);
    problem
}

#[test]
fn each_missing_key_is_named_with_its_field_and_secret() {
    let phone =
        |provider: &str, name: &str| format!("{{phone: {{provider: {provider}, secretRef: {{name: {name}}}}}}}");
    let cases: &[(String, &str, &[&str], &str)] = &[
        (
            "{smtpSecretRef: {name: mail}}".into(),
            "mail",
            &["host", "port", "username", "password", "from"],
            "spec.auth.smtpSecretRef",
        ),
        (
            phone("twilio", "twilio"),
            "twilio",
            &["accountSid", "authToken", "messageServiceSid"],
            "spec.auth.phone.secretRef",
        ),
        (
            phone("twilioVerify", "twilio"),
            "twilio",
            &["accountSid", "authToken", "messageServiceSid"],
            "spec.auth.phone.secretRef",
        ),
        (phone("messagebird", "messagebird"), "messagebird", &["accessKey", "originator"], "spec.auth.phone.secretRef"),
        (phone("textlocal", "textlocal"), "textlocal", &["apiKey", "sender"], "spec.auth.phone.secretRef"),
        (phone("vonage", "vonage"), "vonage", &["apiKey", "apiSecret", "from"], "spec.auth.phone.secretRef"),
        (
            "{oauthProviders: [{name: github, secretRef: {name: github}}]}".into(),
            "github",
            &["clientId", "clientSecret"],
            "(OAuth provider github)",
        ),
        (
            "{oauthSecretRef: {name: oauth}}".into(),
            "oauth",
            &["google-client-id", "google-client-secret"],
            "spec.auth.oauthSecretRef",
        ),
        (
            "{saml: {enabled: true, secretRef: {name: saml}}}".into(),
            "saml",
            &["privateKey"],
            "spec.auth.saml.secretRef",
        ),
        (
            "{security: {captcha: {provider: hcaptcha, secretRef: {name: captcha}}}}".into(),
            "captcha",
            &["secret"],
            "spec.auth.security.captcha.secretRef",
        ),
        (
            "{hooks: {sendSms: {uri: 'https://x', secretRef: {name: hook}}}}".into(),
            "hook",
            &["secret"],
            "spec.auth.hooks.sendSms.secretRef",
        ),
    ];
    for (yaml, name, keys, said) in cases {
        for key in *keys {
            let problem = refusal(yaml, name, key, "");
            assert_eq!(problem.reason, Reason::SecretKeyMissing);
            assert!(problem.message.contains(said), "{}", problem.message);
        }
    }
}

#[test]
fn a_value_that_auth_would_choke_on_is_refused_and_not_repeated() {
    let smtp = "{smtpSecretRef: {name: mail}}";
    let github = "{oauthProviders: [{name: github, secretRef: {name: github}}]}";
    let hook = "{hooks: {sendSms: {uri: 'https://x', secretRef: {name: hook}}}}";
    let saml = "{saml: {enabled: true, secretRef: {name: saml}}}";
    let short = STANDARD.encode(rsa_form(128, &[1, 0, 1]));
    let exponent = STANDARD.encode(rsa_form(256, &[3]));
    let pkcs8 = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", saml_key());
    let wrong_hook = format!("{HOOK}|v1a,whpk_a:whsk_b");
    let cases: &[(&str, &str, &str, &str, &str)] = &[
        (smtp, "mail", "port", "0", "from 1 to 65535"),
        (smtp, "mail", "port", "smtp-port", "from 1 to 65535"),
        (smtp, "mail", "host", "two\nlines", "one line of text"),
        (smtp, "mail", "from", "Shop <shop@example.com>", "bare address"),
        (smtp, "mail", "from", "shop.example.org", "bare address"),
        (github, "github", "clientId", "first,second", "additionalClientIds"),
        (hook, "hook", "secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "v1,whsec_"),
        (hook, "hook", "secret", "v1,whsec_MDEyMzQ1", "v1,whsec_"),
        (hook, "hook", "secret", "v1,whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzN", "v1,whsec_"),
        (hook, "hook", "secret", &wrong_hook, "v1,whsec_"),
        (saml, "saml", "privateKey", "no base64!", "PKCS#1"),
        (saml, "saml", "privateKey", "MIIB", "PKCS#1"),
        (saml, "saml", "privateKey", &pkcs8, "PKCS#1"),
        (saml, "saml", "privateKey", &short, "2048 bits"),
        (saml, "saml", "privateKey", &exponent, "65537"),
        (saml, "saml", "privateKeyNext", &short, "2048 bits"),
        ("{oauthSecretRef: {name: oauth}}", "oauth", "gogle-client-id", "gogle-value", "slack_oidc"),
    ];
    for (yaml, name, key, value, said) in cases {
        let problem = refusal(yaml, name, key, value);
        assert_eq!(problem.reason, Reason::SecretInvalid, "{}", problem.message);
        assert!(problem.message.contains(said), "{}", problem.message);
        assert!(!problem.message.contains(value) || value.len() < 2, "{}", problem.message);
    }
}

#[test]
fn a_saml_key_as_pem_becomes_what_auth_reads() {
    let mut secrets = secrets();
    let encoded = saml_key();
    let (first, second) = encoded.split_at(64);
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{first}\n{second}\n-----END RSA PRIVATE KEY-----\n");
    secrets.insert("saml".to_owned(), Some(secret(&[("privateKey", &pem), ("privateKeyNext", &encoded)])));
    let found = resolve("{saml: {enabled: true, secretRef: {name: saml}}}", &secrets).unwrap();
    assert_eq!(found.secret["GOTRUE_SAML_PRIVATE_KEY"].expose(), encoded);
    assert_eq!(found.secret["GOTRUE_SAML_PRIVATE_KEY_NEXT"].expose(), encoded);
}

#[test]
fn several_hook_secrets_are_taken() {
    let mut secrets = secrets();
    let both = format!("{HOOK}|{HOOK}");
    secrets.insert("hook".to_owned(), Some(secret(&[("secret", &both)])));
    let found = resolve("{hooks: {sendSms: {uri: 'https://x', secretRef: {name: hook}}}}", &secrets).unwrap();
    assert_eq!(found.secret["GOTRUE_HOOK_SEND_SMS_SECRETS"].expose(), both);
}

/// The CRD refuses these too; an object may be older than its rules.
#[test]
fn an_incomplete_spec_is_a_problem_that_names_the_field() {
    for (yaml, said) in [
        ("{phone: {provider: twilio}}", "spec.auth.phone: provider and secretRef"),
        ("{oauthProviders: [{name: github}]}", "spec.auth.oauthProviders: a provider needs secretRef"),
        ("{oauthProviders: [{name: keycloak, secretRef: {name: github}}]}", "keycloak needs url"),
        ("{saml: {enabled: true}}", "spec.auth.saml: enabled needs secretRef"),
        ("{passkeys: {enabled: true}}", "spec.auth.webAuthn is missing"),
        ("{mfa: {webAuthn: {verify: true}}}", "spec.auth.webAuthn is missing"),
        ("{hooks: {sendSms: {uri: 'https://x'}}}", "spec.auth.hooks: an https:// uri needs secretRef"),
        ("{oauthServer: {enabled: true}}", "spec.auth.oauthServer: enabled needs authorizationPath"),
    ] {
        let problem = resolve(yaml, &secrets()).expect_err(yaml);
        assert_eq!(problem.reason, Reason::SpecInvalid);
        assert!(problem.message.contains(said), "{}", problem.message);
    }
}

#[test]
fn nothing_secret_is_in_what_debug_shows() {
    let shown = format!("{:?}", resolve("{smtpSecretRef: {name: mail}}", &secrets()).unwrap());
    assert!(!shown.contains("s3:cr"), "{shown}");
}
