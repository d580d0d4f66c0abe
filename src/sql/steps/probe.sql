-- What the operator calls through the gateway with the anon key before it says Ready. It tells nothing and costs nothing.
-- A function of this name that somebody else made stays as it is.
DO $$
DECLARE f regprocedure := to_regprocedure('graphql_public.operator_ready()');
BEGIN
  IF f IS NULL OR obj_description(f, 'pg_proc') = 'supabase-operator' THEN
    CREATE OR REPLACE FUNCTION graphql_public.operator_ready() RETURNS boolean
      LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = '' AS 'SELECT true';
    COMMENT ON FUNCTION graphql_public.operator_ready() IS 'supabase-operator';
    REVOKE ALL ON FUNCTION graphql_public.operator_ready() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION graphql_public.operator_ready() TO anon, authenticated, service_role;
  END IF;
END $$;
