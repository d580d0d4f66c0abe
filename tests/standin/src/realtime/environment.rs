//! The environment of Realtime: what its `runtime.exs` raises on, and what it would accept and then fail with.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use jsonwebtoken::jwk::JwkSet;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::checks::{Checks, Environment};
use crate::database;
use crate::token::jwks;
use crate::values::{at_least, boolean, exactly, integer, is, one_of, pem_file, port, writable};

pub struct Settings {
    pub login: PgConnectOptions,
    pub port: u16,
    /// Guards the tenant API: the secret, and the one to come.
    pub api_secrets: Vec<String>,
    pub encryption_key: String,
    pub cookie: String,
    pub keys: Option<JwkSet>,
}

const BOOLEANS: &[&str] = &[
    "DB_SSL",
    "DB_ENC_WRITE_GCM",
    "RUN_JANITOR",
    "DISABLE_HEALTHCHECK_LOGGING",
    "METRICS_PUSHER_ENABLED",
    "JANITOR_SCHEDULE_RANDOMIZE",
    "GEN_RPC_IPV6_ONLY",
];
const INTEGERS: &[&str] = &[
    "PORT",
    "DB_POOL_SIZE",
    "MAX_CONNECTIONS",
    "MAX_HEADER_LENGTH",
    "NUM_ACCEPTORS",
    "DB_QUEUE_TARGET",
    "DB_QUEUE_INTERVAL",
];
const LOG_LEVELS: &[&str] =
    &["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none", "all"];
const PREFIXES: &[&str] = &[
    "APP_NAME",
    "METRICS_",
    "SECRET_KEY_BASE",
    "DB_",
    "API_JWT",
    "ERL_AFLAGS",
    "RELEASE_COOKIE",
    "POD_IP",
    "SELF_HOST_",
    "SEED_",
    "CLUSTER_",
    "GEN_RPC_",
    "TENANT_MAX_",
    "LOG",
    "JANITOR_",
    "RUN_JANITOR",
    "JWT_CLAIM_",
    "PORT",
    "REGION",
];

pub fn check(checks: &Checks, environment: &Environment) -> Option<Settings> {
    environment.check_rendered(checks, PREFIXES, &[]);
    checks.variable(environment, "APP_NAME", Ok);
    checks.variable(environment, "METRICS_JWT_SECRET", Ok);
    checks.variable(environment, "SECRET_KEY_BASE", at_least(64));
    let encryption_key = checks.variable(environment, "DB_ENC_KEY", |value| exactly(16)(value).map(|()| value));
    let secret = checks.variable(environment, "API_JWT_SECRET", |value| at_least(32)(value).map(|()| value));
    let next = checks.variable_if_set(environment, "API_JWT_SECRET_NEXT", |value| at_least(32)(value).map(|()| value));
    let keys = checks.variable_if_set(environment, "API_JWT_JWKS", |value| jwks(secret, value));
    checks.variable_if_set(environment, "DB_ENC_KEY_GCM", exactly(32));
    for name in BOOLEANS {
        checks.variable_if_set(environment, name, boolean);
    }
    for (name, _) in environment.iter() {
        let counted = name.ends_with("_MS") || name.starts_with("TENANT_MAX_") || INTEGERS.contains(&name);
        let rpc = name.starts_with("GEN_RPC_") && name.ends_with("_PORT");
        if counted || rpc {
            checks.variable(environment, name, integer);
        }
    }
    checks.variable_if_set(environment, "LOG_LEVEL", one_of(LOG_LEVELS));
    if environment.is("LOGS_ENGINE", "logflare") {
        checks.variable(environment, "LOGFLARE_API_KEY", Ok);
        checks.variable(environment, "LOGFLARE_SOURCE_ID", Ok);
    }
    let (smallest, largest) = ("HTTP_DYNAMIC_BUFFER_MIN", "HTTP_DYNAMIC_BUFFER_MAX");
    if environment.get(smallest).is_some() || environment.get(largest).is_some() {
        checks.variable(environment, smallest, integer);
        checks.variable(environment, largest, integer);
    }
    checks.variable(environment, "ERL_AFLAGS", |value| {
        let ipv4 = value.contains("inet_tcp") && !value.contains("inet6_tcp");
        ipv4.then_some(()).ok_or_else(|| "must contain -proto_dist inet_tcp".to_owned())
    });
    let cookie = checks.variable(environment, "RELEASE_COOKIE", |value| Ok(value.to_owned()));
    check_cluster(checks, environment);
    // Where the release's start script writes the configuration that it has read; its default is on the root.
    checks.variable(environment, "RELEASE_TMP", writable);
    checks.record("write to /tmp", writable("/tmp"));
    let login = check_login(checks, environment);
    let port = environment.get("PORT").map_or(Some(4000), |value| port(value).ok());
    let api_secrets = [secret, next].into_iter().flatten().map(str::to_owned).collect();
    Some(Settings {
        login: login?,
        port: port?,
        api_secrets,
        encryption_key: encryption_key?.to_owned(),
        cookie: cookie?,
        keys,
    })
}

