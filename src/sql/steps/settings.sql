-- Limited to this database, so that other databases of the server see nothing of it.
DO $$
DECLARE d text := current_database();
BEGIN
  EXECUTE format('ALTER ROLE anon IN DATABASE %I SET statement_timeout = %L', d, '3s');
  EXECUTE format('ALTER ROLE authenticated IN DATABASE %I SET statement_timeout = %L', d, '8s');
  EXECUTE format('ALTER ROLE authenticator IN DATABASE %I SET statement_timeout = %L', d, '8s');
  EXECUTE format('ALTER ROLE authenticator IN DATABASE %I SET lock_timeout = %L', d, '8s');
  EXECUTE format('ALTER ROLE supabase_auth_admin IN DATABASE %I SET search_path = auth', d);
  EXECUTE format('ALTER ROLE supabase_auth_admin IN DATABASE %I SET idle_in_transaction_session_timeout = %L', d, '60s');
  EXECUTE format('ALTER ROLE supabase_storage_admin IN DATABASE %I SET search_path = storage', d);
  EXECUTE format('ALTER ROLE supabase_meta_admin IN DATABASE %I SET search_path = "$user", public, extensions', d);
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO authenticator, supabase_auth_admin, supabase_storage_admin, '
                 'supabase_admin, supabase_functions_admin, supabase_pooler_admin, pgbouncer, supabase_meta_admin, '
                 'supabase_read_only_user', d);
  EXECUTE format('GRANT CREATE ON DATABASE %I TO supabase_admin, supabase_pooler_admin, supabase_realtime_admin, supabase_meta_admin', d);
END $$;
-- Since 15.20 and 18.6 PostgreSQL decodes changes with listed libraries alone, and Realtime reads them with wal2json.
-- An older server does not know the setting.
DO $$
DECLARE allowed text := (SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries');
BEGIN
  IF allowed !~ '\mwal2json\M' THEN
    SELECT string_agg(quote_literal(btrim(library)), ', ') INTO allowed
      FROM unnest(string_to_array(allowed, ',') || 'wal2json'::text) AS library WHERE btrim(library) <> '';
    EXECUTE format('ALTER ROLE supabase_admin IN DATABASE %I SET output_plugin_libraries = %s', current_database(), allowed);
  END IF;
END $$;
