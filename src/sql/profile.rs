//! Which of the ways to initialise a database fits the user of the Secret. Pure.

use super::facts::Facts;
use crate::api::Privileges;

/// How a database is initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// By a superuser.
    Superuser,
    /// By the master user of a managed service: it makes roles and owns the database.
    ManagedService,
    /// By a database administrator, with the SQL that the operator prints; it is only verified.
    Prepared,
}

impl Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superuser => "Superuser",
            Self::ManagedService => "ManagedService",
            Self::Prepared => "Prepared",
        }
    }

    /// What the project says, or the most that the user can do.
    pub fn choose(privileges: Privileges, facts: &Facts) -> Self {
        match privileges {
            Privileges::Superuser => Self::Superuser,
            Privileges::ManagedService => Self::ManagedService,
            Privileges::Auto if facts.user.superuser => Self::Superuser,
            Privileges::Auto if facts.user.create_role => Self::ManagedService,
            Privileges::Prepared | Privileges::Auto => Self::Prepared,
        }
    }
}
