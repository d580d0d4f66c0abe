//! Values as Lua source.

use serde_json::Value;

/// A program that starts with these constants. Their names are ours, their values anybody's.
pub(super) fn chunk(constants: &[(&str, Value)], program: &str) -> String {
    let constants: String =
        constants.iter().map(|(name, value)| format!("local {name} = {}\n", literal(value))).collect();
    constants + program
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => text(value),
        Value::Array(values) => format!("{{{}}}", values.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("[{}] = {}", text(name), literal(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

/// Everything but the plainest characters is escaped by number, so that no text can end the literal.
fn text(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" !%&()*+,-./:;<=>?@^_|~".contains(&byte);
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("\\{byte:03}") };
    format!("\"{}\"", value.bytes().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_cannot_leave_its_literal() {
        assert_eq!(literal(&json!("a\"]]\\\n$é")), r#""a\034\093\093\092\010\036\195\169""#);
        assert_eq!(literal(&json!({"a-b": [1, null, true]})), r#"{["a-b"] = {1, nil, true}}"#);
    }
}
