//! Keys as an operator would make them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};

pub const JWT_SECRET: &str = "jwt-secret-of-more-than-thirty-two-characters";
pub const PUBLISHABLE: &str = "sb_publishable_AAAAAAAAAAAAAAAAAAAAAA_qcQJXLgl";
pub const SECRET: &str = "sb_secret_AAAAAAAAAAAAAAAAAAAAAA_7cwZOLm2";

pub struct Keys {
    secret: p256::SecretKey,
}

pub fn now() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    elapsed.as_secs().try_into().unwrap()
}

pub fn hs256(secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

pub fn claims(role: &str) -> Value {
    json!({"role": role, "iss": "supabase", "iat": now(), "exp": now() + 3600})
}

pub fn legacy(role: &str) -> String {
    hs256(JWT_SECRET, &claims(role))
}

fn oct() -> Value {
    json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(JWT_SECRET), "alg": "HS256"})
}

fn jwk(text: &str, uses: &[&str]) -> Value {
    let mut jwk: Value = serde_json::from_str(text).unwrap();
    jwk["kid"] = json!("key-one");
    jwk["alg"] = json!("ES256");
    jwk["use"] = json!("sig");
    jwk["key_ops"] = json!(uses);
    jwk
}

impl Keys {
    pub fn new() -> Self {
        Self { secret: p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng) }
    }

    pub fn private(&self) -> Value {
        json!([jwk(self.secret.to_jwk_string().as_str(), &["sign", "verify"]), oct()])
    }

    pub fn jwks(&self) -> Value {
        json!({"keys": [jwk(&self.secret.public_key().to_jwk_string(), &["verify"]), oct()]})
    }

    pub fn es256(&self, claims: &Value) -> String {
        let header = Header { kid: Some("key-one".to_owned()), ..Header::new(Algorithm::ES256) };
        let der = self.secret.to_pkcs8_der().unwrap();
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(der.as_bytes())).unwrap()
    }
}
