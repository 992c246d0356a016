package doctor

import (
	"slices"
	"testing"

	"github.com/pgtier/pgtier/config"
)

// withRoles is a configuration whose rw sessions run as a role, and what makes the server fit it.
var withRoles = map[string]string{"rw": `role = "app"`}

var makeApp = []string{`CREATE ROLE app`, `GRANT CONNECT ON DATABASE "EPMT" TO app`, `GRANT USAGE ON SCHEMA public TO app`,
	`ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app`,
	`ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public GRANT USAGE ON SEQUENCES TO app`,
	`GRANT app TO "epmt-rw"`}

var dropApp = []string{`DROP OWNED BY app`, `DROP ROLE app`}

func shared(cfg *config.Config) { cfg.Databases["EPMT"].Tiers["rw"].Isolation = "shared" }

// powerless takes from the writer's login what a tier with roles must not have, and powers gives it back.
var (
	powerless = []string{`ALTER ROLE "epmt-rw" NOINHERIT`, `REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "epmt-rw"`,
		`REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM "epmt-rw"`, `REVOKE USAGE ON SCHEMA public FROM "epmt-rw"`}
	powers = []string{`ALTER ROLE "epmt-rw" INHERIT`, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "epmt-rw"`,
		`GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "epmt-rw"`, `GRANT USAGE ON SCHEMA public TO "epmt-rw"`}
)

func TestBrokenRoles(t *testing.T) {
	with := func(lists ...[]string) (out []string) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for _, b := range []broken{
		{name: "no such role", admit: map[string]string{"ro": `role = "nobody"`},
			sql:  nil,
			want: []string{"error ro role-missing"},
			// The new role has no rights yet: whoever makes it has to see to that, and doctor says what is missing.
			left:  []string{"warning ro role-connect"},
			after: []string{`DROP OWNED BY nobody`, `DROP ROLE nobody`}},
		{name: "not granted", admit: withRoles, sql: with(makeApp, []string{`REVOKE app FROM "epmt-rw"`}),
			want: []string{"error rw role-not-granted"}, after: dropApp},
		{name: "no connect", admit: withRoles, sql: with(makeApp, []string{`REVOKE CONNECT ON DATABASE "EPMT" FROM app`}),
			want: []string{"warning rw role-connect"}, after: dropApp},
		{name: "settings that are lost", admit: withRoles,
			sql: with(makeApp, []string{`ALTER ROLE app SET statement_timeout = '5s'`, `ALTER ROLE app IN DATABASE "EPMT" SET search_path = "$user", public, "a,""b"`,
				`ALTER ROLE app SET "app.label" = E'it''s \\ a\nlabel'`}),
			want: []string{"warning rw role-settings"}, after: with([]string{`ALTER ROLE "epmt-rw" RESET ALL`, `ALTER ROLE "epmt-rw" IN DATABASE "EPMT" RESET ALL`}, dropApp)},
		{name: "expiring", admit: withRoles, sql: with(makeApp, []string{`ALTER ROLE app VALID UNTIL '2001-01-01'`}),
			want: []string{"error rw valid-until"}, after: dropApp},
		{name: "behind the role another", admit: withRoles,
			sql:  with(makeApp, []string{`CREATE ROLE behind`, `GRANT behind TO app`}),
			want: []string{"error rw role-unexpected"}, after: with([]string{`DROP ROLE behind`}, dropApp)},
		{name: "a login with powers", admit: withRoles, change: shared, sql: makeApp,
			want: []string{"warning rw login-grants", "warning rw login-inherits"}, after: with(powers, dropApp)},
		{name: "a login that owns", admit: withRoles, change: shared,
			sql: with(powerless, makeApp, []string{`CREATE TABLE mine ()`, `ALTER TABLE mine OWNER TO "epmt-rw"`}),
			// What it makes from now on is for the readers too.
			want: []string{"warning ro default-privileges", "warning rw login-owns"},
			after: with([]string{`DROP TABLE mine`, `ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-rw" IN SCHEMA public REVOKE ALL ON TABLES FROM "epmt-ro"`},
				powers, dropApp)},
	} {
		t.Run(b.name, b.run)
	}
}

