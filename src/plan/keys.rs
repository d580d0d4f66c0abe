//! The key material of a project: making it once, and reading it back from its Secrets.
//!
//! Pure: randomness and time are handed in. Formats: the legacy HS256 keys, ES256 signing keys with their JWKS, and the
//! opaque `sb_` keys, as Supabase's own `generate-keys.sh` and `add-new-auth-keys.sh` make them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::SecretKey;
use p256::pkcs8::EncodePrivateKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::inputs::{SecretData, SecretReader};
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
use crate::sql::Role;

/// Source of random bytes; the caller brings the operating system's.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Lifetime of the API keys that are JWTs, in seconds: five years, as upstream's.
const KEY_LIFETIME: i64 = 5 * 365 * 24 * 3600;

/// Keys of the `<project>-jwt` Secret.
mod key {
    pub const JWT_SECRET: &str = "jwt-secret";
    pub const ANON: &str = "anon-key";
    pub const SERVICE_ROLE: &str = "service-role-key";
    pub const META_CRYPTO: &str = "pg-meta-crypto-key";
    pub const DERIVATION: &str = "derivation-key";
    pub const SIGNING_KEYS: &str = "signing-keys";
    pub const JWKS: &str = "jwks";
    pub const PUBLISHABLE: &str = "publishable-key";
    pub const SECRET: &str = "secret-key";
    pub const ANON_TOKEN: &str = "anon-token";
    pub const SERVICE_ROLE_TOKEN: &str = "service-role-token";
}

/// All key material of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// HS256 secret: its raw bytes sign and verify the legacy keys.
    pub jwt_secret: Sensitive,
    /// Legacy anon key, a JWT signed with `jwt_secret`.
    pub anon_key: Sensitive,
    /// Legacy `service_role` key, a JWT signed with `jwt_secret`.
    pub service_role_key: Sensitive,
    /// Shared by Studio and postgres-meta.
    pub meta_crypto_key: Sensitive,
    /// What services keep among themselves is derived from this one: [`Credentials::derived`].
    pub derivation_key: Sensitive,
    /// JWKS array with the private ES256 key, for Auth alone.
    pub signing_keys: Sensitive,
    /// Id of the ES256 key that signs.
    pub signing_key_id: String,
    /// JWKS of every verifier: `{"keys": [public ES256 key, symmetric key]}`. A secret, for the symmetric key in it.
    pub jwks: Sensitive,
    /// `sb_publishable_…`
    pub publishable_key: Sensitive,
    /// `sb_secret_…`
    pub secret_key: Sensitive,
    /// What the gateway sends upstream for the publishable key: an ES256 JWT of the role anon.
    pub anon_token: Sensitive,
    /// The same for the secret key and the role `service_role`.
    pub service_role_token: Sensitive,
    /// When the keys were made.
    pub created: Option<Timestamp>,
    /// Login password of each database role.
    pub passwords: BTreeMap<Role, Sensitive>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    role: String,
    iss: String,
    iat: i64,
    exp: i64,
}

impl Claims {
    fn new(role: &str, now: Timestamp) -> Self {
        let iat = now.as_second();
        Self { role: role.to_owned(), iss: "supabase".to_owned(), iat, exp: iat + KEY_LIFETIME }
    }
}

/// A failure to make a key. It never carries key material.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("cannot encode the new signing key")]
    Encode,
    #[error("cannot sign the token of role {0}")]
    Sign(&'static str, #[source] jsonwebtoken::errors::Error),
}

