//! Managed databases and object stores: what is asked of other operators, as files that people review
//! (`tests/golden/managed/<profile>.yaml`), and whether it fits their schemas.
//! After an intended change: `UPDATE_GOLDEN=1 cargo test --test managed`, and read the diff.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use supabase_operator::api::{DeletionPolicy, SupabaseProject};
use supabase_operator::plan::Identity;
use supabase_operator::plan::names::ProjectName;
use supabase_operator::provider::objectstore::StoreKeys;
use supabase_operator::provider::{BodyKind, Lifecycle, Upstream, database, objectstore};
use supabase_operator::sensitive::Sensitive;

const RETAINED: Lifecycle = Lifecycle { deletion: DeletionPolicy::Retain, suspended: false };
const DELETED: Lifecycle = Lifecycle { deletion: DeletionPolicy::Delete, suspended: false };
const SUSPENDED: Lifecycle = Lifecycle { deletion: DeletionPolicy::Retain, suspended: true };

const PROFILES: [(&str, Lifecycle, &str); 6] = [
    ("empty", RETAINED, "{}"),
    ("deleted-with-its-project", DELETED, "{database: {managed: {}}, storage: {managed: {}}}"),
    ("suspended", SUSPENDED, "{}"),
    (
        "large",
        RETAINED,
        "
  database:
    managed:
      provider: CloudNativePG
      instances: 3
      storage: {size: 2048Gi, storageClassName: fast}
      parameters: {max_connections: '300', shared_buffers: 2GB}
      resources: {requests: {cpu: '2', memory: 8Gi}, limits: {memory: 8Gi}}
      affinity:
        podAntiAffinityType: required
        topologyKey: topology.kubernetes.io/zone
        nodeSelector: {disk: nvme}
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [databases]}]}]
        tolerations: [{key: databases, operator: Exists, effect: NoSchedule, tolerationSeconds: 30}]
  storage:
    managed:
      servers: 4
      volumesPerServer: 2
      size: 512Gi
      storageClassName: bulk
      image: registry.example.com/minio:RELEASE.2025-10-15T17-29-55Z
      resources: {requests: {memory: 4Gi}}",
    ),
    (
        "own-image",
        RETAINED,
        "
  database:
    managed:
      imageName: registry.example.com:5000/postgres:17.6
      postgresUID: 999
      postgresGID: 998
      sharedPreloadLibraries: [pg_stat_statements]",
    ),
    (
        "rustfs",
        RETAINED,
        "{storage: {managed: {provider: rustfs, image: 'docker.io/rustfs/rustfs:1.0.0', storageClassName: bulk}}}",
    ),
];

fn identity() -> Identity {
    Identity {
        name: ProjectName::parse("orders").unwrap(),
        namespace: "tenant".to_owned(),
        uid: "11111111-2222-3333-4444-555555555555".to_owned(),
    }
}

fn project(spec: &str) -> SupabaseProject {
    let yaml = format!(
        "apiVersion: supabase-operator.dev/v1alpha1\nkind: SupabaseProject\n\
         metadata: {{name: orders, namespace: tenant}}\nspec: {spec}\n"
    );
    serde_saphyr::from_str(&yaml).unwrap()
}

fn rendered(lifecycle: Lifecycle, spec: &str) -> Vec<(BodyKind, Value)> {
    let spec = project(spec).spec;
    let keys = StoreKeys {
        access_key_id: Sensitive::new("placeholder-access-key"),
        secret_access_key: Sensitive::new("placeholder-secret-key"),
    };
    let mut bodies = Vec::new();
    if let Some(provider) = database::Provider::of(spec.database.as_ref()) {
        bodies.extend(provider.plan(&identity(), lifecycle, None).unwrap().render().apply);
    }
    if let Some(provider) = objectstore::Provider::of(spec.storage.as_ref()) {
        bodies.extend(provider.plan(&identity(), lifecycle, None, &[]).unwrap().render(&keys).apply);
    }
    bodies.into_iter().map(|body| (body.kind, body.body)).collect()
}

