//! The fields that every component has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::change::{Case, Expected, Fields, Objects, Place, case, components, objects, owned, place, yaml};

const CONTAINER: &str = "/spec/template/spec/containers/0";
const MIGRATION: &str = "/metadata/annotations/supabase-operator.dev~1migration";

/// The same in the Deployment and in the Job that migrates.
fn pods(fields: &Fields, pointer: &str, expected: &Expected) -> Vec<Place> {
    let kinds = if fields.migrates { &["Deployment", "Job"][..] } else { &["Deployment"] };
    kinds.iter().map(|kind| place(kind, &fields.name, pointer, expected.clone())).collect()
}

fn of_pods(fields: &Fields, field: &str, pointer: &str, value: &str, expected: &Expected) -> Case {
    case(fields.base, &format!("{}.{field}", fields.field), value, pods(fields, pointer, expected))
}

/// A field whose value arrives as it is.
fn verbatim(fields: &Fields, field: &str, pointer: &str, value: &str) -> Case {
    of_pods(fields, field, pointer, value, &Expected::Is(yaml(value)))
}

fn with(mut case: Case, places: impl IntoIterator<Item = Place>) -> Case {
    case.places.extend(places);
    case
}

pub fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = components().iter().flat_map(of_workload).collect();
    all.extend(components().iter().filter(|fields| !["gateway", "kong"].contains(&fields.field)).map(enabled));
    all
}

fn of_workload(fields: &Fields) -> Vec<Case> {
    let (field, name) = (fields.field, fields.name.as_str());
    let replicas = |number: i32| {
        let places = vec![place("Deployment", name, "/spec/replicas", Expected::Is(number.into()))];
        case(fields.base, &format!("{field}.replicas"), &number.to_string(), places)
    };
    let label = name.strip_prefix("orders-").unwrap();
    let own = json!({"matchLabels": {"supabase-operator.dev/project": "orders", "app.kubernetes.io/component": label}});
    let spread = |selector: Value| json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}]);
    let spread_at = "/spec/template/spec/topologySpreadConstraints";
    let spread_case = |value: Value, expected: Value| Case {
        base: fields.base.to_owned(),
        path: format!("{field}.podTemplate.topologySpreadConstraints"),
        value,
        // A Job has one pod.
        places: vec![place("Deployment", name, spread_at, Expected::Is(expected))],
    };
    let mut without_selector = spread(Value::Null);
    without_selector[0].as_object_mut().unwrap().remove("labelSelector");
    let others = json!({"matchLabels": {"app": "other"}});
    let from_secret = "{name: FROM_SECRET, valueFrom: {secretKeyRef: {name: keys, key: one}}}";
    let affinity = "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]}}}";
    let migrated = fields.migrates.then(|| place("Deployment", name, MIGRATION, Expected::Other));
    let pod = "/spec/template/spec";
    vec![
        with(
            verbatim(fields, "image", &format!("{CONTAINER}/image"), "registry.example.com/other@sha256:00"),
            migrated,
        ),
        replicas(0),
        with(replicas(3), [place("PodDisruptionBudget", name, "", Expected::New)]),
        verbatim(
            fields,
            "resources",
            &format!("{CONTAINER}/resources"),
            "{requests: {cpu: 7m}, limits: {memory: 77Mi}}",
        ),
        of_pods(
            fields,
            "extraEnv",
            &format!("{CONTAINER}/env"),
            "[{name: EXTRA, value: one}]",
            &Expected::Contains(yaml("{name: EXTRA, value: one}")),
        ),
        of_pods(
            fields,
            "extraEnv",
            &format!("{CONTAINER}/env"),
            &format!("[{from_secret}]"),
            &Expected::Contains(yaml(from_secret)),
        ),
        of_pods(
            fields,
            "podTemplate.labels",
            "/spec/template/metadata/labels/team",
            "{team: red, app.kubernetes.io/component: stolen}",
            &Expected::Is("red".into()),
        ),
        of_pods(
            fields,
            "podTemplate.annotations",
            "/spec/template/metadata/annotations/example.com~1scrape",
            "{example.com/scrape: 'yes'}",
            &Expected::Is("yes".into()),
        ),
        verbatim(fields, "podTemplate.affinity", &format!("{pod}/affinity"), affinity),
        verbatim(
            fields,
            "podTemplate.tolerations",
            &format!("{pod}/tolerations"),
            "[{key: dedicated, operator: Equal, value: supabase, effect: NoSchedule}]",
        ),
        verbatim(fields, "podTemplate.nodeSelector", &format!("{pod}/nodeSelector"), "{disk: ssd}"),
        spread_case(spread(others.clone()), spread(others)),
        spread_case(without_selector, spread(own)),
        verbatim(fields, "podTemplate.priorityClassName", &format!("{pod}/priorityClassName"), "important"),
        of_pods(
            fields,
            "podTemplate.securityContext",
            &format!("{pod}/securityContext/runAsUser"),
            "{runAsUser: 4242}",
            &Expected::Is(4242.into()),
        ),
        verbatim(fields, "podTemplate.imagePullSecrets", &format!("{pod}/imagePullSecrets"), "[{name: registry}]"),
    ]
}

