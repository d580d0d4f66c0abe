//! A string that must not be seen: it has no Display and no Serialize, and its Debug tells nothing.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A password or key. [`Sensitive::expose`] marks every place where the value leaves.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sensitive(String);

impl Sensitive {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sensitive(…)")
    }
}

/// Shortest secret that is looked for: shorter ones would be found everywhere.
const SHORTEST: usize = 6;

/// A text without these secrets, as they are or as they stand in a URL.
pub fn redact(text: &str, secrets: &[&Sensitive]) -> String {
    let mut redacted = text.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose()).filter(|secret| secret.len() >= SHORTEST) {
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        for form in [secret, encoded.as_str()] {
            if redacted.contains(form) {
                redacted = redacted.replace(form, "(secret)");
            }
        }
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_as_they_are_and_as_they_stand_in_urls() {
        let secret = Sensitive::new("p@ss:w/o");
        let text = "cannot reach postgres://u:p%40ss%3Aw%2Fo@h, not with p@ss:w/o either";
        assert_eq!(redact(text, &[&secret]), "cannot reach postgres://u:(secret)@h, not with (secret) either");
        assert_eq!(redact("an auth error", &[&Sensitive::new("a")]), "an auth error");
    }
}
