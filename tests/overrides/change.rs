//! What one field of the spec changes in everything that the project becomes, as places that are named beforehand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use supabase_operator::api::SupabaseProject;
use supabase_operator::components::{self, COMPONENTS, Component};
use supabase_operator::offline;

/// What each case adds to. The names are not those of a component or a default, so that swapped ones show.
const BASE: &str = "{database: {secretRef: {name: orders-postgres}}, storage: {secretRef: {name: orders-s3}}}";

/// Users' Secrets: each differs from its placeholder and from the others.
const GIVEN: &str = "
apiVersion: v1
kind: Secret
metadata: {name: other-postgres}
stringData: {host: other.example.com, port: '6543', database: other, username: master, password: other-password}
---
apiVersion: v1
kind: Secret
metadata: {name: other-s3}
stringData: {endpoint: 'http://minio.example.com:9000', region: eu-1, bucket: other-files, accessKeyId: other-id, secretAccessKey: other-key}
---
apiVersion: v1
kind: Secret
metadata: {name: keyless-s3}
stringData: {AWS_REGION: eu-west-1, AWS_BUCKET: files}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca}
stringData: {ca.crt: '-----BEGIN CERTIFICATE----- one', bundle.pem: '-----BEGIN CERTIFICATE----- two'}
---
apiVersion: v1
kind: Secret
metadata: {name: other-ca}
stringData: {ca.crt: '-----BEGIN CERTIFICATE----- three'}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-login}
stringData: {username: ann, password: dashboard-password}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-functions-secrets}
stringData: {STRIPE_KEY: stripe}
";

const CONFIG_HASH: &str = "/spec/template/metadata/annotations/supabase-operator.dev~1config-hash";
const SECRET_HASH: &str = "/spec/template/metadata/annotations/supabase-operator.dev~1secret-hash";

/// Kind and name. Beside what is applied, `Tenant` is what Realtime and the pooler are told through their APIs, and
/// `Endpoint` what the operator itself connects to.
pub type Key = (String, String);
pub type Objects = BTreeMap<Key, Value>;

#[derive(Clone)]
pub enum Expected {
    Is(Value),
    /// An array with this item.
    Contains(Value),
    /// A text with this part.
    Mentions(String),
    /// A text without this part, which it had.
    Forgets(String),
    /// Nothing is left there.
    Gone,
    /// Something that was not there.
    New,
    /// A digest, or what other places say in detail.
    Other,
}

/// Where a change is expected, and what is there afterwards. It stands for everything below it.
#[derive(Clone)]
pub struct Place {
    pub kind: &'static str,
    pub name: String,
    pub pointer: String,
    pub expected: Expected,
}

pub fn place(kind: &'static str, name: &str, pointer: &str, expected: Expected) -> Place {
    Place { kind, name: name.to_owned(), pointer: pointer.to_owned(), expected }
}

/// One field of the spec with a value.
pub struct Case {
    /// YAML that is there before.
    pub base: String,
    pub path: String,
    pub value: Value,
    pub places: Vec<Place>,
}

