CREATE SCHEMA IF NOT EXISTS extensions;
CREATE SCHEMA IF NOT EXISTS graphql_public;
CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION supabase_auth_admin;
CREATE SCHEMA IF NOT EXISTS storage AUTHORIZATION supabase_storage_admin;
-- Realtime's migrations make `realtime` themselves where they may; both belong to its login.
CREATE SCHEMA IF NOT EXISTS realtime AUTHORIZATION supabase_admin;
CREATE SCHEMA IF NOT EXISTS _realtime AUTHORIZATION supabase_admin;
CREATE SCHEMA IF NOT EXISTS _supavisor AUTHORIZATION supabase_pooler_admin;
GRANT USAGE ON SCHEMA public, extensions, auth, storage, realtime, graphql_public
  TO anon, authenticated, service_role, postgres, supabase_meta_admin;
GRANT CREATE ON SCHEMA public TO supabase_realtime_admin, supabase_meta_admin;
GRANT CREATE ON SCHEMA extensions TO supabase_meta_admin;
GRANT USAGE ON SCHEMA auth TO supabase_realtime_admin;
GRANT ALL ON SCHEMA realtime TO supabase_realtime_admin;
