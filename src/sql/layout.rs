//! The layout of a database that Supabase's services can use: who is a member of whom, which schemas are whose, who may
//! connect. The steps make it so, and the verification of a prepared database asks for exactly this. Pure.

use super::Role;

/// A membership that a service depends on, or that is worth having.
#[derive(Clone, Copy, Debug)]
pub struct Membership {
    pub member: Role,
    pub of: &'static str,
    pub need: Need,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The member switches to the role.
    Set,
    /// The member switches to the role, has its rights without doing so, and grants it to others.
    Admin,
    /// Nothing depends on it, and a server that is not ours may refuse it.
    Wish,
}

const fn set(member: Role, of: &'static str) -> Membership {
    Membership { member, of, need: Need::Set }
}

/// Realtime hands what it makes to `supabase_realtime_admin`, and a migration of it grants that role to `postgres`.
/// Policies on Storage's and Realtime's tables are made by members of their owners: users do that through postgres-meta.
pub const MEMBERSHIPS: &[Membership] = &[
    set(Role::Authenticator, "anon"),
    set(Role::Authenticator, "authenticated"),
    set(Role::Authenticator, "service_role"),
    set(Role::StorageAdmin, "anon"),
    set(Role::StorageAdmin, "authenticated"),
    set(Role::StorageAdmin, "service_role"),
    set(Role::RealtimeAdmin, "anon"),
    set(Role::RealtimeAdmin, "authenticated"),
    set(Role::RealtimeAdmin, "service_role"),
    Membership { member: Role::SupabaseAdmin, of: "supabase_realtime_admin", need: Need::Admin },
    set(Role::MetaAdmin, "anon"),
    set(Role::MetaAdmin, "authenticated"),
    set(Role::MetaAdmin, "service_role"),
    set(Role::MetaAdmin, "dashboard_user"),
    set(Role::MetaAdmin, "supabase_storage_admin"),
    set(Role::MetaAdmin, "supabase_realtime_admin"),
    Membership { member: Role::MetaAdmin, of: "pg_read_all_data", need: Need::Wish },
    Membership { member: Role::MetaAdmin, of: "pg_monitor", need: Need::Wish },
    Membership { member: Role::MetaAdmin, of: "pg_signal_backend", need: Need::Wish },
    Membership { member: Role::ReadOnlyUser, of: "pg_read_all_data", need: Need::Wish },
];

/// Schemas and the role that makes things in them; one that exists already keeps its owner.
pub const OWNED_SCHEMAS: &[(&str, Role)] = &[
    ("auth", Role::AuthAdmin),
    ("storage", Role::StorageAdmin),
    ("realtime", Role::SupabaseAdmin),
    ("_realtime", Role::SupabaseAdmin),
    ("_supavisor", Role::PoolerAdmin),
];

/// Schemas of the one who initialises.
pub const SHARED_SCHEMAS: &[&str] = &["extensions", "graphql_public"];

/// Who may make schemas: Realtime's and Supavisor's migrations say CREATE SCHEMA IF NOT EXISTS, which asks for the right
/// even where the schema exists.
pub const CREATORS: &[Role] = &[Role::SupabaseAdmin, Role::PoolerAdmin, Role::MetaAdmin];

/// Settings of a role in this one database. What somebody else has set there stays.
pub const SETTINGS: &[(Role, &str, &str)] = &[
    (Role::Anon, "statement_timeout", "'3s'"),
    (Role::Authenticated, "statement_timeout", "'8s'"),
    (Role::Authenticator, "statement_timeout", "'8s'"),
    (Role::Authenticator, "lock_timeout", "'8s'"),
    (Role::AuthAdmin, "search_path", "auth"),
    (Role::AuthAdmin, "idle_in_transaction_session_timeout", "'60s'"),
    (Role::StorageAdmin, "search_path", "storage"),
    (Role::MetaAdmin, "search_path", "\"$user\", public, extensions"),
    (Role::PoolerAdmin, "search_path", "_supavisor"),
];
