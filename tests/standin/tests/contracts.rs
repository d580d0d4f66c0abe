//! Each stand-in, as a process with a whole environment and a real PostgreSQL, becomes healthy; with any part of its
//! contract missing or malformed it refuses, says which, and tells no secret.

mod contracts {
    // `tests/rendered.rs` uses the rest of it.
    #[allow(dead_code)]
    pub mod postgres;
    pub mod process;
    pub mod secrets;

    mod auth;
    mod kong;
    mod realtime;
    mod stateless;
    mod storage;
    mod supavisor;
}
