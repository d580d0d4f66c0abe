//! A project on a database of its own, and its workloads as processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use supabase_operator::offline::{self, Rendered};
use supabase_operator::plan::keys;
use supabase_operator::sql;

use super::meta;
use super::units::Unit;
use crate::contracts::postgres::{Database, SUPERUSER_PASSWORD, Server};
use crate::contracts::process::{Program, Variables, free_port};

pub struct Project {
    pub database: Database,
    pub rendered: Rendered,
    /// Port of what stands for postgres-meta.
    meta: u16,
    files: tempfile::TempDir,
}

/// A workload's process, and the port on which it answers probes.
pub struct Process {
    pub program: Program,
    pub port: u16,
    pub health: String,
}

impl Project {
    /// `tls` are the fields of the spec that say how connections are encrypted.
    pub async fn initialized(tls: &str) -> Self {
        let database = Arc::new(Server::encrypted().await).database("").await;
        let rendered = render(&database, tls);
        let (plan, credentials) = (&rendered.plan, &rendered.credentials);
        let initialized = sql::initialize(&plan.database, &plan.identity.owner(), &credentials.passwords).await;
        initialized.unwrap_or_else(|problem| panic!("{}", problem.message));
        let meta = meta::start(manifest_entry(&rendered, "Secret", "orders-meta", "CRYPTO_KEY")).await;
        Self { database, rendered, meta, files: tempfile::tempdir().unwrap() }
    }

