package attack

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestNobodyClimbs asks for more than alice, who has ro only, may have, in every place of a DSN, and writes SQL where values
// are expected. A login that succeeds all the same must be ro's, for pgtier and for the server.
func TestNobodyClimbs(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	options := func(s string) map[string]string { return map[string]string{"options": s} }
	param := func(name, value string) map[string]string { return map[string]string{name: value} }
	for _, a := range []struct {
		user   string
		params map[string]string
	}{
		{"alice~admin", nil}, {"alice~rw", nil}, {"alice~ADMIN", nil}, {"alice~Admin", nil}, {"alice~ro~admin", nil}, {"alice~admin~ro", nil},
		{"alice~", nil}, {"~admin", nil}, {"~", nil}, {"alice~ admin", nil}, {"alice~admin ", nil}, {" alice~admin", nil}, {"alice~read-write", nil},
		{"alice~epmt-admin", nil}, {"alice~admin'", nil}, {`alice~"admin"`, nil}, {"alice~*", nil}, {"alice\tadmin", nil}, {"Alice", nil}, {"epmt-admin", nil},
		{"alice~" + strings.Repeat("a", 8000), nil}, {strings.Repeat("~", 8000), nil}, {strings.Repeat("alice", 1000), nil},
		{"alice", options("-c pgtier.tier=admin")}, {"alice", options("-cpgtier.tier=admin")}, {"alice", options("--pgtier.tier=admin")},
		{"alice", options("--PGTIER.TIER=admin")}, {"alice", options("-c pgtier.tier=ro -c pgtier.tier=admin")}, {"alice", options("-c pgtier.tier=admin -c pgtier.tier=ro")},
		{"alice", options(`-c pgtier.tier=a\dmin`)}, {"alice", options("-c\tpgtier.tier=admin")}, {"alice", options("-c pgtier.tier=admin\\ ")},
		{"alice", options("-c pgtier.role=epmt-admin")}, {"alice", options("-c pgtier.login=epmt-admin")},
		{"alice~ro", options("-c pgtier.tier=admin")}, {"alice~ro", param("pgtier.tier", "admin")}, {"alice", param("pgtier.tier", "admin")},
		{"alice", param("PGTIER.Tier", "rw")}, {"alice", map[string]string{"pgtier.tier": "ro", "options": "-c pgtier.tier=rw"}},
		{"alice", options("-c role=epmt-rw")}, {"alice", options("-crole=epmt-rw")}, {"alice", options("--role=epmt-rw")}, {"alice", options("-c ROLE=epmt-rw")},
		{"alice", options(`-c r\ole=epmt-rw`)}, {"alice", options(`-c \role=epmt-rw`)}, {"alice", options(`\-c role=epmt-rw`)}, {"alice", options(`-c role\=epmt-rw`)},
		{"alice", options("-c session_authorization=epmt-rw")}, {"alice", options("--session-authorization=epmt-rw")}, {"alice", options("-c Session-Authorization=epmt-rw")},
		{"alice", options("-c options=-crole=epmt-rw")}, {"alice", options("-c\x0brole=epmt-rw")}, {"alice", options("-c 'role'=epmt-rw")}, {"alice", options(`-c "role"=epmt-rw`)},
		{"alice", options("-c role =epmt-rw")}, {"alice", options("-- role=epmt-rw")}, {"alice", options("-O -c role=epmt-rw")}, {"alice", options("-P")}, {"alice", options("-r /tmp/x")},
		{"alice", options("-c session_preload_libraries=x")}, {"alice", options("-c local-preload-libraries=x")}, {"alice", options("-c is_superuser=on")},
		{"alice", param("role", "epmt-rw")}, {"alice", param("ROLE", "epmt-rw")}, {"alice", param("Session_Authorization", "epmt-rw")}, {"alice", param("session-authorization", "epmt-rw")},
		{"alice", param("role ", "epmt-rw")}, {"alice", param(" role", "epmt-rw")}, {"alice", param(`"role"`, "epmt-rw")}, {"alice", param("is_superuser", "on")},
		{"alice", param("replication", "database")}, {"alice", param("replication", "true")}, {"alice", param("REPLICATION", "on")}, {"alice", param("_pq_.role", "epmt-rw")},
		{"alice", param("search_path", "'; SET my.pwned = 1; --")}, {"alice", param("application_name", `\'; SET my.pwned = 1; --`)},
		{"alice", param("work_mem", `4MB'; SET my.pwned = 1; --`)}, {"alice", param("my.x", `\'); SET my.pwned = 1; --`)},
		{"alice", map[string]string{"standard_conforming_strings": "off", "my.x": `\'); SET my.pwned = 1; --`, "client_encoding": "SJIS"}},
		{"alice", param("client_encoding", "SJIS'; SET my.pwned = 1; --")}, {"alice", param("my.x'; SET my.pwned = 1; --", "v")},
	} {
		t.Run(a.user[:min(20, len(a.user))]+" "+strings.Join(flat(a.params), " "), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			cfg, err := pgconn.ParseConfig(p.DSN("alice"))
			if err != nil {
				t.Fatal(err)
			}
			cfg.User = a.user
			maps.Copy(cfg.RuntimeParams, a.params)
			conn, err := pgconn.ConnectConfig(ctx, cfg)
			if err != nil {
				if !strings.Contains(err.Error(), "SQLSTATE") {
					t.Errorf("refused without a SQLSTATE: %v", err)
				}
				return
			}
			defer conn.Close(ctx)
			results, err := conn.Exec(ctx, "SELECT current_user || ' ' || session_user || coalesce(current_setting('my.pwned', true), '')").ReadAll()
			if err != nil || string(results[0].Rows[0][0]) != "epmt-ro epmt-ro" {
				t.Errorf("got in as %v, %v", results, err)
			}
			if text, err := conn.Exec(ctx, "SHOW pgtier.tier").ReadAll(); err != nil || string(text[0].Rows[0][0]) != "ro" {
				t.Errorf("tier %v, %v", text, err)
			}
		})
	}
}

func flat(m map[string]string) (all []string) {
	for k, v := range m {
		all = append(all, k+"="+v)
	}
	return all
}
