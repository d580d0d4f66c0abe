//! What a user of a bucket may do, at a real MinIO server (environment variable `MINIO`: its program).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

#[path = "storekey/server.rs"]
mod server;

use std::collections::BTreeMap;

use http::Method;
use supabase_operator::bucket::{self, grant};
use supabase_operator::plan::{BucketEndpoint, BucketLogin};
use supabase_operator::provider::objectstore::BUCKET;
use supabase_operator::reason::Reason;

use server::{Server, user};

const OTHER: &str = "other-bucket";

#[tokio::test]
async fn the_user_may_do_what_storage_and_the_check_of_the_bucket_do() {
    let server = Server::start().await;
    let storage = user("storage", "first-secret");
    bucket::ensure(&BucketEndpoint {
        login: BucketLogin::Granted { user: storage.clone(), root: server.root.clone() },
        ..server.bucket(&storage, BUCKET)
    })
    .await
    .unwrap();

    let s3 = server.client(&storage);
    let object = format!("/{BUCKET}/tenant/a/1");
    s3.ask(Method::GET, &format!("/{BUCKET}?location"), "").await.unwrap();
    s3.ask(Method::PUT, &object, "content").await.unwrap();
    assert_eq!(s3.ask(Method::GET, &object, "").await.unwrap(), "content");
    s3.ask(Method::HEAD, &object, "").await.unwrap();
    let listed = s3.ask(Method::GET, &format!("/{BUCKET}?list-type=2&prefix=tenant"), "").await.unwrap();
    assert!(listed.contains("tenant/a/1"), "{listed}");

    let large = format!("/{BUCKET}/tenant/b/1");
    let started = s3.ask(Method::POST, &format!("{large}?uploads"), "").await.unwrap();
    let (_, rest) = started.split_once("<UploadId>").unwrap();
    let (upload, _) = rest.split_once("</UploadId>").unwrap();
    s3.ask(Method::PUT, &format!("{large}?partNumber=1&uploadId={upload}"), "part").await.unwrap();
    let parts = s3.ask(Method::GET, &format!("{large}?uploadId={upload}"), "").await.unwrap();
    assert!(parts.contains("<PartNumber>1</PartNumber>"), "{parts}");
    let uploads = s3.ask(Method::GET, &format!("/{BUCKET}?uploads&prefix=tenant/b/1"), "").await.unwrap();
    assert!(uploads.contains(upload), "{uploads}");
    s3.ask(Method::DELETE, &format!("{large}?uploadId={upload}"), "").await.unwrap();
    s3.ask(Method::DELETE, &object, "").await.unwrap();
    assert_eq!(s3.ask(Method::GET, &object, "").await.unwrap_err(), "NoSuchKey");
}

#[tokio::test]
async fn the_user_may_do_nothing_else() {
    let server = Server::start().await;
    let root = server.client(&server.root);
    root.ask(Method::PUT, &format!("/{OTHER}"), "").await.unwrap();
    root.ask(Method::PUT, &format!("/{OTHER}/object"), "content").await.unwrap();
    let storage = user("storage", "first-secret");
    grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();

    let s3 = server.client(&storage);
    let buckets = s3.ask(Method::GET, "/", "").await.unwrap();
    assert!(buckets.contains(BUCKET) && !buckets.contains(OTHER), "{buckets}");
    for (method, path) in [
        (Method::PUT, "/new-bucket".to_owned()),
        (Method::GET, format!("/{OTHER}?list-type=2")),
        (Method::GET, format!("/{OTHER}/object")),
        (Method::PUT, format!("/{OTHER}/object")),
        (Method::DELETE, format!("/{OTHER}/object")),
        (Method::DELETE, format!("/{BUCKET}")),
        (Method::GET, format!("/{BUCKET}?policy")),
        (Method::GET, format!("/{BUCKET}?versioning")),
    ] {
        assert_eq!(s3.ask(method.clone(), &path, "").await.unwrap_err(), "AccessDenied", "{method} {path}");
    }
    let other = bucket::ensure(&server.bucket(&storage, OTHER)).await.unwrap_err();
    assert_eq!(other.reason, Reason::BucketRefused, "{}", other.message);

    for (method, call) in [
        (Method::GET, "list-users"),
        (Method::GET, "list-canned-policies"),
        (Method::GET, "info"),
        (Method::PUT, "set-user-or-group-policy?policyName=consoleAdmin&userOrGroup=storage-key&isGroup=false"),
    ] {
        let refused = s3.ask(method, &format!("/minio/admin/v3/{call}"), "").await.unwrap_err();
        assert_eq!(refused, "403", "{call}");
    }
    let third = user("third", "third-secret");
    let refused = grant(&server.bucket(&third, BUCKET), &third, &storage).await.unwrap_err();
    assert_eq!(refused.reason, Reason::StorageCredentialsRefused, "{}", refused.message);
}

#[tokio::test]
async fn a_second_grant_writes_nothing_and_a_changed_secret_is_taken() {
    let server = Server::start().await;
    let storage = user("storage", "first-secret");
    grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
    let written = server.written();
    // MinIO tells a policy in another order each time.
    for _ in 0..10 {
        grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
        assert!(written == server.written(), "a grant of what is granted wrote something");
    }

    let changed = user("storage", "second-secret");
    grant(&server.bucket(&changed, BUCKET), &changed, &server.root).await.unwrap();
    assert!(written != server.written(), "nothing tells what is written");
    bucket::ensure(&server.bucket(&changed, BUCKET)).await.unwrap();
    let refused = bucket::ensure(&server.bucket(&storage, BUCKET)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::StorageCredentialsRefused, "{}", refused.message);
}

