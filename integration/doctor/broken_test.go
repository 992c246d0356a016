package doctor

import (
	"testing"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/config"
)

// broken is one thing that is wrong with a server that was green. Breaking it makes exactly the findings of want, their fixes
// take them away again, and after tidying up all is green for the next.
type broken struct {
	name   string
	sql    []string // breaks it
	admit  map[string]string
	change func(*config.Config)
	want   []string
	after  []string // what is there to be tidied up, besides the fix
	left   []string // findings that stay because their fix is not SQL
}

func (b broken) run(t *testing.T) {
	c := newClinic(t)
	c.admit, c.change = b.admit, b.change
	if c.admit == nil {
		c.admit = map[string]string{}
	}
	c.sql(b.sql...)
	findings := c.examine()
	c.wantOnly(findings, b.want...)
	for _, f := range findings {
		if f.Severity != roles.Note {
			c.sql(f.Fix...)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	t.Log("\n" + text(findings))
	c.wantOnly(c.examine(), b.left...)
	c.sql(b.after...)
	c.admit, c.change = map[string]string{}, nil
	c.wantOnly(c.examine())
}

func TestBrokenLogins(t *testing.T) {
	for _, b := range []broken{
		{name: "no connect", sql: []string{`REVOKE CONNECT ON DATABASE "EPMT" FROM "epmt-ro"`}, want: []string{"error ro login-failed"}},
		{name: "nologin", sql: []string{`ALTER ROLE "epmt-rw" NOLOGIN`}, want: []string{"error rw login-failed"}},
		{name: "no connections", sql: []string{`ALTER ROLE "epmt-rw" CONNECTION LIMIT 0`}, want: []string{"error rw login-failed"},
			after: []string{`ALTER ROLE "epmt-rw" CONNECTION LIMIT -1`}},
		{name: "superuser", sql: []string{`ALTER ROLE "epmt-rw" SUPERUSER`}, want: []string{"error rw superuser"}},
		{name: "createrole", sql: []string{`ALTER ROLE "epmt-ro" CREATEROLE`}, want: []string{"error ro createrole"}},
		{name: "createdb", sql: []string{`ALTER ROLE "epmt-ro" CREATEDB`}, want: []string{"warning ro createdb"}},
		{name: "replication", sql: []string{`ALTER ROLE "epmt-rw" REPLICATION`}, want: []string{"error rw replication"}},
		{name: "bypassrls", sql: []string{`ALTER ROLE "epmt-admin" BYPASSRLS`}, want: []string{"error admin bypassrls"}},
		{name: "attribute behind a membership",
			sql:   []string{`CREATE ROLE boss CREATEROLE`, `GRANT boss TO "epmt-rw"`},
			want:  []string{"error rw createrole", "warning rw role-unexpected"},
			after: []string{`DROP ROLE boss`}},
		{name: "files", sql: []string{`GRANT pg_read_server_files TO "epmt-admin"`}, want: []string{"error admin predefined-role"}},
		{name: "signals", sql: []string{`GRANT pg_signal_backend TO "epmt-rw"`}, want: []string{"error rw predefined-role"}},
		{name: "statistics by way of pg_monitor", sql: []string{`GRANT pg_monitor TO "epmt-ro"`}, want: []string{"error ro predefined-role"}},
		{name: "the reader writes all data", sql: []string{`GRANT pg_write_all_data TO "epmt-ro"`}, want: []string{"error ro predefined-role"}},
		{name: "files by way of a group",
			sql:   []string{`CREATE ROLE team`, `GRANT team TO "epmt-rw"`, `GRANT pg_write_server_files TO team`},
			want:  []string{"error rw predefined-role", "warning rw role-unexpected"},
			after: []string{`DROP ROLE team`}},
		{name: "expired", sql: []string{`ALTER ROLE "epmt-rw" VALID UNTIL '2001-01-01'`}, want: []string{"error rw login-failed"},
			after: []string{`ALTER ROLE "epmt-rw" VALID UNTIL 'infinity'`}, left: []string{"error rw login-failed"}},
		{name: "expiring", sql: []string{`DO $$BEGIN EXECUTE format('ALTER ROLE "epmt-rw" VALID UNTIL %L', now() + interval '3 days'); END$$`},
			want: []string{"warning rw valid-until"}},
		{name: "poisoned", sql: []string{`ALTER ROLE "epmt-rw" SET role = 'epmt-rw'`, `ALTER ROLE "epmt-rw" IN DATABASE "EPMT" SET local_preload_libraries = 'nosuch'`},
			want: []string{"error rw login-setting", "error rw login-setting"}},
		{name: "few connections for the login", sql: []string{`ALTER ROLE "epmt-ro" CONNECTION LIMIT 5`}, want: []string{"warning ro connection-limit"},
			after: []string{`ALTER ROLE "epmt-ro" CONNECTION LIMIT -1`}},
		{name: "few connections for the database", sql: []string{`ALTER DATABASE "EPMT" CONNECTION LIMIT 50`}, want: []string{"warning ro connection-limit"},
			after: []string{`ALTER DATABASE "EPMT" CONNECTION LIMIT -1`}},
	} {
		t.Run(b.name, b.run)
	}
}

// hostile is a quoted name that would do something to a terminal, and as SQL if it were not quoted well.
const hostile = "\"x\"\"; \n\x1b[2J\\ ';--\u202e :'y'\""

func TestBrokenWalls(t *testing.T) {
	for _, b := range []broken{
		{name: "the writer becomes the admin", sql: []string{`GRANT "epmt-admin" TO "epmt-rw"`}, want: []string{"error rw tier-wall"}},
		{name: "by way of a group",
			sql:   []string{`CREATE ROLE team NOINHERIT`, `GRANT team TO "epmt-rw"`, `GRANT "epmt-admin" TO team`},
			want:  []string{"error rw tier-wall"},
			after: []string{`DROP ROLE team`}},
		{name: "a role that nobody is granted", sql: []string{`CREATE ROLE stray`, `ALTER ROLE "epmt-rw" NOINHERIT`, `GRANT stray TO "epmt-rw" WITH ADMIN OPTION`},
			want:  []string{"error rw role-unexpected"},
			after: []string{`ALTER ROLE "epmt-rw" INHERIT`, `DROP ROLE stray`}},
		{name: "names that are hostile",
			sql:   []string{"CREATE ROLE " + hostile, "GRANT " + hostile + ` TO "epmt-rw"`},
			want:  []string{"warning rw role-unexpected"},
			after: []string{"DROP ROLE " + hostile}},
	} {
		t.Run(b.name, b.run)
	}
}
