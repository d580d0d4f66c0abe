//! Connections, and the limits in time of what is done with them.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::problem::explain;
use crate::api::SslMode;
use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};

/// Of a connection: what a server does before it has one has no limit of its own.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(8);

/// The answer within a time, or a problem that says that there was none.
pub async fn bounded<T>(
    limit: Duration,
    endpoint: &DatabaseEndpoint,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    // A conversation with a server is a large future.
    tokio::time::timeout(limit, Box::pin(work)).await.unwrap_or_else(|_| {
        let DatabaseEndpoint { host, port, secret, .. } = endpoint;
        Err(Problem::new(
            Reason::DatabaseUnreachable,
            format!(
                "{host}:{port} did not answer within {} s; check keys \"host\" and \"port\" of Secret {secret}, and whether pods of the operator may reach it",
                limit.as_secs()
            ),
        ))
    })
}

pub async fn connect(endpoint: &DatabaseEndpoint) -> Result<PgConnection, Problem> {
    let mode = match endpoint.ssl_mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .database(&endpoint.database)
        .username(&endpoint.username)
        .password(endpoint.password.expose())
        .application_name("supabase-operator")
        .ssl_mode(mode)
        // Statements may hold a verifier of a password.
        .disable_statement_logging()
        .options([
            // Users may create functions in schemas that a superuser's search path would find before the catalog's.
            ("search_path", "pg_catalog"),
            // "already exists, skipping" is no news.
            ("client_min_messages", "warning"),
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "60s"),
        ]);
    if let (Some(ca), true) = (&endpoint.ca, endpoint.ssl_mode.verifies()) {
        options = options.ssl_root_cert_from_pem(ca.clone().into_bytes());
    }
    let connect = async { PgConnection::connect_with(&options).await.map_err(|error| explain(&error, endpoint)) };
    bounded(CONNECT_LIMIT, endpoint, connect).await
}