/// Without a component its objects are gone and the gateway forgets it; with the pooler, which is off by default, they
/// are there.
fn enabled(fields: &Fields) -> Case {
    let (field, name) = (fields.field, fields.name.as_str());
    let path = format!("{field}.enabled");
    if field == "pooler" {
        let made = objects(&case("{}", &path, "true", Vec::new()).after());
        return case(
            "{}",
            &path,
            "true",
            owned(&made, name).map(|kind| place(kind, name, "", Expected::New)).collect(),
        );
    }
    let base = if field == "meta" { "{studio: {enabled: false}}" } else { "{}" };
    let before = objects(&case(base, &path, "true", Vec::new()).after());
    let mut places: Vec<Place> = owned(&before, name).map(|kind| place(kind, name, "", Expected::Gone)).collect();
    let gateway = |file: &str| {
        let forgets = Expected::Forgets(format!("\"{name}\""));
        let kind = if file == "rds.json" { "Secret" } else { "ConfigMap" };
        place(
            kind,
            "orders-gateway",
            &format!("/data/{file}"),
            if kind == "Secret" { Expected::Other } else { forgets },
        )
    };
    match field {
        "imgproxy" => {
            places.push(place(
                "ConfigMap",
                "orders-storage",
                "/data/IMAGE_TRANSFORMATION_ENABLED",
                Expected::Is("false".into()),
            ));
            places.push(place("ConfigMap", "orders-storage", "/data/IMGPROXY_URL", Expected::Gone));
        }
        _ => places.extend([gateway("cds.json"), gateway("rds.json")]),
    }
    match field {
        "studio" => places.push(place("Secret", "orders-dashboard", "", Expected::Gone)),
        "storageApi" => places.extend(
            ["s3-access-key-id", "s3-secret-access-key"]
                .map(|key| place("Secret", "orders-service-keys", &format!("/data/{key}"), Expected::Gone)),
        ),
        _ => {}
    }
    case(base, &path, "false", places)
}

#[test]
fn every_common_field_changes_its_place_and_nothing_else() {
    let said: String = cases().iter().map(Case::check).collect();
    assert!(said.is_empty(), "\n{said}");
}

#[test]
fn the_operator_s_annotations_cannot_be_replaced() {
    let stolen = "{supabase-operator.dev/config-hash: stolen, supabase-operator.dev/secret-hash: stolen}";
    for field in ["auth", "realtime", "functions"] {
        let said = case("{}", &format!("{field}.podTemplate.annotations"), stolen, Vec::new()).check();
        assert!(said.is_empty(), "{said}");
    }
}

/// What the container sees: of two variables of one name the later source wins, and `env` over all of `envFrom`.
fn environment(objects: &Objects, kind: &str, name: &str) -> BTreeMap<String, Value> {
    let container = objects[&(kind.to_owned(), name.to_owned())].pointer(CONTAINER).unwrap();
    let mut seen = BTreeMap::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
            let name = source[field]["name"].as_str().map(|name| (kind.to_owned(), name.to_owned()));
            let data = name.and_then(|key| objects.get(&key)).and_then(|object| object["data"].as_object());
            seen.extend(data.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap().to_owned();
        let value = variable.get("value").or(variable.get("valueFrom")).unwrap().clone();
        assert!(seen.insert(name.clone(), value).is_none_or(|before| before.is_string()), "{name} is there twice");
    }
    seen
}

#[test]
fn a_variable_of_the_user_s_replaces_the_operator_s_of_that_name() {
    let mut replaced = 0;
    for fields in components() {
        let path = format!("{}.extraEnv", fields.field);
        let kinds = if fields.migrates { &["Deployment", "Job"][..] } else { &["Deployment"] };
        for kind in kinds {
            let before = environment(
                &objects(&case(fields.base, "projectId", "orders", Vec::new()).after()),
                kind,
                &fields.name,
            );
            for name in before.keys().filter(|name| before[*name].is_object()).chain(before.keys().next()) {
                let value = format!("[{{name: {name}, value: replaced}}]");
                let after =
                    environment(&objects(&case(fields.base, &path, &value, Vec::new()).after()), kind, &fields.name);
                let mut wanted = before.clone();
                wanted.insert(name.clone(), "replaced".into());
                assert_eq!(after, wanted, "{path} {name}");
                replaced += 1;
            }
        }
    }
    assert!(replaced >= 10, "{replaced}");
}

#[test]
fn a_case_that_names_another_place_or_too_few_does_not_pass() {
    let rows = |places: Vec<Place>| case("{}", "postgrest.maxRows", "7", places).check();
    let entry =
        |name: &str, value: &str| place("ConfigMap", name, "/data/PGRST_DB_MAX_ROWS", Expected::Is(value.into()));
    let (rest, studio) = (entry("orders-postgrest", "7"), entry("orders-studio", "7"));
    assert!(rows(vec![rest.clone(), studio.clone()]).is_empty());
    for wrong in [
        vec![],
        vec![rest.clone()],
        vec![rest.clone(), entry("orders-studio", "8")],
        vec![rest, studio, place("Service", "orders-studio", "/spec", Expected::Other)],
    ] {
        assert!(!rows(wrong).is_empty());
    }
}
