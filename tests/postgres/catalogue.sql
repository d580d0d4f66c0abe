WITH line(line) AS (
  SELECT format('role %s %s', rolname, array_remove(ARRAY[
      CASE WHEN rolsuper THEN 'super' END, CASE WHEN rolinherit THEN 'inherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,
      CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin THEN 'login' END,
      CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
      CASE WHEN rolpassword IS NOT NULL THEN 'password' END], NULL))
    FROM pg_authid WHERE rolname !~ '^pg_'
  UNION ALL SELECT format('role comment %s %s', rolname, shobj_description(oid, 'pg_authid')) FROM pg_roles
    WHERE shobj_description(oid, 'pg_authid') IS NOT NULL
  UNION ALL SELECT format('member %s of %s by %s %s', m.member::regrole, m.roleid::regrole, m.grantor::regrole,
      to_jsonb(m) - ARRAY['oid', 'roleid', 'member', 'grantor']) FROM pg_auth_members m WHERE m.member >= 16384
  UNION ALL SELECT format('setting %s in %s %s', setrole::regrole, datname, setconfig)
    FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase
  UNION ALL SELECT format('database %s %s', datname, ARRAY(SELECT unnest(datacl)::text ORDER BY 1)) FROM pg_database
    WHERE datname = current_database()
  UNION ALL SELECT format('parameter %s %s', parname, paracl) FROM pg_parameter_acl
  UNION ALL SELECT format('schema %s of %s %s', nspname, nspowner::regrole, ARRAY(SELECT unnest(nspacl)::text ORDER BY 1))
    FROM pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL SELECT format('default %s in %s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype,
      ARRAY(SELECT unnest(defaclacl)::text ORDER BY 1)) FROM pg_default_acl
  UNION ALL SELECT format('relation %s %s of %s %s', c.oid::regclass, relkind, relowner::regrole,
      ARRAY(SELECT unnest(relacl)::text ORDER BY 1))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  UNION ALL SELECT format('function %s of %s %s %s %s %s %s', p.oid::regprocedure, proowner::regrole,
      ARRAY(SELECT unnest(proacl)::text ORDER BY 1), md5(prosrc), prosecdef, proconfig, obj_description(p.oid, 'pg_proc'))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  UNION ALL SELECT format('extension %s %s in %s of %s', extname, extversion, extnamespace::regnamespace, extowner::regrole)
    FROM pg_extension
  UNION ALL SELECT format('publication %s of %s', pubname, pubowner::regrole) FROM pg_publication
  UNION ALL SELECT format('event trigger %s of %s %s', evtname, evtowner::regrole, evtfoid::regproc) FROM pg_event_trigger
  UNION ALL SELECT format('policy %s on %s', polname, polrelid::regclass) FROM pg_policy
)
SELECT line FROM line ORDER BY line COLLATE "C"
