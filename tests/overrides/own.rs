//! The fields of a project, and those that only one component has.

use serde_json::Value;
use supabase_operator::components::{COMPONENTS, KONG};
use supabase_operator::plan::releases::Catalogue;

use super::change::{Case, Expected, Place, case, place};

fn is(kind: &'static str, name: &str, pointer: &str, value: impl Into<Value>) -> Place {
    place(kind, name, pointer, Expected::Is(value.into()))
}

/// Entries of a component's ConfigMap.
fn config<const N: usize>(name: &str, entries: [(&str, &str); N]) -> Vec<Place> {
    entries.map(|(key, value)| is("ConfigMap", name, &format!("/data/{key}"), value)).into()
}

/// Parts of entries of Secrets.
fn secret<const N: usize>(part: &str, entries: [(&str, &str); N]) -> Vec<Place> {
    let entry =
        |(name, key): (&str, &str)| place("Secret", name, &format!("/data/{key}"), Expected::Mentions(part.to_owned()));
    entries.map(entry).into()
}

fn tenant<const N: usize>(name: &str, entries: [(&str, Value); N]) -> Vec<Place> {
    entries.map(|(pointer, value)| is("Tenant", name, &format!("/tenant/{pointer}"), value)).into()
}

fn endpoint<const N: usize>(name: &str, entries: [(&str, Value); N]) -> Vec<Place> {
    entries.map(|(pointer, value)| is("Endpoint", name, &format!("/{pointer}"), value)).into()
}

/// Every component that connects, with its connection string.
const CONNECTIONS: [(&str, &str); 4] = [
    ("orders-auth", "GOTRUE_DB_DATABASE_URL"),
    ("orders-storage", "DATABASE_URL"),
    ("orders-functions", "SUPABASE_DB_URL"),
    ("orders-pooler", "DATABASE_URL"),
];
const POOLER: &str = "pooler: {enabled: true}";
const SETTINGS: &str = "extensions/0/settings";

pub fn cases() -> Vec<Case> {
    [project(), database(), tls(), storage(), gateway(), services(), functions(), vec![release()]]
        .into_iter()
        .flatten()
        .collect()
}

fn project() -> Vec<Case> {
    let id = [
        config("orders-storage", [("TENANT_ID", "acme")]),
        config("orders-realtime", [("SELF_HOST_TENANT_NAME", "acme")]),
        config("orders-studio", [("DEFAULT_PROJECT_NAME", "acme")]),
        secret("acme", [("orders-gateway", "rds.json")]),
        vec![is("Tenant", "orders-realtime", "/id", "acme"), is("Tenant", "orders-pooler", "/id", "acme")],
        tenant("orders-realtime", [("external_id", "acme".into()), ("name", "acme".into())]),
    ];
    let url = "https://api.example.com";
    let auth = "https://api.example.com/auth/v1";
    let public = [
        config("orders-auth", [("API_EXTERNAL_URL", auth), ("GOTRUE_JWT_ISSUER", auth), ("GOTRUE_SITE_URL", url)]),
        config("orders-postgrest", [("PGRST_OPENAPI_SERVER_PROXY_URI", "https://api.example.com/rest/v1")]),
        config("orders-storage", [("STORAGE_PUBLIC_URL", url)]),
        config("orders-studio", [("SUPABASE_PUBLIC_URL", url)]),
        secret(
            url,
            [("orders-functions", "SUPABASE_PUBLIC_URL"), ("orders-api-keys", "url"), ("orders-service-keys", "url")],
        ),
        secret("443", [("orders-gateway", "rds.json")]),
    ];
    vec![
        case(&format!("{{{POOLER}}}"), "projectId", "acme", id.concat()),
        case("{}", "publicUrl", url, public.concat()),
    ]
}