#[tokio::test]
async fn what_somebody_else_changed_is_put_right() {
    let server = Server::start().await;
    let storage = user("storage", "first-secret");
    grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
    let (root, s3) = (server.client(&server.root), server.client(&storage));
    let admin = async |call: &str, body: &str| {
        root.ask(Method::PUT, &format!("/minio/admin/v3/{call}"), body).await.unwrap();
    };
    let wide =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]}]}"#;
    for (call, body) in [
        (format!("add-canned-policy?name={BUCKET}"), wide),
        ("set-user-or-group-policy?policyName=readwrite&userOrGroup=storage-key&isGroup=false".to_owned(), ""),
    ] {
        admin(&call, body).await;
        s3.ask(Method::PUT, "/new-bucket", "").await.unwrap();
        root.ask(Method::DELETE, "/new-bucket", "").await.unwrap();
        grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
        assert_eq!(s3.ask(Method::PUT, "/new-bucket", "").await.unwrap_err(), "AccessDenied", "{call}");
        bucket::ensure(&server.bucket(&storage, BUCKET)).await.unwrap();
    }
    admin("set-user-status?accessKey=storage-key&status=disabled", "").await;
    bucket::ensure(&server.bucket(&storage, BUCKET)).await.unwrap_err();
    grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
    bucket::ensure(&server.bucket(&storage, BUCKET)).await.unwrap();
}

#[tokio::test]
async fn wrong_root_keys_are_a_problem_that_names_the_secret_and_shows_no_key() {
    let server = Server::start().await;
    let storage = user("storage", "first-secret");
    grant(&server.bucket(&storage, BUCKET), &storage, &server.root).await.unwrap();
    for wrong in [user("root", "wrong-secret"), user("nobody", "root-secret")] {
        let problem = grant(&server.bucket(&storage, BUCKET), &storage, &wrong).await.unwrap_err();
        assert_eq!(problem.reason, Reason::StorageCredentialsRefused, "{}", problem.message);
        for said in ["tenant/demo-object-store-keys", "rootAccessKeyId", "rootSecretAccessKey"] {
            assert!(problem.message.contains(said), "{}", problem.message);
        }
        for key in [wrong.access_key_id, wrong.secret_access_key, storage.secret_access_key.clone()] {
            assert!(!problem.message.contains(key.expose()), "{}", problem.message);
        }
    }
}

#[tokio::test]
async fn what_the_store_does_not_take_is_a_problem_that_names_the_users_keys() {
    let server = Server::start().await;
    // MinIO knows no secret of fewer than eight characters.
    let problem =
        grant(&server.bucket(&server.root, BUCKET), &user("storage", "short"), &server.root).await.unwrap_err();
    assert_eq!(problem.reason, Reason::BucketRefused, "{}", problem.message);
    for said in ["write a user", "HTTP status 400", "\"secretAccessKey\" of Secret tenant/demo-object-store-keys"] {
        assert!(problem.message.contains(said), "{}", problem.message);
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_a_problem_that_tells_why() {
    let server = Server::start().await;
    let storage = user("storage", "first-secret");
    let bucket = server.bucket(&storage, BUCKET);
    let root = server.root.clone();
    drop(server);
    let problem = grant(&bucket, &storage, &root).await.unwrap_err();
    assert_eq!(problem.reason, Reason::StorageUnreachable, "{}", problem.message);
    assert!(problem.message.contains(&bucket.endpoint) && problem.message.contains("refused"), "{}", problem.message);
    assert!(!problem.message.contains("storage-key"), "{}", problem.message);
}

#[tokio::test]
async fn a_look_tells_each_step_and_leaves_nothing() {
    let server = Server::start().await;
    let look = bucket::look(&server.bucket(&server.root, BUCKET)).await.unwrap();
    let steps: Vec<(&str, bool)> = look.steps.iter().map(|step| (step.what, step.result.is_ok())).collect();
    let all = ["find", "put", "list", "get", "delete"].map(|what| (what, true));
    assert_eq!(steps, all);
    assert_eq!(look.server.as_deref(), Some("MinIO"));
    assert!(look.skew.unwrap().unsigned_abs().as_secs() <= 1, "{:?}", look.skew);
    let listed = server.client(&server.root).ask(Method::GET, &format!("/{BUCKET}?list-type=2"), "").await.unwrap();
    assert!(!listed.contains("probe"), "{listed}");

    for (user, name, reason) in [
        (&server.root, "absent", Reason::BucketMissing),
        (&user("root", "wrong-secret"), BUCKET, Reason::StorageCredentialsRefused),
    ] {
        let look = bucket::look(&server.bucket(user, name)).await.unwrap();
        let last = look.steps.last().unwrap().result.as_ref().unwrap_err();
        assert_eq!(last.reason, reason, "{}", last.message);
    }
}

/// Who has no keys can see that the bucket is there, and no more.
#[tokio::test]
async fn without_keys_the_bucket_is_found_and_not_used() {
    let server = Server::start().await;
    let keyless = |name: &str| BucketEndpoint {
        login: BucketLogin::Workload { annotations: BTreeMap::new() },
        ..server.bucket(&server.root, name)
    };
    assert!(!bucket::ensure(&keyless(BUCKET)).await.unwrap().proven);
    assert_eq!(bucket::look(&keyless(BUCKET)).await.unwrap().steps.len(), 1);
}
