//! The Secrets that people and apps read, and those that hold generated keys.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Manifest, RenderError, metadata};
use crate::components::Component;
use crate::kind::Kind;
use crate::plan::keys::{Credentials, Purpose};
use crate::plan::names::ObjectName;
use crate::plan::{Identity, Plan};
use crate::sensitive::Sensitive;

/// `<project>-api-keys` and `<project>-service-keys`: apart, so that an app can be given the one without the other. And
/// `<project>-dashboard`, unless the login is the user's own.
pub fn for_clients(plan: &Plan, credentials: &Credentials) -> Result<Vec<Manifest>, RenderError> {
    let url = Sensitive::new(&plan.public_url);
    let names = &plan.identity.name;
    let public = vec![
        ("url", url.clone()),
        ("publishable-key", credentials.publishable_key.clone()),
        ("anon-key", credentials.anon_key.clone()),
    ];
    let mut trusted = vec![
        ("url", url),
        ("secret-key", credentials.secret_key.clone()),
        ("service-role-key", credentials.service_role_key.clone()),
    ];
    if plan.has(Component::Storage) && plan.storage.s3_protocol {
        trusted.push(("s3-access-key-id", credentials.derived(Purpose::S3AccessKeyId)));
        trusted.push(("s3-secret-access-key", credentials.derived(Purpose::S3SecretAccessKey)));
    }
    let mut secrets = vec![(names.api_keys(), public), (names.service_keys(), trusted)];
    if plan.has(Component::Studio) && plan.studio.login.is_none() {
        let login = plan.dashboard(credentials);
        let entries = vec![("username", Sensitive::new(login.username)), ("password", login.password)];
        secrets.push((names.dashboard(), entries));
    }
    let manifest = |(name, entries): (ObjectName, Vec<(&str, Sensitive)>)| {
        let secret = secret(metadata::object_meta(plan, &name, None), entries);
        Manifest::new(Kind::Secret, name, &secret)
    };
    secrets.into_iter().map(manifest).collect()
}

/// A Secret that is created once and never applied. Whether it goes with the project is said apart: that may change.
pub fn generated(identity: &Identity, name: &ObjectName, entries: &BTreeMap<String, Sensitive>) -> Secret {
    let entries = entries.iter().map(|(key, value)| (key.as_str(), value.clone()));
    secret(ObjectMeta { owner_references: None, ..metadata::owned_meta(identity, name, None) }, entries)
}

pub fn secret<'a>(metadata: ObjectMeta, entries: impl IntoIterator<Item = (&'a str, Sensitive)>) -> Secret {
    let data = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.expose().as_bytes().to_vec())))
        .collect();
    Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
}
