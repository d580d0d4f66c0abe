//! Poses as edge-runtime. It runs no TypeScript: it answers as the operator's main service does, and echoes what would
//! reach a function.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::Algorithm::{ES256, HS256, RS256};
use serde_json::{Value, json};

use crate::checks::{Checks, Environment};
use crate::database::{self, holds};
use crate::http::{answer, bearer, echo, header, with_report};
use crate::token::{Verifier, jwks, legacy};
use crate::values::{at_least, http_url, one_of, port, writable};

/// Where edge-runtime's functions are, by an agreement that no setting changes.
const FUNCTIONS: &str = "/home/deno/functions";

struct Runtime {
    verify: bool,
    verifier: Verifier,
    functions: PathBuf,
}

pub async fn run(environment: Environment, words: &[&str]) {
    let checks = Arc::new(Checks::new("functions"));
    let arguments = checks.record("arguments", arguments(words));
    let runtime = check(&checks, &environment);
    let main = arguments.as_ref().and_then(|arguments| {
        checks.record("main service", check_main(&arguments.main)).map(|()| arguments.main.clone())
    });
    let login =
        checks.variable(&environment, "SUPABASE_DB_URL", |value| database::login(value, &["postgres", "postgresql"]));
    checks.stop_at_failures();
    let (Some(arguments), Some(login), Some(main)) = (arguments, login, main) else { return };
    let mut connection = database::connect(&checks, &login.options).await;
    database::is_no_superuser(&checks, &mut connection).await;
    // Functions are users' code.
    let question = "SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE') \
        AND nspname IN ('auth', 'storage', 'realtime', '_realtime', '_supavisor'))";
    let otherwise = "functions must not log in as another service, whose tables they could change";
    holds(&checks, &mut connection, "database login of its own", question, otherwise).await;
    checks.stop_at_failures();
    drop(connection);

    let port = arguments.port.or_else(|| port(environment.get("EDGE_RUNTIME_PORT")?).ok()).unwrap_or(9000);
    let stock = PathBuf::from(FUNCTIONS);
    let functions = if stock.is_dir() { stock } else { main.parent().map(Path::to_owned).unwrap_or(stock) };
    let runtime = Arc::new(Runtime { functions, ..runtime });
    let router = with_report(Router::new(), &checks).fallback(move |request: Request| {
        let runtime = runtime.clone();
        async move { runtime.answer(&request) }
    });
    crate::http::serve(&checks, std::net::Ipv4Addr::UNSPECIFIED.into(), port, router).await;
}

struct Arguments {
    main: PathBuf,
    port: Option<u16>,
}

