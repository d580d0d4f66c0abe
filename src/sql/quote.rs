//! Quoting what is not written here.

pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that is safe whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_identifiers_are_quoted() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\b'"), r"E'a\\b'''");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