/// Makes the content of the `<project>-jwt` Secret.
///
/// # Errors
/// Only where a cryptographic library refuses its own output.
pub fn mint(entropy: Entropy<'_>, now: Timestamp) -> Result<BTreeMap<&'static str, Sensitive>, MintError> {
    let jwt_secret = STANDARD.encode(random::<30>(entropy));
    let signing = signing_key(entropy)?;
    let hs256 = EncodingKey::from_secret(jwt_secret.as_bytes());
    let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(&jwt_secret), "alg": "HS256"});
    let legacy = |role| sign(&Header::new(Algorithm::HS256), &hs256, role, now);
    let header = Header { kid: Some(signing.id.clone()), ..Header::new(Algorithm::ES256) };
    let internal = |role| sign(&header, &signing.encoding, role, now);
    let entries = [
        (key::ANON, legacy("anon")?),
        (key::SERVICE_ROLE, legacy("service_role")?),
        (key::ANON_TOKEN, internal("anon")?),
        (key::SERVICE_ROLE_TOKEN, internal("service_role")?),
        (key::SIGNING_KEYS, json!([signing.private, oct]).to_string()),
        (key::JWKS, json!({"keys": [signing.public, oct]}).to_string()),
        (key::META_CRYPTO, URL_SAFE_NO_PAD.encode(random::<32>(entropy))),
        (key::DERIVATION, URL_SAFE_NO_PAD.encode(random::<32>(entropy))),
        (key::PUBLISHABLE, opaque("sb_publishable_", random(entropy))),
        (key::SECRET, opaque("sb_secret_", random(entropy))),
        (key::JWT_SECRET, jwt_secret),
    ];
    Ok(entries.into_iter().map(|(k, v)| (k, Sensitive::new(v))).collect())
}

