-- User SQL expects these two; Supabase's services need neither. Installed elsewhere they stay there. Azure refuses those
-- that its parameter azure.extensions does not list, as a feature that is not supported.
DO $$
DECLARE e text;
BEGIN
  FOREACH e IN ARRAY ARRAY['pgcrypto', 'uuid-ossp'] LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = e AND installed_version IS NULL);
    BEGIN
      EXECUTE format('CREATE EXTENSION %I WITH SCHEMA extensions', e);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported THEN NULL;
    END;
  END LOOP;
END $$;
