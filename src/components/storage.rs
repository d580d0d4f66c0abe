//! The Storage API on S3. Facts: its `src/config.ts`.

use super::connection::{Driver, storage_authority, url};
use super::{Command, Component, Configuration, Probes, Settings, Size, Stop, Workload};
use crate::gateway::Upstream;
use crate::plan::keys::{Credentials, Purpose};
use crate::plan::{BucketLogin, Plan};
use crate::sql::Role;

pub static WORKLOAD: Workload = Workload {
    component: Component::Storage,
    name: "storage",
    field: "storageApi",
    title: "the Storage API",
    condition: "StorageAPIReady",
    image_key: "storageApi",
    wave: 2,
    settings: |spec| Settings::of(spec.storage_api.as_ref().map(|storage| &storage.component)),
    upstream: Some(Upstream::Storage),
    port: 5000,
    more_ports: &[],
    user: 1000,
    // It migrates before it listens, under a lock of its own.
    probes: Probes { port: 5000, ready: "/status", live: Some("/status"), start_seconds: 300 },
    command: Command::Image,
    migration: None,
    writable: &[],
    configuration,
    // It idles at 250 MiB.
    size: Size { cpu: "100m", memory: "256Mi", memory_limit: "1Gi" },
    stop: Stop::Sleep { seconds: 5 },
};

fn configuration(plan: &Plan, credentials: &Credentials) -> Configuration {
    let mut config = Configuration::default();
    let bucket = &plan.bucket;
    config.set("SERVER_HOST", "0.0.0.0");
    config.set("SERVER_PORT", WORKLOAD.port.to_string());
    config.set("SERVER_REGION", &bucket.region);
    config.set("TENANT_ID", &plan.project_id);
    config.set("DB_INSTALL_ROLES", "false");
    config.set("DB_SUPER_USER", "postgres");
    config.set("STORAGE_BACKEND", "s3");
    config.set("STORAGE_S3_BUCKET", &bucket.bucket);
    config.set("STORAGE_S3_ENDPOINT", &bucket.endpoint);
    config.set("STORAGE_S3_REGION", &bucket.region);
    config.set("STORAGE_S3_FORCE_PATH_STYLE", bucket.force_path_style.to_string());
    config.set("STORAGE_PUBLIC_URL", &plan.public_url);
    config.set("REQUEST_ALLOW_X_FORWARDED_PATH", "true");
    config.set("UPLOAD_FILE_SIZE_LIMIT", plan.storage.file_size_limit.to_string());
    config.set("EXPOSE_DOCS", "false");
    let transforms = plan.workloads.get(&Component::Imgproxy);
    config.set("IMAGE_TRANSFORMATION_ENABLED", transforms.is_some().to_string());
    if let Some(imgproxy) = transforms {
        let host = plan.identity.name.component(Component::Imgproxy);
        config.set("IMGPROXY_URL", format!("http://{host}:{}", imgproxy.workload.port));
    }
    config.set("S3_PROTOCOL_ENABLED", plan.storage.s3_protocol.to_string());
    if plan.storage.s3_protocol {
        config.set_secret("S3_PROTOCOL_ACCESS_KEY_ID", &credentials.derived(Purpose::S3AccessKeyId));
        config.set_secret("S3_PROTOCOL_ACCESS_KEY_SECRET", &credentials.derived(Purpose::S3SecretAccessKey));
    }
    if let Some(authority) = storage_authority(plan) {
        config.set("NODE_EXTRA_CA_CERTS", authority);
    }
    let database = url(plan, credentials, Role::StorageAdmin, "postgres", Driver::Node);
    config.set_secret("DATABASE_URL", &database);
    config.set_secret("AUTH_JWT_SECRET", &credentials.jwt_secret);
    config.set_secret("JWT_JWKS", &credentials.jwks);
    config.set_secret("ANON_KEY", &credentials.anon_key);
    config.set_secret("SERVICE_KEY", &credentials.service_role_key);
    // Without them the AWS SDK asks what the cloud gave to the pod.
    if let BucketLogin::Workload { annotations } = &bucket.login {
        config.identity.clone_from(annotations);
    }
    if let Some(keys) = bucket.login.keys() {
        config.set_secret("AWS_ACCESS_KEY_ID", &keys.access_key_id);
        config.set_secret("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn without_imgproxy_there_are_no_transformations() {
        let credentials = testing::credentials();
        let mut plan = testing::plan();
        let config = configuration(&plan, &credentials);
        assert_eq!(config.plain["IMGPROXY_URL"], "http://demo-imgproxy:5001");
        plan.workloads.remove(&Component::Imgproxy);
        let config = configuration(&plan, &credentials);
        assert_eq!(config.plain["IMAGE_TRANSFORMATION_ENABLED"], "false");
        assert!(!config.plain.contains_key("IMGPROXY_URL"));
    }

    #[test]
    fn files_lie_under_the_project_s_id() {
        let mut plan = testing::plan();
        plan.project_id = "tenant-7".to_owned();
        assert_eq!(configuration(&plan, &testing::credentials()).plain["TENANT_ID"], "tenant-7");
    }
}
