-- The value of the setting $1 of this database.
SELECT substr(c.text, length($1::text) + 2) AS text
FROM pg_db_role_setting AS s
CROSS JOIN unnest(s.setconfig) AS c (text)
WHERE s.setrole = 0 AND starts_with(c.text, $1::text || '=')
  AND s.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
