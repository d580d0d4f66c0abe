//! Sizes of volumes, in the form that the API server would give them: so that what is applied is what is read back.

const SUFFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Bytes of a whole number with a binary suffix or none.
pub fn bytes(text: &str) -> Option<u128> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = text.get(digits.len()..)?;
    let power = match suffix {
        "" => 0,
        suffix => u32::try_from(SUFFIXES.iter().position(|known| *known == suffix)?).ok()? + 1,
    };
    digits.parse::<u128>().ok()?.checked_mul(1024_u128.checked_pow(power)?)
}

/// With the largest suffix that leaves a whole number, as Kubernetes writes it; what it cannot read it leaves alone.
pub fn canonical(text: &str) -> String {
    let Some(mut value) = bytes(text) else { return text.to_owned() };
    let mut suffix = "";
    for larger in SUFFIXES {
        if value == 0 || !value.is_multiple_of(1024) {
            break;
        }
        value /= 1024;
        suffix = larger;
    }
    format!("{value}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_kubernetes_writes_them() {
        for (given, written) in
            [("1024Mi", "1Gi"), ("10Gi", "10Gi"), ("1536Mi", "1536Mi"), ("2048Gi", "2Ti"), ("1G", "1G")]
        {
            assert_eq!(canonical(given), written);
        }
    }

    #[test]
    fn sizes_compare_across_suffixes() {
        assert!(bytes("1025Mi") > bytes("1Gi"));
        assert_eq!(bytes("1048576Mi"), bytes("1Ti"));
        assert_eq!(bytes("ten"), None);
    }
}
