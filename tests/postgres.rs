//! The library's SQL on real servers: the distribution's PostgreSQL 15 and the newest that npm carries, each test with a
//! server of its own on loopback, run by a user who is not root. `tests/run postgres` runs these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

#[path = "postgres/bad_servers.rs"]
mod bad_servers;
#[path = "postgres/coexistence.rs"]
mod coexistence;
#[path = "postgres/contracts.rs"]
mod contracts;
#[path = "postgres/door.rs"]
mod door;
#[path = "postgres/harness.rs"]
mod harness;
#[path = "postgres/interruption.rs"]
mod interruption;
#[path = "postgres/matrix.rs"]
mod matrix;
#[path = "postgres/prepared.rs"]
mod prepared;
