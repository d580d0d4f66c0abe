//! Each field of the spec does what it says, and nothing else: a project with the field is compared with the same one
//! without it, and differs in exactly the places that its case names. No field is without a case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

mod overrides {
    pub mod change;

    mod common;
    mod own;
    mod schema;
}
