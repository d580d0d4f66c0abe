//! Reads of live objects, as JSON. What is absent reads as empty: upstream operators remove a field where others write 0.

use jiff::Timestamp;
use serde_json::Value;

use crate::render::MANAGER;

pub fn text<'a>(live: &'a Value, pointer: &str) -> &'a str {
    live.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub fn number(live: &Value, pointer: &str) -> i64 {
    live.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

pub fn flag(live: &Value, pointer: &str) -> bool {
    live.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

pub fn items<'a>(live: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    live.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub fn condition<'a>(live: &'a Value, kind: &str) -> Option<&'a Value> {
    items(live, "/status/conditions").find(|condition| text(condition, "/type") == kind)
}

pub fn is_true(live: &Value, kind: &str) -> bool {
    condition(live, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

pub fn is_deleting(live: &Value) -> bool {
    !text(live, "/metadata/deletionTimestamp").is_empty()
}

pub fn created(live: &Value) -> Option<Timestamp> {
    text(live, "/metadata/creationTimestamp").parse().ok()
}

/// When we last changed the object: the API server keeps the time of the last apply that was not a no-op.
pub fn written(live: &Value) -> Option<Timestamp> {
    let ours = items(live, "/metadata/managedFields")
        .find(|entry| text(entry, "/manager") == MANAGER && text(entry, "/operation") == "Apply")?;
    text(ours, "/time").parse().ok()
}
