//! The vocabulary of conditions: which exist, and every reason that they, Events and metrics can give.
//!
//! A reason is written here once; its name is what users see, so a new one is a new entry of the enum and nothing else.

use std::fmt;

/// Why something is as it is, in one `PascalCase` word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    // All is well.
    AllComponentsAvailable,
    Available,
    BucketUsable,
    Connected,
    DatabaseInitialized,
    KeysPresent,
    NetworkApplied,
    Reconciled,
    Usable,
    // Something is under way.
    ComponentsStarting,
    Connecting,
    DatabaseStarting,
    InitializingDatabase,
    MakingKeys,
    PreparingBucket,
    Progressing,
    Migrating,
    PreparingTenant,
    ProbingGateway,
    StorageStarting,
    Suspended,
    Suspending,
    Waiting,
    // Something is wrong with what the user gave.
    BucketMissing,
    BucketRefused,
    ConfigMapMissing,
    DatabaseAuthenticationFailed,
    DatabaseClaimed,
    DatabaseLimited,
    DatabaseMissing,
    DatabasePooled,
    DatabaseUnprepared,
    DatabasePrivilegeMissing,
    DatabaseTlsMismatch,
    DatabaseUnreachable,
    DatabaseVersionUnsupported,
    ImageUnavailable,
    KeysInvalid,
    KeysMissing,
    NameTaken,
    PodRefused,
    PodUnschedulable,
    ProviderMissing,
    ProviderUnavailable,
    ReleaseOlder,
    ReleaseUnknown,
    ScaledToZero,
    SecretInvalid,
    SecretKeyMissing,
    SecretMissing,
    SpecInvalid,
    StorageCredentialsRefused,
    StorageUnreachable,
    VolumeUnavailable,
    // Something failed that should not.
    ApplyFailed,
    CheckFailed,
    ComponentCrashing,
    ComponentUnschedulable,
    ComponentUnavailable,
    DatabaseDegraded,
    DatabaseFailed,
    DatabaseStepFailed,
    GatewayRefused,
    GatewayUnreachable,
    StorageDegraded,
    StorageFailed,
    MigrationFailed,
    TenantRefused,
    // Things that Events tell.
    Deleting,
    Repaired,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllComponentsAvailable => "AllComponentsAvailable",
            Self::Available => "Available",
            Self::BucketUsable => "BucketUsable",
            Self::Connected => "Connected",
            Self::DatabaseInitialized => "DatabaseInitialized",
            Self::KeysPresent => "KeysPresent",
            Self::NetworkApplied => "NetworkApplied",
            Self::Reconciled => "Reconciled",
            Self::Usable => "Usable",
            Self::ComponentsStarting => "ComponentsStarting",
            Self::Connecting => "Connecting",
            Self::DatabaseStarting => "DatabaseStarting",
            Self::InitializingDatabase => "InitializingDatabase",
            Self::MakingKeys => "MakingKeys",
            Self::PreparingBucket => "PreparingBucket",
            Self::Progressing => "Progressing",
            Self::Migrating => "Migrating",
            Self::PreparingTenant => "PreparingTenant",
            Self::ProbingGateway => "ProbingGateway",
            Self::StorageStarting => "StorageStarting",
            Self::Suspended => "Suspended",
            Self::Suspending => "Suspending",
            Self::Waiting => "Waiting",
            Self::BucketMissing => "BucketMissing",
            Self::BucketRefused => "BucketRefused",
            Self::ConfigMapMissing => "ConfigMapMissing",
            Self::DatabaseAuthenticationFailed => "DatabaseAuthenticationFailed",
            Self::DatabaseClaimed => "DatabaseClaimed",
            Self::DatabaseLimited => "DatabaseLimited",
            Self::DatabaseMissing => "DatabaseMissing",
            Self::DatabasePooled => "DatabasePooled",
            Self::DatabaseUnprepared => "DatabaseUnprepared",
            Self::DatabasePrivilegeMissing => "DatabasePrivilegeMissing",
            Self::DatabaseTlsMismatch => "DatabaseTlsMismatch",
            Self::DatabaseUnreachable => "DatabaseUnreachable",
            Self::DatabaseVersionUnsupported => "DatabaseVersionUnsupported",
            Self::ImageUnavailable => "ImageUnavailable",
            Self::KeysInvalid => "KeysInvalid",
            Self::KeysMissing => "KeysMissing",
            Self::NameTaken => "NameTaken",
            Self::PodRefused => "PodRefused",
            Self::PodUnschedulable => "PodUnschedulable",
            Self::ProviderMissing => "ProviderMissing",
            Self::ProviderUnavailable => "ProviderUnavailable",
            Self::ReleaseOlder => "ReleaseOlder",
            Self::ReleaseUnknown => "ReleaseUnknown",
            Self::ScaledToZero => "ScaledToZero",
            Self::SecretInvalid => "SecretInvalid",
            Self::SecretKeyMissing => "SecretKeyMissing",
            Self::SecretMissing => "SecretMissing",
            Self::SpecInvalid => "SpecInvalid",
            Self::StorageCredentialsRefused => "StorageCredentialsRefused",
            Self::StorageUnreachable => "StorageUnreachable",
            Self::VolumeUnavailable => "VolumeUnavailable",
            Self::ApplyFailed => "ApplyFailed",
            Self::CheckFailed => "CheckFailed",
            Self::ComponentCrashing => "ComponentCrashing",
            Self::ComponentUnschedulable => "ComponentUnschedulable",
            Self::ComponentUnavailable => "ComponentUnavailable",
            Self::DatabaseDegraded => "DatabaseDegraded",
            Self::DatabaseFailed => "DatabaseFailed",
            Self::DatabaseStepFailed => "DatabaseStepFailed",
            Self::GatewayRefused => "GatewayRefused",
            Self::GatewayUnreachable => "GatewayUnreachable",
            Self::StorageDegraded => "StorageDegraded",
            Self::StorageFailed => "StorageFailed",
            Self::MigrationFailed => "MigrationFailed",
            Self::TenantRefused => "TenantRefused",
            Self::Deleting => "Deleting",
            Self::Repaired => "Repaired",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands in the way: a reason, and in words which object and what to do.
