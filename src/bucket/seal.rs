//! Bodies that MinIO's admin API takes encrypted with the caller's secret key (`EncryptData` of
//! <https://github.com/minio/madmin-go>, over the streams of <https://github.com/secure-io/sio-go>):
//!
//! ```text
//! salt | algorithm | nonce | fragments of at most 16 KiB, each with a tag
//!   32           1       8
//! ```

use std::num::NonZeroU32;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::pbkdf2;

use crate::sensitive::Sensitive;

/// PBKDF2 and AES-256-GCM; servers take it beside Argon2id, and `ring` has it.
const ALGORITHM: u8 = 0x02;
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(8192 - 1);
const FRAGMENT: usize = 16 * 1024;
const LAST_FRAGMENT: u8 = 0x80;

#[derive(Clone, Copy)]
pub struct Random {
    pub salt: [u8; 32],
    pub nonce: [u8; 8],
}

impl Random {
    pub fn fresh() -> Self {
        Self { salt: rand::random(), nonce: rand::random() }
    }
}

/// # Errors
/// The text does not fit into one fragment: nothing that we send is so long.
pub fn seal(password: &Sensitive, text: &[u8], random: Random) -> Result<Vec<u8>, Unspecified> {
    if text.len() > FRAGMENT {
        return Err(Unspecified);
    }
    let Random { salt, nonce } = random;
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.expose().as_bytes(), &mut key);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
    // Fragments are numbered from 1. Number 0 seals nothing, and its tag goes with each of them as associated data.
    let numbered = |number: u8| {
        let mut whole = [0; 12];
        whole.iter_mut().zip(nonce.into_iter().chain([number])).for_each(|(to, from)| *to = from);
        Nonce::assume_unique_for_key(whole)
    };
    let tag = key.seal_in_place_separate_tag(numbered(0), Aad::empty(), &mut [])?;
    let associated = [&[LAST_FRAGMENT], tag.as_ref()].concat();
    let mut fragment = text.to_vec();
    key.seal_in_place_append_tag(numbered(1), Aad::from(associated), &mut fragment)?;
    Ok([&salt, [ALGORITHM].as_slice(), &nonce, &fragment].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `hashlib.pbkdf2_hmac` and `AESGCM` of `cryptography`.
    const SEALED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
        02\
        0001020304050607\
        07f97b61e2aa772e56f71928dfd47e1e8f9432997d3ce3d6940431d63b57c887a8ef00d8";

    #[test]
    fn a_text_is_sealed_as_other_implementations_do() {
        let random = Random { salt: std::array::from_fn(byte), nonce: std::array::from_fn(byte) };
        let sealed = seal(&Sensitive::new("root-secret"), br#"{"status":"enabled"}"#, random).unwrap();
        assert_eq!(sealed.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), SEALED);
    }

    fn byte(index: usize) -> u8 {
        u8::try_from(index).unwrap()
    }

    #[test]
    fn a_text_of_more_than_one_fragment_is_refused() {
        assert!(seal(&Sensitive::new("root-secret"), &[0; FRAGMENT], Random::fresh()).is_ok());
        assert!(seal(&Sensitive::new("root-secret"), &vec![0; FRAGMENT + 1], Random::fresh()).is_err());
    }
}
