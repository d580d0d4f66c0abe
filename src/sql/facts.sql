SELECT json_build_object(
  'version', current_setting('server_version'),
  'recovering', pg_is_in_recovery(),
  'readOnly', current_setting('default_transaction_read_only') = 'on',
  'tls', coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
  'searchPath', current_setting('search_path'),
  'backend', pg_backend_pid(),
  'user', (SELECT json_build_object('name', rolname, 'superuser', rolsuper, 'createRole', rolcreaterole,
      'bypassRls', rolbypassrls, 'replication', rolreplication,
      'ownsDatabase', (SELECT pg_has_role(r.oid, datdba, 'USAGE') FROM pg_database WHERE datname = current_database()),
      'createsSchemas', has_database_privilege(current_database(), 'CREATE'),
      'memberOf', (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]') FROM pg_roles g
                   WHERE g.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER')),
      'grantsLogParameter', has_parameter_privilege('log_min_messages', 'SET WITH GRANT OPTION'))
    FROM pg_roles r WHERE rolname = current_user),
  -- As Realtime's connections have them: what a role has been given counts before what the server has.
  'settings', (SELECT json_object_agg(name, coalesce(
      (SELECT split_part(c, '=', 2) FROM pg_db_role_setting r
         JOIN pg_database d ON d.oid = r.setdatabase AND d.datname = current_database()
         JOIN pg_roles a ON a.oid = r.setrole AND a.rolname = 'supabase_admin',
         unnest(r.setconfig) AS c WHERE split_part(c, '=', 1) = pg_settings.name), setting)) FROM pg_settings
    WHERE name IN ('wal_level', 'rds.logical_replication', 'max_connections', 'max_replication_slots',
                   'shared_preload_libraries', 'output_plugin_libraries')),
  -- Those that Realtime has now are no others'.
  'slotsFree', current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots s
    WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.active_pid AND a.usename = 'supabase_admin')) >= 2,
  'extensions', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_available_extensions
    WHERE name = ANY ($3)),
  'roles', (SELECT json_object_agg(rolname, json_build_object('login', rolcanlogin, 'inherit', rolinherit,
      'superuser', rolsuper, 'createRole', rolcreaterole, 'bypassRls', rolbypassrls OR rolsuper,
      'replication', rolreplication OR rolsuper
        OR coalesce((SELECT pg_has_role(r.oid, g.oid, 'MEMBER') FROM pg_roles g WHERE g.rolname = 'rds_replication'), false),
      'administered', pg_has_role(oid, 'MEMBER WITH ADMIN OPTION'),
      'setsLogParameter', has_parameter_privilege(oid, 'log_min_messages', 'SET'),
      'comment', shobj_description(oid, 'pg_authid')))
    FROM pg_roles r WHERE rolname = ANY ($1)),
  'schemas', (SELECT json_object_agg(nspname, json_build_object('owner', pg_get_userbyid(nspowner),
      'ours', pg_has_role(nspowner, 'USAGE'),
      'trusted', nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
        OR (SELECT rolsuper FROM pg_roles WHERE oid = nspowner)
        OR nspowner = (SELECT datdba FROM pg_database WHERE datname = current_database())))
    FROM pg_namespace WHERE nspname = ANY ($2)),
  'foreignAuthFunctions', (SELECT coalesce(json_agg(p.oid::regprocedure::text ORDER BY p.oid::regprocedure::text), '[]')
    FROM pg_proc p WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'auth')
      AND p.proname IN ('uid', 'role', 'email', 'jwt') AND p.pronargs = 0
      AND pg_get_userbyid(p.proowner) <> 'supabase_auth_admin'),
  'schemaReload', EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgrst_ddl_watch'),
  'pooler', EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'pgbouncer' AND p.proname = 'get_auth' AND p.proargtypes = '25'),
  'publication', EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime'),
  'ledger', coalesce((SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'supabase_operator' AND c.relname = 'steps'), false)
)::text
