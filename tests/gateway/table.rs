//! Every row of the route table against every kind of key.

use super::harness::{Gateway, Reply, envoy, services};
use super::rows::{Class, KINDS, ROWS, check_seen, header, keys, sent, status};

#[tokio::test]
async fn every_row_with_every_kind_of_key() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    for row @ (class, path, ..) in ROWS {
        for kind in KINDS {
            let case = format!("{class:?} {path} {kind:?}");
            let reply = gateway.get(path, &sent(kind.1, kind.2)).await;
            assert_eq!(reply.status, status(class, kind.0), "{case}: {reply:?}");
            if reply.status == 200 {
                check_seen(row, kind, &reply.seen());
            } else if class != Class::Dashboard {
                refusal(&reply, &case);
            }
        }
    }
    let errors = gateway.output("stderr");
    assert!(!errors.contains("Deprecated"), "{errors}");
}

fn refusal(reply: &Reply, case: &str) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{case}");
    assert!(!reply.message().is_empty(), "{case}");
}

#[tokio::test]
async fn dashboard_wants_its_password() {
    let Some(envoy) = envoy() else { return };
    let gateway = Gateway::start(&envoy, &services().await, &keys()).await;
    // admin:wrong, admin:secret
    let wrong = ("authorization", "Basic YWRtaW46d3Jvbmc=");
    let right = ("authorization", "Basic YWRtaW46c2VjcmV0");
    let reply = gateway.get("/project", &[wrong]).await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")));
    let reply = gateway.get("/project", &[right]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(header(&reply.seen(), "authorization"), None);
    assert_eq!(gateway.get("/pg/tables", &[right]).await.status, 401);
}