pub fn case(base: &str, path: &str, value: &str, places: Vec<Place>) -> Case {
    Case { base: base.to_owned(), path: path.to_owned(), value: yaml(value), places }
}

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Case {
    fn before(&self) -> Value {
        let mut spec = yaml(BASE);
        merge(&mut spec, yaml(&self.base));
        spec
    }

    pub fn after(&self) -> Value {
        let mut spec = self.before();
        let nested = self.path.rsplit('.').fold(self.value.clone(), |value, name| json!({name: value}));
        merge(&mut spec, nested);
        spec
    }

    /// What is not as it was expected, one line each.
    pub fn check(&self) -> String {
        let (before, after) = (known(&self.before()), objects(&self.after()));
        let places = self.consequences(&before, &after);
        let mut said = String::new();
        let mut touched = vec![false; places.len()];
        for (key, pointer) in differences(&before, &after) {
            let mut expected = false;
            for (place, touched) in places.iter().zip(&mut touched) {
                if place.covers(&key, &pointer) {
                    (expected, *touched) = (true, true);
                }
            }
            if !expected {
                let value = after.get(&key).and_then(|object| object.pointer(&pointer));
                writeln!(said, "    {} {}{pointer} changes: {value:?}", key.0, key.1).unwrap();
            }
        }
        for (place, touched) in places.iter().zip(touched) {
            let object = after.get(&(place.kind.to_owned(), place.name.clone()));
            let value = object.and_then(|object| object.pointer(&place.pointer));
            if !touched || !place.expected.holds(value) {
                let Place { kind, name, pointer, .. } = place;
                writeln!(said, "    {kind} {name}{pointer} should change (does: {touched}), is {value:?}").unwrap();
            }
        }
        if said.is_empty() { said } else { format!("{}: {}\n{said}", self.path, self.value) }
    }

    /// The places, and those that follow from them: pods roll when what they read changes.
    fn consequences(&self, before: &Objects, after: &Objects) -> Vec<Place> {
        let mut all = self.places.clone();
        for place in self.places.iter().filter(|place| !place.pointer.is_empty()) {
            let hash = match place.kind {
                "ConfigMap" => CONFIG_HASH,
                // Envoy reads its Secret again by itself.
                "Secret" if place.name != "orders-gateway" => SECRET_HASH,
                _ => continue,
            };
            for kind in ["Deployment", "Job"] {
                let key = (kind.to_owned(), place.name.clone());
                let stays = before.contains_key(&key) && after.contains_key(&key);
                if stays && !all.iter().any(|known| known.covers(&key, hash)) {
                    all.push(self::place(kind, &place.name, hash, Expected::Other));
                }
            }
        }
        all
    }
}

impl Place {
    fn covers(&self, (kind, name): &Key, pointer: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.kind == kind && self.name == *name && pointer.strip_prefix(&*self.pointer).is_some_and(below)
    }
}

impl Expected {
    fn holds(&self, value: Option<&Value>) -> bool {
        let text = value.and_then(Value::as_str).unwrap_or_default();
        match self {
            Self::Is(wanted) => value == Some(wanted),
            Self::Contains(item) => value.and_then(Value::as_array).is_some_and(|items| items.contains(item)),
            Self::Mentions(part) => text.contains(part),
            Self::Forgets(part) => !text.is_empty() && !text.contains(part),
            Self::Gone => value.is_none(),
            Self::New => value.is_some(),
            Self::Other => true,
        }
    }
}

/// Lays `over` onto `value`, map by map.
fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(fields), Value::Object(over)) => {
            for (name, over) in over {
                merge(fields.entry(name).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over,
    }
}

/// The same for a spec that many cases add to.
fn known(spec: &Value) -> Arc<Objects> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Objects>>> = Mutex::new(BTreeMap::new());
    let key = spec.to_string();
    let found = KNOWN.lock().unwrap().get(&key).cloned();
    found.unwrap_or_else(|| {
        let objects = Arc::new(objects(spec));
        KNOWN.lock().unwrap().insert(key, objects.clone());
        objects
    })
}

