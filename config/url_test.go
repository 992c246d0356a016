package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"postgresql://a:b@h/d", "a b [h]:5432 d prefer "},
		{"postgres://a:b@h:6000/d", "a b [h:6000]:5432 d prefer "},
		{"postgresql://a@h/d", "a  [h]:5432 d prefer "},
		{"postgresql://a:@h/d", "a  [h]:5432 d prefer "},
		{"postgresql://epmt-admin:p%40%2F%3A%25%23+%20@h/EPMT", "epmt-admin p@/:%#+  [h]:5432 EPMT prefer "},
		{"postgresql://a:b:c@h/d", "a b:c [h]:5432 d prefer "},
		{"postgresql://a:b@[::1]:6000,[fe80::2],H.example/d", "a b [[::1]:6000 fe80::2 H.example]:5432 d prefer "},
		{"postgresql://a:b@h1:1,h2:2/d?sslmode=verify-full&sslrootcert=%2Fca.crt", "a b [h1:1 h2:2]:5432 d verify-full /ca.crt"},
		{"postgresql://a:b@%2Frun%2Fpostgresql/d", "a b [/run/postgresql]:5432 d prefer "},
		{"postgresql://a:b@/d?host=/run/postgresql&port=6000", "a b [/run/postgresql]:6000 d prefer "},
		{"postgresql://a:b@h/we%22ird%20d", "a b [h]:5432 we\"ird d prefer "},
		{"postgresql://%C3%A9:b@h/d", "é b [h]:5432 d prefer "},

		{"", "error: not a PostgreSQL URL (no scheme); value not shown"},
		{"canary", "error: not a PostgreSQL URL (no scheme); value not shown"},
		{"host=h password=canary", "error: not a PostgreSQL URL (no scheme); value not shown"},
		{"canary:rest", "error: not a PostgreSQL URL (no scheme); value not shown"},
		{"mysql://a:canary@h/d", `error: not a PostgreSQL URL (scheme "mysql"); value not shown`},
		{"POSTGRESQL://a:canary@h/d", `error: not a PostgreSQL URL (scheme "POSTGRESQL"); value not shown`},
		{"postgresql://a:can%ary@h/d", "error: not a valid PostgreSQL URL (password); value not shown"},
		{"postgresql://a:canary%00@h/d", "error: not a valid PostgreSQL URL (password); value not shown"},
		{"postgresql://canary%@h/d", "error: not a valid PostgreSQL URL (login); value not shown"},
		{"postgresql://a:b@c@anary/d", "error: not a valid PostgreSQL URL (host or port); value not shown"},
		{"postgresql://a:b@h:0/d", "error: not a valid PostgreSQL URL (host or port); value not shown"},
		{"postgresql://a:b@h:canary/d", "error: not a valid PostgreSQL URL (host or port); value not shown"},
		{"postgresql://a:b@[::1/d", "error: not a valid PostgreSQL URL (host or port); value not shown"},
		{"postgresql://a:b@[::1]x/d", "error: not a valid PostgreSQL URL (host or port); value not shown"},
		{"postgresql://a:b@h,/d", "error: not a valid PostgreSQL URL (empty host); value not shown"},
		{"postgresql://a:b@:5432/d", "error: not a valid PostgreSQL URL (empty host); value not shown"},
		{"postgresql://a:b@h%/d", "error: not a valid PostgreSQL URL (host); value not shown"},
		{"postgresql://a:b@h/d%4", "error: not a valid PostgreSQL URL (database); value not shown"},
		{"postgresql://a:b@h/d?host=x", "error: not a valid PostgreSQL URL (host twice); value not shown"},
		{"postgresql://a:b@h/d?sslmode", "error: not a valid PostgreSQL URL (query parameter); value not shown"},
		{"postgresql://a:b@h/d?sslmode=", "error: not a valid PostgreSQL URL (query parameter); value not shown"},
		{"postgresql://a:b@h/d?port=0", "error: not a valid PostgreSQL URL (port); value not shown"},
		{"postgresql://a:b@h/d?sslmode=canary", "error: unknown sslmode; write one of: disable, allow, prefer, require, verify-ca, verify-full"},
		{"postgresql://a:b@h/d?options=canary", `error: parameter "options" is not supported; only host, port, sslmode and sslrootcert are`},
		{"postgresql://a:b@h/d?canary=x", "error: not a valid PostgreSQL URL (unknown query parameter); value not shown"},
		{"postgresql://h/d", "error: no login; write postgresql://LOGIN:PASSWORD@HOST/DATABASE"},
		{"postgresql://a:b@/d", "error: no host; write postgresql://LOGIN:PASSWORD@HOST/DATABASE"},
		{"postgresql://a:b@h", "error: no database; write postgresql://LOGIN:PASSWORD@HOST/DATABASE"},
		{"postgresql://a:b@h/", "error: no database; write postgresql://LOGIN:PASSWORD@HOST/DATABASE"},
	} {
		u, err := parseURL(c.in)
		var got string
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = fmt.Sprintf("%s %s %v:%d %s %s %s", u.login, u.password, u.hosts, u.port, u.dbname, u.sslmode, u.sslrootcert)
		}
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
		if err != nil && strings.Contains(got, "canary") {
			t.Errorf("%s: the error shows the value: %s", c.in, got)
		}
	}
}

// FuzzParseURL: no text panics, what is accepted is complete, and no error shows the password.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"postgresql://a:b@h:1,[::1]:2,%2Frun/d?sslmode=require&host=x", "postgres://:@:/?=&", "postgresql://a@%/", "x://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseURL(s)
		if err != nil {
			return
		}
		if u.login == "" || u.dbname == "" || len(u.hosts) == 0 || u.port == 0 {
			t.Errorf("accepted without login, host, port or database: %q", s)
		}
		for _, h := range u.hosts {
			if again, err := checkHost(h); err != nil || again != h {
				t.Errorf("host %q is not in its own form: %q, %v", h, again, err)
			}
		}
		for _, part := range []string{u.login, u.password, u.dbname, u.sslrootcert} {
			if strings.ContainsRune(part, 0) {
				t.Errorf("zero byte in %q", s)
			}
		}
	})
}
