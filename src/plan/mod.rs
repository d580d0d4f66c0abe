//! From a project and what it refers to, to a plan in which every default, name and address is resolved.
//!
//! Pure. In: the spec and the fetched Secrets. Out: a [`Plan`], or every [`Problem`] that stands in the way, each with
//! its remedy. After this the spec is not consulted again.

pub mod endpoints;
pub mod inputs;
pub mod keys;
pub mod names;
pub mod pools;
pub mod releases;
pub mod s3;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, ResourceRequirements};
use serde::Deserialize as _;

use crate::api::{GatewayType, PodTemplate, RealtimeSpec, SupabaseProject, SupabaseProjectSpec, WorkloadSpec};
use crate::components::auth::AuthSettings;
use crate::components::{self, COMPONENTS, Component, KONG, Workload, gateway};
use crate::reason::{Problem, Reason};
use crate::sensitive::Sensitive;
use crate::sql::{Feature, Finding};
pub use endpoints::{BucketEndpoint, BucketLogin, DatabaseEndpoint, UserKeys};
use inputs::{Inputs, Provision, SecretReader, Secrets};
use keys::{Credentials, Purpose};
use names::ProjectName;
use releases::Release;
pub use settings::{
    Function, FunctionsSettings, FunctionsSource, Login, PoolerSettings, PostgrestSettings, StorageSettings,
    StudioSettings,
};

/// Identity of a project in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: ProjectName,
    pub namespace: String,
    pub uid: String,
}

impl Identity {
    /// # Errors
    /// The object has a name that no Service could have, or does not come from an API server.
    pub fn of(project: &SupabaseProject) -> Result<Self, Problem> {
        let metadata = &project.metadata;
        let name = ProjectName::parse(metadata.name.as_deref().unwrap_or_default())
            .map_err(|error| Problem::new(Reason::SpecInvalid, format!("metadata.name: {error}")))?;
        Ok(Self {
            name,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        })
    }
}

impl Identity {
    /// How a database remembers who uses it.
    pub fn owner(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A project with everything resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub identity: Identity,
    /// Where the project's files lie in the bucket, and its tenants' name.
    pub project_id: String,
    pub release: Arc<Release>,
    /// URL that clients use, without a trailing slash.
    pub public_url: String,
    pub database: DatabaseEndpoint,
    pub bucket: BucketEndpoint,
    /// The components that the project has.
    pub workloads: BTreeMap<Component, WorkloadPlan>,
    pub auth: AuthSettings,
    pub postgrest: PostgrestSettings,
    /// Limits of the tenant; where one is not set, what is told to Realtime says its default.
    pub realtime: RealtimeSpec,
    pub storage: StorageSettings,
    pub studio: StudioSettings,
    pub functions: FunctionsSettings,
    pub pooler: PoolerSettings,
    /// Components that the project would have, if its database allowed them.
    pub left_out: Vec<LeftOut>,
}

/// A component that the database of the project does not allow.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    pub workload: &'static Workload,
    pub why: Problem,
}

/// What every workload has.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadPlan {
    pub workload: &'static Workload,
    pub image: String,
    pub replicas: i32,
    pub resources: ResourceRequirements,
    pub extra_env: Vec<EnvVar>,
    pub pod: PodTemplate,
    pub affinity: Option<Affinity>,
}

/// What keeps a project from being planned, by what it is about. At least one is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    pub spec: Option<Problem>,
    pub database: Option<Problem>,
    pub storage: Option<Problem>,
}

impl From<Problem> for Blocked {
    fn from(problem: Problem) -> Self {
        Self { spec: Some(problem), ..Self::default() }
    }
}

