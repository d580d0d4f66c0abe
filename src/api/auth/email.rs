use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Sign-in with an email address, and the mails that Auth sends.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EmailSpec {
    /// Allow sign-up and sign-in with an email address. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Take every address as confirmed, without a mail. Default: false. With true anybody can sign up with the address
    /// of somebody else: for development, or where no mail server exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoconfirm: Option<bool>,

    /// A change of the address must be confirmed from the old address too. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_email_change: Option<bool>,

    /// How long a code or link is valid, in seconds. Default: 86400 (a day), which is also the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub otp_expiry_seconds: Option<i32>,

    /// Digits of a code. Default: 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 6, max = 10))]
    pub otp_length: Option<i32>,

    /// Time that must pass between two mails to the same user, in seconds. Default: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_frequency_seconds: Option<i32>,

    /// Allow sign-in by a link or code alone (`signInWithOtp`). Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub magic_link: Option<bool>,

    /// Subject and text of each kind of mail. Default: Auth's own, in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<EmailTemplates>,

    /// Mails that tell a user what was changed in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<EmailNotifications>,
}

/// Mails that ask the receiver to do something.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EmailTemplates {
    /// Invitation to sign up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite: Option<EmailTemplate>,

    /// Confirmation of the address after sign-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<EmailTemplate>,

    /// Reset of a forgotten password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<EmailTemplate>,

    /// Confirmation of a new address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_change: Option<EmailTemplate>,

    /// Sign-in by link or code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub magic_link: Option<EmailTemplate>,

    /// Code that a user must give before something sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reauthentication: Option<EmailTemplate>,
}

/// Subject and text of one kind of mail, as Go templates: `{{ .ConfirmationURL }}`, `{{ .Token }}`, `{{ .TokenHash }}`,
/// `{{ .SiteURL }}`, `{{ .RedirectTo }}`, `{{ .Email }}`, `{{ .NewEmail }}` and `{{ .Data }}` are filled in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("!(has(self.content) && has(self.url))").message("a template has content or url, not both"))]
pub struct EmailTemplate {
    /// Subject of the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,

    /// The mail's HTML, at most 16 KiB. Auth notices a change within ten minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16_384))]
    pub content: Option<String>,

    /// Where Auth fetches the mail's HTML, instead of `content`. It must be reachable from the pods of Auth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https?://[^\\\\s]+$')").message("a template's url must start with http:// or https://"))]
    pub url: Option<String>,
}

/// Mails that tell a user what was changed in the account. Default: none is sent.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EmailNotifications {
    /// The password was changed. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_changed: Option<bool>,

    /// The email address was changed. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_changed: Option<bool>,

    /// The phone number was changed. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_changed: Option<bool>,

    /// An identity, for example of an OAuth provider, was added. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_linked: Option<bool>,

    /// An identity was removed. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_unlinked: Option<bool>,

    /// A second factor was added. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_factor_enrolled: Option<bool>,

    /// A second factor was removed. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_factor_unenrolled: Option<bool>,
}
