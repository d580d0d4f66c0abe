//! The fields of a database and an object store that others run for the project.

use serde_json::{Value, json};

use super::change::{Case, Expected, Place, case, place, yaml};

/// Nothing of the user's own.
const MANAGED: &str = "{database: {secretRef: null, managed: {}}, storage: {secretRef: null, managed: {}}}";

fn cluster(pointer: &str, value: Value) -> Place {
    place("Cluster", "orders-db", pointer, Expected::Is(value))
}

fn tenant(pointer: &str, value: Value) -> Place {
    place("Tenant", "orders-minio", pointer, Expected::Is(value))
}

fn of_database(field: &str, value: &str, pointer: &str, becomes: Value) -> Case {
    case(MANAGED, &format!("database.managed.{field}"), value, vec![cluster(pointer, becomes)])
}

fn of_storage(field: &str, value: &str, pointer: &str, becomes: Value) -> Case {
    case(MANAGED, &format!("storage.managed.{field}"), value, vec![tenant(pointer, becomes)])
}

const RESOURCES: &str = "{requests: {cpu: '2', memory: 4Gi}}";

pub fn cases() -> Vec<Case> {
    [database(), storage(), life()].into_iter().flatten().collect()
}

fn database() -> Vec<Case> {
    let terms = "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: Exists}]}]}}";
    let taints = "[{key: databases, operator: Exists}]";
    let affinity = |field: &str, value: &str| {
        of_database(&format!("affinity.{field}"), value, "/spec/affinity", json!({field: yaml(value)}))
    };
    let image = "{imageName: 'example.com/postgres:16.4', postgresUID: 999, postgresGID: 998}";
    let owner = vec![
        cluster("/spec/imageName", json!("example.com/postgres:16.4")),
        cluster("/spec/postgresUID", json!(999)),
        cluster("/spec/postgresGID", json!(998)),
        // Nothing is known of what it brings.
        place("Cluster", "orders-db", "/spec/postgresql/shared_preload_libraries", Expected::Gone),
    ];
    vec![
        affinity("nodeAffinity", terms),
        affinity("nodeSelector", "{disk: nvme}"),
        affinity("podAntiAffinityType", "required"),
        affinity("tolerations", taints),
        affinity("topologyKey", "zone"),
        case(MANAGED, "database.managed", image, owner),
        of_database("instances", "3", "/spec/instances", json!(3)),
        of_database(
            "parameters",
            "{max_connections: '300'}",
            "/spec/postgresql/parameters/max_connections",
            json!("300"),
        ),
        // The only one there is.
        case(MANAGED, "database.managed.provider", "CloudNativePG", Vec::new()),
        of_database("resources", RESOURCES, "/spec/resources", yaml(RESOURCES)),
        of_database(
            "sharedPreloadLibraries",
            "[pg_cron]",
            "/spec/postgresql/shared_preload_libraries",
            json!(["pg_cron"]),
        ),
        of_database("storage.size", "30Gi", "/spec/storage/size", json!("30Gi")),
        of_database("storage.storageClassName", "fast", "/spec/storage/storageClass", json!("fast")),
    ]
}

fn storage() -> Vec<Case> {
    let claim = "/spec/pools/0/volumeClaimTemplate/spec";
    let spread = vec![tenant("/spec/pools/0/servers", json!(4)), tenant("/spec/pools/0/volumesPerServer", json!(2))];
    let other = vec![
        place("Tenant", "orders-minio", "", Expected::Gone),
        place("Tenant", "orders-rustfs", "", Expected::New),
        place("Secret", "orders-object-store-config", "", Expected::Other),
        place("ConfigMap", "orders-storage", "/data", Expected::Other),
        place("Endpoint", "bucket", "", Expected::Other),
    ];
    vec![
        of_storage("image", "example.com/minio:1", "/spec/image", json!("example.com/minio:1")),
        of_storage("resources", RESOURCES, "/spec/pools/0/resources", yaml(RESOURCES)),
        of_storage("size", "30Gi", &format!("{claim}/resources/requests/storage"), json!("30Gi")),
        of_storage("storageClassName", "bulk", &format!("{claim}/storageClassName"), json!("bulk")),
        case(MANAGED, "storage.managed", "{servers: 4, volumesPerServer: 2}", spread),
        case(MANAGED, "storage.managed.provider", "rustfs", other),
    ]
}

fn life() -> Vec<Case> {
    let owners = |kind, name| place(kind, name, "/metadata/ownerReferences", Expected::New);
    let deleted = vec![
        owners("Cluster", "orders-db"),
        owners("Tenant", "orders-minio"),
        owners("Secret", "orders-object-store-config"),
    ];
    let asleep = vec![
        place("Cluster", "orders-db", "/metadata/annotations", Expected::New),
        place("Tenant", "orders-minio", "", Expected::Gone),
    ];
    vec![case(MANAGED, "deletionPolicy", "Delete", deleted), case(MANAGED, "suspend", "true", asleep)]
}

#[test]
fn every_field_about_what_others_run_changes_its_places_and_nothing_else() {
    let said: String = cases().iter().map(Case::check).collect();
    assert!(said.is_empty(), "\n{said}");
}
