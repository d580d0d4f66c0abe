-- Everyone who makes tables for users: the administrator, `postgres`, and postgres-meta's login; for the others only
-- their members can. Row level security is what guards these tables; that is Supabase's design.
DO $$
DECLARE maker text; kind text;
BEGIN
  FOREACH maker IN ARRAY ARRAY[current_user::text, 'postgres', 'supabase_meta_admin'] LOOP
    CONTINUE WHEN NOT pg_has_role(current_user, maker, 'USAGE');
    FOREACH kind IN ARRAY ARRAY['TABLES', 'SEQUENCES', 'FUNCTIONS'] LOOP
      EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT ALL ON %s '
                     'TO postgres, anon, authenticated, service_role', maker, kind);
    END LOOP;
  END LOOP;
END $$;
-- Before Auth and Storage make their tables: default privileges apply only to what is made later.
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_auth_admin IN SCHEMA auth GRANT ALL ON TABLES TO postgres, dashboard_user;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_auth_admin IN SCHEMA auth GRANT ALL ON SEQUENCES TO postgres, dashboard_user;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_auth_admin IN SCHEMA auth GRANT ALL ON ROUTINES TO postgres, dashboard_user;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_storage_admin IN SCHEMA storage
  GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
