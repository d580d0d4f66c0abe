//! What the operator renders is what the services accept, on a database that the operator itself has initialised; and
//! whatever is taken away or changed about it is noticed.

// Shared with the contracts, which use more of it.
#[allow(dead_code)]
#[path = "contracts"]
mod contracts {
    pub mod postgres;
    pub mod process;
    pub mod secrets;
}

mod rendered {
    pub mod meta;
    pub mod project;
    pub mod units;

    mod accepted;
    mod mutations;
}
