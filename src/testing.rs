//! Values for unit tests. The project is not called `demo` or after a component, so that swapped names are noticed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::api::SupabaseProject;
use crate::checks::Latency;
use crate::plan::Plan;
use crate::plan::inputs::{Inputs, SecretData, SecretReader, Secrets};
use crate::plan::keys::{self, Credentials};
use crate::reason::Problem;
use crate::sql::{Facts, Inspection, Profile};

pub fn project() -> SupabaseProject {
    project_from(
        "spec:
  database: {secretRef: {name: orders-postgres}}
  storage: {secretRef: {name: orders-s3}}",
    )
}

/// A project named `demo` of namespace `tenant` with this YAML of a spec.
pub fn project_from(spec: &str) -> SupabaseProject {
    let yaml = format!(
        "apiVersion: supabase-operator.dev/v1alpha1
kind: SupabaseProject
metadata: {{name: demo, namespace: tenant, uid: 11111111-2222-3333-4444-555555555555, generation: 1}}
{spec}
"
    );
    serde_saphyr::from_str(&yaml).unwrap()
}

/// Random bytes that are always the same.
pub fn entropy() -> impl FnMut(&mut [u8]) {
    let mut counter = 0_u8;
    move |bytes| {
        for byte in bytes {
            counter = counter.wrapping_mul(31).wrapping_add(7);
            *byte = counter;
        }
    }
}

pub fn secrets() -> Secrets {
    let user = |pairs: &[(&str, &str)]| {
        let keys = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        Some(Arc::new(SecretData { keys, ..SecretData::default() }))
    };
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let generated = |entries: BTreeMap<&'static str, crate::sensitive::Sensitive>| {
        let keys = entries.iter().map(|(key, value)| ((*key).to_owned(), value.expose().as_bytes().to_vec())).collect();
        Some(Arc::new(SecretData { keys, created: Some(now), ..SecretData::default() }))
    };
    let mut entropy = entropy();
    Secrets::from([
        (
            "orders-postgres".to_owned(),
            user(&[
                ("host", "postgres.example.com"),
                ("port", "5433"),
                ("database", "orders"),
                ("username", "master"),
                ("password", "p@ss:w/o?r#d%"),
            ]),
        ),
        (
            "orders-s3".to_owned(),
            user(&[
                ("endpoint", "https://s3.example.com"),
                ("region", "eu-central-1"),
                ("bucket", "orders-files"),
                ("accessKeyId", "AKIAEXAMPLE"),
                ("secretAccessKey", "s3/secret+key="),
            ]),
        ),
        ("orders-ca".to_owned(), user(&[("ca.crt", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")])),
        ("demo-jwt".to_owned(), generated(keys::mint(&mut entropy, now).unwrap())),
        ("demo-database-roles".to_owned(), generated(keys::mint_passwords(&mut entropy))),
    ])
}

pub fn inputs() -> Inputs {
    inputs_of(secrets())
}

pub fn inputs_of(secrets: Secrets) -> Inputs {
    Inputs { secrets, ..Inputs::default() }
}

pub fn set_key(secrets: &mut Secrets, secret: &str, key: &str, value: &str) {
    edit(secrets, secret, |keys| {
        keys.insert(key.to_owned(), value.as_bytes().to_vec());
    });
}

pub fn remove_key(secrets: &mut Secrets, secret: &str, key: &str) {
    edit(secrets, secret, |keys| {
        keys.remove(key);
    });
}

fn edit(secrets: &mut Secrets, secret: &str, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
    let data = secrets.get_mut(secret).unwrap().as_mut().unwrap();
    let mut keys = data.keys.clone();
    change(&mut keys);
    *data = Arc::new(SecretData { keys, created: data.created, ..SecretData::default() });
}

pub fn read_credentials(secrets: &Secrets) -> Result<Credentials, Problem> {
    let open = |name| SecretReader::open(secrets, "generated keys", "tenant", name).unwrap();
    Credentials::read(&open("demo-jwt"), &open("demo-database-roles"))
}

pub fn credentials() -> Credentials {
    read_credentials(&secrets()).unwrap()
}

pub fn plan() -> Plan {
    crate::plan::plan(&project(), &inputs()).unwrap()
}

/// A superuser's look at a database with which everything works.
pub fn inspection() -> Inspection {
    Inspection {
        version: "17.2".to_owned(),
        latency: Latency(Duration::from_millis(4)),
        profile: Profile::Superuser,
        facts: Facts::default(),
        findings: Vec::new(),
    }
}
