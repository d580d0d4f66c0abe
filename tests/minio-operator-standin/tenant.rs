//! What the stand-in accepts of a Tenant.

use serde_json::Value;

/// Fields of the spec that the stand-in acts on or that change nothing for it.
const SPEC: &[&str] = &["image", "imagePullPolicy", "requestAutoCert", "configuration", "buckets", "pools"];
const POOL: &[&str] = &[
    "name",
    "servers",
    "volumesPerServer",
    "volumeClaimTemplate",
    "resources",
    "annotations",
    "securityContext",
    "containerSecurityContext",
];

/// What the operator would not do, in a text for `currentState`.
pub fn refusal(spec: &Value) -> Option<String> {
    let pools = spec["pools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [pool] = pools else { return Some(format!("stand-in: {} pools, and one is supported", pools.len())) };
    unknown(spec, SPEC).or_else(|| unknown(pool, POOL)).or_else(|| geometry(pool)).or_else(|| template(spec, pool))
}

fn unknown(value: &Value, known: &[&str]) -> Option<String> {
    let field = value.as_object()?.keys().find(|field| !known.contains(&field.as_str()))?;
    Some(format!("stand-in: the field {field} is not known"))
}

fn geometry(pool: &Value) -> Option<String> {
    let (servers, volumes) = (pool["servers"].as_i64()?, pool["volumesPerServer"].as_i64()?);
    let needed = match servers {
        2 => 4,
        3 => 6,
        _ => 1,
    };
    (servers * volumes < needed)
        .then(|| format!("pool #0 with {servers} servers must have at least {needed} volumes in total"))
}

fn template(spec: &Value, pool: &Value) -> Option<String> {
    let claim = &pool["volumeClaimTemplate"]["spec"];
    let missing = |what: &str| Some(format!("stand-in: {what} is missing"));
    if !spec["image"].as_str().unwrap_or_default().contains(':') {
        return missing("a tag of spec.image");
    }
    if spec["requestAutoCert"] != false {
        return missing("requestAutoCert: false (there is no TLS here)");
    }
    if spec["configuration"]["name"].as_str().is_none() {
        return Some("empty tenant credentials".to_owned());
    }
    if !claim["resources"]["requests"]["storage"].is_string() || !claim["accessModes"].is_array() {
        return missing("size or accessModes of the volumeClaimTemplate");
    }
    None
}
