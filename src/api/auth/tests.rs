use crate::testing;

/// What the rules of the CRD say to a project with this `spec.auth`.
fn validate(auth: &str) -> Result<(), String> {
    let project = testing::project_from(&format!(
        "spec: {{database: {{secretRef: {{name: a}}}}, storage: {{secretRef: {{name: b}}}}, auth: {auth}}}"
    ));
    kube::core::cel::validate_cel(&project).map_err(|errors| format!("{errors:?}"))
}

#[test]
fn what_is_complete_is_accepted() {
    for auth in [
        "{}",
        "{siteUrl: 'com.example.app://home', redirectUrls: ['https://*.example.com/**', 'http://localhost:3000/?']}",
        "{smtpSecretRef: {name: a}, smtpSenderName: The Shop, smtpAdminEmail: a+b@example.com}",
        "{oauthSecretRef: {name: a}, oauthProviders: [{name: github}, {name: google, skipNonceCheck: true}]}",
        "{oauthProviders: [{name: github, secretRef: {name: a}, url: 'https://git.example.com', redirectUri: 'https://x/y'}]}",
        "{oauthProviders: [{name: keycloak, enabled: false}, {name: google, secretRef: {name: a}, additionalClientIds: [x]}]}",
        "{phone: {enabled: true, provider: vonage, secretRef: {name: a}, template: 'Code {{ .Code }}'}}",
        "{phone: {enabled: true, testOtps: [{phone: '4915112345678', otp: '123456'}], testOtpsValidUntil: 2027-01-31T00:00:00Z}}",
        "{phone: {enabled: true, autoconfirm: true}}",
        "{phone: {enabled: true}, mfa: {phone: {enroll: true}}, hooks: {sendSms: {uri: 'https://x/y', secretRef: {name: a}}}}",
        "{hooks: {customAccessToken: {uri: 'pg-functions://postgres/public/claims'}}}",
        "{passkeys: {enabled: true}, webAuthn: {rpId: example.com, rpDisplayName: Shop, rpOrigins: ['https://example.com', 'android:apk-key-hash:x']}}",
        "{passkeys: {enabled: false}, mfa: {webAuthn: {enroll: false}}}",
        "{rateLimits: {emailSent: 1, smsSent: 2}}",
        "{rateLimits: {clientAddressHeader: X-Real-IP, verify: 1}}",
        "{saml: {enabled: true, secretRef: {name: a}}, oauthServer: {enabled: true, authorizationPath: /consent}}",
        "{email: {templates: {invite: {subject: Hi, content: '<p>{{ .ConfirmationURL }}</p>'}, recovery: {url: 'http://mails/r.html'}}}}",
        "{password: {leaked: {enabled: true, failClosed: true}}}",
    ] {
        validate(auth).unwrap_or_else(|errors| panic!("{auth}: {errors}"));
    }
}

