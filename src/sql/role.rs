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
    /// Realtime's login, by the name that its migrations expect. Upstream has it superuser; Realtime needs no more than
    /// REPLICATION and the grants of `steps`.
    Admin,
    AuthAdmin,
    StorageAdmin,
    /// Owner of what Realtime makes for users; its migrations hand objects over to it.
    RealtimeAdmin,
    /// The login of Edge Functions that open a database connection.
    FunctionsAdmin,
    /// postgres-meta's login: manages what users make, without being superuser.
    MetaAdmin,
    ReadOnlyUser,
    /// Owner of the schema `_supavisor`, in which Supavisor keeps its tenants.
    PoolerAdmin,
    /// By which Supavisor asks for the verifier of a client's password, and nothing else.
    PgBouncer,
}

impl Role {
    /// Every role, in the order in which they are made.
    pub const ALL: &[Self] = &[
        Self::Anon,
        Self::Authenticated,
        Self::ServiceRole,
        Self::DashboardUser,
        Self::Authenticator,
        Self::Admin,
        Self::AuthAdmin,
        Self::StorageAdmin,
        Self::RealtimeAdmin,
        Self::FunctionsAdmin,
        Self::MetaAdmin,
        Self::ReadOnlyUser,
        Self::PoolerAdmin,
        Self::PgBouncer,
    ];

    /// Roles that log in, each with a password of its own.
    pub const LOGINS: &[Self] = &[
        Self::Authenticator,
        Self::Admin,
        Self::AuthAdmin,
        Self::StorageAdmin,
        Self::FunctionsAdmin,
        Self::MetaAdmin,
        Self::ReadOnlyUser,
        Self::PoolerAdmin,
        Self::PgBouncer,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
            Self::DashboardUser => "dashboard_user",
            Self::Authenticator => "authenticator",
            Self::Admin => "supabase_admin",
            Self::AuthAdmin => "supabase_auth_admin",
            Self::StorageAdmin => "supabase_storage_admin",
            Self::RealtimeAdmin => "supabase_realtime_admin",
            Self::FunctionsAdmin => "supabase_functions_admin",
            Self::MetaAdmin => "supabase_meta_admin",
            Self::ReadOnlyUser => "supabase_read_only_user",
            Self::PoolerAdmin => "supabase_pooler_admin",
            Self::PgBouncer => "pgbouncer",
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
            // Its membership in `supabase_realtime_admin` must be inherited.
            Self::Admin => "LOGIN INHERIT NOSUPERUSER NOCREATEROLE REPLICATION",
            Self::AuthAdmin | Self::StorageAdmin | Self::FunctionsAdmin | Self::PoolerAdmin | Self::PgBouncer => {
                "LOGIN NOINHERIT NOSUPERUSER NOCREATEROLE"
            }
            Self::RealtimeAdmin => "NOLOGIN NOINHERIT NOSUPERUSER NOREPLICATION",
            Self::MetaAdmin => "LOGIN INHERIT NOSUPERUSER BYPASSRLS",
            Self::ReadOnlyUser => "LOGIN NOSUPERUSER BYPASSRLS",
        }
    }
}
