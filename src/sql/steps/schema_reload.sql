-- PostgREST reads the schema again when tables, functions or the like change. The functions live in the operator's own
-- schema, so that no function of a user has their names; event triggers that somebody else made stay as they are.
CREATE OR REPLACE FUNCTION supabase_operator.pgrst_on_ddl() RETURNS event_trigger LANGUAGE plpgsql
  SET search_path = '' AS $f$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c
             WHERE c.schema_name IS DISTINCT FROM 'pg_temp'
               AND coalesce(c.schema_name, '') NOT IN ('auth', 'storage', 'realtime', '_realtime', '_supavisor')) THEN
    NOTIFY pgrst, 'reload schema';
  END IF;
END $f$;
CREATE OR REPLACE FUNCTION supabase_operator.pgrst_on_drop() RETURNS event_trigger LANGUAGE plpgsql
  SET search_path = '' AS $f$
BEGIN
  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() o
             WHERE NOT o.is_temporary
               AND coalesce(o.schema_name, '') NOT IN ('auth', 'storage', 'realtime', '_realtime', '_supavisor')) THEN
    NOTIFY pgrst, 'reload schema';
  END IF;
END $f$;
-- Superusers may make event triggers; others where the provider allows it.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgrst_ddl_watch') THEN
    CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION supabase_operator.pgrst_on_ddl();
  END IF;
  IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgrst_drop_watch') THEN
    CREATE EVENT TRIGGER pgrst_drop_watch ON sql_drop EXECUTE FUNCTION supabase_operator.pgrst_on_drop();
  END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
END $$;
NOTIFY pgrst, 'reload schema';
