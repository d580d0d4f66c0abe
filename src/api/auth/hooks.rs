use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::SecretRef;

/// What Auth asks or tells at certain moments.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HooksSpec {
    /// Changes the claims of each access token before it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_access_token: Option<HookSpec>,

    /// Decides on each attempt to verify a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa_verification_attempt: Option<HookSpec>,

    /// Decides on each attempt to sign in with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_verification_attempt: Option<HookSpec>,

    /// Sends text messages, instead of `phone.provider`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_sms: Option<HookSpec>,

    /// Sends mails, instead of the server of `smtpSecretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_email: Option<HookSpec>,

    /// Decides whether a new user is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_user_created: Option<HookSpec>,

    /// Is told that a user was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_user_created: Option<HookSpec>,
}

/// One hook. It is on while it stands in the spec.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("self.uri.startsWith('https://') == has(self.secretRef)").message("a hook with an https:// uri needs secretRef, which signs the requests; a pg-functions:// hook has none"))]
pub struct HookSpec {
    /// `https://…` of an endpoint, or `pg-functions://postgres/<schema>/<function>` of a database function, which the
    /// role `supabase_auth_admin` must be allowed to execute (and to use its schema). Auth refuses plain `http://`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https://[^\\\\s/]+(/[^\\\\s]*)?$') || self.matches('^pg-functions://[^\\\\s/]+/[a-zA-Z_][a-zA-Z0-9_]{0,62}/[a-zA-Z_][a-zA-Z0-9_]{0,62}$')").message("a hook's uri must be https://… or pg-functions://postgres/<schema>/<function>; Auth refuses http://, also inside of the cluster"))]
    pub uri: String,

    /// Secret in the project's namespace with the key `secret`: `v1,whsec_` and base64 of 24 to 64 random bytes. While
    /// you change it, two with `|` between them: requests are signed with both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}
