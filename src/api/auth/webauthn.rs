use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Multi-factor authentication.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MfaSpec {
    /// Codes of an authenticator app. Default: users may enroll and verify them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totp: Option<FactorSpec>,

    /// Codes by text message. Default: off. Needs `phone.provider` or `hooks.sendSms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<PhoneFactorSpec>,

    /// Security keys and passkeys as a second factor. Default: off. Needs `spec.auth.webAuthn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_authn: Option<FactorSpec>,

    /// Most factors that a user may have, verified or not. Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_enrolled_factors: Option<i32>,

    /// Most verified factors that a user may have. Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_verified_factors: Option<i32>,

    /// How long a user has to answer a challenge, in seconds. Default: 300, which is also the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 86_400))]
    pub challenge_expiry_seconds: Option<i32>,

    /// How long a factor may stay unverified before it is removed, in seconds. Default: 300, which is also the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 86_400))]
    pub factor_expiry_seconds: Option<i32>,
}

/// What users may do with a kind of factor.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FactorSpec {
    /// Add one. Default: true for `totp`, false for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enroll: Option<bool>,

    /// Prove one. Default: true for `totp`, false for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
}

/// Codes by text message as a second factor.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PhoneFactorSpec {
    /// Users may add one. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enroll: Option<bool>,

    /// Users may prove one. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,

    /// Digits of a code. Default: 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 10))]
    pub otp_length: Option<i32>,

    /// Time that must pass between two messages for the same factor, in seconds. Default: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_frequency_seconds: Option<i32>,

    /// Text of a message, with `{{ .Code }}` where the code goes. Default: `Your code is {{ .Code }}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = kube::core::Rule::new("self.contains('.Code')").message("mfa.phone.template must contain {{ .Code }}, where the code goes"))]
    pub template: Option<String>,
}

/// Sign-in with passkeys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasskeysSpec {
    /// Allow it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Most passkeys that a user may have. Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_passkeys_per_user: Option<i32>,
}

/// The site for which credentials are made.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WebAuthnSpec {
    /// Domain of the site, for example `example.com`; it covers all sub-domains. Credentials are lost when it changes.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[a-z0-9.-]+$')").message("webAuthn.rpId must be a domain, without scheme, port and path"))]
    pub rp_id: String,

    /// Name of the site that browsers show.
    #[schemars(length(min = 1, max = 256))]
    pub rp_display_name: String,

    /// Pages that may use the credentials, as origins: `https://app.example.com`.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = kube::core::Rule::new("self.all(o, o.matches('^[a-z][a-z0-9+.-]*:[^\\\\s,]+[^\\\\s,/]$'))").message("webAuthn.rpOrigins: one origin an entry, for example https://app.example.com, without a trailing slash"))]
    pub rp_origins: Vec<String>,

    /// How long a user has to answer a challenge, in seconds. Default: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub challenge_expiry_seconds: Option<i32>,
}
