//! Auth's keys: one signs, the others verify.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::EncodePrivateKey;
use serde_json::{Value, json};

use crate::token::{self, Verifier};

pub struct SigningKeys {
    header: Header,
    signing: EncodingKey,
    pub verifier: Verifier,
    /// What `/.well-known/jwks.json` shows: no symmetric key, no private part.
    pub public: Value,
}

impl SigningKeys {
    pub fn symmetric(secret: &str) -> Self {
        Self {
            header: Header::new(Algorithm::HS256),
            signing: EncodingKey::from_secret(secret.as_bytes()),
            verifier: Verifier { secret: Some(secret.to_owned()), keys: None },
            public: json!({"keys": []}),
        }
    }

    /// Reads `GOTRUE_JWT_KEYS`.
    pub fn read(secret: &str, text: &str) -> Result<Self, String> {
        let keys: Vec<Value> = serde_json::from_str(text).map_err(|_| "is no JSON array")?;
        let mut ids = BTreeSet::new();
        for key in &keys {
            if !key["alg"].is_string() {
                return Err("has a key without alg".to_owned());
            }
            if key["kid"].as_str().is_some_and(|kid| !ids.insert(kid)) {
                return Err("has two keys of one kid".to_owned());
            }
            if key["kty"] != "oct" && !key["kid"].is_string() {
                return Err("has a key without kid".to_owned());
            }
        }
        let signs = |key: &&Value| key["key_ops"].as_array().is_some_and(|uses| uses.contains(&json!("sign")));
        let signing: Vec<&Value> = keys.iter().filter(signs).collect();
        let [signing] = signing[..] else {
            return Err(format!("must have exactly one key whose key_ops has sign, and has {}", signing.len()));
        };
        let public: Vec<Value> = keys.iter().filter(|key| key["kty"] != "oct").map(public_part).collect();
        let set: JwkSet =
            serde_json::from_value(json!({"keys": public})).map_err(|error| format!("holds no keys: {error}"))?;
        let mut header = Header::new(Algorithm::ES256);
        header.kid = signing["kid"].as_str().map(str::to_owned);
        Ok(Self {
            header,
            signing: private_key(signing)?,
            verifier: Verifier { secret: Some(secret.to_owned()), keys: Some(set) },
            public: json!({"keys": public}),
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        token::sign(&self.header, claims, &self.signing)
    }
}

fn public_part(key: &Value) -> Value {
    let mut public = key.clone();
    if let Some(fields) = public.as_object_mut() {
        fields.remove("d");
        fields.insert("key_ops".to_owned(), json!(["verify"]));
    }
    public
}

fn private_key(jwk: &Value) -> Result<EncodingKey, String> {
    if jwk["kty"] != "EC" || jwk["crv"] != "P-256" {
        return Err("must sign with a P-256 key".to_owned());
    }
    let field = |name: &str| jwk[name].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let d = field("d").ok_or("has a signing key without its private part d")?;
    let secret = p256::SecretKey::from_slice(&d).map_err(|_| "has a signing key whose d is no P-256 scalar")?;
    let public: Value =
        serde_json::from_str(&secret.public_key().to_jwk_string()).map_err(|error| error.to_string())?;
    if public["x"] != jwk["x"] || public["y"] != jwk["y"] {
        return Err("has a signing key whose public and private parts do not belong together".to_owned());
    }
    let der = secret.to_pkcs8_der().map_err(|_| "has a signing key that cannot be encoded")?;
    Ok(EncodingKey::from_ec_der(der.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of more than thirty-two characters";

    fn key(id: &str, uses: &[&str]) -> Value {
        let secret = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        let mut jwk: Value = serde_json::from_str(&secret.to_jwk_string()).unwrap();
        jwk["kid"] = json!(id);
        jwk["alg"] = json!("ES256");
        jwk["key_ops"] = json!(uses);
        jwk
    }

    fn read(keys: &Value) -> Result<SigningKeys, String> {
        SigningKeys::read(SECRET, &keys.to_string())
    }

    #[test]
    fn a_signed_token_verifies_and_the_public_keys_are_public() {
        let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"});
        let keys = read(&json!([key("one", &["sign", "verify"]), key("two", &["verify"]), oct])).unwrap();
        let token = keys.sign(&json!({"sub": "x", "exp": token::now() + 60}));
        assert_eq!(keys.verifier.verify(&token).unwrap()["sub"], "x");
        assert_eq!(keys.public["keys"].as_array().unwrap().len(), 2);
        assert!(!keys.public.to_string().contains("\"d\""));
    }

    #[test]
    fn exactly_one_key_signs_and_it_must_be_whole() {
        let whole = key("one", &["sign", "verify"]);
        let mut public_only = whole.clone();
        public_only.as_object_mut().unwrap().remove("d");
        let mut mixed = whole.clone();
        mixed["x"] = key("one", &[])["x"].clone();
        let mut nameless = whole.clone();
        nameless.as_object_mut().unwrap().remove("alg");
        for bad in [
            json!([key("one", &["verify"])]),
            json!([whole, key("two", &["sign"])]),
            json!([whole, key("one", &["verify"])]),
            json!([public_only]),
            json!([mixed]),
            json!([nameless]),
            json!({"keys": [whole]}),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