fn check_login(checks: &Checks, environment: &Environment) -> Option<PgConnectOptions> {
    let host = checks.variable(environment, "DB_HOST", |host| {
        let resolved = (host, 0).to_socket_addrs().map(|mut found| found.next().is_some());
        matches!(resolved, Ok(true)).then_some(host).ok_or_else(|| "does not resolve".to_owned())
    });
    let port = checks.variable(environment, "DB_PORT", port);
    let database = checks.variable(environment, "DB_NAME", Ok);
    let user = checks.variable(environment, "DB_USER", Ok);
    let password = checks.variable(environment, "DB_PASSWORD", Ok);
    checks.variable_if_set(environment, "DB_IP_VERSION", one_of(&["ipv4", "ipv6"]));
    checks.variable(environment, "DB_AFTER_CONNECT_QUERY", is("SET search_path TO _realtime"));
    let encrypted = environment.get("DB_SSL").is_some_and(|value| boolean(value) == Ok(true));
    let authority = checks.variable_if_set(environment, "DB_SSL_CA_CERT", |path| pem_file(path).map(|()| path));
    let mut login = database::base(host?, port?, user?, database?)
        .password(password?)
        .options([("search_path", "_realtime")])
        .ssl_mode(if encrypted { PgSslMode::Require } else { PgSslMode::Disable });
    if let (true, Some(path)) = (encrypted, authority) {
        login = login.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(path);
    }
    Some(login)
}

fn check_cluster(checks: &Checks, environment: &Environment) {
    let strategies: Option<Vec<String>> = checks.variable_if_set(environment, "CLUSTER_STRATEGIES", |value| {
        let words: Vec<String> = value.split(',').map(|word| word.trim().to_uppercase()).collect();
        let known = words.iter().all(|word| word == "POSTGRES" || word == "DNS");
        known.then_some(words).ok_or_else(|| "must be of POSTGRES and DNS: others are ignored silently".to_owned())
    });
    if strategies.is_some_and(|words| words.iter().any(|word| word == "DNS")) {
        checks.variable(environment, "DNS_NODES", Ok);
        checks.variable(environment, "POD_IP", own_address);
        let unset = environment.get("NODE_NAME").is_none();
        checks.record("NODE_NAME", unset.then_some(()).ok_or("must be unset: peers are looked for as APP_NAME@IP"));
    }
    // Without it every node is called 127.0.0.1, and none finds another.
    if environment.get("POD_IP").is_some() || environment.get("CLUSTER_STRATEGIES").is_some() {
        checks.variable(environment, "POD_IP", own_address);
        let seeded = environment.is("SEED_SELF_HOST", "true");
        checks.record("SEED_SELF_HOST", (!seeded).then_some(()).ok_or("tears the tenant under other replicas"));
    }
}

/// An address of this machine can be bound to.
pub fn own_address(value: &str) -> Result<IpAddr, String> {
    let address: IpAddr = value.parse().map_err(|_| "is no IP address".to_owned())?;
    UdpSocket::bind((address, 0)).map(|_| address).map_err(|_| "is not an address of this pod".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_machine_is_refused() {
        assert!(own_address("127.0.0.1").is_ok());
        assert!(own_address("192.0.2.1").is_err());
        assert!(own_address("pod").is_err());
    }

    #[test]
    fn an_unknown_strategy_is_refused_because_realtime_would_ignore_it() {
        let checks = Checks::new("realtime");
        check_cluster(&checks, &Environment::from([("CLUSTER_STRATEGIES", "GOSSIP"), ("POD_IP", "127.0.0.1")]));
        let failed: Vec<String> = checks.failures().into_iter().map(|outcome| outcome.check).collect();
        assert_eq!(failed, ["CLUSTER_STRATEGIES"]);
    }
}
