//! The database roles of Supabase, by the names that its services and its users' SQL expect.

/// A role. Names are fixed upstream and shared by all databases of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Requests without a user.
    Anon,
    /// Requests of a signed-in user.
    Authenticated,
    /// Requests of a trusted server: bypasses row level security.
    ServiceRole,
    /// Owner of nothing; Realtime's migrations revoke from it, Auth's default privileges grant to it.
    DashboardUser,
    /// PostgREST's login, which switches to one of the first three.
    Authenticator,
    AuthAdmin,
    StorageAdmin,
    /// Owner of what Realtime makes, and not a login.
    RealtimeAdmin,
    /// Realtime's login, by the name that its migrations expect. Upstream's is superuser; this one is not.
    SupabaseAdmin,
    FunctionsAdmin,
    /// Owner of the pooler's schema.
    PoolerAdmin,
    /// With which the pooler looks passwords up.
    Pgbouncer,
    /// postgres-meta's login: manages what users make, without being superuser.
    MetaAdmin,
    ReadOnlyUser,
}

impl Role {
    /// Every role, in the order in which they are made.
    pub const ALL: &[Self] = &[
        Self::Anon,
        Self::Authenticated,
        Self::ServiceRole,
        Self::DashboardUser,
        Self::Authenticator,
        Self::AuthAdmin,
        Self::StorageAdmin,
        Self::RealtimeAdmin,
        Self::SupabaseAdmin,
        Self::FunctionsAdmin,
        Self::PoolerAdmin,
        Self::Pgbouncer,
        Self::MetaAdmin,
        Self::ReadOnlyUser,
    ];

    /// Roles that log in, each with a password of its own.
    pub const LOGINS: &[Self] = &[
        Self::Authenticator,
        Self::AuthAdmin,
        Self::StorageAdmin,
        Self::SupabaseAdmin,
        Self::FunctionsAdmin,
        Self::PoolerAdmin,
        Self::Pgbouncer,
        Self::MetaAdmin,
        Self::ReadOnlyUser,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
            Self::DashboardUser => "dashboard_user",
            Self::Authenticator => "authenticator",
            Self::AuthAdmin => "supabase_auth_admin",
            Self::StorageAdmin => "supabase_storage_admin",
            Self::RealtimeAdmin => "supabase_realtime_admin",
            Self::SupabaseAdmin => "supabase_admin",
            Self::FunctionsAdmin => "supabase_functions_admin",
            Self::PoolerAdmin => "supabase_pooler_admin",
            Self::Pgbouncer => "pgbouncer",
            Self::MetaAdmin => "supabase_meta_admin",
            Self::ReadOnlyUser => "supabase_read_only_user",
        }
    }

    /// What the role must be able to do. Upstream gives some of them CREATEROLE and one SUPERUSER. Before PostgreSQL 16
    /// a role with CREATEROLE can grant itself `pg_execute_server_program`, and so become superuser: nobody has it here.
    pub fn attributes(self) -> Attributes {
        let role = Attributes { login: false, inherit: true, bypass_rls: false, replication: false };
        match self {
            Self::Anon | Self::Authenticated | Self::DashboardUser => role,
            Self::ServiceRole => Attributes { bypass_rls: true, ..role },
            Self::Authenticator
            | Self::AuthAdmin
            | Self::StorageAdmin
            | Self::FunctionsAdmin
            | Self::PoolerAdmin
            | Self::Pgbouncer => Attributes { login: true, inherit: false, ..role },
            Self::RealtimeAdmin => Attributes { inherit: false, ..role },
            // Inherits from the role that owns what Realtime makes.
            Self::SupabaseAdmin => Attributes { login: true, replication: true, ..role },
            Self::MetaAdmin | Self::ReadOnlyUser => Attributes { login: true, bypass_rls: true, ..role },
        }
    }
}

/// Attributes that a role needs; one that exists may have more, and keeps them.
#[allow(clippy::struct_excessive_bools)] // PostgreSQL's own words
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub login: bool,
    pub inherit: bool,
    /// Only who is superuser, or has it, can give it.
    pub bypass_rls: bool,
    /// The same.
    pub replication: bool,
}
