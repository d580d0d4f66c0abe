//! What the database remembers for the operator besides the steps: which database it is, and what was said to services
//! about it. It goes where the data goes: a restored database remembers what is in it.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::connect::{bounded, connect};
use super::{Feature, Finding, INSPECT_LIMIT};
use crate::plan::DatabaseEndpoint;
use crate::reason::Problem;
use crate::render::Digest;
use crate::sql::problem::step_failed;

/// A database whose initialisation is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// Random, and made with the ledger: another value is another database.
    pub incarnation: String,
    /// What does not work in it, as seen when everything was done.
    pub limits: Vec<Finding>,
}

impl Initialized {
    /// Why a feature does not work here, and what to do about it.
    pub fn limit(&self, feature: Feature) -> Option<&Finding> {
        self.limits.iter().find(|finding| finding.feature == Some(feature))
    }
}

const INCARNATION: &str = "incarnation";

pub async fn incarnation(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query(
        "INSERT INTO supabase_operator.steps (id, digest) VALUES ($1, gen_random_uuid()::text) ON CONFLICT DO NOTHING",
    )
    .bind(INCARNATION)
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar("SELECT digest FROM supabase_operator.steps WHERE id = $1")
        .bind(INCARNATION)
        .fetch_one(connection)
        .await
}

/// The digest that was last remembered under a name.
///
/// # Errors
/// The database cannot be asked.
pub async fn recall(endpoint: &DatabaseEndpoint, name: &str) -> Result<Option<Digest>, Problem> {
    let work = async {
        let mut connection = connect(endpoint).await?;
        let found: Result<Option<String>, _> =
            sqlx::query_scalar("SELECT digest FROM supabase_operator.steps WHERE id = $1")
                .bind(name)
                .fetch_optional(&mut connection)
                .await;
        let _ = connection.close().await;
        let found = found.map_err(|error| step_failed(name, &error, endpoint))?;
        Ok(found.as_deref().and_then(Digest::from_hex))
    };
    bounded(INSPECT_LIMIT, endpoint, work).await
}

/// Remembers a digest under a name.
///
/// # Errors
/// The database cannot be written to.
pub async fn remember(endpoint: &DatabaseEndpoint, name: &str, digest: Digest) -> Result<(), Problem> {
    let work = async {
        let mut connection = connect(endpoint).await?;
        let written = sqlx::query(
            "INSERT INTO supabase_operator.steps (id, digest) VALUES ($1, $2) \
             ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, applied_at = now()",
        )
        .bind(name)
        .bind(digest.to_hex())
        .execute(&mut connection)
        .await;
        let _ = connection.close().await;
        written.map(drop).map_err(|error| step_failed(name, &error, endpoint))
    };
    bounded(INSPECT_LIMIT, endpoint, work).await
}
