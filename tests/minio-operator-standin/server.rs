//! The objects of a Tenant, named and made as the real operator does it; and its bucket.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use supabase_operator::bucket;
use supabase_operator::plan::{BucketEndpoint, BucketLogin, UserKeys};
use supabase_operator::sensitive::Sensitive;

const MANAGER: &str = "minio-operator-standin";
/// Digest of the pod template without its image: a change of it is rolled out also while nothing runs.
const TEMPLATE: &str = "minio-operator-standin/template";

pub type Keys = BTreeMap<String, String>;

pub enum Configured {
    /// There is no such Secret yet; the real operator comes back.
    Missing,
    /// It does not have what it needs; the real operator does not come back.
    Incomplete,
    Keys(Keys),
}

/// Root user and password from the shell assignments in `config.env`.
pub async fn credentials(client: &Client, tenant: &DynamicObject) -> Result<Configured, kube::Error> {
    let name = tenant.data["spec"]["configuration"]["name"].as_str().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &tenant.namespace().unwrap_or_default());
    let Some(secret) = secrets.get_opt(name).await? else { return Ok(Configured::Missing) };
    let file = secret.data.unwrap_or_default().remove("config.env").map(|bytes| bytes.0).unwrap_or_default();
    let keys: Keys = String::from_utf8_lossy(&file)
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    let complete = ["MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"].iter().all(|key| keys.contains_key(*key));
    Ok(if complete { Configured::Keys(keys) } else { Configured::Incomplete })
}

