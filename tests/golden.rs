//! What a project becomes, as files that people review: `tests/golden/<profile>.yaml` beside the project that gives it.
//! After an intended change: `make generate`, and read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use supabase_operator::api::SupabaseProject;
use supabase_operator::offline;

/// Name and spec of each profile. The names of project and namespace are not those of a component or a default, so that
/// swapped ones show.
const PROFILES: [(&str, &str); 4] = [
    (
        "minimal",
        "
  database: {secretRef: {name: orders-postgres}}
  storage: {secretRef: {name: orders-s3}}",
    ),
    (
        "verified-tls",
        "
  publicUrl: https://api.orders.example.com
  database: {secretRef: {name: orders-postgres}, sslMode: verify-full, caSecretRef: {name: orders-ca, key: bundle.pem}}
  storage: {secretRef: {name: orders-s3}, forcePathStyle: false, caSecretRef: {name: s3-ca}}",
    ),
    (
        "overrides",
        "
  database: {secretRef: {name: orders-postgres}, sslMode: disable}
  storage: {secretRef: {name: orders-s3}}
  gateway: {replicas: 2, image: registry.example.com/envoy@sha256:0123}
  postgrest:
    replicas: 3
    image: registry.example.com/postgrest:v99
    resources: {requests: {cpu: 10m}, limits: {memory: 1Gi}}
    extraEnv:
    - {name: PGRST_DB_POOL, value: \"20\"}
    - {name: PGRST_LOG_LEVEL, valueFrom: {configMapKeyRef: {name: levels, key: rest}}}
    schemas: [api, public]
    maxRows: 50
  meta: {extraEnv: [{name: PG_CONN_TIMEOUT_SECS, value: \"5\"}]}",
    ),
    (
        "scaled-to-zero",
        "
  database: {secretRef: {name: orders-postgres}, sslMode: require}
  storage: {secretRef: {name: orders-s3}}
  gateway: {replicas: 0}
  postgrest: {replicas: 0}
  meta: {replicas: 0}",
    ),
];

fn project(spec: &str) -> SupabaseProject {
    let yaml = format!(
        "apiVersion: supabase-operator.dev/v1alpha1\nkind: SupabaseProject\n\
         metadata: {{name: orders, namespace: tenant}}\nspec:{spec}\n"
    );
    serde_saphyr::from_str(&yaml).unwrap()
}

/// Secrets as text, so that a changed value can be read in the diff. All of them are placeholders.
fn readable(rendered: &str) -> String {
    let documents: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
    let mut output = String::new();
    for mut document in documents {
        if document["kind"] == "Secret" {
            for value in document["data"].as_object_mut().unwrap().values_mut() {
                let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
                *value = String::from_utf8(bytes).unwrap().into();
            }
        }
        write!(output, "---\n{}", serde_saphyr::to_string(&document).unwrap()).unwrap();
    }
    output
}

#[test]
fn every_profile_becomes_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut stale = Vec::new();
    for (name, spec) in PROFILES {
        let file = folder.join(format!("{name}.yaml"));
        let rendered = readable(&offline::objects(&project(spec), &[]).unwrap());
        if update {
            std::fs::write(&file, &rendered).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != rendered {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "profiles {stale:?} changed; run `make generate` and read the diff");
}

#[test]
fn rendering_is_deterministic() {
    for (_, spec) in PROFILES {
        assert_eq!(offline::objects(&project(spec), &[]).unwrap(), offline::objects(&project(spec), &[]).unwrap());
    }
}

/// A re-apply of `{}`, `[]` or `""` is not always a no-op for the API server.
#[test]
fn nothing_empty_is_rendered() {
    fn check(path: &str, value: &Value) {
        match value {
            // An empty directory is said so.
            Value::Object(fields) if fields.is_empty() => assert!(path.ends_with("/emptyDir"), "{path} is empty"),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| check(&format!("{path}/{name}"), value)),
            Value::Array(items) => {
                assert!(!items.is_empty(), "{path} is empty");
                for item in items {
                    check(path, item);
                }
            }
            Value::String(text) => assert!(!text.is_empty(), "{path} is empty"),
            Value::Null => panic!("{path} is null"),
            _ => {}
        }
    }
    for (_, spec) in PROFILES {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&offline::objects(&project(spec), &[]).unwrap()).unwrap();
        for document in &documents {
            check("", document);
        }
    }
}

/// Keys of Secrets whose values are no secrets: an address, a name, and what Edge Functions read beside their secrets.
const PUBLIC: [&str; 7] = ["url", "username", "SUPABASE_URL", "SUPABASE_PUBLIC_URL", "VERIFY_JWT", "DENO_DIR", "HOME"];

/// The values of Secrets stand in Secrets and nowhere else.
#[test]
fn no_secret_value_leaves_its_secret() {
    for (_, spec) in PROFILES {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&offline::objects(&project(spec), &[]).unwrap()).unwrap();
        let (secrets, others): (Vec<&Value>, Vec<&Value>) =
            documents.iter().partition(|document| document["kind"] == "Secret");
        let others = serde_json::to_string(&others).unwrap();
        for secret in secrets {
            for (key, value) in secret["data"].as_object().unwrap() {
                let value = String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
                let public = PUBLIC.contains(&key.as_str());
                assert!(public || !others.contains(&value), "{} of {}", key, secret["metadata"]["name"]);
            }
        }
        for placeholder in ["placeholder-password", "placeholder-secret-access-key"] {
            assert!(!others.contains(placeholder));
        }
    }
}

/// Pods of every profile satisfy the Pod Security Standard `restricted`, and have no service account token.
#[test]
fn every_pod_is_restricted() {
    for (_, spec) in PROFILES {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&offline::objects(&project(spec), &[]).unwrap()).unwrap();
        let makes_pods = |document: &&Value| document["kind"] == "Deployment" || document["kind"] == "Job";
        for workload in documents.iter().filter(makes_pods) {
            let pod = &workload["spec"]["template"]["spec"];
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            for container in pod["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false);
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["capabilities"]["drop"][0], "ALL");
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    let asks = container[probe]["httpGet"].is_object() || container[probe]["tcpSocket"].is_object();
                    assert!(asks || workload["kind"] == "Job", "{probe}");
                }
            }
        }
    }
}
