//! How Kong finds a route: the path that its rules make of the request's (`kong/tools/uri.lua`), and the expressions of
//! its router, of which the highest priority that matches wins.

const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Decodes all that is not reserved, merges slashes, resolves dots.
pub fn normalize(path: &str) -> Vec<u8> {
    let decoded = decode(path.as_bytes());
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').skip(1).collect();
    for segment in &segments {
        match *segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let open = segments.last().is_none_or(|last| matches!(*last, b"" | b"." | b".."));
    let mut result = b"/".to_vec();
    result.extend(kept.join(&b'/'));
    if open && !kept.is_empty() {
        result.push(b'/');
    }
    result
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let hex = others.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if RESERVED.contains(&byte) => result.extend(rest[..3].to_ascii_uppercase()),
            Some(byte) => result.push(byte),
            None => result.push(*first),
        }
        rest = if hex.is_some_and(|hex| u8::from_str_radix(hex, 16).is_ok()) { &rest[3..] } else { others };
    }
    result
}

/// What of a path goes into a request line as it is.
pub fn escape(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@[]-_.~%".contains(&byte);
    path.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[derive(Debug)]
pub enum Expression {
    Equals(String),
    StartsWith(String),
    Any(Vec<Self>),
    All(Vec<Self>),
}

impl Expression {
    /// Kong's own condition on the protocol is appended as text, so what is not in parentheses may come apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !(text.starts_with('(') && text.ends_with(')')) {
            return Err(format!("{text:?} is not in parentheses"));
        }
        let mut parser = Parser(text);
        let expression = parser.expression()?;
        if parser.0.trim().is_empty() { Ok(expression) } else { Err(format!("{:?} is left over", parser.0)) }
    }

    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Equals(value) => path == value,
            Self::StartsWith(value) => path.starts_with(value.as_str()),
            Self::Any(parts) => parts.iter().any(|part| part.matches(path)),
            Self::All(parts) => parts.iter().all(|part| part.matches(path)),
        }
    }
}

struct Parser<'a>(&'a str);

impl Parser<'_> {
    fn takes(&mut self, word: &str) -> bool {
        self.0 = self.0.trim_start();
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A row of operands with one kind of operator: which of two binds stronger is nothing to rely on.
    fn expression(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.operand()?];
        let any = self.0.trim_start().starts_with("||");
        while self.takes(if any { "||" } else { "&&" }) {
            parts.push(self.operand()?);
        }
        let rest = self.0.trim_start();
        if rest.starts_with("||") || rest.starts_with("&&") {
            return Err("operators are mixed without parentheses".to_owned());
        }
        Ok(if any { Expression::Any(parts) } else { Expression::All(parts) })
    }

    fn operand(&mut self) -> Result<Expression, String> {
        if self.takes("(") {
            let inner = self.expression()?;
            return if self.takes(")") { Ok(inner) } else { Err(format!("no ) before {:?}", self.0)) };
        }
        if !self.takes("http.path") {
            return Err(format!("no field that a table needs: {:?}", self.0));
        }
        if self.takes("==") {
            Ok(Expression::Equals(self.text()?))
        } else if self.takes("^=") {
            Ok(Expression::StartsWith(self.text()?))
        } else {
            Err(format!("no operator that a table needs: {:?}", self.0))
        }
    }

    fn text(&mut self) -> Result<String, String> {
        if !self.takes("\"") {
            return Err(format!("no string: {:?}", self.0));
        }
        let mut text = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    other => return Err(format!("unknown escape {other:?}")),
                },
                c => text.push(c),
            }
        }
        Err("a string has no end".to_owned())
    }
}

#[test]
fn paths_are_normalized_as_kong_does() {
    for (path, normalized) in [
        ("/", "/"),
        ("/a//b/", "/a/b/"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/%61%20%2f%3b%zz", "/a %2F%3B%zz"),
    ] {
        assert_eq!(normalize(path), normalized.as_bytes(), "{path}");
    }
    assert_eq!(escape("/a b/é%2F\n".as_bytes()), "/a%20b/%C3%A9%2F%0A");
}

#[test]
fn expressions_are_read_strictly() {
    let expression = Expression::parse(r#"(http.path == "/a\"" || http.path ^= "/a\"/")"#).unwrap();
    assert!(expression.matches("/a\"") && expression.matches("/a\"/b") && !expression.matches("/a\"b"));
    for broken in [
        r#"http.path == "/a" || http.path == "/b""#,
        r#"(http.path == "/a" || http.path == "/b" && http.path == "/c")"#,
        r#"(http.path = "/a")"#,
        r#"(http.pat == "/a")"#,
        r#"(http.path == "/a"#,
        r#"(http.path == "/a") x)"#,
        r#"(http.path == "\x")"#,
    ] {
        assert!(Expression::parse(broken).is_err(), "{broken}");
    }
}
