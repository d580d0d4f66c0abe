-- Supavisor's own tables live in the project's database, so that it needs no second one; its login owns nothing else.
CREATE SCHEMA IF NOT EXISTS _supavisor AUTHORIZATION supabase_pooler_admin;
-- How Supavisor checks a client that it does not know. Superusers do not come through the pooler.
CREATE SCHEMA IF NOT EXISTS pgbouncer;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer;
CREATE OR REPLACE FUNCTION pgbouncer.get_auth(p_usename text) RETURNS TABLE (username text, password text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $f$
  SELECT r.rolname::text, r.rolpassword FROM pg_catalog.pg_authid r
  WHERE r.rolname = p_usename AND r.rolcanlogin AND NOT r.rolsuper
    AND (r.rolvaliduntil IS NULL OR r.rolvaliduntil > pg_catalog.now())
$f$;
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer;