/// Flags with a value, and those without; anything else ends the real program too.
fn arguments(words: &[&str]) -> Result<Arguments, String> {
    const WITH_VALUE: &[&str] = &[
        "--main-service",
        "-p",
        "--port",
        "-i",
        "--ip",
        "--event-worker",
        "--policy",
        "--max-parallelism",
        "--static",
        "--request-wait-timeout",
        "--graceful-exit-timeout",
        "--event-worker-exit-timeout",
        "--key",
        "--cert",
        "--tls",
        "--user-worker-request-idle-timeout",
        "--import-map",
    ];
    const ALONE: &[&str] = &["--disable-module-cache", "--quiet", "-q", "--verbose", "-v"];
    let Some(("start", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err("the first argument must be start".to_owned());
    };
    let (mut main, mut chosen, mut rest) = (None, None, rest.iter().copied());
    while let Some(word) = rest.next() {
        let (flag, value) = word.split_once('=').map_or((word, None), |(flag, value)| (flag, Some(value)));
        if ALONE.contains(&flag) {
            continue;
        }
        if !WITH_VALUE.contains(&flag) {
            return Err(format!("unexpected argument {flag}"));
        }
        let value = value.or_else(|| rest.next()).ok_or_else(|| format!("{flag} needs a value"))?;
        match flag {
            "--main-service" => main = Some(PathBuf::from(value)),
            "-p" | "--port" => chosen = Some(port(value).map_err(|error| format!("{flag} {error}"))?),
            _ => {}
        }
    }
    Ok(Arguments { main: main.ok_or("--main-service is missing")?, port: chosen })
}

/// Without egress, a main service that imports from a registry would not start.
fn check_main(directory: &Path) -> Result<(), String> {
    let index = directory.join("index.ts");
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    read(&index)?;
    let beside =
        std::fs::read_dir(directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    for path in beside.flatten().map(|entry| entry.path()) {
        let is_module = path.extension().is_some_and(|kind| kind == "ts" || kind == "js" || kind == "mjs");
        if let Some(scheme) = is_module.then(|| read(&path)).transpose()?.as_deref().and_then(remote_import) {
            return Err(format!("{} imports from {scheme}, which needs egress", path.display()));
        }
    }
    Ok(())
}

fn remote_import(text: &str) -> Option<&'static str> {
    let imports = text.lines().filter(|line| line.contains("import") || line.contains("from "));
    imports
        .flat_map(|line| {
            ["jsr:", "npm:", "https:", "http:"]
                .into_iter()
                .filter(move |scheme| ['"', '\'', '`'].iter().any(|quote| line.contains(&format!("{quote}{scheme}"))))
        })
        .next()
}

fn check(checks: &Checks, environment: &Environment) -> Runtime {
    // Anything else is the user's own.
    environment.check_rendered(checks, &["JWT_SECRET", "SUPABASE_", "VERIFY_JWT", "DENO_DIR", "EDGE_RUNTIME_"], &[]);
    let secret = checks.variable(environment, "JWT_SECRET", |value| at_least(32)(value).map(|()| value));
    for name in ["SUPABASE_URL", "SUPABASE_PUBLIC_URL"] {
        checks.variable(environment, name, http_url);
    }
    checks.variable(environment, "SUPABASE_ANON_KEY", legacy(secret, "anon"));
    checks.variable(environment, "SUPABASE_SERVICE_ROLE_KEY", legacy(secret, "service_role"));
    checks.variable(environment, "VERIFY_JWT", one_of(&["true", "false"]));
    // Without it users' tokens, which are signed with the project's own key, are refused one by one.
    let keys = checks.variable(environment, "SUPABASE_JWKS", |value| jwks(secret, value));
    for (name, prefix) in [("SUPABASE_PUBLISHABLE_KEYS", "sb_publishable_"), ("SUPABASE_SECRET_KEYS", "sb_secret_")] {
        checks.variable_if_set(environment, name, |value| {
            let map: Value = serde_json::from_str(value).map_err(|_| "is not JSON")?;
            let key = map["default"].as_str().ok_or("has no key \"default\"")?;
            key.starts_with(prefix).then_some(()).ok_or_else(|| format!("key \"default\" must start with {prefix}"))
        });
    }
    let home = environment.get("HOME").unwrap_or("/root");
    let cache = environment.get("DENO_DIR").map_or_else(|| Path::new(home).join(".cache/deno"), PathBuf::from);
    let made = std::fs::create_dir_all(&cache).map_err(|error| format!("cannot make {}: {error}", cache.display()));
    checks.record("DENO_DIR", made.and_then(|()| writable(&cache)));
    checks.record("write to /tmp", writable("/tmp"));
    Runtime {
        verify: environment.is("VERIFY_JWT", "true"),
        verifier: Verifier { secret: secret.map(str::to_owned), keys },
        functions: PathBuf::new(),
    }
}

impl Runtime {
    fn answer(&self, request: &Request) -> Response {
        let path = request.uri().path();
        if path == "/_internal/health" {
            return answer(200, json!({"healthy": true, "standin": true}));
        }
        if self.verify
            && request.method() != Method::OPTIONS
            && let Err((code, message)) = self.verify(request.headers())
        {
            return unauthorized(code, message);
        }
        let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if name.is_empty() {
            return answer(400, json!({"msg": "missing function name in request"}));
        }
        if name.starts_with(['.', '_']) || name == "main" || !self.functions.join(name).is_dir() {
            return answer(404, json!({"code": "NOT_FOUND", "message": "Requested function was not found"}));
        }
        let mut body = echo("functions", request);
        body["function"] = json!(name);
        answer(200, body)
    }

    fn verify(&self, headers: &HeaderMap) -> Result<(), (&'static str, &'static str)> {
        let authorization = header(headers, "authorization");
        let opaque = bearer(headers).is_some_and(|token| token.starts_with("sb_"));
        // The gateway strips a client's own sb-api-key: what arrives in it was translated from a known key.
        let token = match (authorization, header(headers, "sb-api-key")) {
            (None, Some(key)) => key,
            (Some(_), Some(key)) if opaque => key,
            (None, None) => return Err(("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header")),
            (Some(_), _) => bearer(headers)
                .filter(|token| !token.contains(' '))
                .ok_or(("UNAUTHORIZED_INVALID_JWT_FORMAT", "Auth header is not 'Bearer {token}'"))?,
        };
        let algorithm = jsonwebtoken::decode_header(token).map(|header| header.alg);
        let (code, message) = match algorithm {
            Err(_) => return Err(("UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format")),
            Ok(HS256) => ("UNAUTHORIZED_LEGACY_JWT", "Invalid legacy JWT"),
            Ok(ES256 | RS256) => ("UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"),
            Ok(_) => return Err(("UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm")),
        };
        self.verifier.verify(token).map(drop).map_err(|_| (code, message))
    }
}

fn unauthorized(code: &'static str, message: &str) -> Response {
    let body = json!({"code": code, "message": message, "msg": message});
    ([("sb-error-code", code)], answer(401, body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_of_edge_runtime() {
        let start = |rest: &[&str]| arguments(&[&["start"], rest].concat());
        let good = start(&["--main-service", "/m", "-p", "9001", "--policy=per_worker"]).unwrap();
        assert_eq!((good.main, good.port), (PathBuf::from("/m"), Some(9001)));
        assert!(start(&["--main-service"]).is_err());
        assert!(start(&[]).is_err());
        assert!(start(&["--main-service", "/m", "--frobnicate"]).is_err());
        assert!(arguments(&["serve", "--main-service", "/m"]).is_err());
    }

    #[test]
    fn imports_from_registries_are_seen() {
        for (text, found) in [
            ("import * as jose from 'jsr:@panva/jose@6'", Some("jsr:")),
            ("export { x } from \"https://esm.sh/x\"", Some("https:")),
            ("import { verify } from './jose.js'\nconst url = 'https://example.com'", None),
        ] {
            assert_eq!(remote_import(text), found, "{text}");
        }
    }

    #[test]
    fn the_gateway_s_key_counts_where_the_client_has_no_token_of_its_own() {
        let secret = "a secret of more than thirty-two characters";
        let claims = json!({"role": "anon", "exp": crate::token::now() + 60});
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let good = crate::token::sign(&jsonwebtoken::Header::default(), &claims, &key);
        let runtime = Runtime {
            verify: true,
            verifier: Verifier { secret: Some(secret.to_owned()), keys: None },
            functions: PathBuf::new(),
        };
        let verify = |pairs: &[(&'static str, String)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            runtime.verify(&headers).map_err(|(code, _)| code)
        };
        let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
        assert_eq!(verify(&[]), Err("UNAUTHORIZED_NO_AUTH_HEADER"));
        assert_eq!(verify(&[bearer("sb_publishable_x")]), Err("UNAUTHORIZED_INVALID_JWT_FORMAT"));
        assert_eq!(verify(&[("authorization", good.clone())]), Err("UNAUTHORIZED_INVALID_JWT_FORMAT"));
        assert_eq!(verify(&[bearer(&format!("{good}x"))]), Err("UNAUTHORIZED_LEGACY_JWT"));
        assert_eq!(verify(&[bearer(&good)]), Ok(()));
        assert_eq!(verify(&[("sb-api-key", good.clone())]), Ok(()));
        assert_eq!(verify(&[bearer("sb_publishable_x"), ("sb-api-key", good.clone())]), Ok(()));
        assert_eq!(verify(&[bearer(&format!("{good}x")), ("sb-api-key", good)]), Err("UNAUTHORIZED_LEGACY_JWT"));
    }
}
