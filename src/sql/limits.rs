//! What cannot work in a database that is good enough otherwise. Pure.

use super::Role;
use super::facts::Facts;
use super::findings::{Feature, Finding};
use super::profile::Profile;

/// Features that do not work with what was seen; before the initialisation, those that it is not expected to win.
pub fn limits(facts: &Facts, profile: Profile) -> Vec<Finding> {
    let (user, mut findings) = (&facts.user, replication_limits(facts));
    findings.extend(extension_limits(facts));
    if profile == Profile::Prepared && !facts.is_laid_out() {
        // What the administrator will be able to do cannot be known.
        return findings;
    }
    // Who creates roles can give since PostgreSQL 16 what it has itself.
    let gives = |has: bool| user.superuser || (facts.number >= 160_000 && user.create_role && has);
    let member = |name: &str| user.member_of.iter().any(|role| role == name);
    let mut limit = |feature, what: &str, remedy: &str| findings.push(Finding::limited(feature, what, remedy));
    if !facts.role(Role::ServiceRole).map_or_else(|| gives(user.bypass_rls), |role| role.bypass_rls) {
        limit(
            Feature::ServiceRole,
            "role service_role cannot bypass row level security: with the service key tables show no rows but those that a policy allows; Storage's tables get such policies",
            "as a superuser: ALTER ROLE service_role BYPASSRLS, or on your tables: CREATE POLICY … FOR ALL TO service_role USING (true) WITH CHECK (true)",
        );
    }
    if !facts.role(Role::MetaAdmin).map_or_else(|| gives(user.bypass_rls), |role| role.bypass_rls) {
        limit(
            Feature::Dashboard,
            "role supabase_meta_admin cannot bypass row level security: the dashboard shows no rows of others' tables but those that a policy allows",
            "as a superuser: ALTER ROLE supabase_meta_admin BYPASSRLS",
        );
    }
    let grants = user.superuser || user.grants_log_parameter;
    if !facts.role(Role::RealtimeAdmin).map_or(grants, |role| role.sets_log_parameter || role.superuser) {
        limit(
            Feature::Realtime,
            "role supabase_realtime_admin may not set log_min_messages, which Realtime's migrations do: Realtime cannot work",
            "as a superuser: GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin, or set spec.realtime.enabled to false",
        );
    }
    let replication = gives(user.replication) || member("rds_superuser") || member("rds_replication");
    if !facts.role(Role::SupabaseAdmin).map_or(replication, |role| role.replication) {
        limit(
            Feature::Realtime,
            "role supabase_admin may not replicate, which Realtime does for every tenant: Realtime cannot work",
            "as a superuser: ALTER ROLE supabase_admin REPLICATION; on Amazon RDS: GRANT rds_replication TO supabase_admin",
        );
    }
    let triggers = profile != Profile::Prepared && (user.superuser || member("rds_superuser"));
    if !facts.schema_reload && !triggers {
        limit(
            Feature::SchemaReload,
            "there is no event trigger pgrst_ddl_watch: PostgREST does not notice new tables by itself",
            "after each change of the schema: NOTIFY pgrst, 'reload schema'",
        );
    }
    if !facts.pooler && (!user.superuser || profile == Profile::Prepared) {
        limit(
            Feature::Pooler,
            "only a superuser can make the function pgbouncer.get_auth: the pooler cannot verify passwords",
            "set spec.pooler.enabled to false and connect to PostgreSQL itself, or let a superuser run what \"supabase-operator sql\" prints",
        );
    }
    findings
}

fn replication_limits(facts: &Facts) -> Vec<Finding> {
    let changes = Feature::PostgresChanges;
    let mut findings = Vec::new();
    if facts.setting("wal_level") != "logical" {
        let remedy = match facts.settings.get("rds.logical_replication") {
            Some(_) => "set rds.logical_replication to 1 in the parameter group, and restart the server",
            None => "set wal_level to logical, and restart the server",
        };
        let what = format!("wal_level is {}: Realtime cannot work", facts.setting("wal_level"));
        findings.push(Finding::limited(Feature::Realtime, what, remedy));
    } else if !facts.slots_free {
        findings.push(Finding::limited(
            changes,
            "less than two replication slots are free: Realtime may not send messages and changes of tables",
            "raise max_replication_slots, and restart the server; or remove slots that nobody uses",
        ));
    }
    let allowed = facts.settings.get("output_plugin_libraries");
    if allowed.is_some_and(|list| !list.split(',').any(|name| name.trim().trim_matches('"') == "wal2json")) {
        findings.push(Finding::limited(
            changes,
            "output_plugin_libraries does not allow wal2json: Realtime sends no changes of tables",
            "install wal2json, add it to output_plugin_libraries, and reload the configuration",
        ));
    } else if facts.wal2json == Some(false) {
        findings.push(Finding::limited(
            changes,
            "the server has no plugin wal2json: Realtime sends no changes of tables",
            "install wal2json",
        ));
    }
    findings
}

fn extension_limits(facts: &Facts) -> Option<Finding> {
    let available = |name: &&str| !facts.extensions.iter().any(|extension| extension == name);
    let missing: Vec<&str> = ["pgcrypto", "uuid-ossp"].into_iter().filter(available).collect();
    (!missing.is_empty()).then(|| {
        Finding::limited(
            Feature::Extensions,
            format!("the server cannot install {}, which SQL of users may expect", missing.join(" and ")),
            "install PostgreSQL's contrib modules on the server, if your SQL uses them",
        )
    })
}
