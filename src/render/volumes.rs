//! Volumes of a workload's pods, and where they are mounted.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume,
    VolumeMount,
};

use super::workload::Part;
use crate::components::{AUTHORITIES, Content, Mount};

/// A volume and its mount.
struct Mounted {
    volume: Volume,
    directory: String,
    sub_path: Option<String>,
    writable: bool,
}

impl Mounted {
    fn read_only(volume: Volume, directory: &str) -> Self {
        Self { volume, directory: directory.to_owned(), sub_path: None, writable: false }
    }

    fn scratch(name: String, directory: &str) -> Self {
        let volume = Volume { name, empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
        Self { volume, directory: directory.to_owned(), sub_path: None, writable: true }
    }
}

pub fn volumes(part: &Part<'_>) -> Vec<Volume> {
    all(part).into_iter().map(|mounted| mounted.volume).collect()
}

pub fn mounts(part: &Part<'_>) -> Vec<VolumeMount> {
    let mount = |mounted: Mounted| VolumeMount {
        name: mounted.volume.name,
        mount_path: mounted.directory,
        sub_path: mounted.sub_path,
        read_only: (!mounted.writable).then_some(true),
        ..VolumeMount::default()
    };
    all(part).into_iter().map(mount).collect()
}

fn all(part: &Part<'_>) -> Vec<Mounted> {
    let configuration = part.configuration;
    let mut all = vec![Mounted::scratch("tmp".to_owned(), "/tmp")];
    for (index, directory) in part.workload().writable.iter().enumerate() {
        all.push(Mounted::scratch(format!("writable-{index}"), directory));
    }
    if let Content::Files(directory) | Content::WatchedFiles(directory) = configuration.plain_content {
        all.push(Mounted::read_only(config_map("config".to_owned(), part.name.to_string()), directory));
    }
    if let Content::Files(directory) | Content::WatchedFiles(directory) = configuration.secret_content {
        all.push(Mounted::read_only(secret("secret", part.name.to_string()), directory));
    }
    if configuration.names_authorities() {
        let name = part.plan.identity.name.authorities().to_string();
        all.push(Mounted::read_only(config_map("authorities".to_owned(), name), AUTHORITIES));
    }
    for (index, mount) in configuration.mounts.iter().enumerate() {
        all.push(users(format!("mount-{index}"), mount));
    }
    all
}

fn users(volume: String, mount: &Mount) -> Mounted {
    match mount {
        Mount::ConfigMap { name, directory, .. } => Mounted::read_only(config_map(volume, name.clone()), directory),
        Mount::Claim { name, directory, sub_path } => {
            let claim = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: Some(true) };
            let volume = Volume { name: volume, persistent_volume_claim: Some(claim), ..Volume::default() };
            Mounted { sub_path: sub_path.clone(), ..Mounted::read_only(volume, directory) }
        }
    }
}

fn config_map(volume: String, name: String) -> Volume {
    Volume {
        name: volume,
        config_map: Some(ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

fn secret(volume: &str, name: String) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource { secret_name: Some(name), ..SecretVolumeSource::default() }),
        ..Volume::default()
    }
}
