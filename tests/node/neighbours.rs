//! Projects beside each other, in one namespace and in two: what is one's opens nothing of another's.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::harness::{PASSWORD, Stack, complete_spec, eventually};
use std::collections::BTreeMap;
use std::time::Duration;

/// A project with its keys and a user who signed up in it.
struct Project {
    name: String,
    gateway: String,
    secret: String,
    publishable: String,
    anon: String,
    service: String,
    user: String,
}

impl Project {
    async fn of(stack: &Stack, name: &str) -> Self {
        let ready = || async {
            let status = stack.projects().get(name).await.unwrap().status?;
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (ready.status == "True").then_some(())
        };
        eventually(Duration::from_secs(300), &format!("{}/{name} is Ready", stack.namespace), ready).await;
        let public = format!("{name}-api-keys");
        let trusted = format!("{name}-service-keys");
        let gateway = format!("http://{name}-gateway.{}.svc:8000", stack.namespace);
        let publishable = stack.key(&public, "publishable-key").await;
        let user = sign_up(&gateway, &publishable).await;
        Self {
            name: format!("{}/{name}", stack.namespace),
            gateway,
            secret: stack.key(&trusted, "secret-key").await,
            anon: stack.key(&public, "anon-key").await,
            service: stack.key(&trusted, "service-role-key").await,
            publishable,
            user,
        }
    }
}

async fn sign_up(gateway: &str, key: &str) -> String {
    let answer = Client::new()
        .post(format!("{gateway}/auth/v1/signup"))
        .header("apikey", key)
        .header("content-type", "application/json")
        .body(json!({"email": "somebody@example.com", "password": "a long password"}).to_string())
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    body["access_token"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// A request that a project answers to its own keys.
const DOORS: [(&str, &str); 6] = [
    ("Auth", "/auth/v1/settings"),
    ("REST", "/rest/v1/rpc/operator_ready"),
    ("Realtime", "/realtime/v1/websocket?vsn=1.0.0"),
    ("Storage", "/storage/v1/bucket"),
    ("Functions", "/functions/v1/missing"),
    ("postgres-meta", "/pg/health"),
];

async fn knock(project: &Project, path: &str, key: &str, bearer: Option<&str>) -> StatusCode {
    let mut request = Client::new()
        .get(format!("{}{path}", project.gateway))
        .header("apikey", key)
        .header("accept-profile", "graphql_public");
    if let Some(token) = bearer {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if path.contains("websocket") {
        request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "c3VwYWJhc2Utb3BlcmF0b3I=");
    }
    request.send().await.unwrap().status()
}

/// Functions says 404 of a function that is not there to whom it lets in.
fn opened(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS || status == StatusCode::NOT_FOUND
}

#[tokio::test]
async fn what_is_one_project_s_opens_nothing_of_another_s() {
    let mut first = Stack::new("neighbours").await;
    let second = Stack::new("elsewhere").await;
    let mut spec = complete_spec();
    spec["auth"]["email"] = json!({"autoconfirm": true});
    for stack in [&first, &second] {
        stack.postgres(None);
        stack.database_secret(&[]);
        stack.storage_secret(&[]);
        stack.project(&spec);
    }
    another_project(&mut first, &spec);
    let projects = [
        Project::of(&first, "orders").await,
        Project::of(&first, "billing").await,
        Project::of(&second, "orders").await,
    ];
    for visited in &projects {
        for visitor in &projects {
            let own = visited.name == visitor.name;
            for (door, path) in DOORS {
                let with_secret = knock(visited, path, &visitor.secret, None).await;
                assert_eq!(opened(with_secret), own, "{door} of {}: secret key of {}", visited.name, visitor.name);
                let legacy = knock(visited, path, &visitor.service, Some(&visitor.service)).await;
                assert_eq!(opened(legacy), own, "{door} of {}: service key of {}", visited.name, visitor.name);
                if own {
                    continue;
                }
                for (what, key, bearer) in [
                    ("publishable key", &visitor.publishable, None),
                    ("anon key", &visitor.anon, Some(&visitor.anon)),
                    // The right key with another project's user.
                    ("user", &visited.publishable, Some(&visitor.user)),
                ] {
                    let status = knock(visited, path, key, bearer.map(String::as_str)).await;
                    // Auth's settings are public to holders of a key, whoever they are signed in as; so is a channel.
                    let public = what == "user" && ["Auth", "Realtime"].contains(&door);
                    assert!(
                        public || !opened(status),
                        "{door} of {}: {what} of {}: {status}",
                        visited.name,
                        visitor.name
                    );
                }
            }
        }
    }
    first.remove().await;
    second.remove().await;
}

/// Project `billing` in the same namespace, with a server and a bucket of its own.
fn another_project(stack: &mut Stack, spec: &Value) {
    stack.another_postgres("billing-db");
    let host = format!("billing-db.{}.svc", stack.namespace);
    let database = [
        ("host", host.as_str()),
        ("port", "5432"),
        ("database", "postgres"),
        ("username", "postgres"),
        ("password", PASSWORD),
    ];
    stack.secret("billing-postgres", &BTreeMap::from(database));
    let bucket = format!("billing-{}", stack.namespace);
    let storage = [
        ("endpoint", "http://minio.external.svc:9000"),
        ("region", "us-east-1"),
        ("bucket", bucket.as_str()),
        ("accessKeyId", "demo-access-key"),
        ("secretAccessKey", "demo-secret-access-key"),
    ];
    stack.secret("billing-s3", &BTreeMap::from(storage));
    let mut spec = spec.clone();
    spec["database"]["secretRef"]["name"] = json!("billing-postgres");
    spec["storage"]["secretRef"]["name"] = json!("billing-s3");
    stack.project_named("billing", &spec);
}
