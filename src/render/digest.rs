//! One comparison that tells whether an object must be written.
//!
//! Server-side apply records which fields we own (`metadata.managedFields`). [`owned`] cuts exactly these out of a live
//! object, [`desired`] does nothing to a rendered one but forget what identifies it. While nobody interferes both are
//! equal. Someone who changes or removes a field of ours takes its ownership, someone who adds a field does not touch
//! ours: so unequal means drift, and equal means that there is nothing to write, after a restart of ours too.

use serde_json::{Map, Value};
use sha2::Digest as _;

use super::metadata::MANAGER;

/// The first 128 bits of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Of a JSON value in canonical form (sorted keys, no white space).
    pub fn of(value: &Value) -> Self {
        Self::of_bytes(canonical(value).as_bytes())
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(sha2::Sha256::digest(bytes)) {
            *to = from;
        }
        Self(digest)
    }

    /// From what [`Self::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(digest))
    }

    /// Hexadecimal, for annotations.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Digest of a rendered object.
pub fn desired(body: &Value) -> Digest {
    let mut fields = body.as_object().cloned().unwrap_or_default();
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    Digest::of(&Value::Object(fields))
}

/// Digest of the part of a live object that we applied; `None` if we never did.
pub fn owned(
    live: &Value,
    managed_fields: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry],
) -> Option<Digest> {
    let ours = managed_fields.iter().find(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })?;
    Some(Digest::of(&project(live, &ours.fields_v1.as_ref()?.0)))
}

/// Cuts the named fields out of a value. Format of `fields`: `FieldsV1`, where `f:x` is a field, `k:{…}` a list item by
/// its key, `v:…` a set item by its value, `.` the value itself, and a name without children the whole of it.
fn project(live: &Value, fields: &Value) -> Value {
    let children: Vec<(&String, &Value)> = match fields.as_object() {
        Some(fields) => fields.iter().filter(|(name, _)| *name != ".").collect(),
        None => Vec::new(),
    };
    match live {
        _ if children.is_empty() => live_or_empty(live, fields),
        Value::Object(live) => Value::Object(project_fields(live, &children)),
        Value::Array(items) => {
            let kept = items.iter().filter_map(|item| project_item(item, &children));
            Value::Array(kept.collect())
        }
        scalar => scalar.clone(),
    }
}

/// `{}` owns the whole value; `{".": {}}` owns its existence, not what others put into it.
fn live_or_empty(live: &Value, fields: &Value) -> Value {
    let existence_only = fields.get(".").is_some();
    match live {
        Value::Object(_) if existence_only => Value::Object(Map::new()),
        Value::Array(_) if existence_only => Value::Array(Vec::new()),
        whole => whole.clone(),
    }
}

fn project_fields(live: &Map<String, Value>, children: &[(&String, &Value)]) -> Map<String, Value> {
    children
        .iter()
        .filter_map(|(name, fields)| {
            let name = name.strip_prefix("f:")?;
            Some((name.to_owned(), project(live.get(name)?, fields)))
        })
        .collect()
}

fn project_item(item: &Value, children: &[(&String, &Value)]) -> Option<Value> {
    children.iter().find_map(|(name, fields)| {
        if let Some(key) = name.strip_prefix("k:") {
            let key: Map<String, Value> = serde_json::from_str(key).ok()?;
            let same = key.iter().all(|(field, value)| item.get(field) == Some(value));
            return same.then(|| project(item, fields));
        }
        let value: Value = serde_json::from_str(name.strip_prefix("v:")?).ok()?;
        (value == *item).then(|| item.clone())
    })
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            let parts: Vec<String> = names
                .into_iter()
                .filter_map(|name| Some(format!("{}:{}", Value::from(name.as_str()), canonical(fields.get(name)?))))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", parts.join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
    use serde_json::json;

    fn entry(manager: &str, operation: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    fn rendered() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "namespace": "b", "labels": {"x": "1"}},
            "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": {"s": "t"}},
        })
    }

    fn live(selector: &str, port_name: &str) -> Value {
        json!({
            "metadata": {"name": "a", "uid": "u", "labels": {"x": "1", "theirs": "2"}},
            "spec": {
                "clusterIP": "10.0.0.1",
                "ports": [
                    {"name": "other", "port": 81, "protocol": "TCP", "targetPort": 81},
                    {"name": port_name, "port": 80, "protocol": "TCP", "targetPort": 80},
                ],
                "selector": {"s": selector},
            },
        })
    }

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:x": {}}},
            "f:spec": {
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}},
                "f:selector": {},
            },
        })
    }

    #[test]
    fn what_others_add_is_no_drift() {
        let managers = [entry("kubectl", "Update", json!({})), entry(MANAGER, "Apply", fields())];
        assert_eq!(owned(&live("t", "http"), &managers), Some(desired(&rendered())));
    }

    #[test]
    fn a_changed_value_is_drift() {
        let managers = [entry(MANAGER, "Apply", fields())];
        assert_ne!(owned(&live("changed", "http"), &managers), Some(desired(&rendered())));
        assert_ne!(owned(&live("t", "renamed"), &managers), Some(desired(&rendered())));
    }

    #[test]
    fn a_field_whose_ownership_was_taken_is_drift() {
        let mut fields = fields();
        fields["f:spec"].as_object_mut().unwrap().remove("f:selector");
        assert_ne!(owned(&live("t", "http"), &[entry(MANAGER, "Apply", fields)]), Some(desired(&rendered())));
    }

    #[test]
    fn an_object_that_we_never_applied_has_no_digest() {
        let managers = [entry(MANAGER, "Update", fields()), entry("helm", "Apply", fields())];
        assert_eq!(owned(&live("t", "http"), &managers), None);
    }

    #[test]
    fn sets_and_existence_are_projected() {
        let live = json!({"f": ["a", "b"], "m": {"theirs": 1}});
        let fields = json!({"f:f": {"v:\"b\"": {}}, "f:m": {".": {}}});
        assert_eq!(project(&live, &fields), json!({"f": ["b"], "m": {}}));
    }

    #[test]
    fn hexadecimal_reads_back() {
        let digest = Digest::of_bytes(b"text");
        assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
        for wrong in ["", "00", &"g".repeat(32), &"0".repeat(33), &"ä".repeat(16)] {
            assert_eq!(Digest::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn key_order_does_not_matter() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[{"c":2,"d":3}]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":[{"d":3,"c":2}],"a":1}"#).unwrap();
        assert_eq!(Digest::of(&one), Digest::of(&two));
    }
}
