//! Parameters of PostgreSQL that CloudNativePG refuses or silently replaces (pkg/postgres/configuration.go of 1.30).

const NAMES: &str = "allow_system_table_mods archive_cleanup_command archive_command archive_mode bonjour bonjour_name
    cluster_name config_file data_directory data_sync_retry event_source external_pid_file hba_file hot_standby
    ident_file jit_provider listen_addresses log_destination log_directory log_file_mode log_filename
    log_truncate_on_rotation logging_collector pg_failover_slots.primary_dsn pg_failover_slots.standby_slot_names port
    primary_conninfo primary_slot_name promote_trigger_file recovery_end_command restart_after_crash restore_command
    shared_preload_libraries ssl ssl_ecdh_curve ssl_prefer_server_ciphers stats_temp_directory
    synchronized_standby_slots synchronous_standby_names temp_tablespaces";

const PREFIXES: &[&str] = &["log_rotation_", "recovery_target", "ssl_passphrase", "syslog_", "unix_socket_"];

pub fn is_fixed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.split_whitespace().any(|fixed| fixed == name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (name.starts_with("ssl_") && name.ends_with("_file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cloudnativepg_keeps_for_itself_is_fixed() {
        for name in ["archive_mode", "PORT", "ssl_cert_file", "log_rotation_age", "synchronous_standby_names"] {
            assert!(is_fixed(name), "{name}");
        }
        for name in ["max_connections", "ssl_min_protocol_version", "wal_level", "log_min_duration_statement"] {
            assert!(!is_fixed(name), "{name}");
        }
    }
}
