package attack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestSettingsThatAreTooLong: settings cost pgtier memory and time, and the loop's other clients with it. A client with too
// many of them, or with one that is too long, keeps its server, and its session works as ever.
func TestSettingsThatAreTooLong(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	long := strings.Repeat("x", 40_000)
	for name, set := range map[string]func(*client){
		"one of 40 kB":  func(c *client) { c.ask("SET a.b = '" + long + "'") },
		"40 kB, hidden": func(c *client) { c.ask("DO $$ BEGIN PERFORM set_config('a.b', '" + long + "', false); END $$") },
		"many": func(c *client) {
			c.ask("SET a.b = '" + long[:20_000] + "'")
			for i := range 200 {
				c.ask(fmt.Sprintf("SET many.n%d = '%s'", i, long[:2000]))
			}
			c.ask("SET a.b = '" + long + "'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, p, "ingest~rw")
			set(c)
			for range 2 {
				if got := c.ask("SELECT current_setting('a.b')"); got != "columns row:"+long+" SELECT 1 ready:I" {
					t.Errorf("got %.100s", got)
				}
			}
			if got := c.ask("RESET ALL; DISCARD ALL"); !strings.Contains(got, "ready:I") {
				t.Error(got)
			}
			c.send(frame('X'))
			other := dial(t, p, "ops~rw")
			if got := other.ask("SELECT coalesce(current_setting('a.b', true), '')"); got != "columns row: SELECT 1 ready:I" {
				t.Errorf("another client got %.100s", got)
			}
		})
	}
}

// TestSettingsOfTheDead: pgtier asks the server what a client's settings are, and the client leaves before the answer is
// there. Nobody else may be given them.
func TestSettingsOfTheDead(t *testing.T) {
	p := harness.Start(t, oneRW()).Endpoint
	var many strings.Builder // so that the answer takes its time
	for i := range 300 {
		fmt.Fprintf(&many, "SET many.n%d = %d;", i, i)
	}
	for _, timeout := range []string{"0", "20"} { // with the latter, the answer ends in an error
		for _, user := range []string{"ingest~rw", "ops~rw"} {
			dead := dial(t, p, "ingest~rw")
			dead.ask(many.String() + "SET many.secret = '" + strings.Repeat("evil", 5000) + "'; SET statement_timeout = " + timeout)
			_ = dead.conn.Close()
			next := dial(t, p, user)
			next.ask("SET own.setting = 'mine'")
			const look = "SELECT count(*) FROM unnest(ARRAY[current_setting('many.n1', true), current_setting('many.secret', true)]) v WHERE v <> ''"
			between := dial(t, p, map[string]string{"ingest~rw": "ops~rw", "ops~rw": "ingest~rw"}[user])
			for range 2 {
				if got := next.ask(look); got != "columns row:0 SELECT 1 ready:I" {
					t.Errorf("%s got %s", user, got)
				}
				between.ask("SELECT 1") // what next is thought to have set is set again after it
			}
			next.send(frame('X'))
			between.send(frame('X'))
		}
	}
}
