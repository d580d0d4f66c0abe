//! The published API: generated files are current, examples fit, and every validation rule refuses what it is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use supabase_operator::api::SupabaseProject;
use supabase_operator::offline;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn crds_are_current() {
    let generated = offline::crds().unwrap();
    for copy in ["crds", "charts/supabase-operator/crd-files"] {
        let file = format!("{copy}/supabase-operator.dev_supabaseprojects.yaml");
        assert!(read(&file) == generated, "{file} is stale; run `make generate`");
    }
}

/// A default in the schema would be written into every object, where a later version could not change it.
#[test]
fn the_schema_holds_no_defaults_and_no_formats_that_kubernetes_warns_of() {
    fn check(path: &str, value: &Value) {
        if let Some(fields) = value.as_object() {
            for (name, value) in fields {
                assert!(name != "default" || path.ends_with("/properties"), "{path} has a default");
                if name == "format" {
                    let format = value.as_str().unwrap_or_default();
                    assert!(["int32", "int64", "date-time"].contains(&format), "{path} has format {format}");
                }
                check(&format!("{path}/{name}"), value);
            }
        }
        if let Some(items) = value.as_array() {
            for item in items {
                check(path, item);
            }
        }
    }
    let crds: Vec<Value> = serde_saphyr::from_multiple(&offline::crds().unwrap()).unwrap();
    for crd in crds {
        check("", &crd["spec"]["versions"][0]["schema"]);
    }
}

/// `kubectl explain` answers for every field of the spec.
#[test]
fn every_field_is_described() {
    fn check(path: &str, schema: &Value) {
        let Some(fields) = schema["properties"].as_object() else { return };
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            assert!(field["description"].is_string(), "{path} has no description");
            // Types of Kubernetes itself describe themselves.
            let foreign = [
                "extraEnv",
                "imagePullSecrets",
                "resources",
                "securityContext",
                "tolerations",
                "topologySpreadConstraints",
            ];
            if !foreign.contains(&name.as_str()) {
                check(&path, field);
                check(&format!("{path}[]"), &field["items"]);
            }
        }
    }
    let crds: Vec<Value> = serde_saphyr::from_multiple(&offline::crds().unwrap()).unwrap();
    let spec = &crds[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    check("spec", spec);
}

fn project(name: &str, spec: &str) -> SupabaseProject {
    let yaml = format!(
        "apiVersion: supabase-operator.dev/v1alpha1\nkind: SupabaseProject\nmetadata: {{name: {name}}}\nspec: {spec}"
    );
    serde_saphyr::from_str(&yaml).unwrap()
}

const PLAIN: &str = "{database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}}";

#[test]
fn cel_accepts_what_is_right() {
    for spec in [
        PLAIN,
        "{publicUrl: 'https://api.example.com:8443', database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}}",
        "{database: {secretRef: {name: a}, sslMode: verify-full, caSecretRef: {name: c}}, storage: {secretRef: {name: b}}}",
        "{database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}, postgrest: {schemas: [api, public], image: 'r.example.com/a@sha256:00'}}",
    ] {
        kube::core::cel::validate_cel(&project("orders", spec)).unwrap_or_else(|errors| panic!("{spec}: {errors:?}"));
    }
}

#[test]
fn cel_refuses_what_is_wrong_and_says_what_to_do() {
    let long = "a".repeat(41);
    for (name, spec, said) in [
        (long.as_str(), PLAIN, "at most 40 characters"),
        ("1orders", PLAIN, "starting with a letter"),
        ("or.ders", PLAIN, "lower-case letters"),
        (
            "orders",
            "{publicUrl: 'https://api.example.com/', database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}}",
            "without a path",
        ),
        (
            "orders",
            "{publicUrl: 'api.example.com', database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}}",
            "http:// or https://",
        ),
        (
            "orders",
            "{database: {secretRef: {name: a}, sslMode: verify-ca}, storage: {secretRef: {name: b}}}",
            "need caSecretRef",
        ),
        (
            "orders",
            "{database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}, postgrest: {schemas: ['a,b']}}",
            "must not contain a comma",
        ),
        (
            "orders",
            "{database: {secretRef: {name: a}}, storage: {secretRef: {name: b}}, meta: {image: 'a b'}}",
            "white space",
        ),
    ] {
        let errors = kube::core::cel::validate_cel(&project(name, spec)).expect_err(&format!("{name} {spec}"));
        let errors = format!("{errors:?}");
        assert!(errors.contains(said), "{name} {spec}: {errors}");
    }
}

#[test]
fn examples_can_be_planned() {
    for file in ["examples/external.yaml", "examples/demo/project.yaml"] {
        offline::render(&repository(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// The middle of the house stays pure: values in, values out.
#[test]
fn the_middle_does_no_io() {
    let rooms = [
        "src/api",
        "src/plan",
        "src/provider",
        "src/components",
        "src/gateway",
        "src/render",
        "src/status",
        "src/sql/steps.rs",
    ];
    for room in rooms {
        for file in files(&repository(room)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for word in [
                "async ",
                ".await",
                "Client>",
                "Client,",
                "&Client",
                "kube::Client",
                "std::fs",
                "std::env",
                "Timestamp::now",
                "Instant::now",
                "OsRng",
                "tokio::",
            ] {
                let offending = code
                    .lines()
                    .find(|line| line.replace(".awaited", "").contains(word) && !line.trim_start().starts_with("//"));
                assert!(offending.is_none(), "{}: {offending:?}", file.display());
            }
        }
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path)
        .unwrap()
        .flat_map(|entry| files(&entry.unwrap().path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter(|file| file.file_name().is_none_or(|name| name != "tests.rs"))
        .collect()
}
