//! PostgreSQL: logins as the components read them, and checks that leave nothing behind.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use url::Url;

use crate::checks::Checks;
use crate::values;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A login taken from a connection string.
pub struct Login {
    pub options: PgConnectOptions,
    pub user: String,
    pub has_password: bool,
    pub ssl_mode: Option<String>,
    pub has_authority: bool,
}

/// Reads a connection string. Parameters that are no TLS setting are run-time settings, as for pgx.
pub fn login(text: &str, schemes: &[&str]) -> Result<Login, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}; is the password percent-encoded?"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(format!("must be a URL of {}", schemes.join(" or ")));
    }
    let decode = |part: &str| percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned);
    let decode = |part: &str| decode(part).map_err(|_| "holds bytes that are not UTF-8".to_owned());
    let user = decode(url.username())?;
    let database = decode(url.path().trim_start_matches('/'))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if user.is_empty() || database.is_empty() {
        return Err("names no user or no database".to_owned());
    }
    let mut options = base(host.trim_matches(['[', ']']), url.port().unwrap_or(5432), &user, &database);
    if let Some(password) = url.password() {
        options = options.password(&decode(password)?);
    }
    let (mut mode, mut has_authority) = (None, false);
    for (name, value) in url.query_pairs() {
        options = match &*name {
            "sslmode" => {
                mode = Some(value.to_string());
                options.ssl_mode(ssl_mode(&value)?)
            }
            // Ecto's switch.
            "ssl" => {
                mode = Some(value.to_string());
                options.ssl_mode(if value == "true" { PgSslMode::Require } else { PgSslMode::Disable })
            }
            "sslrootcert" => {
                values::pem_file(&value).map_err(|error| format!("sslrootcert: {error}"))?;
                has_authority = true;
                options.ssl_root_cert(&*value)
            }
            "options" => options.options(command_line(&value)?),
            "connect_timeout" | "sslcert" | "sslkey" => options,
            _ => options.options([(&*name, &*value)]),
        };
    }
    Ok(Login { options, user, has_password: url.password().is_some(), ssl_mode: mode, has_authority })
}

/// Options without anything of the process's environment but `PGPASSWORD`.
pub fn base(host: &str, port: u16, user: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .username(user)
        .database(database)
        .ssl_mode(PgSslMode::Prefer)
        .application_name("supabase-standin")
        .options([("client_min_messages", "warning")])
        .disable_statement_logging()
}

fn ssl_mode(name: &str) -> Result<PgSslMode, String> {
    match name {
        "disable" => Ok(PgSslMode::Disable),
        "prefer" | "allow" => Ok(PgSslMode::Prefer),
        "require" | "no-verify" => Ok(PgSslMode::Require),
        "verify-ca" => Ok(PgSslMode::VerifyCa),
        "verify-full" => Ok(PgSslMode::VerifyFull),
        _ => Err("has an sslmode that does not exist".to_owned()),
    }
}

/// `-c name=value` or `-cname=value`, any number of times.
fn command_line(options: &str) -> Result<Vec<(String, String)>, String> {
    let words: Vec<&str> = options.split("-c").map(str::trim).filter(|word| !word.is_empty()).collect();
    let pair = |word: &&str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    words.iter().map(pair).collect::<Option<_>>().ok_or_else(|| "has options that are not -c name=value".to_owned())
}

/// A pool that opens its connections when they are needed.
pub fn pool(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(5).acquire_timeout(CONNECT_LIMIT).connect_lazy_with(options.clone())
}

/// Connects, or ends the process.
pub async fn connect(checks: &Checks, options: &PgConnectOptions) -> PgConnection {
    let connection = tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(options)).await;
    let connection = connection.map_err(|_| "no answer from the database".to_owned());
    let connection = connection.and_then(|result| result.map_err(|error| explain(&error)));
    let connected = checks.record("database login", connection);
    checks.stop_at_failures();
    connected.unwrap()
}

/// Runs statements in a transaction that is rolled back.
pub async fn can(checks: &Checks, connection: &mut PgConnection, check: &str, statements: &str) {
    let attempt = async {
        let mut transaction = connection.begin().await?;
        let outcome = transaction.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await;
        transaction.rollback().await?;
        outcome
    };
    checks.record(check, attempt.await.map_err(|error| format!("{statements}: {}", explain(&error))));
}

/// Asks a question whose answer must be true.
pub async fn holds(checks: &Checks, connection: &mut PgConnection, check: &str, question: &str, otherwise: &str) {
    let answer: Result<Option<bool>, _> =
        sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(connection).await;
    let verdict = match answer {
        Ok(Some(true)) => Ok(()),
        Ok(_) => Err(otherwise.to_owned()),
        Err(error) => Err(explain(&error)),
    };
    checks.record(check, verdict);
}

/// A service has a login of its own, and never the administrator's.
pub async fn is_no_superuser(checks: &Checks, connection: &mut PgConnection) {
    let question = "SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user";
    holds(checks, connection, "database role", question, "must not log in as a superuser").await;
}

/// A round trip by LISTEN and NOTIFY, which a transaction pooler would lose.
pub async fn notifications(checks: &Checks, options: &PgConnectOptions) {
    let pool = pool(options);
    let channel = format!("standin_{:016x}", rand::random::<u64>());
    let round_trip = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel).await?;
        sqlx::query("SELECT pg_notify($1, 'hello')").bind(&channel).execute(&pool).await?;
        listener.recv().await.map(drop)
    };
    let verdict = match tokio::time::timeout(CONNECT_LIMIT, round_trip).await {
        Ok(result) => result.map_err(|error| explain(&error)),
        Err(_) => Err("a notification did not arrive: is this a transaction pooler?".to_owned()),
    };
    checks.record("listen and notify", verdict);
}

/// What the server or the driver says; neither repeats passwords.
pub fn explain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(said) => format!("{} ({})", said.message(), said.code().unwrap_or_default()),
        other => other.to_string(),
    }
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_gives_its_parts_decoded() {
        let login =
            login("postgres://u%40x:p%40ss%3Aw@h.example:6543/my%20db?sslmode=verify-full", &["postgres"]).unwrap();
        assert_eq!((login.user.as_str(), login.options.get_database()), ("u@x", Some("my db")));
        assert_eq!((login.options.get_host(), login.options.get_port()), ("h.example", 6543));
        assert!(login.ssl_mode.as_deref() == Some("verify-full") && login.has_password);
    }

    #[test]
    fn what_is_wrong_with_a_connection_string_is_told_without_it() {
        for text in [
            "postgres://user:hunter2:w/o?r#d%@host/db",
            "host=h user=u password=hunter2",
            "mysql://user:hunter2@host/db",
            "postgres://user:hunter2@host/",
            "postgres://user:hunter2@host/db?sslmode=maybe",
            "postgres://user:hunter2@host/db?sslrootcert=/nowhere/ca.crt",
        ] {
            let error = login(text, &["postgres"]).err().unwrap_or_else(|| panic!("accepted"));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn both_spellings_of_options_are_read() {
        let pair = vec![("search_path".to_owned(), "auth".to_owned())];
        assert_eq!(command_line("-csearch_path=auth").unwrap(), pair);
        assert_eq!(command_line("-c search_path=auth").unwrap(), pair);
    }
}
