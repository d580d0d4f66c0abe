-- The pooler verifies its clients' passwords by those of the server, but for superusers'.
CREATE SCHEMA IF NOT EXISTS pgbouncer;
CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_usename text) RETURNS TABLE (username text, password text)
  LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $f$
  SELECT r.rolname::text, r.rolpassword FROM pg_catalog.pg_authid r
  WHERE r.rolname = $1 AND r.rolcanlogin AND NOT r.rolsuper
    AND (r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now());
$f$;
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer;
