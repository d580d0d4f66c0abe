-- A function of Realtime sets log_min_messages. Only who may grant it can: superusers, and whom they allowed to.
DO $$
BEGIN
  IF NOT has_parameter_privilege('supabase_realtime_admin', 'log_min_messages', 'SET') THEN
    GRANT SET ON PARAMETER log_min_messages TO supabase_realtime_admin;
  END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
END $$;
-- Amazon RDS gives replication by a role instead of the attribute.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication')
     AND NOT pg_has_role('supabase_admin', 'rds_replication', 'MEMBER') THEN
    GRANT rds_replication TO supabase_admin;
  END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
END $$;
