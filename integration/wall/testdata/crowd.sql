-- A thousand people, each with a role and rows of their own. number(name) says how many rows somebody has.
CREATE FUNCTION number(who name) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN substr(who::text, 2)::bigint % 7 + 1;
CREATE TABLE crowd (owner name NOT NULL, n bigint NOT NULL);
INSERT INTO crowd SELECT who, n FROM (SELECT 'p' || to_char(i, 'FM0000') AS who FROM generate_series(0, 999) i) p, generate_series(1, number(who::name)) n;
CREATE INDEX ON crowd (owner);
ANALYZE crowd;
ALTER TABLE crowd ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON crowd USING (owner = current_user);
GRANT SELECT ON crowd TO PUBLIC;
