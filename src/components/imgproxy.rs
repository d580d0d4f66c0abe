//! imgproxy: image transformations for the Storage API, which hands it presigned URLs. Nothing else may reach it: it
//! fetches what it is told. Facts: `docs.imgproxy.net/configuration/options`.

use super::connection::{AUTHORITIES, storage_authority};
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::plan::Plan;
use crate::plan::keys::Credentials;

pub static WORKLOAD: Workload = Workload {
    component: Component::Imgproxy,
    name: "imgproxy",
    field: "imgproxy",
    title: "imgproxy",
    condition: "ImgproxyReady",
    image_key: "imgproxy",
    wave: 2,
    settings: |spec| Settings::of(spec.imgproxy.as_ref()),
    upstream: None,
    port: 5001,
    more_ports: &[],
    user: 999,
    probes: Probes { port: 5001, ready: "/health", live: Some("/health"), start_seconds: 60 },
    command: Command::Image,
    migration: None,
    writable: &["/var/cache/fontconfig"],
    configuration,
    size: Size { cpu: "100m", memory: "128Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, _: &Credentials) -> Configuration {
    let mut config = Configuration::default();
    config.set("IMGPROXY_BIND", format!(":{}", WORKLOAD.port));
    config.set("IMGPROXY_USE_ETAG", "true");
    config.set("IMGPROXY_AUTO_WEBP", "true");
    // Megapixels: what a larger image costs in memory is more than the pod has.
    config.set("IMGPROXY_MAX_SRC_RESOLUTION", "16.8");
    if storage_authority(plan).is_some() {
        // Go reads the system's bundle too: that one is a file, this is a directory.
        config.set("SSL_CERT_DIR", format!("/etc/ssl/certs:{AUTHORITIES}"));
    }
    config
}
