-- One row: the server, the database and the login.
SELECT current_setting('server_version_num')::integer                      AS version,
       current_setting('server_version')                                   AS version_text,
       current_setting('max_connections')::integer                         AS max_connections,
       current_setting('superuser_reserved_connections')::integer
         + coalesce(current_setting('reserved_connections', true), '0')::integer AS reserved, -- since 16
       current_setting('max_prepared_transactions')::integer               AS prepared_transactions,
       current_setting('lo_compat_privileges')::boolean                    AS lo_compat,
       (SELECT r.oid::bigint FROM pg_roles AS r WHERE r.rolname = session_user) AS login,
       d.datname      AS database,
       d.datdba::bigint AS owner,
       d.datconnlimit AS connection_limit
FROM pg_database AS d
WHERE d.datname = current_database()
