//! Every field of the published schema has a case.

use std::collections::BTreeSet;

use serde_json::Value;
use supabase_operator::api;

use super::change::Case;
use super::{common, own};

/// Types of Kubernetes itself: one field each.
const FOREIGN: [&str; 6] =
    ["extraEnv", "imagePullSecrets", "resources", "securityContext", "tolerations", "topologySpreadConstraints"];

/// Auth's own settings have a test of their own; these are what it has in common with the others.
fn is_auth_s_own(path: &str, common: &BTreeSet<String>) -> bool {
    path.strip_prefix("auth.").is_some_and(|rest| !common.contains(&format!("meta.{rest}")))
}

fn published(path: &str, schema: &Value, leaves: &mut BTreeSet<String>) {
    let last = path.rsplit('.').next().unwrap_or_default();
    let properties = schema["properties"].as_object();
    match (properties, schema["items"]["properties"].is_object()) {
        _ if FOREIGN.contains(&last) => {
            leaves.insert(path.to_owned());
        }
        (Some(properties), _) => {
            for (name, field) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                published(&path, field, leaves);
            }
        }
        (None, true) => published(&format!("{path}[]"), &schema["items"], leaves),
        (None, false) => {
            leaves.insert(path.to_owned());
        }
    }
}

/// The fields that a case sets, in the words of the schema.
fn exercised(case: &Case, published: &BTreeSet<String>) -> BTreeSet<String> {
    fn walk(path: String, value: &Value, published: &BTreeSet<String>, found: &mut BTreeSet<String>) {
        match value {
            _ if published.contains(&path) => {
                found.insert(path);
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(format!("{path}.{name}"), value, published, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(format!("{path}[]"), item, published, found)),
            _ => panic!("{path} is no field of the schema"),
        }
    }
    let mut found = BTreeSet::new();
    walk(case.path.clone(), &case.value, published, &mut found);
    found
}

#[test]
fn no_field_is_without_a_case() {
    let crds = serde_json::to_value(api::all_crds()).unwrap();
    let schema = &crds[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut leaves = BTreeSet::new();
    published("", schema, &mut leaves);
    assert!(leaves.len() > 100, "{leaves:?}");
    let cases = common::cases().into_iter().chain(own::cases());
    let exercised: BTreeSet<String> = cases.flat_map(|case| exercised(&case, &leaves)).collect();
    let missing: Vec<&String> = leaves.difference(&exercised).filter(|path| !is_auth_s_own(path, &leaves)).collect();
    assert!(missing.is_empty(), "fields without a case in tests/overrides: {missing:#?}");
}
