use serde_json::Value;

use super::*;

fn everything() -> Upstreams {
    Upstream::ALL
        .into_iter()
        .map(|upstream| (upstream, Address { host: upstream.cluster().to_owned(), port: 80 }))
        .collect()
}

fn keys() -> Keys {
    Keys {
        publishable: vec!["sb_publishable_1".to_owned(), String::new()],
        secret: vec!["sb_secret_1".to_owned()],
        anon: vec!["legacy-anon".to_owned()],
        service: vec!["legacy-service".to_owned()],
        anon_jwt: "internal-anon".to_owned(),
        service_jwt: "internal-service".to_owned(),
        dashboard: Some(Dashboard {
            username: "admin".to_owned(),
            password: crate::sensitive::Sensitive::new("password"),
        }),
    }
}

fn table() -> Vec<Route> {
    routes("demo", "https://api.example.com")
}

fn host(upstreams: &Upstreams, keys: &Keys) -> Value {
    let file: Value = serde_json::from_str(&routes_file(&table(), upstreams, keys, &Documents::new())).unwrap();
    file["resources"][0]["virtual_hosts"][0].clone()
}

fn route_of(host: &Value, path: &str) -> Value {
    let matches = |route: &&Value| route["match"].as_object().unwrap().values().any(|value| value == path);
    host["routes"].as_array().unwrap().iter().find(matches).unwrap().clone()
}

fn answer_of(host: &Value, path: &str) -> Value {
    route_of(host, path)["metadata"]["filter_metadata"][filters::LUA].clone()
}

#[test]
fn plain_files_hold_no_key_and_are_json() {
    let secrets = ["sb_", "legacy-", "internal-", "W6ph5"];
    let files = files(&everything());
    assert_eq!(files.keys().collect::<Vec<_>>(), [&"bootstrap.json", &"cds.json", &"lds.json"]);
    for (name, content) in &files {
        serde_json::from_str::<Value>(content).unwrap();
        if *name != "lds.json" {
            assert!(secrets.iter().all(|secret| !content.contains(secret)), "{name}");
        }
    }
    let rds = routes_file(&table(), &everything(), &keys(), &Documents::new());
    assert!(rds.contains("sb_secret_1") && rds.contains("internal-service"));
    assert!(secrets[1..].iter().all(|secret| !files["lds.json"].contains(secret)));
}

#[test]
fn output_is_deterministic() {
    assert_eq!(files(&everything()), files(&everything()));
    assert_eq!(
        routes_file(&table(), &everything(), &keys(), &Documents::new()),
        routes_file(&table(), &everything(), &keys(), &Documents::new())
    );
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?} {:?}", keys(), keys().dashboard);
    for secret in ["sb_", "legacy", "internal", "W6ph5"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn absent_service_answers_503_and_absent_studio_404() {
    let host = host(&Upstreams::new(), &keys());
    for route in host["routes"].as_array().unwrap() {
        let cluster = &route["route"]["cluster"];
        assert!(cluster.is_null() || cluster == "none", "{route}");
    }
    let answer = answer_of(&host, "/rest/v1/");
    assert_eq!(answer["status"], "503");
    assert_eq!(answer["body"], r#"{"message":"PostgREST is not part of this project"}"#);
    assert_eq!(answer_of(&host, "/")["status"], "404");
    assert_eq!(answer_of(&host, "/api/mcp")["status"], "403");
}

#[test]
fn every_route_has_its_own_rule() {
    for route in host(&everything(), &keys())["routes"].as_array().unwrap() {
        let policies = &route["typed_per_filter_config"][filters::RBAC]["rbac"]["rules"]["policies"];
        assert!(policies.is_object(), "{route}");
    }
}

#[test]
fn empty_strings_are_no_keys() {
    let host = host(&everything(), &keys());
    let context = &host["typed_per_filter_config"][filters::LUA]["filter_context"];
    assert_eq!(context["publishable"], serde_json::json!(["sb_publishable_1"]));
}

#[test]
fn dashboard_that_envoy_would_refuse_is_closed() {
    let good = keys().dashboard.unwrap();
    let broken = [
        None,
        Some(Dashboard { username: "a:b".to_owned(), ..good.clone() }),
        Some(Dashboard { username: "a\nb".to_owned(), ..good.clone() }),
        Some(Dashboard { username: String::new(), ..good.clone() }),
        Some(Dashboard { password: crate::sensitive::Sensitive::new(""), ..good }),
    ];
    for dashboard in broken {
        let host = host(&everything(), &Keys { dashboard, ..keys() });
        assert_eq!(answer_of(&host, "/")["status"], "403");
    }
    let host = host(&everything(), &keys());
    assert_eq!(route_of(&host, "/")["request_headers_to_remove"][0], "authorization");
}

#[test]
fn oauth_metadata_follows_the_path_of_the_public_url() {
    let path_of = |url: &str| {
        routes("demo", url).into_iter().find_map(|route| match route.path {
            Match::Exact(path) if path.starts_with("/.well-known/") => Some(path),
            _ => None,
        })
    };
    let expected = |path: &str| Some(format!("/.well-known/oauth-authorization-server{path}"));
    assert_eq!(path_of("https://h"), expected("/auth/v1"));
    assert_eq!(path_of("https://h:8443/"), expected("/auth/v1"));
    assert_eq!(path_of("http://h/base/?x#y"), expected("/base/auth/v1"));
    assert_eq!(path_of(""), expected("/auth/v1"));
}

#[test]
fn forwarded_port_and_scheme_come_from_the_public_url() {
    let forwarded = |url: &str| {
        let headers = routes("demo", url).swap_remove(0).headers;
        headers.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(forwarded("https://h"), ["https", "443"]);
    assert_eq!(forwarded("http://h:8000/x"), ["http", "8000"]);
    assert_eq!(forwarded("http://[::1]"), ["http", "80"]);
    assert_eq!(forwarded("HTTPS://[::1]:9"), ["https", "9"]);
}

#[test]
fn realtime_api_is_an_allow_list() {
    let open: Vec<Match> = table()
        .into_iter()
        .filter(|route| route.access != Access::Nobody)
        .map(|route| route.path)
        .filter(|path| {
            matches!(path, Match::Exact(p) | Match::Prefix(p) | Match::Segment(p)
            if p.starts_with("/realtime/v1/api"))
        })
        .collect();
    assert_eq!(open, [Match::Segment("/realtime/v1/api/broadcast".to_owned())]);
}

#[test]
fn commands_name_the_mounted_files_and_the_admin_port() {
    assert_eq!(args().get(1).unwrap(), "/etc/envoy/bootstrap.json");
    let command = drain_command();
    assert!(command.iter().any(|script| script.contains("/drain_listeners?graceful&skip_exit")));
    assert!(command.ends_with(&["9901".to_owned(), "30".to_owned()]), "the admin port, and the most seconds");
}
