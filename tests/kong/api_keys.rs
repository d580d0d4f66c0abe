//! Which keys count, and what becomes of them.

use supabase_operator::gateway::Keys;

use super::rows::{header, keys};
use super::{ANON, SERVICE, file, kong, services, start};

#[test]
fn key_in_the_query_counts_and_is_stripped() {
    let kong = kong();
    for (asked, seen) in [
        ("/rest/v1/t?apikey=sb_publishable_one", "/t"),
        ("/rest/v1/t?a=eq.1&apikey=sb_publishable_one&b=is.null", "/t?a=eq.1&b=is.null"),
        ("/rest/v1/t?apikey=sb_publishable_one&apikey=x&apikey", "/t"),
        ("/rest/v1/t?xapikey=1&apikey=legacy.anon.jwt", "/t?xapikey=1"),
    ] {
        let reply = kong.get(asked, &[]);
        assert_eq!((reply.status, &reply.seen["target"]), (200, &seen.into()), "{asked}");
    }
    // The header wins; an empty one does not.
    let reply = kong.get("/rest/v1/t?apikey=sb_secret_one", &[ANON]);
    assert_eq!(header(&reply.seen, "authorization"), Some("Bearer internal.anon.jwt"));
    let reply = kong.get("/rest/v1/t?apikey=sb_secret_one", &[("apikey", "")]);
    assert_eq!(header(&reply.seen, "authorization"), Some("Bearer internal.service.jwt"));
    for bad in ["?apikey=", "?apikey", "?apikey=sb_secret_on", "?Apikey=sb_secret_one"] {
        assert_eq!(kong.get(&format!("/rest/v1/t{bad}"), &[]).status, 401, "{bad}");
    }
}

#[test]
fn realtime_gets_one_translated_key() {
    let kong = kong();
    for (query, target, token) in [
        ("vsn=2.0.0&apikey=sb_publishable_one", "vsn=2.0.0&apikey=internal.anon.jwt", "internal.anon.jwt"),
        ("apikey=sb_secret_one&vsn=2&apikey=x", "apikey=internal.service.jwt&vsn=2", "internal.service.jwt"),
        ("apikey=legacy.anon.jwt", "apikey=legacy.anon.jwt", "legacy.anon.jwt"),
    ] {
        let seen = kong.get(&format!("/realtime/v1/websocket?{query}"), &[]).seen;
        assert_eq!(seen["target"], format!("/socket/websocket?{target}"));
        assert_eq!(header(&seen, "x-api-key"), Some(token));
        assert_eq!(header(&seen, "host"), Some("demo.realtime"));
    }
}

#[test]
fn only_the_apikey_decides() {
    let kong = kong();
    let anon = ("apikey", "legacy.anon.jwt");
    let authorization = |path: &str, headers: &[(&str, &str)]| {
        let reply = kong.get(path, headers);
        assert_eq!(reply.status, 200, "{path}");
        header(&reply.seen, "authorization").map(str::to_owned)
    };
    for token in ["Bearer legacy.service.jwt", "Bearer sb_secret_one"] {
        let token = ("authorization", token);
        for path in ["/pg/tables", "/rest/v1/", "/rest/v1"] {
            assert_eq!(kong.get(path, &[anon, token]).status, 403, "{path}");
            assert_eq!(kong.get(path, &[token]).status, 401, "{path}");
        }
    }
    // Two headers are one value with a comma.
    assert_eq!(kong.get("/pg/tables", &[ANON, SERVICE]).status, 401);
    assert_eq!(kong.get("/pg/tables", &[SERVICE, SERVICE]).status, 401);
    // An opaque token of another role is replaced by what the key is worth.
    let internal = Some("Bearer internal.anon.jwt".to_owned());
    assert_eq!(authorization("/rest/v1/t", &[ANON, ("authorization", "bearer sb_secret_one")]), internal);
    assert_eq!(authorization("/rest/v1/t", &[ANON, ("authorization", "")]), internal);
    assert_eq!(authorization("/storage/v1/object", &[("authorization", "")]), None);
    // Functions refuse what contradicts itself.
    let function = "/functions/v1/hello";
    assert_eq!(kong.get(function, &[ANON, ("authorization", "Bearer sb_secret_one")]).status, 401);
    assert_eq!(kong.get(function, &[ANON, ("authorization", "Bearer sb_secret_x")]).status, 401);
    let seen = kong.get(function, &[("authorization", "Bearer sb_secret_one")]).seen;
    assert_eq!(header(&seen, "sb-api-key"), Some("internal.service.jwt"));
    assert_eq!(header(&seen, "authorization"), Some("Bearer sb_secret_one"));
}

#[test]
fn several_keys_of_each_kind_are_valid_at_once() {
    let two = |kind: &str| vec![format!("{kind}.1"), format!("{kind}.2"), String::new()];
    let keys = Keys {
        publishable: two("sb_publishable"),
        secret: two("sb_secret"),
        anon: two("anon"),
        service: two("service"),
        ..keys()
    };
    let kong = start(&file(&services(), &keys));
    for (list, status) in [(&keys.publishable, 403), (&keys.secret, 200), (&keys.anon, 403), (&keys.service, 200)] {
        for key in list.iter().filter(|key| !key.is_empty()) {
            assert_eq!(kong.get("/rest/v1/t", &[("apikey", key)]).status, 200, "{key}");
            assert_eq!(kong.get("/pg/t", &[("apikey", key)]).status, status, "{key}");
        }
    }
    assert_eq!(kong.get("/rest/v1/t", &[("apikey", "")]).status, 401);
}

#[test]
fn missing_keys_open_nothing() {
    let none = start(&file(&services(), &Keys::default()));
    for key in ["", "sb_publishable_one", "nil", "null"] {
        for path in ["/rest/v1/t", "/pg/tables", "/realtime/v1/websocket", "/auth/v1/user"] {
            assert_eq!(none.get(path, &[("apikey", key)]).status, 401, "{path} {key}");
        }
    }
    assert_eq!(none.get("/", &[]).status, 403);

    let untranslated = Keys { anon_jwt: String::new(), service_jwt: String::new(), ..keys() };
    let kong = start(&file(&services(), &untranslated));
    for path in ["/rest/v1/t", "/realtime/v1/websocket", "/storage/v1/x", "/functions/v1/x"] {
        assert_eq!(kong.get(path, &[SERVICE]).status, 503, "{path}");
        assert_eq!(kong.get(path, &[("apikey", "legacy.service.jwt")]).status, 200, "{path}");
    }
}

#[test]
fn keys_of_any_characters_stay_keys() {
    let odd = "a\"]] .. os.exit() --\\\n${HOME}é";
    let kong = start(&file(&services(), &Keys { secret: vec![odd.to_owned()], ..keys() }));
    let reply = kong.get("/pg/tables", &[("apikey", odd)]);
    assert_eq!((reply.status, reply.problem), (200, None));
    assert_eq!(kong.get("/pg/tables", &[SERVICE]).status, 401);
}