    /// As the kubelet would start the workload's container, but for directories, ports and neighbours, which are here.
    pub fn process(&self, unit: &Unit) -> Process {
        let template = &self.workload(unit)["spec"]["template"]["spec"];
        let container = &template["containers"][0];
        let words = |field: &str| -> Vec<String> {
            container[field].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let mut command = words("command").into_iter().chain(words("args"));
        let name = if container["command"].is_null() { unit.entry.to_owned() } else { command.next().unwrap() };
        let mut arguments: Vec<String> = command.collect();
        let mut variables = self.variables(container);
        for (directory, here) in self.mounts(unit, template, container) {
            for text in variables.values_mut().chain(&mut arguments) {
                *text = text.replace(&directory, here.to_str().unwrap());
            }
        }
        let meta = format!("http://127.0.0.1:{}", self.meta);
        variables.entry("STUDIO_PG_META_URL".to_owned()).and_modify(|url| {
            assert_eq!(*url, "http://orders-meta:8080");
            *url = meta;
        });
        variables.extend(unit.image.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let port = move_ports(unit, container, &mut variables, &mut arguments);
        let health = container["readinessProbe"]["httpGet"]["path"].as_str().unwrap_or_default().to_owned();
        Process { program: Program { name: name.leak(), arguments, variables }, port, health }
    }

    /// Beside the CA of the database, one that signed nothing.
    pub fn add_other_authority(&self, unit: &Unit) {
        let directory = self.files.path().join(unit.label.replace(' ', "-")).join("_etc_supabase_authorities");
        if directory.exists() {
            let other = self.database.server.authority().with_file_name("ca-other.crt");
            let text = std::fs::read_to_string(other).unwrap();
            write_all(&directory, Variables::from([("other.crt".to_owned(), text)]));
        }
    }

    /// What the workload's container reads from its ConfigMap, its Secrets and its own fields.
    pub fn names(&self, unit: &Unit) -> Vec<String> {
        self.variables(&self.workload(unit)["spec"]["template"]["spec"]["containers"][0]).into_keys().collect()
    }

    fn workload(&self, unit: &Unit) -> &Value {
        let mut found = self
            .rendered
            .manifests
            .iter()
            .filter(|manifest| manifest.kind.as_str() == unit.kind && manifest.component == Some(unit.component));
        &found.next().unwrap_or_else(|| panic!("no {} of {}", unit.kind, unit.label)).body
    }

    fn data(&self, kind: &str, name: &str) -> Variables {
        data(&self.rendered, kind, name)
    }

    fn variables(&self, container: &Value) -> Variables {
        let mut variables = Variables::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            for (field, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
                if let Some(name) = source[field]["name"].as_str() {
                    variables.extend(self.data(kind, name));
                }
            }
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP", "{variable}");
            variables.insert(variable["name"].as_str().unwrap().to_owned(), "127.0.0.1".to_owned());
        }
        variables
    }

    /// Each mounted directory with the one that stands for it.
    fn mounts(&self, unit: &Unit, template: &Value, container: &Value) -> Vec<(String, PathBuf)> {
        let volumes = template["volumes"].as_array().unwrap();
        let mut mounts = Vec::new();
        for mount in container["volumeMounts"].as_array().unwrap() {
            let directory = mount["mountPath"].as_str().unwrap();
            if directory == "/tmp" {
                continue;
            }
            let here = self.files.path().join(unit.label.replace(' ', "-")).join(directory.replace('/', "_"));
            std::fs::create_dir_all(&here).unwrap();
            let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            for (source, field, kind) in [("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret")] {
                if let Some(name) = volume[source][field].as_str() {
                    write_all(&here, self.data(kind, name));
                }
            }
            mounts.push((directory.to_owned(), here));
        }
        mounts
    }
}

/// Several processes of one workload start at the same time: a file appears whole.
fn write_all(directory: &Path, files: Variables) {
    for (name, text) in files {
        let file = directory.join(name);
        if !file.exists() {
            let mut new = tempfile::NamedTempFile::new_in(directory).unwrap();
            std::io::Write::write_all(&mut new, text.as_bytes()).unwrap();
            new.persist(file).unwrap();
        }
    }
}

/// Ports move to free ones, after a look at whether the process would have listened where its Service sends requests.
fn move_ports(unit: &Unit, container: &Value, variables: &mut Variables, arguments: &mut [String]) -> u16 {
    let declared: Vec<u64> = container["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| port["containerPort"].as_u64().unwrap())
        .collect();
    let mut moved = Vec::new();
    for (index, name) in unit.ports.iter().enumerate() {
        let value = variables.get_mut(*name).unwrap();
        let before: u64 = value.trim_start_matches(':').parse().unwrap();
        assert!(declared.get(index).is_none_or(|port| *port == before), "{} {name}", unit.label);
        let port = free_port();
        *value = value.replace(&before.to_string(), &port.to_string());
        moved.push(port);
    }
    if let Some(at) = arguments.iter().position(|word| word == "-p") {
        assert_eq!(Some(arguments[at + 1].parse().unwrap()), declared.first().copied());
        moved.push(free_port());
        arguments[at + 1] = moved[0].to_string();
    }
    moved[0]
}

fn data(rendered: &Rendered, kind: &str, name: &str) -> Variables {
    let found = rendered.manifests.iter().find(|it| it.kind.as_str() == kind && it.name.as_str() == name);
    let body = &found.unwrap_or_else(|| panic!("{kind} {name} is not rendered")).body;
    let text = |value: &Value| {
        let value = value.as_str().unwrap();
        if kind == "Secret" { String::from_utf8(STANDARD.decode(value).unwrap()).unwrap() } else { value.to_owned() }
    };
    body["data"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn manifest_entry(rendered: &Rendered, kind: &str, name: &str, key: &str) -> String {
    data(rendered, kind, name)[key].clone()
}

fn render(database: &Database, tls: &str) -> Rendered {
    let authority = std::fs::read_to_string(database.server.authority()).unwrap();
    let mut counter = 0_u8;
    let mut entropy = |bytes: &mut [u8]| {
        for byte in bytes {
            counter = counter.wrapping_add(1);
            *byte = counter;
        }
    };
    // Placeholders are made at the epoch, and have run out since.
    let now = std::time::SystemTime::now().try_into().unwrap();
    let minted: Value =
        keys::mint(&mut entropy, now).unwrap().iter().map(|(key, value)| (*key, value.expose())).collect();
    let port = database.server.port.to_string();
    let secret = |name: &str, entries: Value| json!({"metadata": {"name": name}, "stringData": entries});
    let given = json!([
        secret("orders-jwt", minted),
        secret("orders-ca", json!({"ca.crt": authority})),
        secret(
            "orders-postgres",
            json!({"host": "127.0.0.1", "port": port, "database": database.name, "username": "postgres",
                "password": SUPERUSER_PASSWORD}),
        ),
        secret(
            "orders-s3",
            json!({"endpoint": "http://127.0.0.1:1", "region": "local", "bucket": "files", "accessKeyId": "id",
                "secretAccessKey": "s3-secret-key"}),
        ),
    ]);
    let mut spec: Value = serde_saphyr::from_str(
        "{database: {secretRef: {name: orders-postgres}}, storage: {secretRef: {name: orders-s3}}, pooler: {enabled: true}}",
    )
    .unwrap();
    let tls: Value = serde_saphyr::from_str(tls).unwrap();
    spec["database"].as_object_mut().unwrap().extend(tls.as_object().unwrap().clone());
    let project = json!({
        "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
        "metadata": {"name": "orders", "namespace": "tenant"}, "spec": spec,
    });
    let given: Vec<_> = serde_json::from_value(given).unwrap();
    offline::rendered(&serde_json::from_value(project).unwrap(), &given).unwrap()
}
