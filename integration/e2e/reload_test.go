package e2e

import (
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestReloadEndsAccess: who loses a grant loses the session, in a transaction too; others notice nothing.
func TestReloadEndsAccess(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	loses, stays := connect(t, d.DSN("ops~rw")), connect(t, d.DSN("ingest"))
	wantAnswer(t, loses, "BEGIN; SELECT 1", "1")
	wantAnswer(t, stays, "SELECT 1", "1")
	if !d.Reload(harness.Options{Grants: map[string]string{"ops": `expires = 2000-01-01T00:00:00Z`}}) {
		t.Fatal("the reload was refused")
	}
	_, err := loses.Exec(deadline(t), "SELECT 1")
	wantError(t, err, "57P01", "access to tier")
	wantAnswer(t, stays, "SELECT 2", "2")
	_, err = tryConnect(t, d.DSN("ops"))
	wantError(t, err, "28000", "no access")
	// The transaction of the session that was ended is no more.
	wantAnswer(t, stays, "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND state LIKE 'idle in%'", "0")
}

// TestReloadResizes: a smaller pool closes what is idle, and a changed way to log in replaces what is left.
func TestReloadResizes(t *testing.T) {
	d := harness.Spawn(t, harness.Options{Pools: map[string]string{"ro": "size = 4, min = 4"}})
	harness.Eventually(t, "the pool is warm", func() bool { return d.ServerSessions(t, "ro") == 4 })
	if !d.Reload(harness.Options{Pools: map[string]string{"ro": "size = 2"}}) {
		t.Fatal("the reload was refused")
	}
	harness.Eventually(t, "two connections are left", func() bool { return d.ServerSessions(t, "ro") == 2 })
	alice := connect(t, d.DSN("alice"))
	before := ask(t, alice, "SELECT pg_backend_pid()")
	if !d.Reload(harness.Options{Pools: map[string]string{"ro": "size = 2"}, Tiers: map[string]string{"ro": `settings = { work_mem = "9MB" }`}}) {
		t.Fatal("the reload was refused")
	}
	wantAnswer(t, alice, "SHOW work_mem", "9MB")
	if after := ask(t, alice, "SELECT pg_backend_pid()"); after == before {
		t.Error("the server connection has not been replaced")
	}
}

// TestReloadOfNonsense: a file with mistakes changes nothing, and the log has its findings.
func TestReloadOfNonsense(t *testing.T) {
	d := harness.Spawn(t, harness.Options{})
	alice := connect(t, d.DSN("alice"))
	if d.Reload(harness.Options{More: "[limits]\nconections = 3"}) {
		t.Fatal("a file with a mistake was taken")
	}
	if !strings.Contains(d.Log(), `did you mean \"connections\"`) {
		t.Error("the log does not say what is wrong")
	}
	wantAnswer(t, alice, "SELECT 1", "1")
	wantAnswer(t, connect(t, d.DSN("ops~rw")), "SELECT 1", "1")
}