#[test]
fn every_profile_becomes_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/managed");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut stale = Vec::new();
    for (name, lifecycle, spec) in PROFILES {
        let mut text = String::new();
        for (_, body) in rendered(lifecycle, spec) {
            write!(text, "---\n{}", serde_saphyr::to_string(&body).unwrap()).unwrap();
        }
        let file = folder.join(format!("{name}.yaml"));
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &text).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "profiles {stale:?} changed; run with UPDATE_GOLDEN=1 and read the diff");
}

/// Schemas of `vendor-crds/`, by group and kind.
fn schemas() -> BTreeMap<(String, String), Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-crds");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            let crd: Value =
                serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let spec = &crd["spec"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            assert_eq!(crd["metadata"]["name"], format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"])));
            ((text(&spec["group"]), text(&spec["names"]["kind"])), spec["versions"][0].clone())
        })
        .collect()
}

#[test]
fn there_is_a_schema_of_each_kind_that_is_asked_for() {
    let schemas = schemas();
    assert_eq!(schemas.len(), Upstream::ALL.len());
    for kind in Upstream::ALL {
        let version = &schemas[&(kind.group().to_owned(), kind.kind().to_owned())];
        assert_eq!(version["name"], kind.version());
    }
}

#[test]
fn everything_that_is_rendered_fits_its_schema_strictly() {
    let schemas = schemas();
    let mut kinds = HashSet::new();
    for (name, lifecycle, spec) in PROFILES {
        for (kind, body) in rendered(lifecycle, spec) {
            let BodyKind::Upstream(kind) = kind else { continue };
            assert_eq!(body["apiVersion"], kind.api_version());
            let version = &schemas[&(kind.group().to_owned(), kind.kind().to_owned())];
            let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let mut problems = Vec::new();
            fits("spec", &body["spec"], schema, &mut problems);
            assert!(problems.is_empty(), "{name}: {problems:#?}");
            kinds.insert(kind);
        }
    }
    assert_eq!(kinds.len(), Upstream::ALL.len());
}

#[test]
fn a_field_that_upstream_does_not_know_is_noticed() {
    let schemas = schemas();
    let version = &schemas[&("minio.min.io".to_owned(), "Tenant".to_owned())];
    let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    for bad in
        [json!({"pools": [], "imagee": "a"}), json!({}), json!({"pools": [{"name": "p0"}]}), json!({"pools": "p0"})]
    {
        let mut problems = Vec::new();
        fits("spec", &bad, schema, &mut problems);
        assert!(!problems.is_empty(), "{bad}");
    }
}

