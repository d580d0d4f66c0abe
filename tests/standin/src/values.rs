//! What a single value must look like. Messages say what is wrong and never repeat the value.

use std::path::Path;

use url::Url;

pub fn is(wanted: &'static str) -> impl Fn(&str) -> Result<(), String> {
    move |value| if value == wanted { Ok(()) } else { Err(format!("must be {wanted}")) }
}

pub fn one_of(wanted: &'static [&'static str]) -> impl Fn(&str) -> Result<(), String> {
    move |value| wanted.contains(&value).then_some(()).ok_or_else(|| format!("must be {}", wanted.join(" or ")))
}

pub fn at_least(bytes: usize) -> impl Fn(&str) -> Result<(), String> {
    move |value| match value.len() {
        length if length >= bytes => Ok(()),
        length => Err(format!("has {length} bytes, needs {bytes} or more")),
    }
}

pub fn exactly(bytes: usize) -> impl Fn(&str) -> Result<(), String> {
    move |value| match value.len() {
        length if length == bytes => Ok(()),
        length => Err(format!("has {length} bytes, needs exactly {bytes}")),
    }
}

pub fn integer(value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| "is not an integer".to_owned())
}

pub fn positive(value: &str) -> Result<i64, String> {
    integer(value).and_then(|number| if number > 0 { Ok(number) } else { Err("must be above 0".to_owned()) })
}

pub fn port(value: &str) -> Result<u16, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err("is not a port number".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// As Elixir's strict booleans of Realtime.
pub fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("must be true, false, 1 or 0".to_owned()),
    }
}

/// An absolute URL of http or https with a host.
pub fn http_url(value: &str) -> Result<Url, String> {
    let url = Url::parse(value).map_err(|error| format!("is not an absolute URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("must be an http or https URL".to_owned()),
    }
}

pub fn pem_file(path: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    text.contains("-----BEGIN CERTIFICATE-----").then_some(()).ok_or_else(|| format!("{path} holds no PEM certificate"))
}

/// Proves that a directory can be written to.
pub fn writable(directory: impl AsRef<Path>) -> Result<(), String> {
    let directory = directory.as_ref();
    let probe = directory.join(format!(".standin-{}", std::process::id()));
    std::fs::write(&probe, "probe")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|error| format!("cannot write to {}: {error}", directory.display()))
}

/// Prefix and shape of an opaque API key.
pub fn opaque(prefix: &'static str) -> impl Fn(&str) -> Result<(), String> {
    move |value| match value.strip_prefix(prefix) {
        Some(rest) if rest.len() >= 16 => Ok(()),
        _ => Err(format!("must start with {prefix}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_by_the_contract() {
        let table: &[(&str, bool, bool)] = &[
            ("port", port("9999").is_ok(), true),
            ("port zero", port("0").is_ok(), false),
            ("boolean word", boolean("yes").is_ok(), false),
            ("boolean digit", boolean("1") == Ok(true), true),
            ("relative URL", http_url("example.com/auth/v1").is_ok(), false),
            ("other scheme", http_url("postgres://h/d").is_ok(), false),
            ("absolute URL", http_url("https://example.com/auth/v1").is_ok(), true),
            ("sixteen", exactly(16)("0123456789abcdef").is_ok(), true),
            ("fifteen", exactly(16)("0123456789abcde").is_ok(), false),
            ("opaque", opaque("sb_secret_")("sb_secret_AAAAAAAAAAAAAAAAAAAAAA_7cwZOLm2").is_ok(), true),
            ("JWT as opaque", opaque("sb_secret_")("eyJhbGciOi").is_ok(), false),
        ];
        for (what, got, wanted) in table {
            assert_eq!(got, wanted, "{what}");
        }
    }

    #[test]
    fn no_message_repeats_the_value() {
        let secret = "hunter2hunter2";
        let errors = [
            at_least(32)(secret).unwrap_err(),
            exactly(16)(secret).unwrap_err(),
            integer(secret).unwrap_err(),
            boolean(secret).unwrap_err(),
            http_url(secret).unwrap_err(),
            is("x")(secret).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| !error.contains(secret)), "{errors:?}");
    }
}
