//! What components want to know besides what every workload has, with every default resolved.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::Identity;
use super::inputs::{Inputs, SecretReader, Secrets};
use crate::api::{FunctionsSpec, PoolerSpec, PostgrestSpec, StorageApiSpec, SupabaseProjectSpec};
use crate::reason::{Problem, Reason};
use crate::render::Digest;
use crate::sensitive::Sensitive;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgrestSettings {
    pub schemas: Vec<String>,
    pub max_rows: i32,
}

pub fn postgrest(spec: Option<&PostgrestSpec>) -> PostgrestSettings {
    let spec = spec.cloned().unwrap_or_default();
    let mut schemas = spec.schemas;
    if schemas.is_empty() {
        schemas.push("public".to_owned());
    }
    if !schemas.iter().any(|schema| schema == crate::sql::PROBE_SCHEMA) {
        schemas.push(crate::sql::PROBE_SCHEMA.to_owned());
    }
    PostgrestSettings { schemas, max_rows: spec.max_rows.unwrap_or(1000) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Bytes.
    pub file_size_limit: u64,
    pub s3_protocol: bool,
}

pub fn storage(spec: Option<&StorageApiSpec>) -> Result<StorageSettings, Problem> {
    let limit = spec.and_then(|spec| spec.file_size_limit.as_ref());
    let file_size_limit = match limit {
        None => 50 * 1024 * 1024,
        Some(quantity) => bytes(quantity).ok_or_else(|| {
            let message = format!(
                "spec.storageApi.fileSizeLimit: {:?} is no whole number of bytes; write it as 52428800, 50Mi or 5G",
                quantity.0
            );
            Problem::new(Reason::SpecInvalid, message)
        })?,
    };
    Ok(StorageSettings { file_size_limit, s3_protocol: spec.and_then(|spec| spec.s3_protocol).unwrap_or(true) })
}

/// A positive quantity of whole bytes.
fn bytes(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.as_str();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(split)?;
    let factor: u64 = match suffix {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "T" => 1000_u64.pow(4),
        "Ki" => 1024,
        "Mi" => 1024_u64.pow(2),
        "Gi" => 1024_u64.pow(3),
        "Ti" => 1024_u64.pow(4),
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// A user name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: Sensitive,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudioSettings {
    pub public_url: String,
    pub organization: String,
    pub project: String,
    /// The user's own login; `None`: one is made.
    pub login: Option<Login>,
}

pub fn studio(spec: &SupabaseProjectSpec, identity: &Identity, secrets: &Secrets) -> Result<StudioSettings, Problem> {
    let studio = spec.studio.clone().unwrap_or_default();
    let login = match &studio.dashboard_basic_auth_secret_ref {
        None => None,
        Some(reference) => {
            let field = "spec.studio.dashboardBasicAuthSecretRef";
            let secret = SecretReader::open(secrets, field, &identity.namespace, &reference.name)?;
            let username = secret.line("username")?.to_owned();
            if username.contains(':') {
                return Err(secret.problem(Reason::SecretInvalid, "key \"username\" must not contain a colon"));
            }
            Some(Login { username, password: secret.password("password")? })
        }
    };
    let id = || spec.project_id.clone().unwrap_or_else(|| identity.name.to_string());
    Ok(StudioSettings {
        public_url: studio.public_url.unwrap_or_else(|| super::public_url(spec, identity)),
        organization: studio.organization_name.unwrap_or_else(|| "Default Organization".to_owned()),
        project: studio.project_name.unwrap_or_else(id),
        login,
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionsSettings {
    pub verify_jwt: bool,
    /// Name and digest of the user's Secret.
    pub secret: Option<(String, Digest)>,
    pub source: FunctionsSource,
}

/// Where the code of functions lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionsSource {
    ConfigMaps(Vec<Function>),
    Volume { claim: String, sub_path: Option<String> },
}

/// A function in a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub config_map: String,
    pub content: Digest,
}

pub fn functions(spec: Option<&FunctionsSpec>, inputs: &Inputs, namespace: &str) -> Result<FunctionsSettings, Problem> {
    let spec = spec.cloned().unwrap_or_default();
    let secret = match &spec.secret_ref {
        None => None,
        Some(reference) => {
            let secret = SecretReader::open(&inputs.secrets, "spec.functions.secretRef", namespace, &reference.name)?;
            let data: BTreeMap<_, _> =
                secret.data.keys.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
            Some((reference.name.clone(), Digest::of(&json!(data))))
        }
    };
    let source = if let Some(volume) = spec.volume {
        FunctionsSource::Volume { claim: volume.claim_name, sub_path: volume.sub_path }
    } else {
        let function = |function: crate::api::FunctionSpec| {
            let name = function.config_map_ref.name;
            let content = inputs.config_maps.get(&name).copied().flatten().ok_or_else(|| {
                let message = format!(
                    "spec.functions.functions[{}].configMapRef: there is no ConfigMap {namespace}/{name}; create it",
                    function.name
                );
                Problem::new(Reason::ConfigMapMissing, message)
            })?;
            Ok(Function { name: function.name, config_map: name, content })
        };
        FunctionsSource::ConfigMaps(spec.functions.into_iter().map(function).collect::<Result<_, Problem>>()?)
    };
    Ok(FunctionsSettings { verify_jwt: spec.verify_jwt.unwrap_or(true), secret, source })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolerSettings {
    pub default_pool_size: i32,
    pub max_client_connections: i32,
}

pub fn pooler(spec: Option<&PoolerSpec>) -> PoolerSettings {
    PoolerSettings {
        default_pool_size: spec.and_then(|spec| spec.default_pool_size).unwrap_or(20),
        max_client_connections: spec.and_then(|spec| spec.max_client_connections).unwrap_or(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_probe_schema_is_always_served() {
        let settings = postgrest(Some(&PostgrestSpec { schemas: vec!["api".into()], ..PostgrestSpec::default() }));
        assert_eq!(settings.schemas, ["api", "graphql_public"]);
        assert_eq!(postgrest(None).schemas, ["public", "graphql_public"]);
    }

    #[test]
    fn sizes_are_whole_bytes() {
        for (text, expected) in [
            ("52428800", Some(52_428_800)),
            ("50Mi", Some(52_428_800)),
            ("5G", Some(5_000_000_000)),
            ("0", None),
            ("1.5Gi", None),
            ("100m", None),
            ("-1", None),
            ("99999999999999Ti", None),
            ("", None),
        ] {
            assert_eq!(bytes(&Quantity(text.to_owned())), expected, "{text:?}");
        }
    }

    #[test]
    fn a_missing_config_map_names_the_function() {
        let spec = "{functions: [{name: hello, configMapRef: {name: code}}]}";
        let spec: FunctionsSpec = serde_saphyr::from_str(spec).unwrap();
        let problem = functions(Some(&spec), &testing::inputs(), "tenant").unwrap_err();
        assert_eq!(problem.reason, Reason::ConfigMapMissing);
        assert!(problem.message.contains("functions[hello]") && problem.message.contains("tenant/code"));
    }
}