///
/// A problem is a finding, not an error: it goes into a condition. It never carries secret material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: Reason,
    pub message: String,
}

impl Problem {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Where one step of the bring-up stands. Waiting is data, not an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Progress<T> {
    /// A step before this one is not done.
    #[default]
    NotStarted,
    /// The answer is to come at any moment.
    Running,
    /// Others are at work; what they say.
    Waiting(Problem),
    Done(T),
    Failed(Problem),
}

impl<T> Progress<T> {
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            _ => None,
        }
    }

    pub fn waiting(&self) -> Option<&Problem> {
        match self {
            Self::Waiting(problem) => Some(problem),
            _ => None,
        }
    }

    pub fn failed(&self) -> Option<&Problem> {
        match self {
            Self::Failed(problem) => Some(problem),
            _ => None,
        }
    }
}

/// Types of the conditions of a project, as other tools read them; each component brings one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    Ready,
    Progressing,
    Available,
    Degraded,
    PostgreSqlConnected,
    S3Connected,
    SecretsReady,
    DatabaseInitialized,
    BucketReady,
    NetworkReady,
}

impl ConditionType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Available => "Available",
            Self::Degraded => "Degraded",
            Self::PostgreSqlConnected => "PostgreSQLConnected",
            Self::S3Connected => "S3Connected",
            Self::SecretsReady => "SecretsReady",
            Self::DatabaseInitialized => "DatabaseInitialized",
            Self::BucketReady => "BucketReady",
            Self::NetworkReady => "NetworkReady",
        }
    }
}
