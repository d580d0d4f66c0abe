//! From what the driver and the server say to what a user can do about it.

use sqlx::Error;

use crate::plan::DatabaseEndpoint;
use crate::reason::{Problem, Reason};

/// Explains a failed connection or query.
pub fn explain(error: &Error, endpoint: &DatabaseEndpoint) -> Problem {
    let DatabaseEndpoint { host, port, database, username, secret, .. } = endpoint;
    let (reason, message) = match error {
        // A refused certificate arrives as an I/O error with rustls' own inside.
        Error::Io(error)
            if error.get_ref().is_some_and(
                <dyn std::error::Error + std::marker::Send + std::marker::Sync + 'static>::is::<rustls::Error>,
            ) =>
        {
            (Reason::DatabaseTlsMismatch, tls_mismatch(error, endpoint))
        }
        Error::Io(error) => (
            Reason::DatabaseUnreachable,
            format!(
                "cannot reach {host}:{port}: {error}; check keys \"host\" and \"port\" of Secret {secret}, and whether pods of the operator may reach it"
            ),
        ),
        Error::Tls(error) => (Reason::DatabaseTlsMismatch, tls_mismatch(error, endpoint)),
        Error::Database(error) => {
            let said = error.message();
            let code = error.code().unwrap_or_default();
            return explain_server(&code, said, endpoint);
        }
        other => (Reason::DatabaseUnreachable, format!("{host}:{port}/{database} as {username:?}: {other}")),
    };
    Problem::new(reason, message)
}

fn tls_mismatch(error: &dyn std::fmt::Display, endpoint: &DatabaseEndpoint) -> String {
    let DatabaseEndpoint { host, port, ssl_mode, .. } = endpoint;
    let mode = ssl_mode.as_str();
    format!(
        "{host}:{port} with sslMode {mode}: {error}; set spec.database.sslMode to what the server offers, and caSecretRef to the CA that signed its certificate"
    )
}

/// By SQLSTATE: `postgresql.org/docs/current/errcodes-appendix.html`.
fn explain_server(code: &str, said: &str, endpoint: &DatabaseEndpoint) -> Problem {
    let DatabaseEndpoint { host, port, database, username, secret, ssl_mode, .. } = endpoint;
    let mode = ssl_mode.as_str();
    match code {
        "28P01" => Problem::new(
            Reason::DatabaseAuthenticationFailed,
            format!(
                "{host}:{port} refused user {username:?}: {said}; correct keys \"username\" and \"password\" of Secret {secret}"
            ),
        ),
        "28000" if said.contains("no encryption") => Problem::new(
            Reason::DatabaseTlsMismatch,
            format!(
                "{host}:{port} with sslMode {mode}: {said}; the server wants TLS: set spec.database.sslMode to require, verify-ca or verify-full"
            ),
        ),
        "28000" => Problem::new(
            Reason::DatabaseAuthenticationFailed,
            format!(
                "{host}:{port} refused user {username:?} with sslMode {mode}: {said}; allow it in pg_hba.conf, or correct Secret {secret}"
            ),
        ),
        "3D000" => Problem::new(
            Reason::DatabaseMissing,
            format!("{host}:{port}: {said}; create it, or correct key \"database\" of Secret {secret}"),
        ),
        "42501" => Problem::new(
            Reason::DatabasePrivilegeMissing,
            format!("{host}:{port}/{database} as {username:?}: {said}; put a user into Secret {secret} who may"),
        ),
        // What PgBouncer and RDS Proxy say to settings that they cannot keep for one client.
        _ if said.contains("command-line options") || said.contains("unsupported startup parameter") => Problem::new(
            Reason::DatabasePooled,
            format!(
                "{host}:{port} is a connection pooler ({said}); Auth, Storage and Realtime need sessions of their own: put the address of PostgreSQL itself into key \"host\" of Secret {secret}"
            ),
        ),
        "53300" => Problem::new(
            Reason::DatabaseUnreachable,
            format!("{host}:{port} has no free connection: {said}; raise max_connections, or end what holds them"),
        ),
        "57P01" | "57P02" | "57P03" => Problem::new(
            Reason::DatabaseUnreachable,
            format!("{host}:{port} is starting, stopping or recovering: {said}; it is tried again"),
        ),
        _ => Problem::new(
            Reason::DatabaseUnreachable,
            format!("{host}:{port}/{database} as {username:?}: {said} (SQLSTATE {code})"),
        ),
    }
}

/// Explains a failed step of the initialisation.
pub fn step_failed(step: &str, error: &Error, endpoint: &DatabaseEndpoint) -> Problem {
    match error {
        Error::Database(server) => {
            let DatabaseEndpoint { host, port, database, .. } = endpoint;
            let (said, code) = (server.message(), server.code().unwrap_or_default());
            Problem::new(
                Reason::DatabaseStepFailed,
                format!(
                    "initialisation step {step:?} failed in {host}:{port}/{database}: {said} (SQLSTATE {code}); it is tried again, steps before it are kept"
                ),
            )
        }
        other => explain(other, endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn messages_name_server_secret_and_remedy_and_no_password() {
        let endpoint = testing::plan().database;
        for (code, said, reason) in [
            ("28P01", "password authentication failed", Reason::DatabaseAuthenticationFailed),
            ("28000", "no pg_hba.conf entry for host, no encryption", Reason::DatabaseTlsMismatch),
            ("28000", "role is not permitted to log in", Reason::DatabaseAuthenticationFailed),
            ("3D000", "database \"x\" does not exist", Reason::DatabaseMissing),
            ("42501", "permission denied", Reason::DatabasePrivilegeMissing),
        ] {
            let problem = explain_server(code, said, &endpoint);
            assert_eq!(problem.reason, reason);
            assert!(problem.message.contains(&endpoint.host), "{}", problem.message);
            assert!(problem.message.contains(';'), "a remedy: {}", problem.message);
            assert!(!problem.message.contains(endpoint.password.expose()));
        }
    }

    #[test]
    fn an_unreachable_host_names_the_keys() {
        let error = Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let problem = explain(&error, &testing::plan().database);
        assert_eq!(problem.reason, Reason::DatabaseUnreachable);
        assert!(problem.message.contains("\"host\"") && problem.message.contains("tenant/orders-postgres"));
    }
}