fn database() -> Vec<Case> {
    let host = "other.example.com";
    let settings = |name: &str| format!("{SETTINGS}/{name}");
    let places = [
        endpoint(
            "database",
            [
                ("host", host.into()),
                ("port", 6543.into()),
                ("database", "other".into()),
                ("password", "other-password".into()),
            ],
        ),
        config("orders-postgrest", [("PGHOST", host), ("PGPORT", "6543"), ("PGDATABASE", "other")]),
        config("orders-realtime", [("DB_HOST", host), ("DB_PORT", "6543"), ("DB_NAME", "other")]),
        config("orders-meta", [("PG_META_DB_HOST", host), ("PG_META_DB_PORT", "6543"), ("PG_META_DB_NAME", "other")]),
        config("orders-studio", [("POSTGRES_HOST", host), ("POSTGRES_PORT", "6543"), ("POSTGRES_DB", "other")]),
        secret("@other.example.com:6543/other?", CONNECTIONS),
        tenant("orders-pooler", [("db_host", host.into()), ("db_port", 6543.into()), ("db_database", "other".into())]),
        tenant(
            "orders-realtime",
            [
                (&settings("db_host"), host.into()),
                (&settings("db_port"), "6543".into()),
                (&settings("db_name"), "other".into()),
            ],
        ),
    ];
    let privileges = endpoint("database", [("privileges", "Prepared".into())]);
    vec![
        case(&format!("{{{POOLER}}}"), "database.secretRef", "{name: other-postgres}", places.concat()),
        case("{}", "database.privileges", "Prepared", privileges),
    ]
}

const AUTHORITY: &str = "/etc/supabase/authorities/database.crt";
const VERIFIED: &str = "{database: {sslMode: verify-full, caSecretRef: {name: orders-ca}}, pooler: {enabled: true}}";

