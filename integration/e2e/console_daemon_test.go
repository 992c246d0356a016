package e2e

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtier/pgtier/integration/harness"
)

// What the console does to the program itself.

// TestConsoleReload: RELOAD is SIGHUP with an answer. A file with mistakes changes nothing, and the answer says what they are.
func TestConsoleReload(t *testing.T) {
	d := harness.Spawn(t, harness.Options{More: withConsole})
	admin, client := connect(t, consoleDSN(d.Endpoint, "ops")), connect(t, d.DSN("alice"))
	wantAnswer(t, client, "SHOW work_mem", "4MB")

	d.Write(harness.Options{More: withConsole + "[limits]\nconections = 3\n[timeouts]\nlogin = 5"})
	e := wantError(t, command(deadline(t), admin, "RELOAD"), "F0000", "2 mistakes", "the old one stays in force")
	for _, words := range []string{"pgtier.toml:", `did you mean "connections"`, "login"} {
		if !strings.Contains(e.Detail, words) {
			t.Errorf("the detail does not say %q: %s", words, e.Detail)
		}
	}
	wantAnswer(t, client, "SHOW work_mem", "4MB")

	d.Write(harness.Options{More: withConsole, Tiers: map[string]string{"ro": `settings = { work_mem = "9MB" }`}})
	exec(t, admin, "RELOAD")
	wantAnswer(t, client, "SHOW work_mem", "9MB")
}

// TestReloadTakesConsole: who is not an administrator any more is one no longer, at once and in the middle of things; whose
// right is as great as before notices nothing.
func TestReloadTakesConsole(t *testing.T) {
	d := harness.Spawn(t, harness.Options{More: withConsole})
	ops, alice := connect(t, consoleDSN(d.Endpoint, "ops")), connect(t, consoleDSN(d.Endpoint, "alice"))
	pauses, client := connect(t, consoleDSN(d.Endpoint, "ops")), connect(t, d.DSN("ingest"))
	exec(t, client, "BEGIN")
	paused := goOn(func() error { return command(deadline(t), pauses, "PAUSE EPMT/rw") })
	becomes(t, alice, "DATABASES", "tier=rw", "paused=1")

	d.Write(harness.Options{More: "[console]\nobservers = [\"ops\", \"alice\"]"})
	wantError(t, commandOrEnd(t, ops, "RELOAD"), "57P01", "access to the console ended")
	wantError(t, <-paused, "57P01", "access to the console ended")
	becomes(t, alice, "DATABASES", "tier=rw", "paused=0")
	observer := connect(t, consoleDSN(d.Endpoint, "ops"))
	wantError(t, command(deadline(t), observer, "RELOAD"), "42501")

	if !d.Reload(harness.Options{}) {
		t.Fatal("the reload was refused")
	}
	for _, conn := range []*pgx.Conn{observer, alice} {
		wantError(t, conn.PgConn().WaitForNotification(deadline(t)), "57P01", "access to the console ended")
	}
	_, err := tryConnect(t, consoleDSN(d.Endpoint, "ops"))
	wantError(t, err, "3D000")
	wantAnswer(t, client, "SELECT 'undisturbed'", "undisturbed")
}

// commandOrEnd runs a command and waits for the end of the session when it works.
func commandOrEnd(t testing.TB, conn *pgx.Conn, sql string) error {
	t.Helper()
	if err := command(deadline(t), conn, sql); err != nil {
		return err
	}
	return conn.PgConn().WaitForNotification(deadline(t))
}

// TestConsoleShutdown: what the exit code says of SHUTDOWN: 0 when everything had finished, 1 when something was cut.
func TestConsoleShutdown(t *testing.T) {
	for _, c := range []struct {
		name, sql string
		busy, cut bool
	}{
		{"drain", "SHUTDOWN DRAIN", true, false},
		{"drain nobody", "SHUTDOWN DRAIN", false, false},
		{"at once", "SHUTDOWN", true, true},
		{"at once, nobody", "SHUTDOWN", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := harness.Spawn(t, harness.Options{More: withConsole})
			admin := connect(t, consoleDSN(d.Endpoint, "ops"))
			var client *pgx.Conn
			if c.busy {
				client = connect(t, d.DSN("ingest"))
				exec(t, client, "BEGIN")
			}
			wantError(t, commandOrEnd(t, admin, c.sql), "57P01")
			if c.busy && !c.cut {
				_, err := tryConnect(t, d.DSN("alice"))
				wantError(t, err, "57P03")
				wantAnswer(t, client, "SELECT 'still here'", "still here")
				exec(t, client, "COMMIT")
			}
			if code, want := d.ExitCode(), map[bool]int{true: 1}[c.cut]; code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			if !strings.Contains(d.Log(), "console command") {
				t.Error("the log does not say who it was")
			}
		})
	}
}