/// Resolves a project.
///
/// # Errors
/// Every problem at once: a user who forgot two Secrets reads about both.
pub fn plan(project: &SupabaseProject, inputs: &Inputs) -> Result<Plan, Blocked> {
    let identity = Identity::of(project)?;
    let (spec, secrets, namespace) = (&project.spec, &inputs.secrets, identity.namespace.as_str());
    let running = project.status.as_ref().and_then(|status| status.release.as_deref());
    let release = inputs.catalogue.choose(spec.release.as_deref(), running);
    let studio = settings::studio(spec, &identity, secrets);
    let functions = settings::functions(spec.functions.as_ref(), inputs, namespace);
    let storage = settings::storage(spec.storage_api.as_ref());
    let (public_url, gateway_url) = (public_url(spec, &identity), gateway::internal_url(&identity));
    let auth = spec.auth.clone().unwrap_or_default();
    let auth = components::auth::settings(&auth, secrets, namespace, &public_url, &gateway_url);
    let database = match &inputs.database {
        Provision::Own => endpoints::database(&spec.database.clone().unwrap_or_default(), secrets, namespace),
        Provision::Managed(endpoint) => endpoint.clone().ok_or_else(|| not_yet(Reason::DatabaseStarting)),
    };
    let bucket = match &inputs.bucket {
        Provision::Own => endpoints::bucket(&spec.storage.clone().unwrap_or_default(), secrets, namespace),
        Provision::Managed(endpoint) => endpoint.clone().ok_or_else(|| not_yet(Reason::StorageStarting)),
    };
    let workloads = release.clone().and_then(|release| workloads(spec, &release));
    match (release, workloads, auth, studio, functions, storage, database, bucket) {
        (Ok(release), Ok(workloads), Ok(auth), Ok(studio), Ok(functions), Ok(storage), Ok(database), Ok(bucket)) => {
            Ok(Plan {
                project_id: spec.project_id.clone().unwrap_or_else(|| identity.name.to_string()),
                public_url,
                workloads,
                auth,
                postgrest: settings::postgrest(spec.postgrest.as_ref()),
                realtime: spec.realtime.clone().unwrap_or_default(),
                pooler: settings::pooler(spec.pooler.as_ref()),
                identity,
                release,
                database,
                bucket,
                storage,
                studio,
                functions,
                left_out: Vec::new(),
            })
        }
        (release, workloads, auth, studio, functions, storage, database, bucket) => Err(Blocked {
            spec: release
                .err()
                .or(workloads.err())
                .or(auth.err())
                .or(studio.err())
                .or(functions.err())
                .or(storage.err()),
            database: database.err(),
            storage: bucket.err(),
        }),
    }
}

impl Plan {
    /// Login of the dashboard: the user's own, or one that is made.
    pub fn dashboard(&self, credentials: &Credentials) -> Login {
        let made =
            || Login { username: "supabase".to_owned(), password: credentials.derived(Purpose::DashboardPassword) };
        self.studio.login.clone().unwrap_or_else(made)
    }

    pub fn has(&self, component: Component) -> bool {
        self.workloads.contains_key(&component)
    }

    /// The plan for a database in which some features do not work: components that are nothing without them are left
    /// out, and the rest is as it was.
    #[must_use]
    pub fn within(mut self, limits: &[Finding]) -> Self {
        for (feature, component) in [(Feature::Realtime, Component::Realtime), (Feature::Pooler, Component::Pooler)] {
            let reasons: Vec<&Finding> = limits.iter().filter(|finding| finding.feature == Some(feature)).collect();
            let Some(first) = reasons.first() else { continue };
            let words: Vec<String> = reasons.iter().map(|finding| finding.text()).collect();
            let left_out = self.workloads.remove(&component).map(|settings| LeftOut {
                workload: settings.workload,
                why: Problem::new(first.reason, words.join(". ")),
            });
            self.left_out.extend(left_out);
        }
        self
    }

    /// Every secret that the user gave, for those who must make sure that none is seen.
    pub fn secrets(&self) -> impl Iterator<Item = &Sensitive> {
        let keys = self.bucket.login.all_keys().flat_map(|keys| [&keys.access_key_id, &keys.secret_access_key]);
        let login = self.studio.login.iter().map(|login| &login.password);
        [&self.database.password].into_iter().chain(keys).chain(login).chain(self.auth.secret.values())
    }
}

/// Of what is run for a project, its operator has not said where.
fn not_yet(reason: Reason) -> Problem {
    Problem::new(reason, "there is no address yet")
}

/// URL of a project for its clients.
fn public_url(spec: &SupabaseProjectSpec, identity: &Identity) -> String {
    spec.public_url.clone().unwrap_or_else(|| gateway::internal_url(identity))
}

/// Reads the generated key material; `None` where it has not been made yet.
///
/// # Errors
/// It exists and is not usable.
pub fn credentials(identity: &Identity, secrets: &Secrets) -> Result<Option<Credentials>, Problem> {
    let (jwt, roles) = (identity.name.jwt(), identity.name.database_roles());
    let open = |name| SecretReader::open(secrets, "generated keys", &identity.namespace, name);
    match (open(jwt.as_str()), open(roles.as_str())) {
        (Ok(jwt), Ok(roles)) => Credentials::read(&jwt, &roles).map(Some),
        _ => Ok(None),
    }
}

fn workloads(spec: &SupabaseProjectSpec, release: &Release) -> Result<BTreeMap<Component, WorkloadPlan>, Problem> {
    let chosen = spec.gateway.as_ref().and_then(|gateway| gateway.type_);
    let kong = chosen == Some(GatewayType::Kong) || (chosen.is_none() && spec.kong.is_some());
    let mut workloads = BTreeMap::new();
    for entry in COMPONENTS {
        let workload = if entry.component == Component::Gateway && kong { KONG } else { entry };
        let settings = (workload.settings)(spec);
        if settings.enabled {
            let spec = settings.workload.cloned().unwrap_or_default();
            workloads.insert(workload.component, workload_plan(workload, spec, release)?);
        }
    }
    Ok(workloads)
}

