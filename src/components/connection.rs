//! How each service is told to connect to the database: with a role of its own, and the TLS that the project wants in
//! the words of its driver.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::SslMode;
use crate::plan::Plan;
use crate::plan::keys::Credentials;
use crate::render::{DATABASE_AUTHORITY, STORAGE_AUTHORITY};
use crate::sensitive::Sensitive;
use crate::sql::Role;

/// Directory where the project's certificate authorities are mounted.
pub const AUTHORITIES: &str = "/etc/supabase/authorities";

/// A driver's words for TLS in a connection URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// libpq and pgx: `sslmode` means what `PostgreSQL`'s documentation says.
    Libpq,
    /// node-postgres takes every mode that encrypts for `verify-full`; `no-verify` is its word for `require`.
    Node,
    /// Ecto knows a switch only.
    Ecto,
}

/// URL of the database for a role.
pub fn url(plan: &Plan, credentials: &Credentials, role: Role, scheme: &str, driver: Driver) -> Sensitive {
    let database = &plan.database;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let password = credentials.passwords.get(&role).map(|password| encoded(password.expose())).unwrap_or_default();
    let host = if database.host.contains(':') { format!("[{}]", database.host) } else { database.host.clone() };
    let (user, port, name) = (role.name(), database.port, encoded(&database.database));
    let tls = parameters(plan, driver);
    Sensitive::new(format!("{scheme}://{user}:{password}@{host}:{port}/{name}{tls}"))
}

fn parameters(plan: &Plan, driver: Driver) -> String {
    let mode = plan.database.ssl_mode;
    let authority = database_authority(plan).map(|file| format!("&sslrootcert={file}")).unwrap_or_default();
    match (driver, mode) {
        (Driver::Libpq, _) => format!("?sslmode={}{authority}", mode.as_str()),
        (Driver::Node | Driver::Ecto, SslMode::Disable) => String::new(),
        (Driver::Node, SslMode::Require) => "?sslmode=no-verify".to_owned(),
        (Driver::Node, SslMode::VerifyCa | SslMode::VerifyFull) => format!("?sslmode=verify-full{authority}"),
        (Driver::Ecto, _) => "?ssl=true".to_owned(),
    }
}

/// File of the CA that signed the database's certificate, where it is verified.
pub fn database_authority(plan: &Plan) -> Option<String> {
    let wanted = plan.database.ca.is_some() && plan.database.ssl_mode.verifies();
    wanted.then(|| format!("{AUTHORITIES}/{DATABASE_AUTHORITY}"))
}

/// File of the CA that signed the S3 server's certificate.
pub fn storage_authority(plan: &Plan) -> Option<String> {
    plan.bucket.ca.is_some().then(|| format!("{AUTHORITIES}/{STORAGE_AUTHORITY}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn of(mode: SslMode, driver: Driver) -> String {
        let mut plan = testing::plan();
        plan.database.ssl_mode = mode;
        plan.database.ca = mode.verifies().then(|| "PEM".to_owned());
        let url = url(&plan, &testing::credentials(), Role::AuthAdmin, "postgres", driver);
        let (_, after) = url.expose().split_once('@').unwrap();
        after.to_owned()
    }

    #[test]
    fn each_driver_is_told_in_its_own_words_and_never_less_than_was_asked_for() {
        let ca = "sslrootcert=/etc/supabase/authorities/database.crt";
        for (mode, libpq, node, ecto) in [
            (SslMode::Disable, "?sslmode=disable".to_owned(), String::new(), ""),
            (SslMode::Require, "?sslmode=require".to_owned(), "?sslmode=no-verify".to_owned(), "?ssl=true"),
            (SslMode::VerifyCa, format!("?sslmode=verify-ca&{ca}"), format!("?sslmode=verify-full&{ca}"), "?ssl=true"),
            (
                SslMode::VerifyFull,
                format!("?sslmode=verify-full&{ca}"),
                format!("?sslmode=verify-full&{ca}"),
                "?ssl=true",
            ),
        ] {
            let base = "postgres.example.com:5433/orders";
            assert_eq!(of(mode, Driver::Libpq), format!("{base}{libpq}"));
            assert_eq!(of(mode, Driver::Node), format!("{base}{node}"));
            assert_eq!(of(mode, Driver::Ecto), format!("{base}{ecto}"));
        }
    }

    #[test]
    fn odd_names_and_addresses_make_a_url_that_reads_back() {
        let mut plan = testing::plan();
        plan.database.host = "fd00::1".to_owned();
        plan.database.database = "a/b?c d".to_owned();
        let url = url(&plan, &testing::credentials(), Role::AuthAdmin, "postgres", Driver::Node);
        let parsed = reqwest::Url::parse(url.expose()).unwrap();
        assert_eq!((parsed.host_str(), parsed.path()), (Some("[fd00::1]"), "/a%2Fb%3Fc%20d"));
        assert_eq!(parsed.username(), "supabase_auth_admin");
    }
}