fn owner(tenant: &DynamicObject) -> Value {
    json!([{
        "apiVersion": "minio.min.io/v2", "kind": "Tenant", "name": tenant.name_any(),
        "uid": tenant.uid(), "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Service `minio` (whoever comes last has it), `<tenant>-hl` and `<tenant>-console`.
pub async fn services(client: &Client, tenant: &DynamicObject) -> Result<(), kube::Error> {
    let name = tenant.name_any();
    let selector = json!({"v1.min.io/tenant": name});
    let port = |name: &str, port: u16, target: u16| json!([{"name": name, "port": port, "targetPort": target, "protocol": "TCP"}]);
    let services = [
        ("minio".to_owned(), json!({"selector": selector, "ports": port("http-minio", 80, 9000)})),
        (
            format!("{name}-hl"),
            json!({"selector": selector, "clusterIP": "None", "publishNotReadyAddresses": true, "ports": port("http-minio", 9000, 9000)}),
        ),
        (
            format!("{name}-console"),
            json!({"selector": {"v1.min.io/console": format!("{name}-console")}, "ports": port("http-console", 9090, 9090)}),
        ),
    ];
    let api: Api<Service> = Api::namespaced(client.clone(), &tenant.namespace().unwrap_or_default());
    for (service, spec) in services {
        // The first Tenant stays the owner of a Service that another one took.
        let first = api.get_opt(&service).await?.is_none();
        let mut body = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": spec});
        if first {
            body["metadata"]["ownerReferences"] = owner(tenant);
        }
        let patch = Patch::Merge(&body);
        if first {
            api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await?;
        } else {
            api.patch(&service, &PatchParams::default(), &patch).await?;
        }
    }
    Ok(())
}

pub enum Rollout {
    Created,
    Upgraded,
    Available(i64),
}

/// Makes or changes the StatefulSet. As with the real operator, a new image is ignored while the servers are down, and
/// any other change is not.
pub async fn stateful_set(client: &Client, tenant: &DynamicObject) -> Result<Rollout, kube::Error> {
    let wanted = body(tenant);
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &tenant.namespace().unwrap_or_default());
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(live) = api.get_opt(&name).await? else {
        api.create(&PostParams::default(), &serde_json::from_value(wanted).unwrap()).await?;
        return Ok(Rollout::Created);
    };
    let live = serde_json::to_value(&live).unwrap();
    let available = live["status"]["availableReplicas"].as_i64().unwrap_or_default();
    let image = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    if live["metadata"]["annotations"][TEMPLATE] != wanted["metadata"]["annotations"][TEMPLATE] {
        let mut template = wanted["spec"]["template"].clone();
        template["spec"]["containers"][0]["image"] = image(&live);
        let patch =
            json!({"metadata": {"annotations": wanted["metadata"]["annotations"]}, "spec": {"template": template}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    if image(&live) == image(&wanted) {
        return Ok(Rollout::Available(available));
    }
    if available < live["spec"]["replicas"].as_i64().unwrap_or_default() {
        println!("{name} is not running can't update image online");
        return Ok(Rollout::Available(available));
    }
    let container = json!([{"name": "minio", "image": image(&wanted)}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": container}}}});
    api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(Rollout::Upgraded)
}

fn body(tenant: &DynamicObject) -> Value {
    let name = tenant.name_any();
    let spec = &tenant.data["spec"];
    let pool = &spec["pools"][0];
    let set = format!("{name}-{}", pool["name"].as_str().unwrap_or_default());
    let (servers, volumes) = (pool["servers"].as_i64().unwrap_or(1), pool["volumesPerServer"].as_i64().unwrap_or(1));
    let labels = json!({
        "v1.min.io/tenant": name, "v1.min.io/pool": pool["name"], "v1.min.io/console": format!("{name}-console"),
    });
    let claim_name = pool["volumeClaimTemplate"]["metadata"]["name"].as_str().unwrap_or("data");
    let claims: Vec<Value> = (0..volumes)
        .map(|n| json!({"metadata": {"name": format!("{claim_name}{n}")}, "spec": pool["volumeClaimTemplate"]["spec"]}))
        .collect();
    let path = |n: i64| if volumes == 1 { "/export".to_owned() } else { format!("/export{n}") };
    let mut mounts: Vec<Value> =
        (0..volumes).map(|n| json!({"name": format!("{claim_name}{n}"), "mountPath": path(n)})).collect();
    mounts.push(json!({"name": "configuration", "mountPath": "/tmp/minio", "readOnly": true}));
    let range = |count: i64, from: i64| format!("{{{from}...{}}}", from + count - 1);
    let paths = if volumes == 1 { "/export".to_owned() } else { format!("/export{}", range(volumes, 0)) };
    let drives = if servers == 1 {
        paths
    } else {
        let namespace = tenant.namespace().unwrap_or_default();
        format!("http://{set}-{}.{name}-hl.{namespace}.svc.cluster.local:9000{paths}", range(servers, 0))
    };
    let template = json!({
        "metadata": {"labels": labels, "annotations": pool["annotations"]},
        "spec": {
            "securityContext": pool["securityContext"],
            "containers": [{
                "name": "minio",
                "image": spec["image"],
                "imagePullPolicy": spec["imagePullPolicy"],
                "args": ["server", "--console-address", ":9090", drives],
                "env": [{"name": "MINIO_CONFIG_ENV_FILE", "value": "/tmp/minio/config.env"}],
                "ports": [{"containerPort": 9000}, {"containerPort": 9090}],
                "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": 9000}, "initialDelaySeconds": 5, "periodSeconds": 1},
                "resources": pool["resources"],
                "securityContext": pool["containerSecurityContext"],
                "volumeMounts": mounts,
            }],
            "volumes": [{"name": "configuration", "secret": {"secretName": spec["configuration"]["name"]}}],
        },
    });
    let mut without_image = template.clone();
    without_image["spec"]["containers"][0]["image"] = Value::Null;
    let digest = supabase_operator::render::Digest::of(&without_image).to_hex();
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": set, "labels": labels, "ownerReferences": owner(tenant), "annotations": {TEMPLATE: digest}, "managedFields": null},
        "spec": {
            "replicas": servers, "serviceName": format!("{name}-hl"), "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": template, "volumeClaimTemplates": claims,
        },
    })
}

/// Whether the store answers and has its bucket, which is made where it is missing.
pub async fn bucket(client: &Client, tenant: &DynamicObject, keys: &Keys, bucket: Option<&str>) -> bool {
    let services: Api<Service> = Api::namespaced(client.clone(), &tenant.namespace().unwrap_or_default());
    let Ok(service) = services.get("minio").await else { return false };
    // By address: this process does not use the cluster's DNS.
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    let key = |name: &str| Sensitive::new(keys.get(name).cloned().unwrap_or_default());
    let endpoint = BucketEndpoint {
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        bucket: bucket.unwrap_or("standin-health").to_owned(),
        login: BucketLogin::Keys(UserKeys {
            access_key_id: key("MINIO_ROOT_USER"),
            secret_access_key: key("MINIO_ROOT_PASSWORD"),
        }),
        force_path_style: true,
        ca: None,
        secret: MANAGER.to_owned(),
    };
    match bucket::ensure(&endpoint).await {
        Ok(_) => true,
        Err(problem) => {
            println!("{}: {}", tenant.name_any(), problem.message);
            false
        }
    }
}
