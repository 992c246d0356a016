package wall

import (
	"strings"
	"testing"
)

// TestUnreadableRoleSettings: what alice's role, the login or the database say about how text is read does not blind the
// guard. She may have said it where no guard is.
func TestUnreadableRoleSettings(t *testing.T) {
	b := newLab(t)
	const smuggled = `SELECT '\''; SET ROLE bob; --'`
	for _, l := range levels {
		if !l.guarded() {
			continue
		}
		for _, who := range []string{"ROLE alice", "ROLE alice IN DATABASE " + l.name, "ROLE " + l.login(), "DATABASE " + l.name} {
			w := b.newRange(l)
			b.sql(l, "ALTER "+who+" SET standard_conforming_strings = off")
			b.sql(l, "ALTER "+who+" SET client_encoding = 'SJIS'")
			w.endServers()
			alice := b.mustConnect(l, "alice")
			for _, sql := range []string{smuggled, "RESET standard_conforming_strings", smuggled, "RESET ALL", smuggled, "DISCARD ALL", smuggled} {
				alice.query(sql)
			}
			alice.query(probe)
			o := outcome{lines: alice.lines}
			if o.look(l, nil); o.reached != "" {
				t.Errorf("%s: reached the %s: %s\n%q", who, o.reached, o.evidence, clip(alice.lines))
			}
			alice.close()
			b.sql(l, "ALTER "+who+" RESET standard_conforming_strings")
			b.sql(l, "ALTER "+who+" RESET client_encoding")
			w.endServers()
		}
	}
}

// TestPrivilegedRoleSettings: a superuser may have given a role settings that the role cannot set itself. They do not keep
// it from logging in.
func TestPrivilegedRoleSettings(t *testing.T) {
	b := newLab(t)
	b.sql(levels[0], "ALTER ROLE alice SET log_min_duration_statement = 10000; ALTER ROLE alice SET work_mem = '5MB'")
	for _, l := range levels {
		if strings.Contains(l.tier, `"role"`) {
			continue // SET ROLE, and its startup parameter, ignore a role's settings
		}
		alice := b.mustConnect(l, "alice")
		if got := alice.value("SHOW work_mem"); got != "5MB" {
			t.Errorf("%s: work_mem is %q: %q", l.name, got, alice.lines)
		}
		alice.close()
	}
}