fn workload_plan(workload: &'static Workload, spec: WorkloadSpec, release: &Release) -> Result<WorkloadPlan, Problem> {
    let pod = spec.pod_template.unwrap_or_default();
    let affinity = pod.affinity.as_ref().map(Affinity::deserialize).transpose().map_err(|error| {
        let message = format!("spec.{}.podTemplate.affinity is no affinity of a pod: {error}", workload.field);
        Problem::new(Reason::SpecInvalid, message)
    })?;
    Ok(WorkloadPlan {
        workload,
        image: spec.image.unwrap_or_else(|| release.image(workload).to_owned()),
        replicas: spec.replicas.unwrap_or(1),
        resources: spec.resources.unwrap_or_else(|| workload.resources()),
        extra_env: spec.extra_env,
        affinity,
        pod,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ComponentSpec;
    use crate::testing;

    #[test]
    fn every_missing_secret_is_reported_at_once() {
        let blocked = plan(&testing::project(), &testing::inputs_of(Secrets::new())).unwrap_err();
        for (problem, secret) in [(blocked.database, "tenant/orders-postgres"), (blocked.storage, "tenant/orders-s3")] {
            let problem = problem.unwrap();
            assert_eq!(problem.reason, Reason::SecretMissing);
            assert!(problem.message.contains(secret), "{}", problem.message);
        }
    }

    #[test]
    fn a_missing_key_names_secret_key_and_field() {
        for key in ["host", "port", "database", "username", "password"] {
            let mut secrets = testing::secrets();
            testing::remove_key(&mut secrets, "orders-postgres", key);
            let blocked = plan(&testing::project(), &testing::inputs_of(secrets)).unwrap_err();
            let problem = blocked.database.or(blocked.storage).unwrap();
            assert_eq!(problem.reason, Reason::SecretKeyMissing);
            for part in ["spec.database.secretRef", "tenant/orders-postgres", key] {
                assert!(problem.message.contains(part), "{}", problem.message);
            }
        }
    }

    #[test]
    fn hostile_passwords_are_taken_as_they_are() {
        let mut secrets = testing::secrets();
        testing::set_key(&mut secrets, "orders-postgres", "password", "p@ss:w/o?r#d% '\"\\\n");
        let plan = plan(&testing::project(), &testing::inputs_of(secrets)).unwrap();
        assert_eq!(plan.database.password.expose(), "p@ss:w/o?r#d% '\"\\");
    }

    #[test]
    fn zero_replicas_means_zero() {
        let mut project = testing::project();
        let zero = WorkloadSpec { replicas: Some(0), ..WorkloadSpec::default() };
        project.spec.meta = Some(ComponentSpec { workload: zero, ..ComponentSpec::default() });
        let plan = plan(&project, &testing::inputs()).unwrap();
        assert_eq!(plan.workloads[&Component::Meta].replicas, 0);
        assert_eq!(plan.workloads[&Component::Postgrest].replicas, 1);
    }

    #[test]
    fn a_limited_database_leaves_out_what_is_nothing_without_the_feature_and_nothing_else() {
        let whole = plan(&testing::project(), &testing::inputs()).unwrap();
        let limits = [
            Finding::limited(Feature::Realtime, "no log", "mend it"),
            Finding::limited(Feature::PostgresChanges, "no changes", "mend that"),
            Finding::limited(Feature::ServiceRole, "no bypass", "allow it"),
            Finding::limited(Feature::Realtime, "no replication", "allow it too"),
            // The project has no pooler: nothing is left out.
            Finding::limited(Feature::Pooler, "no function", "make it"),
        ];
        let limited = whole.clone().within(&limits);
        let gone = whole.workloads.keys().filter(|component| !limited.has(**component)).collect::<Vec<_>>();
        assert_eq!(gone, [&Component::Realtime]);
        let said: Vec<&str> = limited.left_out.iter().map(|left_out| left_out.why.message.as_str()).collect();
        assert_eq!(said, ["no log; mend it. no replication; allow it too"]);
        assert_eq!(whole.clone().within(&[]), whole);
    }

    #[test]
    fn ports_and_endpoints_are_checked() {
        for (secret, key, value) in [
            ("orders-postgres", "port", "0"),
            ("orders-postgres", "port", "65536"),
            ("orders-postgres", "host", "two\nlines"),
            ("orders-s3", "endpoint", "minio:9000"),
            ("orders-s3", "bucket", ""),
        ] {
            let mut secrets = testing::secrets();
            testing::set_key(&mut secrets, secret, key, value);
            let blocked = plan(&testing::project(), &testing::inputs_of(secrets)).unwrap_err();
            let problem = blocked.database.or(blocked.storage).unwrap();
            assert_eq!(problem.reason, Reason::SecretInvalid, "{key}={value:?}");
            assert!(problem.message.contains(key), "{}", problem.message);
        }
    }
}