/// Everything that a spec becomes. Jobs are called after their component, Secrets are text.
pub fn objects(spec: &Value) -> Objects {
    let project = json!({
        "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
        "metadata": {"name": "orders", "namespace": "tenant"}, "spec": spec,
    });
    let project: SupabaseProject = serde_json::from_value(project).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let given = serde_saphyr::from_multiple(GIVEN).unwrap();
    let rendered = offline::rendered(&project, &given).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let mut objects = Objects::new();
    for manifest in &rendered.manifests {
        let (mut name, mut body) = (manifest.name.to_string(), manifest.body.clone());
        match manifest.kind.as_str() {
            "Job" => {
                name = body["metadata"]["labels"]["app.kubernetes.io/component"]
                    .as_str()
                    .map(|it| format!("orders-{it}"))
                    .unwrap();
                // It follows the content: what a Job does differently is seen there.
                body["metadata"]["name"].take();
            }
            "Secret" => {
                for value in body["data"].as_object_mut().unwrap().values_mut() {
                    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
                    *value = String::from_utf8(bytes).unwrap().into();
                }
            }
            _ => {}
        }
        objects.insert((manifest.kind.as_str().to_owned(), name), body);
    }
    let plan = &rendered.plan;
    for component in [Component::Realtime, Component::Pooler].into_iter().filter(|component| plan.has(*component)) {
        let tenant = components::tenant(plan, &rendered.credentials, component);
        let mut body = yaml(tenant.body.expose());
        body["id"] = tenant.id.into();
        objects.insert(("Tenant".to_owned(), format!("orders-{}", component.name())), body);
    }
    let (database, bucket) = (&plan.database, &plan.bucket);
    let endpoint = json!({"host": database.host, "port": database.port, "database": database.database,
        "password": database.password.expose(), "sslMode": database.ssl_mode.as_str(), "ca": database.ca,
        "privileges": database.privileges});
    objects.insert(("Endpoint".to_owned(), "database".to_owned()), endpoint);
    let endpoint = json!({"endpoint": bucket.endpoint, "region": bucket.region, "bucket": bucket.bucket,
        "password": bucket.login.keys().map(|keys| keys.secret_access_key.expose()), "forcePathStyle": bucket.force_path_style, "ca": bucket.ca});
    objects.insert(("Endpoint".to_owned(), "bucket".to_owned()), endpoint);
    objects
}

fn differences(before: &Objects, after: &Objects) -> Vec<(Key, String)> {
    let mut all = Vec::new();
    let mut keys: Vec<&Key> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let mut pointers = Vec::new();
        walk(String::new(), before.get(key), after.get(key), &mut pointers);
        all.extend(pointers.into_iter().map(|pointer| (key.clone(), pointer)));
    }
    all
}

fn walk(pointer: String, before: Option<&Value>, after: Option<&Value>, out: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).filter(|it| !it.is_empty()).cloned();
    let absent = |value: Option<&Value>| value.is_none().then(serde_json::Map::new);
    if let (Some(before), Some(after)) = (fields(before).or(absent(before)), fields(after).or(absent(after))) {
        let added = after.keys().filter(|name| !before.contains_key(*name));
        for name in before.keys().chain(added) {
            walk(format!("{pointer}/{}", escaped(name)), before.get(name), after.get(name), out);
        }
        return;
    }
    match (before, after) {
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                walk(format!("{pointer}/{index}"), Some(before), Some(after), out);
            }
        }
        _ if before != after => out.push(pointer),
        _ => {}
    }
}

/// Names of the objects of a component, by kind.
pub fn owned<'a>(objects: &'a Objects, name: &'a str) -> impl Iterator<Item = &'static str> + use<'a> {
    ["ServiceAccount", "ConfigMap", "Secret", "Service", "Job", "Deployment", "Tenant"]
        .into_iter()
        .filter(move |kind| objects.contains_key(&((*kind).to_owned(), name.to_owned())))
}

/// Every component with the YAML that a project must have for its fields to count, and the gateway's other spelling.
pub fn components() -> Vec<Fields> {
    let mut all: Vec<Fields> = COMPONENTS
        .iter()
        .map(|workload| Fields {
            field: workload.field,
            name: format!("orders-{}", workload.name),
            base: if workload.component == Component::Pooler { "{pooler: {enabled: true}}" } else { "{}" },
            migrates: workload.migration.is_some(),
        })
        .collect();
    all.push(Fields { field: "kong", name: "orders-gateway".to_owned(), base: "{kong: {}}", migrates: false });
    all
}

/// A field of the spec that is a component.
pub struct Fields {
    pub field: &'static str,
    /// Of its objects.
    pub name: String,
    pub base: &'static str,
    pub migrates: bool,
}
