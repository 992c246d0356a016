-- ALTER ROLE ... SET, as far as it holds in this database.
SELECT s.setrole::bigint AS role, s.setdatabase <> 0 AS here, c.text AS text
FROM pg_db_role_setting AS s
CROSS JOIN unnest(s.setconfig) AS c (text)
WHERE s.setrole <> 0
  AND (s.setdatabase = 0 OR s.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
ORDER BY 1, 2, 3
