//! JWTs and key sets: what the contract calls `legacy()` and `jwks()`, and verifying as the components do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;

/// An API key of the old kind: HS256 by the JWT secret, of the given role, not expired.
pub fn legacy<'a>(secret: Option<&'a str>, role: &'static str) -> impl Fn(&str) -> Result<(), String> + 'a {
    move |token| {
        let secret = secret.ok_or("cannot be verified without the JWT secret")?;
        let claims = decode(token, Algorithm::HS256, &DecodingKey::from_secret(secret.as_bytes()))?;
        match claims["role"].as_str() {
            Some(found) if found == role => Ok(()),
            _ => Err(format!("is not a token of the role {role}")),
        }
    }
}

/// A key set for verifiers: public P-256 keys with `kid`, and no other symmetric key than the JWT secret.
pub fn jwks(secret: Option<&str>, text: &str) -> Result<JwkSet, String> {
    let raw: Value = serde_json::from_str(text).map_err(|_| "is not JSON")?;
    let keys = raw.get("keys").and_then(Value::as_array).ok_or("is no JSON object with an array \"keys\"")?;
    for key in keys {
        if key.get("d").is_some() {
            return Err("holds a private key".to_owned());
        }
        if key["kty"] == "oct" {
            let k = key["k"].as_str().and_then(|k| URL_SAFE_NO_PAD.decode(k).ok());
            let k = k.ok_or("has an oct key whose k is not base64url")?;
            if secret.is_some_and(|secret| secret.as_bytes() != k) {
                return Err("has an oct key that is not the JWT secret".to_owned());
            }
        }
    }
    let usable = |key: &&Value| key["kty"] == "EC" && key["crv"] == "P-256" && key["kid"].is_string();
    if !keys.iter().any(|key| usable(&key)) {
        return Err("has no P-256 key with a kid".to_owned());
    }
    let set: JwkSet = serde_json::from_value(raw.clone()).map_err(|error| format!("is no key set: {error}"))?;
    for key in &set.keys {
        DecodingKey::from_jwk(key).map_err(|_| "has a key that cannot be used")?;
    }
    Ok(set)
}

/// Verifies tokens by a secret and a key set.
#[derive(Clone)]
pub struct Verifier {
    pub secret: Option<String>,
    pub keys: Option<JwkSet>,
}

impl Verifier {
    /// The claims of a valid token, or why it is refused. Signature and `exp` are what counts.
    pub fn verify(&self, token: &str) -> Result<Value, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| "Invalid Compact JWS")?;
        let keys = self.keys.iter().flat_map(|set| &set.keys);
        let by_id = |key: &&Jwk| header.kid.is_some() && key.common.key_id == header.kid;
        let key = match header.alg {
            Algorithm::HS256 => {
                let oct = |key: &&Jwk| matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
                match keys.filter(oct).find(by_id) {
                    Some(key) => DecodingKey::from_jwk(key).map_err(|_| "unusable key")?,
                    None => DecodingKey::from_secret(self.secret.as_ref().ok_or("no secret for HS256")?.as_bytes()),
                }
            }
            Algorithm::ES256 => {
                let key = keys.filter(|key| is_p256(key)).find(by_id).ok_or("no key has the token's kid")?;
                DecodingKey::from_jwk(key).map_err(|_| "unusable key")?
            }
            _ => return Err("unsupported algorithm".to_owned()),
        };
        decode(token, header.alg, &key)
    }
}

fn is_p256(key: &Jwk) -> bool {
    matches!(&key.algorithm, AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256)
}

/// The word after `Bearer`, or the whole value where a component takes it bare.
pub fn bare(authorization: &str) -> &str {
    authorization.strip_prefix("Bearer ").or_else(|| authorization.strip_prefix("bearer ")).unwrap_or(authorization)
}

pub fn now() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_secs()).unwrap()
}

pub fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn decode(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Value, String> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_aud = false;
    // The library's messages name the claim or the step, never the token.
    Ok(jsonwebtoken::decode(token, key, &validation).map_err(|error| error.to_string())?.claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &str = "a secret of more than thirty-two characters";

    fn hs256(claims: &Value) -> String {
        sign(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
    }

    #[test]
    fn a_legacy_key_must_be_of_its_role_in_date_and_signed_with_the_secret() {
        let good = hs256(&json!({"role": "anon", "exp": now() + 60}));
        let old = hs256(&json!({"role": "anon", "exp": now() - 60}));
        assert_eq!(legacy(Some(SECRET), "anon")(&good), Ok(()));
        assert!(legacy(Some(SECRET), "service_role")(&good).is_err());
        assert!(legacy(Some("another secret of thirty-two characters"), "anon")(&good).is_err());
        assert!(legacy(Some(SECRET), "anon")(&old).is_err());
        assert!(legacy(None, "anon")(&good).is_err());
    }

    #[test]
    fn a_key_set_must_have_a_public_p256_key_and_no_private_one() {
        let mut random = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        let mut public: Value = serde_json::from_str(&random.public_key().to_jwk_string()).unwrap();
        public["kid"] = json!("one");
        let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"});
        let check = |keys: Value| jwks(Some(SECRET), &json!({"keys": keys}).to_string()).map(|_| ());
        assert_eq!(check(json!([public, oct])), Ok(()));
        assert!(check(json!([oct])).is_err());
        assert!(check(json!([])).is_err());
        assert!(jwks(Some(SECRET), "[]").is_err());
        assert!(jwks(Some("other"), &json!({"keys": [public, oct]}).to_string()).is_err());
        random = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        let mut private: Value = serde_json::from_str(&random.to_jwk_string()).unwrap();
        private["kid"] = json!("two");
        assert!(check(json!([private])).is_err());
        let mut nameless = public.clone();
        nameless.as_object_mut().unwrap().remove("kid");
        assert!(check(json!([nameless])).is_err());
    }
}
