-- Where alice and bob may make things: made anew behind each attack that left something in it.
DROP SCHEMA IF EXISTS sandbox CASCADE;
CREATE SCHEMA sandbox;
GRANT ALL ON SCHEMA sandbox TO alice, bob;
CREATE TABLE sandbox.inbox (v text);
ALTER TABLE sandbox.inbox OWNER TO alice;
GRANT INSERT ON sandbox.inbox TO bob;