#[test]
fn what_cannot_work_is_refused_with_the_remedy() {
    let github = |rest: &str| format!("{{oauthProviders: [{{name: github, secretRef: {{name: a}}, {rest}}}]}}");
    let hook = |rest: &str| format!("{{hooks: {{sendEmail: {{{rest}}}}}}}");
    let site =
        |id: &str, origin: &str| format!("{{webAuthn: {{rpId: '{id}', rpDisplayName: S, rpOrigins: ['{origin}']}}}}");
    let phone = |rest: &str| format!("{{phone: {{{rest}}}}}");
    for (auth, said) in [
        ("{siteUrl: app.example.com}".into(), "siteUrl must be a whole URL"),
        ("{redirectUrls: ['https://{a,b}.example.com']}".into(), "write alternatives as entries of their own"),
        ("{redirectUrls: ['https://a[0-9].example.com']}".into(), "redirectUrls:"),
        ("{redirectUrls: ['https://a\\b']}".into(), "redirectUrls:"),
        ("{smtpSenderName: Shop}".into(), "need smtpSecretRef"),
        ("{smtpAdminEmail: a@example.com}".into(), "need smtpSecretRef"),
        ("{smtpSecretRef: {name: a}, smtpSenderName: \"a\\nb\"}".into(), "one line of text"),
        ("{smtpSecretRef: {name: a}, smtpAdminEmail: 'Shop <a@example.com>'}".into(), "a bare address"),
        ("{oauthProviders: [{name: github}]}".into(), "each provider needs a secretRef"),
        ("{oauthSecretRef: {name: a}, oauthProviders: [{name: keycloak}]}".into(), "keycloak needs url"),
        ("{oauthSecretRef: {name: a}, oauthProviders: [{name: google, url: 'https://x'}]}".into(), "remove url"),
        (github("skipNonceCheck: true"), "skipNonceCheck is only for"),
        (github("additionalClientIds: ['a,b']"), "one client id an entry"),
        (github("url: 'https://git.example.com/'"), "end without a slash"),
        (github("redirectUri: /callback"), "redirectUri must start with"),
        (phone("enabled: true"), "phone.enabled needs something that sends"),
        (phone("provider: twilio"), "belong together"),
        (phone("secretRef: {name: a}"), "belong together"),
        (phone("template: '{{ .Code }}'"), "phone.template needs a phone.provider"),
        (phone("provider: twilioVerify, secretRef: {name: a}, template: '{{ .Code }}'"), "other than twilioVerify"),
        (phone("provider: twilio, secretRef: {name: a}, template: 'Hi'"), "must contain {{ .Code }}"),
        (phone("testOtpsValidUntil: 2027-01-31T00:00:00Z"), "needs phone.testOtps"),
        (phone("testOtps: [{phone: '+4915112345678', otp: '123456'}]"), "without +"),
        (phone("testOtps: [{phone: '4915112345678', otp: abcdef}]"), "a code of testOtps is digits only"),
        ("{mfa: {phone: {enroll: true}}}".into(), "mfa.phone needs something that sends"),
        ("{mfa: {phone: {template: Hi}}}".into(), "mfa.phone.template must contain"),
        ("{mfa: {webAuthn: {verify: true}}}".into(), "need webAuthn"),
        ("{passkeys: {enabled: true}}".into(), "need webAuthn"),
        (site("https://example.com", "https://example.com"), "rpId must be a domain"),
        (site("example.com", "https://example.com/"), "without a trailing slash"),
        (site("example.com", "example.com"), "one origin an entry"),
        ("{saml: {enabled: true}}".into(), "saml.enabled needs saml.secretRef"),
        ("{oauthServer: {enabled: true}}".into(), "needs oauthServer.authorizationPath"),
        ("{oauthServer: {authorizationPath: 'https://x/consent'}}".into(), "a path that starts with /"),
        (hook("uri: 'http://mails.tenant.svc/hook', secretRef: {name: a}"), "Auth refuses http://"),
        (hook("uri: 'pg-functions://postgres/hook'"), "<schema>/<function>"),
        (hook("uri: 'https://x/hook'"), "needs secretRef"),
        (hook("uri: 'pg-functions://postgres/public/hook', secretRef: {name: a}"), "hook has none"),
        ("{rateLimits: {verify: 1}}".into(), "need clientAddressHeader"),
        ("{rateLimits: {samlAssertion: 1}}".into(), "need clientAddressHeader"),
        ("{rateLimits: {clientAddressHeader: 'X Real'}}".into(), "name of an HTTP header"),
        ("{email: {templates: {invite: {content: a, url: 'https://x'}}}}".into(), "content or url, not both"),
        ("{email: {templates: {invite: {url: /mail.html}}}}".into(), "url must start with"),
        ("{password: {leaked: {failClosed: true}}}".into(), "needs password.leaked.enabled"),
    ] {
        let errors = validate(&auth).expect_err(&auth);
        assert!(errors.contains(said), "{auth}: {errors}");
    }
}