// Since PostgreSQL 16 each membership says what it is good for. One that gives rights but no SET ROLE is fine, as long as the
// rights are not a higher tier's; one without SET ROLE is not enough for a role to run as.
func TestMembershipsWithOptions(t *testing.T) {
	if newClinic(t).cluster.Binaries.Major < 16 {
		t.Skip("memberships have no options before PostgreSQL 16")
	}
	for _, b := range []broken{
		{name: "rights only", sql: []string{`CREATE ROLE readers`, `GRANT readers TO "epmt-ro" WITH INHERIT TRUE, SET FALSE`}, after: []string{`DROP ROLE readers`}},
		{name: "a higher tier's rights only", sql: []string{`GRANT "epmt-admin" TO "epmt-rw" WITH INHERIT TRUE, SET FALSE`}, want: []string{"error rw tier-wall"}},
		{name: "neither", sql: []string{`GRANT "epmt-admin" TO "epmt-rw" WITH INHERIT FALSE, SET FALSE`},
			after: []string{`REVOKE "epmt-admin" FROM "epmt-rw"`}},
		{name: "neither, but the right to grant it", sql: []string{`GRANT "epmt-admin" TO "epmt-rw" WITH INHERIT FALSE, SET FALSE, ADMIN TRUE`},
			want: []string{"error rw tier-wall"}},
		{name: "no SET ROLE", admit: withRoles, sql: append(slices.Clone(makeApp), `GRANT app TO "epmt-rw" WITH SET FALSE`),
			want: []string{"error rw role-not-granted"}, after: dropApp},
		{name: "granted by somebody else",
			sql:  []string{`CREATE ROLE stray`, `CREATE ROLE giver`, `GRANT stray TO giver WITH ADMIN TRUE`, `SET ROLE giver`, `GRANT stray TO "epmt-rw"`, `RESET ROLE`},
			want: []string{"warning rw role-unexpected"}, after: []string{`DROP ROLE stray`, `DROP ROLE giver`}},
	} {
		t.Run(b.name, b.run)
	}
}

// One role in two tiers is the configuration's mistake, which no SQL mends.
func TestOneRoleInTwoTiers(t *testing.T) {
	c := newClinic(t)
	c.sql(makeApp...)
	c.sql(`GRANT app TO "epmt-ro"`)
	defer c.sql(dropApp...)
	c.admit = map[string]string{"rw": `role = "app"`, "ro": `role = "app"`}
	c.wantOnly(c.examine(), "error ro shared-role")
}

// Where the role is the identity's name, any role may be one; but not what owns things or belongs to a higher tier.
func TestRolesOfIdentities(t *testing.T) {
	c := newClinic(t)
	c.sql(`CREATE ROLE ingest`, `GRANT CONNECT ON DATABASE "EPMT" TO ingest`, `GRANT ingest TO "epmt-rw"`, `CREATE ROLE passer_by`, `GRANT passer_by TO "epmt-rw"`)
	defer c.sql(`DROP OWNED BY ingest`, `DROP ROLE ingest, passer_by`)
	c.admit = map[string]string{"rw": `role = "{identity}"`}
	c.wantOnly(c.examine())

	c.sql(`CREATE ROLE owner_of_things`, `GRANT owner_of_things TO "epmt-rw"`, `CREATE VIEW thing AS SELECT 1`, `ALTER VIEW thing OWNER TO owner_of_things`)
	defer c.sql(`DROP VIEW thing`, `DROP ROLE owner_of_things`)
	c.wantOnly(c.examine(), "warning ro default-privileges", "warning rw role-owns")

	c.sql(`GRANT "epmt-admin" TO passer_by`)
	c.wantOnly(c.examine(), "error rw tier-wall", "warning ro default-privileges", "warning rw role-owns")
}
