-- Since 15.20 and 18.6 PostgreSQL decodes changes with listed libraries alone, and Realtime reads them with wal2json.
-- An older server does not know the setting; where only its provider may change it, the preflight says so.
DO $$
DECLARE allowed text := (SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries');
BEGIN
  IF allowed !~ '\mwal2json\M' THEN
    SELECT string_agg(quote_literal(btrim(library)), ', ') INTO allowed
      FROM unnest(string_to_array(allowed, ',') || 'wal2json'::text) AS library WHERE btrim(library) <> '';
    EXECUTE format('ALTER ROLE supabase_admin IN DATABASE %I SET output_plugin_libraries = %s', current_database(), allowed);
  END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
END $$;
