//! `spec.auth`: what people can set of Supabase Auth.

mod email;
mod hooks;
mod limits;
mod oauth;
mod phone;
mod security;
#[cfg(test)]
mod tests;
mod webauthn;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{ComponentSpec, SecretRef};
pub use email::{EmailNotifications, EmailSpec, EmailTemplate, EmailTemplates};
pub use hooks::{HookSpec, HooksSpec};
pub use limits::{RateLimitsSpec, SessionsSpec};
pub use oauth::{OAuthProvider, OAuthProviderSpec, OAuthServerSpec, SamlSpec, Web3ChainSpec, Web3Spec};
pub use phone::{PhoneSpec, SmsProvider, TestOtp};
pub use security::{CaptchaProvider, CaptchaSpec, LeakedPasswordsSpec, PasswordSpec, RequiredCharacters, SecuritySpec};
pub use webauthn::{FactorSpec, MfaSpec, PasskeysSpec, PhoneFactorSpec, WebAuthnSpec};

/// Settings of Supabase Auth: sign-up, sign-in and sessions of your users.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("has(self.smtpSecretRef) || !(has(self.smtpSenderName) || has(self.smtpAdminEmail))").message("smtpSenderName and smtpAdminEmail need smtpSecretRef, the mail server that they are used with"),
    validation = kube::core::Rule::new("has(self.oauthSecretRef) || !has(self.oauthProviders) || self.oauthProviders.all(p, has(p.secretRef) || (has(p.enabled) && !p.enabled))").message("oauthProviders: each provider needs a secretRef, unless oauthSecretRef is set"),
    validation = kube::core::Rule::new("!has(self.phone) || !has(self.phone.enabled) || !self.phone.enabled || has(self.phone.provider) || has(self.phone.testOtps) || (has(self.phone.autoconfirm) && self.phone.autoconfirm) || (has(self.hooks) && has(self.hooks.sendSms))").message("phone.enabled needs something that sends the codes: phone.provider with phone.secretRef, or hooks.sendSms; or phone.autoconfirm or phone.testOtps, which send none"),
    validation = kube::core::Rule::new("!has(self.mfa) || !has(self.mfa.phone) || !((has(self.mfa.phone.enroll) && self.mfa.phone.enroll) || (has(self.mfa.phone.verify) && self.mfa.phone.verify)) || (has(self.phone) && has(self.phone.provider)) || (has(self.hooks) && has(self.hooks.sendSms))").message("mfa.phone needs something that sends the codes: phone.provider with phone.secretRef, or hooks.sendSms"),
    validation = kube::core::Rule::new("has(self.webAuthn) || !((has(self.passkeys) && has(self.passkeys.enabled) && self.passkeys.enabled) || (has(self.mfa) && has(self.mfa.webAuthn) && ((has(self.mfa.webAuthn.enroll) && self.mfa.webAuthn.enroll) || (has(self.mfa.webAuthn.verify) && self.mfa.webAuthn.verify))))").message("passkeys and mfa.webAuthn need webAuthn, which says for which site the credentials are")
)]
pub struct AuthSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// URL of your app, for example `https://app.example.com`. Users get here after they followed a link of a mail or
    /// came back from an OAuth provider, when the request named no other address.
    /// Default: the project's own URL (`spec.publicUrl`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[a-zA-Z][a-zA-Z0-9+.-]*://[^\\\\s]+$')").message("siteUrl must be a whole URL, for example https://app.example.com"))]
    pub site_url: Option<String>,

    /// Further URLs to which users may be sent, for example `https://*.example.com/welcome` or `com.example.app://*`.
    /// `*` stands for characters other than `.` and `/`, `**` for any, `?` for one. Default: only `siteUrl`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 1024)))]
    #[x_kube(validation = kube::core::Rule::new("self.all(u, u.matches('^[^\\\\s,\\\\[\\\\]{}\\\\\\\\]+$'))").message("redirectUrls: an entry is one URL with the wildcards *, ** and ?; write alternatives as entries of their own, without commas, brackets, backslashes or white space"))]
    pub redirect_urls: Vec<String>,

    /// Refuse new users: only those who exist or are invited can sign in. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_signup: Option<bool>,

    /// Let people sign in without an identity (`signInAnonymously`). Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_sign_ins: Option<bool>,

    /// How long an access token is valid, in seconds. Default: 3600 (an hour); at most 604800 (a week).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 604_800))]
    pub jwt_expiry_seconds: Option<i32>,

    /// Sign-in with an email address, and the mails that Auth sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailSpec>,

    /// Secret in the project's namespace that says which server sends mail, with the keys `host`, `port`, `username`,
    /// `password` and `from` (the sender's address). A relay that wants no login needs neither `username` nor
    /// `password`. Without this Secret and without `hooks.sendEmail` no mail is sent, so nobody can confirm an address:
    /// set `email.autoconfirm` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_secret_ref: Option<SecretRef>,

    /// Name that mails show as their sender. Default: none, only the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[^\\\\r\\\\n]*[^\\\\s][^\\\\r\\\\n]*$')").message("smtpSenderName must be one line of text"))]
    pub smtp_sender_name: Option<String>,

    /// Address that mails are sent from. Default: the key `from` of `smtpSecretRef`, which may be left out then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[^@<>\\\\s]+@[^@<>\\\\s]+$')").message("smtpAdminEmail must be a bare address like noreply@example.com; the name goes into smtpSenderName"))]
    pub smtp_admin_email: Option<String>,

    /// Sign-in with a phone number, and the text messages that Auth sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<PhoneSpec>,

    /// Sign-in with OAuth providers, one entry for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub oauth_providers: Vec<OAuthProviderSpec>,

    /// One Secret in the project's namespace for all OAuth providers that name no Secret of their own, with the keys
    /// `<provider>-client-id` and `<provider>-client-secret`, for example `github-client-id`. A provider that has keys
    /// in it is enabled even if `oauthProviders` does not list it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_secret_ref: Option<SecretRef>,

    /// Sign-in with a wallet (`signInWithWeb3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web3: Option<Web3Spec>,

    /// Multi-factor authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa: Option<MfaSpec>,

    /// Sign-in with passkeys. Needs `webAuthn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passkeys: Option<PasskeysSpec>,

    /// The site for which `passkeys` and `mfa.webAuthn` make credentials (the relying party of `WebAuthn`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_authn: Option<WebAuthnSpec>,

    /// Single sign-on with SAML 2.0. Identity providers are added through the admin API (`/auth/v1/admin/sso`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saml: Option<SamlSpec>,

    /// Hooks: an HTTPS endpoint or a database function that Auth asks or tells at certain moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HooksSpec>,

    /// How much Auth does in a time, for everybody and for each client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<RateLimitsSpec>,

    /// What a password must be like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordSpec>,

    /// How long a sign-in lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsSpec>,

    /// Captcha, refresh tokens, and what a user must prove again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecuritySpec>,

    /// Let other apps sign in with accounts of this project: Auth as an OAuth 2.1 server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_server: Option<OAuthServerSpec>,
}
