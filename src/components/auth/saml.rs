//! Single sign-on with SAML, and the key that Auth signs with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::der::asn1::UintRef;
use p256::pkcs8::der::{Decode, Reader, Result as DerResult, SliceReader};

use super::{AuthSettings, Source, invalid};
use crate::api::auth::SamlSpec;
use crate::plan::inputs::SecretReader;
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;

const PEM_BEGIN: &str = "-----BEGIN RSA PRIVATE KEY-----";
const PEM_END: &str = "-----END RSA PRIVATE KEY-----";

pub fn saml(out: &mut AuthSettings, spec: &SamlSpec, source: Source<'_>) -> Result<(), Problem> {
    out.option("GOTRUE_SAML_ENABLED", spec.enabled);
    out.option("GOTRUE_SAML_ALLOW_ENCRYPTED_ASSERTIONS", spec.allow_encrypted_assertions);
    out.seconds("GOTRUE_SAML_RELAY_STATE_VALIDITY_PERIOD", spec.relay_state_validity_seconds);
    if spec.enabled != Some(true) {
        return Ok(());
    }
    let Some(reference) = &spec.secret_ref else {
        return Err(invalid("saml: enabled needs secretRef, the Secret with the private key"));
    };
    let secret = source.open("spec.auth.saml.secretRef", reference)?;
    out.set_secret("GOTRUE_SAML_PRIVATE_KEY", private_key(&secret, "privateKey")?.expose());
    if secret.data.keys.contains_key("privateKeyNext") {
        out.set_secret("GOTRUE_SAML_PRIVATE_KEY_NEXT", private_key(&secret, "privateKeyNext")?.expose());
    }
    Ok(())
}

/// A key in the one form that Auth takes: base64 of PKCS#1 DER, RSA of at least 2048 bits with the usual exponent.
fn private_key(secret: &SecretReader<'_>, key: &str) -> Result<Sensitive, Problem> {
    let refuse = |what: &str| secret.problem(Reason::SecretInvalid, &format!("key {key:?} {what}"));
    let form = "must be an RSA private key in PKCS#1 form, as PEM or as base64 of its DER; make one with \
                openssl genrsa -traditional 2048";
    let text = secret.text(key)?.trim();
    let body = text.strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END)).unwrap_or(text);
    let encoded: String = body.split_whitespace().collect();
    let der = STANDARD.decode(&encoded).map_err(|_| refuse(form))?;
    let (modulus, exponent) = rsa(&der).map_err(|_| refuse(form))?;
    if bits(modulus.as_bytes()) < 2048 {
        return Err(refuse("is too short: RSA needs at least 2048 bits"));
    }
    if exponent.as_bytes() != [1, 0, 1] {
        return Err(refuse("must have the public exponent 65537"));
    }
    Ok(Sensitive::new(encoded))
}

/// Modulus and public exponent of an `RSAPrivateKey` (RFC 8017, A.1.2) with two primes.
fn rsa(der: &[u8]) -> DerResult<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(der)?;
    let numbers = reader.sequence(|reader| {
        let _version = u8::decode(reader)?;
        let modulus = UintRef::decode(reader)?;
        let exponent = UintRef::decode(reader)?;
        // Private exponent, two primes, two exponents, coefficient.
        for _ in 0..6 {
            UintRef::decode(reader)?;
        }
        Ok((modulus, exponent))
    })?;
    reader.finish(numbers)
}

fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - unused
}