/// Makes the content of the `<project>-database-roles` Secret: 160 random bits each, in characters that need no
/// escaping in any connection string.
pub fn mint_passwords(entropy: Entropy<'_>) -> BTreeMap<&'static str, Sensitive> {
    let password =
        |entropy: Entropy<'_>| random::<20>(entropy).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Role::LOGINS.iter().map(|role| (role.name(), Sensitive::new(password(entropy)))).collect()
}

struct SigningKey {
    id: String,
    private: Value,
    public: Value,
    encoding: EncodingKey,
}

fn signing_key(entropy: Entropy<'_>) -> Result<SigningKey, MintError> {
    // A random 32-byte string is a valid P-256 scalar but for one in 2^32: try again then.
    let secret = loop {
        if let Ok(secret) = SecretKey::from_slice(&random::<32>(entropy)) {
            break secret;
        }
    };
    let id = uuid(random(entropy));
    let der = secret.to_pkcs8_der().map_err(|_| MintError::Encode)?;
    let jwk = |text: &str, operations: &[&str]| -> Result<Value, MintError> {
        let mut jwk: Value = serde_json::from_str(text).map_err(|_| MintError::Encode)?;
        let fields = jwk.as_object_mut().ok_or(MintError::Encode)?;
        fields.insert("kid".into(), json!(id));
        fields.insert("use".into(), json!("sig"));
        fields.insert("alg".into(), json!("ES256"));
        fields.insert("ext".into(), json!(true));
        fields.insert("key_ops".into(), json!(operations));
        Ok(jwk)
    };
    Ok(SigningKey {
        private: jwk(secret.to_jwk_string().as_str(), &["sign", "verify"])?,
        public: jwk(&secret.public_key().to_jwk_string(), &["verify"])?,
        encoding: EncodingKey::from_ec_der(der.as_bytes()),
        id,
    })
}

fn sign(header: &Header, with: &EncodingKey, role: &'static str, now: Timestamp) -> Result<String, MintError> {
    jsonwebtoken::encode(header, &Claims::new(role, now), with).map_err(|error| MintError::Sign(role, error))
}

/// An opaque key with its checksum; the literal stands for the project reference of the hosted platform.
fn opaque(prefix: &str, random: [u8; 17]) -> String {
    let text = URL_SAFE_NO_PAD.encode(random);
    let body = format!("{prefix}{}", text.get(..22).unwrap_or(&text));
    let digest = Sha256::digest(format!("supabase-self-hosted|{body}"));
    let checksum = URL_SAFE_NO_PAD.encode(digest);
    format!("{body}_{}", checksum.get(..8).unwrap_or(&checksum))
}

fn random<const N: usize>(entropy: Entropy<'_>) -> [u8; N] {
    let mut bytes = [0; N];
    entropy(&mut bytes);
    bytes
}

/// A version 4 UUID (RFC 9562) of the given bits.
fn uuid(mut bytes: [u8; 16]) -> String {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Whether a Secret of generated keys is worth making again as it was: that of the keys (`jwt`), or of the passwords.
pub fn is_intact(data: &SecretData, jwt: bool) -> bool {
    let reader = SecretReader { field: "generated keys", namespace: "", name: "", data };
    if jwt { read_keys(&reader).is_ok() } else { read_passwords(&reader).is_ok() }
}

/// A secret that only services of the project share, and that nobody has to store. Each is as long as its user wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Guards Realtime's tenant administration.
    RealtimeApi,
    /// Exactly 16 bytes: an AES-128 key.
    RealtimeDatabaseEncryption,
    RealtimeMetrics,
    /// At least 64 bytes.
    RealtimeSecretBase,
    /// Who has it can run code in Realtime.
    RealtimeCookie,
    S3AccessKeyId,
    S3SecretAccessKey,
    DashboardPassword,
    PoolerApi,
    PoolerMetrics,
    /// At least 64 bytes.
    PoolerSecretBase,
    /// Exactly 32 bytes: an AES-256 key.
    PoolerVault,
    PoolerCookie,
}

impl Purpose {
    #[cfg(test)]
    pub const ALL: [Self; 13] = [
        Self::RealtimeApi,
        Self::RealtimeDatabaseEncryption,
        Self::RealtimeMetrics,
        Self::RealtimeSecretBase,
        Self::RealtimeCookie,
        Self::S3AccessKeyId,
        Self::S3SecretAccessKey,
        Self::DashboardPassword,
        Self::PoolerApi,
        Self::PoolerMetrics,
        Self::PoolerSecretBase,
        Self::PoolerVault,
        Self::PoolerCookie,
    ];

    /// Its label, which must never change, and its length in hexadecimal characters.
    fn parameters(self) -> (&'static str, usize) {
        match self {
            Self::RealtimeApi => ("realtime/api", 64),
            Self::RealtimeDatabaseEncryption => ("realtime/database-encryption", 16),
            Self::RealtimeMetrics => ("realtime/metrics", 64),
            Self::RealtimeSecretBase => ("realtime/secret-base", 128),
            Self::RealtimeCookie => ("realtime/cookie", 64),
            Self::S3AccessKeyId => ("storage/s3-access-key-id", 32),
            Self::S3SecretAccessKey => ("storage/s3-secret-access-key", 64),
            Self::DashboardPassword => ("studio/dashboard-password", 32),
            Self::PoolerApi => ("pooler/api", 64),
            Self::PoolerMetrics => ("pooler/metrics", 64),
            Self::PoolerSecretBase => ("pooler/secret-base", 128),
            Self::PoolerVault => ("pooler/vault", 32),
            Self::PoolerCookie => ("pooler/cookie", 64),
        }
    }
}

impl Credentials {
    /// HMAC-SHA-512 of the purpose's label: the same for ever, and telling nothing of the others.
    pub fn derived(&self, purpose: Purpose) -> Sensitive {
        let (label, length) = purpose.parameters();
        // HMAC takes keys of any length, so this has no other arm.
        let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(self.derivation_key.expose().as_bytes()) else {
            return Sensitive::new("");
        };
        mac.update(label.as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Sensitive::new(hex.get(..length).unwrap_or_default())
    }

    /// Every secret among them, for those who must make sure that none is seen.
    pub fn all(&self) -> impl Iterator<Item = &Sensitive> {
        let keys = [
            &self.jwt_secret,
            &self.anon_key,
            &self.service_role_key,
            &self.meta_crypto_key,
            &self.derivation_key,
            &self.signing_keys,
            &self.jwks,
            &self.publishable_key,
            &self.secret_key,
            &self.anon_token,
            &self.service_role_token,
        ];
        keys.into_iter().chain(self.passwords.values())
    }

    /// Reads the key material back, and checks what its users would accept silently and then fail on
    /// (PostgREST takes a malformed JWKS and refuses every token).
    ///
    /// # Errors
    /// What is missing or does not fit together, and in which Secret.
    pub fn read(jwt: &SecretReader<'_>, roles: &SecretReader<'_>) -> Result<Self, Problem> {
        Ok(Self { passwords: read_passwords(roles)?, ..read_keys(jwt)? })
    }

    fn check_legacy(&self, jwt: &SecretReader<'_>) -> Result<(), Problem> {
        let verifier = DecodingKey::from_secret(self.jwt_secret.expose().as_bytes());
        let mut validation = Validation::new(Algorithm::HS256);
        // Whether a key is still in date is not this function's business: it has no clock.
        validation.validate_exp = false;
        for (name, token, role) in
            [(key::ANON, &self.anon_key, "anon"), (key::SERVICE_ROLE, &self.service_role_key, "service_role")]
        {
            let claims = jsonwebtoken::decode::<Claims>(token.expose(), &verifier, &validation);
            if !claims.is_ok_and(|token| token.claims.role == role) {
                let what = format!("key {name:?} is not a JWT of role {role} signed with \"jwt-secret\"");
                return Err(jwt.problem(Reason::KeysInvalid, &what));
            }
        }
        Ok(())
    }
}

/// Everything but the passwords.
fn read_keys(jwt: &SecretReader<'_>) -> Result<Credentials, Problem> {
    let value = |key| Ok::<_, Problem>(Sensitive::new(jwt.text(key)?));
    let jwt_secret = value(key::JWT_SECRET)?;
    if jwt_secret.expose().len() < 32 {
        return Err(jwt.problem(Reason::KeysInvalid, "key \"jwt-secret\" must have at least 32 characters"));
    }
    let (signing_keys, jwks) = (value(key::SIGNING_KEYS)?, value(key::JWKS)?);
    let derivation_key = value(key::DERIVATION)?;
    if derivation_key.expose().len() < 32 {
        return Err(jwt.problem(Reason::KeysInvalid, "key \"derivation-key\" must have at least 32 characters"));
    }
    let signing_key_id = signing_key_id(signing_keys.expose(), jwks.expose()).ok_or_else(|| {
        jwt.problem(
            Reason::KeysInvalid,
            "\"signing-keys\" and \"jwks\" do not fit together: the first key of both must be the same ES256 key",
        )
    })?;
    let credentials = Credentials {
        anon_key: value(key::ANON)?,
        service_role_key: value(key::SERVICE_ROLE)?,
        meta_crypto_key: value(key::META_CRYPTO)?,
        publishable_key: value(key::PUBLISHABLE)?,
        secret_key: value(key::SECRET)?,
        anon_token: value(key::ANON_TOKEN)?,
        service_role_token: value(key::SERVICE_ROLE_TOKEN)?,
        created: jwt.data.created,
        passwords: BTreeMap::new(),
        derivation_key,
        signing_keys,
        signing_key_id,
        jwks,
        jwt_secret,
    };
    credentials.check_legacy(jwt)?;
    Ok(credentials)
}

fn signing_key_id(signing_keys: &str, jwks: &str) -> Option<String> {
    let signing: Value = serde_json::from_str(signing_keys).ok()?;
    let jwks: Value = serde_json::from_str(jwks).ok()?;
    let (private, public) = (signing.get(0)?, jwks.get("keys")?.get(0)?);
    let same = |field| private.get(field) == public.get(field) && private.get(field).is_some();
    let fits = same("kid") && same("x") && same("y") && private.get("d").is_some() && public.get("d").is_none();
    fits.then(|| private.get("kid")?.as_str().map(str::to_owned)).flatten()
}

fn read_passwords(roles: &SecretReader<'_>) -> Result<BTreeMap<Role, Sensitive>, Problem> {
    let mut passwords = BTreeMap::new();
    for role in Role::LOGINS {
        let password = roles.text(role.name())?;
        if password.len() < 16 || !password.chars().all(|c| c.is_ascii_alphanumeric()) {
            let what = format!("key {:?} must be at least 16 letters and digits", role.name());
            return Err(roles.problem(Reason::KeysInvalid, &what));
        }
        passwords.insert(*role, Sensitive::new(password));
    }
    Ok(passwords)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn opaque_keys_match_the_published_vectors() {
        assert_eq!(opaque("sb_publishable_", [0; 17]), "sb_publishable_AAAAAAAAAAAAAAAAAAAAAA_qcQJXLgl");
        assert_eq!(opaque("sb_secret_", [0; 17]), "sb_secret_AAAAAAAAAAAAAAAAAAAAAA_7cwZOLm2");
    }

    #[test]
    fn minted_keys_read_back_and_verify() {
        let credentials = testing::credentials();
        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(credentials.jwks.expose()).unwrap();
        let key = DecodingKey::from_jwk(jwks.find(&credentials.signing_key_id).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        let token = jsonwebtoken::decode::<Claims>(credentials.service_role_token.expose(), &key, &validation).unwrap();
        assert_eq!(token.claims.role, "service_role");
        assert_eq!(token.claims.exp - token.claims.iat, KEY_LIFETIME);
        assert_eq!(token.header.kid.as_deref(), Some(credentials.signing_key_id.as_str()));
    }

    #[test]
    fn the_symmetric_key_of_the_jwks_is_the_secret_s_text_not_its_decoded_bytes() {
        let credentials = testing::credentials();
        let jwks: Value = serde_json::from_str(credentials.jwks.expose()).unwrap();
        let k = URL_SAFE_NO_PAD.decode(jwks["keys"][1]["k"].as_str().unwrap()).unwrap();
        assert_eq!(k, credentials.jwt_secret.expose().as_bytes());
    }

    #[test]
    fn public_jwks_has_no_private_part() {
        let credentials = testing::credentials();
        let jwks: Value = serde_json::from_str(credentials.jwks.expose()).unwrap();
        assert!(jwks["keys"][0].get("d").is_none());
        assert_eq!(jwks["keys"][0]["key_ops"], json!(["verify"]));
    }

    #[test]
    fn a_key_signed_with_another_secret_is_refused() {
        let mut secrets = testing::secrets();
        testing::set_key(&mut secrets, "demo-jwt", "jwt-secret", "another secret of more than 32 characters");
        let problem = testing::read_credentials(&secrets).unwrap_err();
        assert_eq!(problem.reason, Reason::KeysInvalid);
        assert!(problem.message.contains("anon-key"), "{}", problem.message);
    }

    #[test]
    fn a_jwks_of_another_shape_is_refused() {
        for jwks in ["[]", "{}", "not json", r#"{"keys":[]}"#] {
            let mut secrets = testing::secrets();
            testing::set_key(&mut secrets, "demo-jwt", "jwks", jwks);
            assert_eq!(testing::read_credentials(&secrets).unwrap_err().reason, Reason::KeysInvalid, "{jwks}");
        }
    }

    #[test]
    fn derived_secrets_have_their_length_differ_and_stay() {
        let credentials = testing::credentials();
        let mut derived: Vec<_> = Purpose::ALL.iter().map(|purpose| credentials.derived(*purpose)).collect();
        for (purpose, secret) in Purpose::ALL.iter().zip(&derived) {
            assert_eq!(secret.expose().len(), purpose.parameters().1, "{purpose:?}");
        }
        derived.sort_by(|a, b| a.expose().cmp(b.expose()));
        assert!(derived.windows(2).all(|pair| !pair[1].expose().starts_with(pair[0].expose())));
        // What was derived once encrypts what is stored.
        let known = Credentials { derivation_key: Sensitive::new("0123456789abcdef0123456789abcdef"), ..credentials };
        assert_eq!(known.derived(Purpose::RealtimeDatabaseEncryption).expose(), "073ff9a9eac16ff2");
    }

    #[test]
    fn debug_shows_no_key() {
        let credentials = testing::credentials();
        let debug = format!("{credentials:?}");
        assert!(!debug.contains(credentials.jwt_secret.expose()));
        assert!(!debug.contains("sb_secret"));
    }

    #[test]
    fn uuid_has_version_and_variant() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
