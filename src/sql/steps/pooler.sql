-- The pooler verifies its clients' passwords by those of the server, but for superusers'. Only a superuser can own such a
-- function, and one that somebody else made stays as it is.
CREATE SCHEMA IF NOT EXISTS pgbouncer;
DO $$
DECLARE f regprocedure := to_regprocedure('pgbouncer.get_auth(text)');
BEGIN
  IF f IS NULL OR obj_description(f, 'pg_proc') = 'supabase-operator' THEN
    CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_usename text) RETURNS TABLE (username text, password text)
      LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $f$
      SELECT r.rolname::text, r.rolpassword FROM pg_catalog.pg_authid r
      WHERE r.rolname = $1 AND r.rolcanlogin AND NOT r.rolsuper
        AND (r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now());
    $f$;
    COMMENT ON FUNCTION pgbouncer.get_auth(text) IS 'supabase-operator';
    REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer;
  END IF;
END $$;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;