/// Of pods that mount the certificate authorities.
fn rolled(names: &[(&'static str, &str)]) -> Vec<Place> {
    let hash = "/spec/template/metadata/annotations/supabase-operator.dev~1config-hash";
    names.iter().map(|(kind, name)| place(kind, name, hash, Expected::Other)).collect()
}

/// Who verifies the database.
const VERIFIERS: [(&str, &str); 10] = [
    ("Deployment", "orders-auth"),
    ("Job", "orders-auth"),
    ("Deployment", "orders-postgrest"),
    ("Deployment", "orders-realtime"),
    ("Job", "orders-realtime"),
    ("Deployment", "orders-storage"),
    ("Deployment", "orders-meta"),
    ("Deployment", "orders-functions"),
    ("Deployment", "orders-pooler"),
    ("Job", "orders-pooler"),
];

fn mounted(names: &[(&'static str, &str)]) -> Vec<Place> {
    let volumes = |(kind, name): &(&'static str, &str)| {
        ["/spec/template/spec/volumes", "/spec/template/spec/containers/0/volumeMounts"]
            .map(|pointer| place(kind, name, pointer, Expected::Other))
    };
    names.iter().flat_map(volumes).collect()
}

fn tls() -> Vec<Case> {
    let plain = [
        endpoint("database", [("sslMode", "disable".into())]),
        config("orders-postgrest", [("PGSSLMODE", "disable")]),
        config("orders-realtime", [("DB_SSL", "false")]),
        config("orders-meta", [("PG_META_DB_SSL_MODE", "disable")]),
        vec![place("ConfigMap", "orders-meta", "/data/PGSSLMODE", Expected::Gone)],
        secret("sslmode=disable", [CONNECTIONS[0], CONNECTIONS[2]]),
        [CONNECTIONS[1], CONNECTIONS[3]]
            .map(|(name, key)| place("Secret", name, &format!("/data/{key}"), Expected::Forgets("ssl".to_owned())))
            .into(),
        tenant("orders-pooler", [("upstream_ssl", false.into())]),
        tenant("orders-realtime", [(&format!("{SETTINGS}/ssl_enforced"), false.into())]),
    ];
    let authority = |pem: &str| {
        [
            endpoint("database", [("ca", pem.into())]),
            vec![is("ConfigMap", "orders-authorities", "/data/database.crt", pem)],
            rolled(&VERIFIERS),
        ]
        .concat()
    };
    let verified = [
        endpoint("database", [("sslMode", "verify-full".into()), ("ca", "-----BEGIN CERTIFICATE----- one".into())]),
        vec![place("ConfigMap", "orders-authorities", "", Expected::New)],
        config("orders-postgrest", [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", AUTHORITY)]),
        config("orders-realtime", [("DB_SSL_CA_CERT", AUTHORITY)]),
        config(
            "orders-meta",
            [("PG_META_DB_SSL_MODE", "verify-full"), ("NODE_EXTRA_CA_CERTS", AUTHORITY), ("PGSSLMODE", "require")],
        ),
        config("orders-pooler", [("GLOBAL_UPSTREAM_CA_PATH", AUTHORITY)]),
        secret(
            &format!("sslmode=verify-full&sslrootcert={AUTHORITY}"),
            [CONNECTIONS[0], CONNECTIONS[1], CONNECTIONS[2]],
        ),
        tenant("orders-pooler", [("upstream_verify", "peer".into())]),
        mounted(&VERIFIERS),
        rolled(&VERIFIERS),
    ];
    let verify_ca = [
        endpoint("database", [("sslMode", "verify-ca".into())]),
        config("orders-postgrest", [("PGSSLMODE", "verify-ca")]),
        config("orders-meta", [("PG_META_DB_SSL_MODE", "verify-ca")]),
        secret("sslmode=verify-ca", [CONNECTIONS[0], CONNECTIONS[2]]),
    ];
    vec![
        case(&format!("{{{POOLER}}}"), "database.sslMode", "disable", plain.concat()),
        case(VERIFIED, "database.sslMode", "verify-ca", verify_ca.concat()),
        case(
            &format!("{{{POOLER}}}"),
            "database",
            "{sslMode: verify-full, caSecretRef: {name: orders-ca}}",
            verified.concat(),
        ),
        case(VERIFIED, "database.caSecretRef.name", "other-ca", authority("-----BEGIN CERTIFICATE----- three")),
        case(VERIFIED, "database.caSecretRef.key", "bundle.pem", authority("-----BEGIN CERTIFICATE----- two")),
    ]
}

fn storage() -> Vec<Case> {
    let authority = "-----BEGIN CERTIFICATE----- two";
    let readers = [("Deployment", "orders-storage"), ("Deployment", "orders-imgproxy")];
    let secret_ref = [
        endpoint(
            "bucket",
            [
                ("endpoint", "http://minio.example.com:9000".into()),
                ("region", "eu-1".into()),
                ("bucket", "other-files".into()),
                ("password", "other-key".into()),
            ],
        ),
        config(
            "orders-storage",
            [
                ("STORAGE_S3_ENDPOINT", "http://minio.example.com:9000"),
                ("STORAGE_S3_REGION", "eu-1"),
                ("SERVER_REGION", "eu-1"),
                ("STORAGE_S3_BUCKET", "other-files"),
            ],
        ),
        secret("other-id", [("orders-storage", "AWS_ACCESS_KEY_ID")]),
        secret("other-key", [("orders-storage", "AWS_SECRET_ACCESS_KEY")]),
    ];
    let verified = [
        endpoint("bucket", [("ca", "-----BEGIN CERTIFICATE----- one".into())]),
        vec![place("ConfigMap", "orders-authorities", "", Expected::New)],
        config("orders-storage", [("NODE_EXTRA_CA_CERTS", "/etc/supabase/authorities/storage.crt")]),
        config("orders-imgproxy", [("SSL_CERT_DIR", "/etc/ssl/certs:/etc/supabase/authorities")]),
        mounted(&readers),
    ];
    let other_key = [
        endpoint("bucket", [("ca", authority.into())]),
        vec![is("ConfigMap", "orders-authorities", "/data/storage.crt", authority)],
        rolled(&readers),
    ];
    let path_style = [
        endpoint("bucket", [("forcePathStyle", false.into())]),
        config("orders-storage", [("STORAGE_S3_FORCE_PATH_STYLE", "false")]),
    ];
    let role = "/metadata/annotations/eks.amazonaws.com~1role-arn";
    let identity = [
        vec![is("ServiceAccount", "orders-storage", role, "arn:aws:iam::1:role/files")],
        rolled(&[("Deployment", "orders-storage")]),
    ];
    vec![
        case(
            "{storage: {secretRef: {name: keyless-s3}, workloadIdentity: {}}}",
            "storage.workloadIdentity.annotations",
            "{eks.amazonaws.com/role-arn: 'arn:aws:iam::1:role/files'}",
            identity.concat(),
        ),
        case("{}", "storage.secretRef", "{name: other-s3}", secret_ref.concat()),
        case("{}", "storage.forcePathStyle", "false", path_style.concat()),
        case("{}", "storage.caSecretRef", "{name: orders-ca}", verified.concat()),
        case(
            "{storage: {caSecretRef: {name: orders-ca}}}",
            "storage.caSecretRef.key",
            "bundle.pem",
            other_key.concat(),
        ),
    ]
}

fn gateway() -> Vec<Case> {
    let newest = Catalogue::default().choose(None, None).unwrap();
    let kong = || {
        let mut places =
            vec![is("Deployment", "orders-gateway", "/spec/template/spec/containers/0/image", newest.image(KONG))];
        // Another program with files of its own.
        places.push(place("Deployment", "orders-gateway", "/spec/template", Expected::Other));
        places.extend(["ConfigMap", "Secret"].map(|kind| place(kind, "orders-gateway", "", Expected::Other)));
        places
    };
    vec![case("{gateway: {type: Envoy}}", "gateway.type", "Kong", kong()), case("{}", "kong", "{replicas: 1}", kong())]
}

fn services() -> Vec<Case> {
    let schemas = [
        config("orders-postgrest", [("PGRST_DB_SCHEMAS", "api,graphql_public")]),
        config("orders-studio", [("PGRST_DB_SCHEMAS", "api,graphql_public")]),
    ];
    let rows = [
        config("orders-postgrest", [("PGRST_DB_MAX_ROWS", "7")]),
        config("orders-studio", [("PGRST_DB_MAX_ROWS", "7")]),
    ];
    let keys = ["s3-access-key-id", "s3-secret-access-key"]
        .map(|key| place("Secret", "orders-service-keys", &format!("/data/{key}"), Expected::Gone));
    let own_keys = ["S3_PROTOCOL_ACCESS_KEY_ID", "S3_PROTOCOL_ACCESS_KEY_SECRET"]
        .map(|key| place("Secret", "orders-storage", &format!("/data/{key}"), Expected::Gone));
    let no_s3 = [config("orders-storage", [("S3_PROTOCOL_ENABLED", "false")]), keys.into(), own_keys.into()];
    let login = [
        vec![place("Secret", "orders-dashboard", "", Expected::Gone)],
        vec![place("Secret", "orders-gateway", "/data/rds.json", Expected::Other)],
    ];
    let pool_size = tenant("orders-pooler", [("default_pool_size", 7.into()), ("users/0/pool_size", 7.into())]);
    let limit = |field: &str, entry: &str| {
        case("{}", &format!("realtime.{field}"), "7", tenant("orders-realtime", [(entry, 7.into())]))
    };
    let studio = |field: &str, key: &str, value: &str| {
        case("{}", &format!("studio.{field}"), value, config("orders-studio", [(key, value)]))
    };
    vec![
        case("{}", "postgrest.schemas", "[api]", schemas.concat()),
        case("{}", "postgrest.maxRows", "7", rows.concat()),
        limit("maxConcurrentUsers", "max_concurrent_users"),
        limit("maxEventsPerSecond", "max_events_per_second"),
        limit("maxChannelsPerClient", "max_channels_per_client"),
        limit("maxJoinsPerSecond", "max_joins_per_second"),
        limit("maxBytesPerSecond", "max_bytes_per_second"),
        case(
            "{}",
            "storageApi.fileSizeLimit",
            "1Gi",
            config("orders-storage", [("UPLOAD_FILE_SIZE_LIMIT", "1073741824")]),
        ),
        case("{}", "storageApi.s3Protocol", "false", no_s3.concat()),
        studio("publicUrl", "SUPABASE_PUBLIC_URL", "https://studio.example.com"),
        studio("organizationName", "DEFAULT_ORGANIZATION_NAME", "Acme"),
        studio("projectName", "DEFAULT_PROJECT_NAME", "Shop"),
        case("{}", "studio.dashboardBasicAuthSecretRef", "{name: orders-login}", login.concat()),
        case(&format!("{{{POOLER}}}"), "pooler.defaultPoolSize", "7", pool_size),
        case(
            &format!("{{{POOLER}}}"),
            "pooler.maxClientConnections",
            "7",
            tenant("orders-pooler", [("default_max_clients", 7.into())]),
        ),
    ]
}

fn functions() -> Vec<Case> {
    let name = "orders-functions";
    let volumes = |volume: &str, mount: &str| {
        let places = [("volumes", volume), ("containers/0/volumeMounts", mount)];
        places.map(|(field, item)| {
            let item = Expected::Contains(super::change::yaml(item));
            place("Deployment", name, &format!("/spec/template/spec/{field}"), item)
        })
    };
    let code = volumes(
        "{name: mount-0, configMap: {name: code}}",
        "{name: mount-0, mountPath: /home/deno/functions/hello, readOnly: true}",
    );
    let claim = volumes(
        "{name: mount-0, persistentVolumeClaim: {claimName: code, readOnly: true}}",
        "{name: mount-0, mountPath: /home/deno/functions, subPath: shop, readOnly: true}",
    );
    let hash = |kind: &str| {
        let pointer = format!("/spec/template/metadata/annotations/supabase-operator.dev~1{kind}-hash");
        [place("Deployment", name, &pointer, Expected::Other)]
    };
    let from = super::change::yaml("{secretRef: {name: orders-functions-secrets}}");
    let sources = [place("Deployment", name, "/spec/template/spec/containers/0/envFrom", Expected::Contains(from))];
    vec![
        case(
            "{}",
            "functions.functions",
            "[{name: hello, configMapRef: {name: code}}]",
            [code.to_vec(), hash("config").to_vec()].concat(),
        ),
        case("{}", "functions.volume", "{claimName: code, subPath: shop}", claim.to_vec()),
        case(
            "{}",
            "functions.secretRef",
            "{name: orders-functions-secrets}",
            [sources.to_vec(), hash("secret").to_vec()].concat(),
        ),
        case("{}", "functions.verifyJwt", "false", secret("false", [(name, "VERIFY_JWT")])),
    ]
}

/// Another release is other images, and the migrations that they bring.
fn release() -> Case {
    let catalogue = Catalogue::default();
    let names: Vec<&str> = catalogue.names().collect();
    let (oldest, newest) = (names[0], names[names.len() - 1]);
    let (old, new) = (catalogue.choose(Some(oldest), None).unwrap(), catalogue.choose(Some(newest), None).unwrap());
    let mut places = Vec::new();
    for workload in COMPONENTS {
        let name = format!("orders-{}", workload.name);
        places.push(is("Deployment", &name, "/metadata/labels/app.kubernetes.io~1version", oldest));
        if old.image(workload) == new.image(workload) {
            continue;
        }
        let kinds = if workload.migration.is_some() { &["Deployment", "Job"][..] } else { &["Deployment"] };
        for kind in kinds {
            places.push(is(kind, &name, "/spec/template/spec/containers/0/image", old.image(workload)));
        }
        if workload.migration.is_some() {
            places.push(place(
                "Deployment",
                &name,
                "/metadata/annotations/supabase-operator.dev~1migration",
                Expected::Other,
            ));
        }
    }
    case(&format!("{{{POOLER}}}"), "release", oldest, places)
}

#[test]
fn every_own_field_changes_its_places_and_nothing_else() {
    let said: String = cases().iter().map(Case::check).collect();
    assert!(said.is_empty(), "\n{said}");
}
