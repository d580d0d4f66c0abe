//! Phoenix frames of both versions: objects (1.0.0) and arrays (2.0.0), and the binary form in which 2.0.0 clients push
//! broadcasts.

use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub join_ref: Value,
    pub reference: Value,
    pub topic: String,
    pub event: String,
    pub payload: Value,
}

/// Serializer version of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// The kind of a binary frame that carries a user's broadcast to the server.
const USER_BROADCAST_PUSH: u8 = 3;
const JSON_ENCODING: u8 = 1;

impl Frame {
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let field =
            |index: usize, name: &str| if value.is_array() { value[index].clone() } else { value[name].clone() };
        Some(Self {
            join_ref: field(0, "join_ref"),
            reference: field(1, "ref"),
            topic: field(2, "topic").as_str()?.to_owned(),
            event: field(3, "event").as_str()?.to_owned(),
            payload: field(4, "payload"),
        })
    }

    /// `kind`, five lengths, the encoding, then the parts: join ref, ref, topic, event, metadata, payload.
    pub fn parse_binary(bytes: &[u8]) -> Option<Self> {
        let ([USER_BROADCAST_PUSH, lengths @ .., JSON_ENCODING], mut rest) = bytes.split_at_checked(7)? else {
            return None;
        };
        let mut parts = Vec::new();
        for length in lengths {
            let (part, after) = rest.split_at_checked(usize::from(*length))?;
            parts.push(std::str::from_utf8(part).ok()?.to_owned());
            rest = after;
        }
        let [join_ref, reference, topic, event, _metadata]: [String; 5] = parts.try_into().ok()?;
        let payload: Value = serde_json::from_slice(rest).ok()?;
        let optional = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        Some(Self {
            join_ref: optional(join_ref),
            reference: optional(reference),
            topic,
            event: "broadcast".to_owned(),
            payload: json!({"type": "broadcast", "event": event, "payload": payload}),
        })
    }

    pub fn write(&self, version: Version) -> String {
        let Self { join_ref, reference, topic, event, payload } = self;
        match version {
            Version::Two => json!([join_ref, reference, topic, event, payload]),
            Version::One => json!({"ref": reference, "topic": topic, "event": event, "payload": payload}),
        }
        .to_string()
    }

    pub fn reply(&self, status: &str, response: &Value) -> Self {
        let payload = json!({"status": status, "response": response});
        Self { event: "phx_reply".to_owned(), payload, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_written() {
        let array = r#"["1","2","realtime:room","phx_join",{"config":{}}]"#;
        let object = r#"{"topic":"realtime:room","event":"phx_join","payload":{"config":{}},"ref":"2","join_ref":"1"}"#;
        let frame = Frame::parse(array).unwrap();
        assert_eq!(Frame::parse(object).unwrap(), frame);
        assert_eq!(frame.write(Version::Two), array);
        let reply = frame.reply("ok", &json!({})).write(Version::One);
        assert_eq!(serde_json::from_str::<Value>(&reply).unwrap()["payload"]["status"], "ok");
        assert!(Frame::parse("[1,2]").is_none());
    }

    #[test]
    fn a_binary_push_is_a_broadcast() {
        let mut bytes = vec![3, 1, 1, 13, 5, 0, 1];
        bytes.extend(br#"12realtime:roomshout{"x":1}"#);
        let frame = Frame::parse_binary(&bytes).unwrap();
        assert_eq!((frame.topic.as_str(), frame.event.as_str()), ("realtime:room", "broadcast"));
        assert_eq!(frame.payload, json!({"type": "broadcast", "event": "shout", "payload": {"x": 1}}));
        assert!(Frame::parse_binary(&bytes[..10]).is_none());
    }
}