/// As the API server validates with `fieldValidation=Strict`, for the part of OpenAPI that these schemas use.
fn fits(path: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    let fields = schema["properties"].as_object();
    let kind = schema["type"].as_str().unwrap_or_default();
    let right = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => schema["x-kubernetes-int-or-string"] == true && (value.is_string() || value.is_i64()),
    };
    if !right {
        problems.push(format!("{path}: {value} is no {kind}"));
    }
    if schema["minimum"].as_i64().is_some_and(|minimum| value.as_i64().is_none_or(|value| value < minimum)) {
        problems.push(format!("{path}: {value} is too small"));
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if value.get(required.as_str().unwrap()).is_none() {
            problems.push(format!("{path}: has no {required}"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (fields.and_then(|fields| fields.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) | (None, Some(schema)) => fits(&path, value, schema, problems),
            (None, None) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            (None, None) => problems.push(format!("{path}: is not known")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        fits(&format!("{path}[]"), item, &schema["items"], problems);
    }
}

/// A re-apply of `{}`, `[]`, `""` or null is not always a no-op for the API server.
#[test]
fn nothing_empty_is_rendered() {
    fn check(path: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                assert!(!fields.is_empty(), "{path} is empty");
                fields.iter().for_each(|(name, value)| check(&format!("{path}/{name}"), value));
            }
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
    for (name, lifecycle, spec) in PROFILES {
        for (_, body) in rendered(lifecycle, spec) {
            check(name, &body);
        }
    }
}

/// Upstream fills the items of these lists, or replaces them: what we sent would never be what we read.
#[test]
fn no_list_that_upstream_rewrites_is_rendered() {
    for (name, lifecycle, spec) in PROFILES {
        for (kind, body) in rendered(lifecycle, spec) {
            if kind == BodyKind::Upstream(Upstream::Cluster) {
                for field in ["managed", "monitoring", "plugins", "externalClusters", "backup", "probes"] {
                    assert!(body["spec"][field].is_null(), "{name}: {field}");
                }
            }
        }
    }
}

#[test]
fn retained_objects_have_no_owner_and_all_carry_the_labels_of_their_project() {
    for (name, lifecycle, spec) in PROFILES {
        for (_, body) in rendered(lifecycle, spec) {
            let owned = body["metadata"]["ownerReferences"].is_array();
            assert_eq!(owned, lifecycle.deletion == DeletionPolicy::Delete, "{name}");
            assert_eq!(body["metadata"]["labels"]["supabase-operator.dev/project"], "orders");
            assert_eq!(body["metadata"]["labels"]["app.kubernetes.io/managed-by"], "supabase-operator");
        }
    }
}

#[test]
fn every_managed_profile_is_accepted() {
    for (name, _, spec) in PROFILES {
        kube::core::cel::validate_cel(&project(spec)).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    }
}

#[test]
fn contradictions_are_refused_with_what_to_do() {
    for (spec, said) in [
        ("{database: {managed: {}, secretRef: {name: a}}}", "remove one of the two"),
        ("{storage: {managed: {}, secretRef: {name: a}}}", "remove one of the two"),
        ("{database: {sslMode: require}}", "for a database of your own"),
        ("{storage: {forcePathStyle: false}}", "for an object store of your own"),
        ("{database: {managed: {postgresUID: 26}}}", "set both or none"),
        ("{database: {managed: {imageName: 'a b'}}}", "white space"),
    ] {
        let errors = kube::core::cel::validate_cel(&project(spec)).expect_err(spec);
        assert!(format!("{errors:?}").contains(said), "{spec}: {errors:?}");
    }
}

#[test]
fn what_data_depend_on_cannot_change() {
    for (old, new, said) in [
        ("{}", "{database: {secretRef: {name: a}}}", "cannot change between managed and your own"),
        ("{storage: {secretRef: {name: a}}}", "{storage: {managed: {}}}", "cannot change between managed and your own"),
        (
            "{database: {managed: {storage: {size: 10Gi}}}}",
            "{database: {managed: {storage: {size: 9Gi}}}}",
            "cannot shrink",
        ),
        ("{storage: {managed: {size: 1Ti}}}", "{storage: {managed: {size: 1023Gi}}}", "cannot shrink"),
        (
            "{database: {managed: {postgresUID: 26, postgresGID: 26}}}",
            "{database: {managed: {postgresUID: 27, postgresGID: 26}}}",
            "cannot change",
        ),
        ("{storage: {managed: {}}}", "{storage: {managed: {provider: rustfs}}}", "provider cannot change"),
        ("{storage: {managed: {servers: 4}}}", "{storage: {managed: {servers: 5}}}", "servers cannot change"),
        ("{storage: {managed: {volumesPerServer: 4}}}", "{storage: {managed: {}}}", "volumesPerServer cannot change"),
    ] {
        let errors =
            kube::core::cel::validate_cel_update(&project(new), &project(old)).expect_err(&format!("{old} -> {new}"));
        assert!(format!("{errors:?}").contains(said), "{old} -> {new}: {errors:?}");
    }
    for (old, new) in [
        ("{}", "{database: {managed: {storage: {size: 20Gi}}}, storage: {managed: {provider: minio, size: 1Ti}}}"),
        ("{database: {managed: {storage: {size: 1024Mi}}}}", "{database: {managed: {storage: {size: 1Gi}}}}"),
        ("{database: {secretRef: {name: a}}}", "{database: {secretRef: {name: b}}}"),
    ] {
        kube::core::cel::validate_cel_update(&project(new), &project(old))
            .unwrap_or_else(|errors| panic!("{old} -> {new}: {errors:?}"));
    }
}
