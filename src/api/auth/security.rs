use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::SecretRef;

/// What a password must be like.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSpec {
    /// Fewest characters. Default: 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 72))]
    pub min_length: Option<i32>,

    /// Characters of which a password needs at least one of each kind: `letters_digits`, `lower_upper_letters_digits`
    /// or `lower_upper_letters_digits_symbols`. Default: any will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_characters: Option<RequiredCharacters>,

    /// Refuse passwords that were leaked elsewhere, asking haveibeenpwned.org. Only the first five characters of the
    /// password's hash leave the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaked: Option<LeakedPasswordsSpec>,
}

/// Which kinds of characters a password needs, in the hosted platform's words.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RequiredCharacters {
    LettersDigits,
    LowerUpperLettersDigits,
    LowerUpperLettersDigitsSymbols,
}

/// Whether leaked passwords are refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("!has(self.failClosed) || (has(self.enabled) && self.enabled)").message("password.leaked.failClosed needs password.leaked.enabled: true"))]
pub struct LeakedPasswordsSpec {
    /// Ask. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Refuse every password while haveibeenpwned.org does not answer. Default: false, they are accepted then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_closed: Option<bool>,
}

/// Captcha, refresh tokens, and what a user must prove again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecuritySpec {
    /// Ask for a captcha at sign-up, sign-in and recovery. It is on while it stands in the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captcha: Option<CaptchaSpec>,

    /// Give a new refresh token at each refresh, and end the session when an old one is used again. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_rotation: Option<bool>,

    /// For how many seconds the last refresh token may still be used, for clients that refresh twice at once.
    /// Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub refresh_token_reuse_interval_seconds: Option<i32>,

    /// A user who signed in more than a day ago must give a code that Auth sends before changing the password.
    /// Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_password_require_reauthentication: Option<bool>,

    /// A user must give the current password to change it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_password_require_current_password: Option<bool>,

    /// Let signed-in users add identities to their account (`linkIdentity`). Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual_linking: Option<bool>,
}

/// Which captcha, and its credentials.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaptchaSpec {
    /// `hcaptcha` or Cloudflare's `turnstile`.
    pub provider: CaptchaProvider,

    /// Secret in the project's namespace with the key `secret`, the secret key that the provider gave you.
    pub secret_ref: SecretRef,
}

/// Captcha providers.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum CaptchaProvider {
    Hcaptcha,
    Turnstile,
}
