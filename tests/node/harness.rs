//! A namespace with a PostgreSQL and a project, and the words to ask about them.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use supabase_operator::api::SupabaseProject;
use supabase_operator::kind::Kind;

pub const OPERATOR_NAMESPACE: &str = "supabase-operator";
/// Every character that breaks a URL put together carelessly.
pub const PASSWORD: &str = "p@ss:w/o?r#d%";

/// One test's namespace. The project in it is called `orders`.
pub struct Stack {
    pub client: Client,
    pub namespace: String,
}

impl Stack {
    /// An empty namespace that enforces the Pod Security Standard `restricted`; what an earlier run left is removed.
    pub async fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_default().await.expect("run this through tests/run node, inside of the test cluster");
        let namespace = format!("test-{name}");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let stack = Self { client, namespace };
        if namespaces.get_opt(&stack.namespace).await.unwrap().is_some() {
            stack.remove_and_wait().await;
        }
        kubectl(&["create", "namespace", &stack.namespace]);
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "namespace", &stack.namespace, enforce]);
        stack
    }

    /// Removes the namespace. Its pods take their time to end; nobody waits for them but a next run.
    pub async fn remove(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
    }

    async fn remove_and_wait(&self) {
        self.remove().await;
        // Those of CloudNativePG take minutes to end by themselves; in a namespace that ends none is made again.
        kubectl(&["-n", &self.namespace, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false"]);
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let gone = || async { namespaces.get_opt(&self.namespace).await.unwrap().is_none().then_some(()) };
        eventually(Duration::from_secs(120), "the namespace is gone", gone).await;
    }

    /// A PostgreSQL whose data outlives its pod, with TLS if `certificate` says so.
    /// With a certificate it refuses every connection without TLS, from its first moment on.
    pub fn postgres(&self, certificate: Option<&Certificate>) {
        let mut yaml = include_str!("../../examples/demo/postgres.yaml")
            .replace("external", &self.namespace)
            .replace("{name: data, emptyDir: {}}", "{name: data, persistentVolumeClaim: {claimName: postgres-data}}");
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "postgres-data", "namespace": self.namespace},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        apply(&volume.to_string());
        if let Some(certificate) = certificate {
            let data = BTreeMap::from([
                ("tls.crt", certificate.signed.as_str()),
                ("tls.key", certificate.key.as_str()),
                ("ca.crt", certificate.authority.as_str()),
            ]);
            self.secret("postgres-tls", &data);
            yaml = yaml.replace("host  all all", "hostssl all all");
        }
        apply(&yaml);
        kubectl(&["-n", &self.namespace, "rollout", "status", "deployment/postgres", "--timeout=120s"]);
    }

    /// Login of the namespace's PostgreSQL, under the name that the project refers to.
    pub fn database_secret(&self, changes: &[(&'static str, &str)]) {
        let host = format!("postgres.{}.svc", self.namespace);
        let mut data = BTreeMap::from([
            ("host", host.as_str()),
            ("port", "5432"),
            ("database", "postgres"),
            ("username", "postgres"),
            ("password", PASSWORD),
        ]);
        data.extend(changes.iter().copied());
        self.secret("orders-postgres", &data);
    }

    pub fn storage_secret(&self, changes: &[(&'static str, &str)]) {
        let bucket = format!("orders-{}", self.namespace);
        let mut data = BTreeMap::from([
            ("endpoint", "http://minio.external.svc:9000"),
            ("region", "us-east-1"),
            ("bucket", bucket.as_str()),
            ("accessKeyId", "demo-access-key"),
            ("secretAccessKey", "demo-secret-access-key"),
        ]);
        data.extend(changes.iter().copied());
        self.secret("orders-s3", &data);
    }

    pub fn secret(&self, name: &str, data: &BTreeMap<&str, &str>) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
            "stringData": data,
        });
        // Replaced, not merged: a key that is left out must be gone.
        let exists = run(&["kubectl", "-n", &self.namespace, "get", "secret", name], None).status.success();
        kubectl_with(&[if exists { "replace" } else { "create" }, "-f", "-"], &secret.to_string());
    }

    pub fn project(&self, spec: &Value) {
        self.project_named("orders", spec);
    }

    pub fn project_named(&self, name: &str, spec: &Value) {
        let project = json!({
            "apiVersion": "supabase-operator.dev/v1alpha1", "kind": "SupabaseProject",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        apply(&project.to_string());
    }

    /// A second PostgreSQL, whose data goes with its pod.
    pub fn another_postgres(&self, name: &str) {
        let yaml = include_str!("../../examples/demo/postgres.yaml").replace("external", &self.namespace);
        let serving = yaml
            .split("\n---\n")
            .filter(|document| ["kind: Deployment", "kind: Service\n"].iter().any(|kind| document.contains(kind)));
        for document in serving {
            let renamed = document
                .replace("\n  name: postgres\n", &format!("\n  name: {name}\n"))
                .replace("app.kubernetes.io/name: postgres", &format!("app.kubernetes.io/name: {name}"));
            apply(&renamed);
        }
        kubectl(&["-n", &self.namespace, "rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);
    }

    /// Namespace, PostgreSQL, Secrets and the smallest project, Ready.
    pub async fn ready(name: &str) -> Self {
        Self::with(name, &plain_spec()).await
    }

    /// The same with every component.
    pub async fn complete(name: &str) -> Self {
        Self::with(name, &complete_spec()).await
    }

    async fn with(name: &str, spec: &Value) -> Self {
        let stack = Self::new(name).await;
        stack.postgres(None);
        // A pod that is ready is not yet behind its Service.
        let address = format!("postgres.{}.svc:5432", stack.namespace);
        eventually(Duration::from_secs(30), "PostgreSQL answers at its Service", || async {
            tokio::net::TcpStream::connect(&address).await.ok().map(drop)
        })
        .await;
        stack.database_secret(&[]);
        stack.storage_secret(&[]);
        stack.project(spec);
        stack.wait_for("Ready", "True").await;
        stack
    }

    pub fn projects(&self) -> Api<SupabaseProject> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the operator says of the spec as it is now: like `kubectl wait`, this takes no condition of an older one.
    pub async fn condition(&self, type_: &str) -> Option<Condition> {
        let project = self.projects().get("orders").await.unwrap();
        let now = project.metadata.generation;
        let conditions = project.status?.conditions.into_iter();
        conditions.filter(|condition| condition.observed_generation >= now).find(|condition| condition.type_ == type_)
    }

    /// Waits for a condition, and returns it.
    pub async fn wait_for(&self, type_: &str, status: &str) -> Condition {
        self.wait_within(240, type_, status).await
    }

    pub async fn wait_within(&self, seconds: u64, type_: &str, status: &str) -> Condition {
        let what = format!("{type_}={status} in {}", self.namespace);
        eventually(Duration::from_secs(seconds), &what, || async {
            self.condition(type_).await.filter(|condition| condition.status == status)
        })
        .await
    }

    /// Waits for a condition of this reason whose message has all these parts, and returns the message.
    pub async fn wait_for_reason(&self, type_: &str, reason: &str, parts: &[&str]) -> String {
        let what = format!("{type_} of reason {reason} with {parts:?} in {}", self.namespace);
        eventually(Duration::from_secs(60), &what, || async {
            self.condition(type_).await.filter(|condition| {
                condition.reason == reason && parts.iter().all(|part| condition.message.contains(part))
            })
        })
        .await
        .message
    }

    /// Every object that the operator made here, by kind and name, without the Secrets of generated keys.
    pub async fn children(&self) -> Vec<(Kind, DynamicObject)> {
        let mut children = Vec::new();
        for kind in Kind::ALL {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource());
            let ours = ListParams::default().labels("supabase-operator.dev/project=orders");
            let listed = match api.list(&ours).await {
                Err(kube::Error::Api(status)) if status.code == 404 && kind.upstream().is_some() => continue,
                listed => listed.unwrap(),
            };
            children.extend(listed.items.into_iter().map(|child| (kind, child)));
        }
        children
    }

    pub async fn versions(&self) -> BTreeMap<String, String> {
        let versions = self.children().await.into_iter().filter_map(|(kind, child)| {
            let version = child.resource_version().unwrap_or_default();
            // A Deployment's status moves by itself.
            (kind != Kind::Deployment).then(|| (format!("{}/{}", kind.as_str(), child.name_any()), version))
        });
        versions.collect()
    }

    pub async fn events(&self, reason: &str) -> Vec<k8s_openapi::api::events::v1::Event> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let events = api.list(&ListParams::default()).await.unwrap().items;
        let ours = |event: &k8s_openapi::api::events::v1::Event| {
            event.reason.as_deref() == Some(reason)
                && event.regarding.as_ref().and_then(|regarding| regarding.kind.as_deref()) == Some("SupabaseProject")
        };
        events.into_iter().filter(ours).collect()
    }

    pub async fn key(&self, secret: &str, key: &str) -> String {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let data = secrets.get(secret).await.unwrap().data.unwrap();
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    /// Runs SQL as the superuser, inside of the PostgreSQL pod.
    pub fn sql(&self, sql: &str) -> String {
        let psql = ["psql", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-Atc", sql];
        let arguments = ["-n", self.namespace.as_str(), "exec", "deployment/postgres", "--"];
        kubectl(&[&arguments[..], &psql[..]].concat())
    }

    pub fn gateway(&self) -> String {
        format!("http://orders-gateway.{}.svc:8000", self.namespace)
    }
}

/// The smallest project: gateway, REST API and postgres-meta. What is shown with it is true of every component, and a
/// node of two cores runs several of them.
pub fn plain_spec() -> Value {
    let mut spec = complete_spec();
    for component in ["auth", "realtime", "storageApi", "imgproxy", "studio", "functions"] {
        spec[component] = json!({"enabled": false});
    }
    spec
}

/// Every component that a project has without being asked, each with less than it asks for: the default sizes of several
/// projects are more than the node has.
pub fn complete_spec() -> Value {
    let mut spec = json!({
        "database": {"secretRef": {"name": "orders-postgres"}, "sslMode": "disable"},
        "storage": {"secretRef": {"name": "orders-s3"}},
    });
    for component in
        ["gateway", "auth", "postgrest", "realtime", "storageApi", "imgproxy", "meta", "studio", "functions"]
    {
        spec[component] = json!({"resources": {"requests": {"cpu": "5m", "memory": "16Mi"}}});
    }
    spec
}

/// Every component beside a database and an object store of the project's own, on a node of two cores.
pub fn managed_spec() -> Value {
    let mut spec = complete_spec();
    let small = json!({"requests": {"cpu": "50m", "memory": "128Mi"}});
    spec["database"] = json!({"managed": {"resources": small}});
    spec["storage"] = json!({"managed": {"size": "256Mi", "resources": small}});
    spec
}

/// A server certificate and the authority that signed it, in PEM.
pub struct Certificate {
    pub authority: String,
    pub signed: String,
    pub key: String,
}

impl Certificate {
    /// For `<service>.<namespace>.svc`.
    pub fn of(service: &str, namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "cd {folder} && \
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-ca \
               -keyout ca.key -out ca.crt && \
             openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
               -keyout tls.key -out tls.csr && \
             printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:{service}.{namespace}.svc\\n' >ext && \
             openssl x509 -req -in tls.csr -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile ext -out tls.crt",
            folder = folder.path().display(),
        );
        let output = run(&["sh", "-c", &script], None);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        Self { authority: read("ca.crt"), signed: read("tls.crt"), key: read("tls.key") }
    }
}

pub fn apply(manifest: &str) {
    kubectl_with(&["apply", "-f", "-"], manifest);
}

pub fn kubectl(arguments: &[&str]) -> String {
    kubectl_with(arguments, "")
}

pub fn kubectl_with(arguments: &[&str], input: &str) -> String {
    let output = run(&[&["kubectl"], arguments].concat(), Some(input));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

pub fn run(command: &[&str], input: Option<&str>) -> Output {
    use std::io::Write;
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Asks until there is an answer; fails the test after `limit`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(limit: Duration, what: &str, ask: impl Fn() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        if started.elapsed() >= limit {
            let projects = run(&["kubectl", "get", "sbp", "-A", "-o", "wide"], None).stdout;
            panic!("{what}: not within {} s\n{}", limit.as_secs(), String::from_utf8_lossy(&projects));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Sum of the operator's samples whose line starts so.
pub async fn operator_metric(name: &str) -> f64 {
    let url = format!("http://supabase-operator-metrics.{OPERATOR_NAMESPACE}.svc:8080/metrics");
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text.lines()
        .filter(|line| line.starts_with(name))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Requests of the operator since `since` (RFC 3339), as the API server logged them, without watches and the lease.
pub fn operator_requests(since: &str) -> Vec<String> {
    let log = std::env::var("CLUSTER_AUDIT_LOG").expect("tests/cluster/enter sets CLUSTER_AUDIT_LOG");
    let log = std::fs::read_to_string(log).unwrap();
    let account = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:supabase-operator");
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == account.as_str())
        .filter(|event| event["requestReceivedTimestamp"].as_str().unwrap_or_default() >= since)
        .filter(|event| event["verb"] != "watch" && event["objectRef"]["resource"] != "leases")
        .map(|event| {
            let object = &event["objectRef"];
            format!(
                "{} {} {}/{} {}",
                event["verb"].as_str().unwrap_or_default(),
                object["resource"].as_str().unwrap_or_default(),
                object["namespace"].as_str().unwrap_or_default(),
                object["name"].as_str().unwrap_or_default(),
                object["subresource"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

pub fn now() -> String {
    // As the audit log writes it: microseconds, UTC.
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

pub fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
