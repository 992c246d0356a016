-- One database of the wall. alice attacks; BOB-ONLY is what only bob may read; the witness notes under whom a row was written.
CREATE SCHEMA app AUTHORIZATION app_owner;
SET ROLE app_owner;
GRANT USAGE ON SCHEMA app TO PUBLIC;

CREATE TABLE app.bobonly (v text);
INSERT INTO app.bobonly VALUES ('BOB-ONLY');
GRANT SELECT ON app.bobonly TO bob;

CREATE TABLE app.acct (id serial PRIMARY KEY, owner name DEFAULT current_user, v text);
INSERT INTO app.acct (owner, v) VALUES ('alice', 'alicea1'), ('alice', 'alicea2'), ('bob', 'BOB-ONLY b1'), ('carol', 'carolc1');
ALTER TABLE app.acct ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.acct USING (owner = current_user) WITH CHECK (true);
GRANT SELECT, INSERT ON app.acct TO alice, bob, carol;
GRANT USAGE ON SEQUENCE app.acct_id_seq TO alice, bob;

-- A policy that trusts a setting, which docs/security.md says not to do.
CREATE TABLE app.g (identity text, v text);
INSERT INTO app.g VALUES ('alice', 'alice g'), ('bob', 'g of b');
ALTER TABLE app.g ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.g USING (identity = current_setting('pgtier.identity', true));
GRANT SELECT ON app.g TO alice, bob;

CREATE TABLE app.witness (who name DEFAULT current_user, note text);
GRANT INSERT ON app.witness TO PUBLIC;

CREATE TABLE app.numbers AS SELECT n, 'number ' || n AS name FROM generate_series(1, 100) n;
GRANT SELECT ON app.numbers TO alice, bob, carol;

CREATE FUNCTION app.secdef_write(note text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	BEGIN ATOMIC INSERT INTO app.witness (note) VALUES (note); END;
CREATE FUNCTION app.definer() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN current_setting('role');
REVOKE EXECUTE ON FUNCTION app.secdef_write(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.secdef_write(text) TO carol;
RESET ROLE;
CREATE SCHEMA ext;
GRANT USAGE ON SCHEMA ext TO alice, bob;
