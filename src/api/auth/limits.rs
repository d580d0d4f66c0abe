use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How much Auth does in a time. `emailSent` and `smsSent` are for everybody together and count in each pod of Auth for
/// itself; the others are for each client and need `clientAddressHeader`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.clientAddressHeader) || !(has(self.verify) || has(self.tokenRefresh) || has(self.sso) || has(self.anonymousUsers) || has(self.otp) || has(self.web3) || has(self.passkey) || has(self.oauthDynamicClientRegister) || has(self.samlAssertion) || has(self.mfaChallengeAndVerify))").message("rateLimits: limits for each client need clientAddressHeader, the header that tells clients apart; only emailSent and smsSent do without"))]
pub struct RateLimitsSpec {
    /// Header of a request that holds the client's address, of which the first of several counts; for example
    /// `X-Forwarded-For`. The outermost proxy must overwrite it, or clients can write what they like into it.
    /// Default: none, and no limit for each client is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^[a-zA-Z0-9-]+$')").message("rateLimits.clientAddressHeader must be the name of an HTTP header"))]
    pub client_address_header: Option<String>,

    /// Mails in an hour. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub email_sent: Option<i32>,

    /// Text messages in an hour. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub sms_sent: Option<i32>,

    /// Verifications of codes and links in five minutes. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub verify: Option<i32>,

    /// Sign-ins with a password and refreshes of tokens in five minutes. Default: 150.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub token_refresh: Option<i32>,

    /// Starts of single sign-on in five minutes. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub sso: Option<i32>,

    /// Anonymous sign-ins in an hour. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub anonymous_users: Option<i32>,

    /// Sign-ups, codes, magic links, recoveries and changes of the user in five minutes, each for itself. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub otp: Option<i32>,

    /// Sign-ins with a wallet in five minutes. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub web3: Option<i32>,

    /// Sign-ins with a passkey in five minutes. Default: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub passkey: Option<i32>,

    /// Registrations of OAuth clients in five minutes (`oauthServer.allowDynamicRegistration`). Default: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub oauth_dynamic_client_register: Option<i32>,

    /// Assertions of SAML identity providers in five minutes. Default: 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub saml_assertion: Option<i32>,

    /// Challenges and verifications of a second factor in a minute. Default: 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub mfa_challenge_and_verify: Option<i32>,
}

/// How long a sign-in lasts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SessionsSpec {
    /// After this many seconds a user must sign in again. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timebox_seconds: Option<i32>,

    /// After this many seconds without a refresh a user must sign in again. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub inactivity_timeout_seconds: Option<i32>,

    /// For how many seconds a session may go on that has not proven the second factor of a user who has one.
    /// Default: as long as others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub allow_low_aal_seconds: Option<i32>,

    /// A new sign-in ends the user's other sessions. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_per_user: Option<bool>,
}
