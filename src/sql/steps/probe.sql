-- What the operator calls through the gateway with the anon key before it says Ready. It tells nothing and costs nothing.
CREATE OR REPLACE FUNCTION graphql_public.operator_ready() RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = '' AS 'SELECT true';
REVOKE ALL ON FUNCTION graphql_public.operator_ready() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION graphql_public.operator_ready() TO anon, authenticated, service_role;
