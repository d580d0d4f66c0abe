//! The operator on a real cluster: run by `tests/run node`, inside of the test cluster's network, after `make demo` has
//! installed the operator there. Each test has a namespace, a PostgreSQL and (where it matters) an S3 user of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

#[path = "node/alone.rs"]
mod alone;
#[path = "node/bad_input.rs"]
mod bad_input;
#[path = "node/complete.rs"]
mod complete;
#[path = "node/external.rs"]
mod external;
#[path = "node/harness.rs"]
mod harness;
#[path = "node/life.rs"]
mod life;
#[path = "node/managed.rs"]
mod managed;
#[path = "node/neighbours.rs"]
mod neighbours;
#[path = "node/silence.rs"]
mod silence;
