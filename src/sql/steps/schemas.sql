CREATE SCHEMA IF NOT EXISTS extensions;
CREATE SCHEMA IF NOT EXISTS graphql_public;
CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION supabase_auth_admin;
CREATE SCHEMA IF NOT EXISTS storage AUTHORIZATION supabase_storage_admin;
CREATE SCHEMA IF NOT EXISTS realtime AUTHORIZATION supabase_admin;
CREATE SCHEMA IF NOT EXISTS _realtime AUTHORIZATION supabase_admin;
GRANT USAGE ON SCHEMA public, extensions, auth, storage, realtime, graphql_public
  TO anon, authenticated, service_role, postgres, supabase_meta_admin;
-- Realtime names the published tables and the functions of their policies.
GRANT USAGE ON SCHEMA public, extensions, auth TO supabase_admin, supabase_realtime_admin;
GRANT USAGE, CREATE ON SCHEMA realtime TO supabase_realtime_admin;
GRANT CREATE ON SCHEMA public, extensions TO supabase_meta_admin;
