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

    /// Attributes of a role on a server where the operator is superuser.
    ///
    /// Upstream gives some of them CREATEROLE. Before PostgreSQL 16 such a role can grant itself
    /// `pg_execute_server_program`, and so become superuser: nobody has it here.
    pub fn attributes(self) -> &'static str {
        match self {
            Self::Anon | Self::Authenticated => "NOLOGIN INHERIT NOSUPERUSER NOBYPASSRLS",
            Self::ServiceRole => "NOLOGIN INHERIT NOSUPERUSER BYPASSRLS",
            Self::DashboardUser => "NOLOGIN NOSUPERUSER",
            Self::Authenticator => "LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS",
            Self::AuthAdmin | Self::StorageAdmin | Self::FunctionsAdmin | Self::PoolerAdmin | Self::Pgbouncer => {
                "LOGIN NOINHERIT NOSUPERUSER NOCREATEROLE"
            }
            Self::RealtimeAdmin => "NOLOGIN NOINHERIT NOSUPERUSER NOREPLICATION",
            Self::SupabaseAdmin => "LOGIN INHERIT NOSUPERUSER REPLICATION",
            Self::MetaAdmin => "LOGIN INHERIT NOSUPERUSER BYPASSRLS",
            Self::ReadOnlyUser => "LOGIN NOSUPERUSER BYPASSRLS",
        }
    }
}
