//! Making the generated keys exist, once. They are created, never applied: no later version of the operator and no
//! second instance of it can replace them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::api::DeletionPolicy;
use crate::cluster::{CallError, Cluster};
use crate::plan::inputs::{SecretData, Secrets};
use crate::plan::keys::{self, Credentials, MintError};
use crate::plan::names::ObjectName;
use crate::plan::{self, Identity};
use crate::provider::objectstore;
use crate::provider::retention::Tie;
use crate::reason::{Problem, Progress, Reason};
use crate::render;
use crate::sensitive::Sensitive;

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("cannot make keys")]
    Mint(#[from] MintError),
    #[error("the operating system gives no random bytes")]
    Entropy,
}

/// The project's keys; makes what is missing.
///
/// A Secret that was deleted is made again as it was, while this process remembers it. Otherwise the passwords of
/// database roles can be made anew without harm, the API keys cannot: every app would be locked out.
///
/// # Errors
/// The API server refused or did not answer, or there is no randomness.
pub async fn ensure(
    cluster: &Cluster,
    identity: &Identity,
    secrets: &Secrets,
    made_before: bool,
) -> Result<Progress<Credentials>, KeyringError> {
    let (jwt, roles) = (identity.name.jwt(), identity.name.database_roles());
    // Keys of an earlier project of this name, which garbage collection has not removed yet, are not this one's.
    let inherited = |name: &ObjectName| {
        let data = secrets.get(name.as_str()).and_then(Option::as_ref);
        data.and_then(|data| data.owner.as_ref()).is_some_and(|owner| *owner != identity.uid)
    };
    if inherited(&jwt) || inherited(&roles) {
        return Ok(Progress::Running);
    }
    match plan::credentials(identity, secrets) {
        Ok(Some(credentials)) => return Ok(Progress::Done(credentials)),
        Err(problem) => return Ok(Progress::Failed(problem)),
        Ok(None) => {}
    }
    let missing = |name: &ObjectName| secrets.get(name.as_str()).is_none_or(Option::is_none);
    let remembered = |name: &ObjectName| {
        let data = cluster.secrets.last(&identity.namespace, name.as_str())?;
        (data.owner.as_ref().is_none_or(|owner| *owner == identity.uid) && keys::is_intact(&data, name == &jwt))
            .then_some(data)
    };
    if missing(&jwt) {
        let entries = match remembered(&jwt) {
            Some(data) => as_it_was(&data),
            None if made_before => return Ok(Progress::Failed(lost(identity, &jwt))),
            None => owned(with_entropy(|entropy| keys::mint(entropy, Timestamp::now()))??),
        };
        create(cluster, identity, &jwt, entries).await?;
    }
    if missing(&roles) {
        let entries = match remembered(&roles) {
            Some(data) => as_it_was(&data),
            None => owned(with_entropy(keys::mint_passwords)?),
        };
        create(cluster, identity, &roles, entries).await?;
    }
    // The watch tells when they can be read.
    Ok(Progress::Running)
}

/// Makes the keys of a managed object store. Lost ones can be made anew without harm: the store takes them.
///
/// # Errors
/// As [`ensure`].
pub async fn make_store_keys(cluster: &Cluster, identity: &Identity) -> Result<(), KeyringError> {
    let entries = owned(with_entropy(objectstore::mint)?);
    create(cluster, identity, &identity.name.object_store_keys(), entries).await
}

/// Makes the generated keys go with the project, or stay, as `policy` says.
///
/// # Errors
/// The API server refused or did not answer.
pub async fn retain(
    cluster: &Cluster,
    identity: &Identity,
    secrets: &Secrets,
    policy: DeletionPolicy,
) -> Result<(), CallError> {
    for name in render::generated_names(identity) {
        let data = secrets.get(name.as_str()).and_then(Option::as_ref);
        if let Some(tie) = data.and_then(|data| Tie::of_secret(identity, policy, &name, data)) {
            cluster.tie(identity, &tie).await?;
        }
    }
    Ok(())
}

async fn create(
    cluster: &Cluster,
    identity: &Identity,
    name: &ObjectName,
    entries: BTreeMap<String, Sensitive>,
) -> Result<(), KeyringError> {
    let secret = render::generated(identity, name, &entries);
    if cluster.create_secret(identity, &secret).await? {
        tracing::info!(namespace = identity.namespace, %name, "generated keys were made");
    }
    Ok(())
}

fn lost(identity: &Identity, name: &ObjectName) -> Problem {
    let namespace = &identity.namespace;
    Problem::new(
        Reason::KeysMissing,
        format!(
            "Secret {namespace}/{name} with the project's keys is gone, and new ones would lock every app out; restore it from a backup, or delete the project and make it again to start over with new keys"
        ),
    )
}

fn as_it_was(data: &SecretData) -> BTreeMap<String, Sensitive> {
    let text = |bytes: &Vec<u8>| Sensitive::new(String::from_utf8_lossy(bytes));
    data.keys.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn owned(entries: BTreeMap<&'static str, Sensitive>) -> BTreeMap<String, Sensitive> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Runs `make` with the operating system's random bytes.
fn with_entropy<T>(make: impl FnOnce(keys::Entropy<'_>) -> T) -> Result<T, KeyringError> {
    let mut complete = true;
    let result = make(&mut |bytes| complete &= OsRng.try_fill_bytes(bytes).is_ok());
    if complete { Ok(result) } else { Err(KeyringError::Entropy) }
}
