use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::SecretRef;

/// Sign-in with one OAuth provider.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("self.name != 'keycloak' || has(self.url) || (has(self.enabled) && !self.enabled)").message("oauthProviders: keycloak needs url, the address of your realm"),
    validation = kube::core::Rule::new("!has(self.url) || !(self.name in ['apple', 'google'])").message("oauthProviders: apple and google have one address; remove url"),
    validation = kube::core::Rule::new("!has(self.skipNonceCheck) || self.name in ['apple', 'facebook', 'google', 'kakao', 'keycloak', 'snapchat', 'vercel_marketplace']").message("oauthProviders: skipNonceCheck is only for providers whose ID tokens Auth accepts: apple, facebook, google, kakao, keycloak, snapchat, vercel_marketplace")
)]
pub struct OAuthProviderSpec {
    /// Name of the provider, as clients give it to `signInWithOAuth`.
    pub name: OAuthProvider,

    /// Allow sign-in with this provider. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Secret in the project's namespace with the keys `clientId` and `clientSecret`, as the provider gave them to you.
    /// Default: the keys `<provider>-client-id` and `<provider>-client-secret` of `oauthSecretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Further client ids whose ID tokens are accepted (`signInWithIdToken`), for example of your mobile apps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = kube::core::Rule::new("self.all(id, id.matches('^[^\\\\s,]+$'))").message("additionalClientIds: one client id an entry, without commas or white space"))]
    pub additional_client_ids: Vec<String>,

    /// Address of the provider, where it is your own or your tenant's: a GitLab or GitHub Enterprise server, a Keycloak
    /// realm (`https://id.example.com/realms/main`), an Azure tenant
    /// (`https://login.microsoftonline.com/<tenant>`). Default: the provider's public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https?://[^\\\\s]*[^\\\\s/]$')").message("oauthProviders: url must start with http:// or https:// and end without a slash"))]
    pub url: Option<String>,

    /// Where the provider sends users back, as registered with it. Default: `<publicUrl>/auth/v1/callback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^https?://[^\\\\s]+$')").message("oauthProviders: redirectUri must start with http:// or https://"))]
    pub redirect_uri: Option<String>,

    /// Accept ID tokens whose nonce cannot be checked, as Google's sign-in on iOS makes them. Default: false, because
    /// the nonce guards against replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_nonce_check: Option<bool>,

    /// Accept users for whom the provider gives no email address. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_optional: Option<bool>,
}

/// OAuth providers, by the names that clients use.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum OAuthProvider {
    Apple,
    Azure,
    Bitbucket,
    Discord,
    Facebook,
    Figma,
    Fly,
    Github,
    Gitlab,
    Google,
    Kakao,
    Keycloak,
    Linkedin,
    LinkedinOidc,
    Notion,
    Slack,
    SlackOidc,
    Snapchat,
    Spotify,
    Twitch,
    Twitter,
    VercelMarketplace,
    Workos,
    X,
    Zoom,
}

impl OAuthProvider {
    pub const ALL: [Self; 25] = [
        Self::Apple,
        Self::Azure,
        Self::Bitbucket,
        Self::Discord,
        Self::Facebook,
        Self::Figma,
        Self::Fly,
        Self::Github,
        Self::Gitlab,
        Self::Google,
        Self::Kakao,
        Self::Keycloak,
        Self::Linkedin,
        Self::LinkedinOidc,
        Self::Notion,
        Self::Slack,
        Self::SlackOidc,
        Self::Snapchat,
        Self::Spotify,
        Self::Twitch,
        Self::Twitter,
        Self::VercelMarketplace,
        Self::Workos,
        Self::X,
        Self::Zoom,
    ];

    /// The name that clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Azure => "azure",
            Self::Bitbucket => "bitbucket",
            Self::Discord => "discord",
            Self::Facebook => "facebook",
            Self::Figma => "figma",
            Self::Fly => "fly",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Google => "google",
            Self::Kakao => "kakao",
            Self::Keycloak => "keycloak",
            Self::Linkedin => "linkedin",
            Self::LinkedinOidc => "linkedin_oidc",
            Self::Notion => "notion",
            Self::Slack => "slack",
            Self::SlackOidc => "slack_oidc",
            Self::Snapchat => "snapchat",
            Self::Spotify => "spotify",
            Self::Twitch => "twitch",
            Self::Twitter => "twitter",
            Self::VercelMarketplace => "vercel_marketplace",
            Self::Workos => "workos",
            Self::X => "x",
            Self::Zoom => "zoom",
        }
    }
}

/// Sign-in with a wallet, by blockchain.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Web3Spec {
    /// Wallets of Solana.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solana: Option<Web3ChainSpec>,

    /// Wallets of Ethereum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ethereum: Option<Web3ChainSpec>,
}

/// Sign-in with wallets of one blockchain.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Web3ChainSpec {
    /// Allow it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// How old a signed message may be, in seconds. Default: 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub maximum_validity_seconds: Option<i32>,
}

/// Single sign-on with SAML 2.0.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.secretRef) || !has(self.enabled) || !self.enabled").message("saml.enabled needs saml.secretRef, the Secret with the private key"))]
pub struct SamlSpec {
    /// Allow it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Secret in the project's namespace with the key `privateKey`: an RSA key of at least 2048 bits in PKCS#1 form, as
    /// PEM (`openssl genrsa -traditional 2048`) or as base64 of its DER. An optional key `privateKeyNext` is published
    /// in the metadata beside it, so that identity providers know it before you change to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// Accept encrypted assertions, and say so in the metadata. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_encrypted_assertions: Option<bool>,

    /// How long a sign-in at the identity provider may take, in seconds. Default: 120.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub relay_state_validity_seconds: Option<i32>,
}

/// Auth as an OAuth 2.1 server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = kube::core::Rule::new("has(self.authorizationPath) || !has(self.enabled) || !self.enabled").message("oauthServer.enabled needs oauthServer.authorizationPath, the page of your app that asks the user for consent"))]
pub struct OAuthServerSpec {
    /// Serve it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Let clients register themselves, without an administrator. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_dynamic_registration: Option<bool>,

    /// Path below `siteUrl` of the page that asks the user for consent, for example `/oauth/consent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = kube::core::Rule::new("self.matches('^/[^\\\\s?#]*$')").message("oauthServer.authorizationPath must be a path that starts with /"))]
    pub authorization_path: Option<String>,

    /// How long the user has for consent, in seconds. Default: 600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub authorization_ttl_seconds: Option<i32>,
}
