package wall

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

const testify = "INSERT INTO app.witness (note) VALUES ('pipelined')"

// behindCheckout are what alice sends in one write to a pool whose server connection carries bob's state.
var behindCheckout = []struct {
	name string
	send func(c *client)
}{
	{"a query", func(c *client) { c.queries(testify) }},
	{"many", func(c *client) { c.queries(testify, testify, testify, probe, testify) }},
	{"an extended batch", func(c *client) { c.extended(testify); c.Send(&pgproto3.Sync{}) }},
	{"a batch without Sync, then a query", func(c *client) { c.extended("SELECT 1"); c.queries(testify) }},
	{"ROLLBACK first", func(c *client) { c.queries("ROLLBACK; " + testify) }},
	{"COMMIT first", func(c *client) { c.queries("COMMIT; " + testify) }},
	{"ROLLBACK, extended", func(c *client) { c.extended("ROLLBACK"); c.extended(testify); c.Send(&pgproto3.Sync{}) }},
	{"VACUUM first", func(c *client) { c.queries("VACUUM", testify) }},
	{"an error first", func(c *client) { c.queries("SELECT 1/0", testify) }},
	{"an open transaction", func(c *client) { c.queries("BEGIN", testify, "COMMIT") }},
	{"Sync first", func(c *client) { c.Send(&pgproto3.Sync{}); c.Send(&pgproto3.Sync{}); c.queries(testify) }},
	{"DISCARD ALL first", func(c *client) { c.queries("DISCARD ALL", testify, probe) }},
	{"DISCARD ALL twice", func(c *client) { c.queries("DISCARD ALL", "DISCARD ALL", testify, probe) }},
	{"DISCARD ALL, extended", func(c *client) {
		c.extended("DISCARD ALL")
		c.Send(&pgproto3.Sync{})
		c.extended(testify)
		c.Send(&pgproto3.Sync{})
	}},
	{"RESET ALL first", func(c *client) { c.queries("RESET ALL", testify) }},
}

// queries sends each text as a Query message.
func (c *client) queries(texts ...string) {
	for _, sql := range texts {
		c.Send(&pgproto3.Query{String: sql})
	}
}

// TestPipelining: what is sent before anything has been answered runs as alice or not at all, also when her membership has
// been revoked since she logged in, and bob was the last on the server connection.
func TestPipelining(t *testing.T) {
	b := newLab(t)
	for _, l := range levels {
		for _, a := range behindCheckout {
			for _, revoked := range []bool{false, true} {
				t.Run(l.name+"/"+a.name+map[bool]string{true: ", revoked"}[revoked], func(t *testing.T) {
					b.t = t
					b.pipeline(l, a.send, revoked)
				})
			}
		}
	}
}

func (b *lab) pipeline(l level, send func(c *client), revoked bool) {
	alice, bob := b.mustConnect(l, "alice"), b.mustConnect(l, "bob")
	defer alice.close()
	defer bob.close()
	alice.query("SELECT 1") // what is known of her role is fresh
	if got := bob.value("SELECT current_user"); got != "bob" {
		b.t.Fatalf("bob is %q", got)
	}
	if revoked {
		b.sql(l, "REVOKE alice FROM "+l.login())
		defer b.sql(l, "GRANT alice TO "+l.login())
	}
	send(alice)
	alice.flush()
	alice.finish()
	o := outcome{lines: alice.lines}
	o.look(l, b.sql(l, witnesses))
	// Without a guard, DISCARD ALL by the extended protocol is one more way to say RESET ROLE.
	if o.reached != "" && (l.strict || o.reached != "login") {
		b.t.Errorf("reached the %s: %s\n%q", o.reached, o.evidence, clip(alice.lines))
	}
	if got := bob.value("SELECT current_user"); got != "bob" {
		b.t.Errorf("bob is %q: %q", got, bob.lines)
	}
	b.sql(l, "TRUNCATE app.witness")
}

// finish reads until a text of its own is answered, or the connection ends: nobody has to know how many answers come before.
func (c *client) finish() {
	c.t.Helper()
	const end = "the end of the attack"
	c.Send(&pgproto3.Sync{})
	c.queries("ROLLBACK", probe, "SELECT '"+end+"'")
	c.flush()
	for !c.ended && !slices.Contains(c.lines, "row "+end) {
		c.read()
	}
}

// TestCopyWindow: a copy fails with a Sync behind its data. Between the error and ReadyForQuery the server listens again
// while a proxy may think that it discards.
func TestCopyWindow(t *testing.T) {
	b := newLab(t)
	for _, l := range levels {
		if !l.strict {
			continue
		}
		b.sql(l, "CREATE TABLE sandbox.numbers (n int); GRANT ALL ON sandbox.numbers TO alice")
		for range 10 {
			alice := b.mustConnect(l, "alice")
			alice.copies = true
			// The longer the abort takes, the wider the window.
			alice.queries("BEGIN", "CREATE TABLE sandbox.one AS SELECT generate_series(1, 3000) n")
			alice.extended("COPY sandbox.numbers FROM STDIN")
			alice.Send(&pgproto3.Flush{})
			alice.flush()
			alice.until("copy in")
			alice.Send(&pgproto3.CopyData{Data: []byte("no number\n")})
			alice.Send(&pgproto3.Sync{})
			alice.flush()
			alice.until("error")
			alice.queries("SET ROLE bob; " + testify)
			alice.Send(&pgproto3.FunctionCall{Function: 2078, Arguments: [][]byte{[]byte("role"), []byte("bob"), {1}}})
			alice.flush()
			alice.finish()
			o := outcome{lines: alice.lines}
			if o.look(l, b.sql(l, witnesses)); o.reached != "" {
				t.Fatalf("reached the %s: %s\n%q", o.reached, o.evidence, alice.lines)
			}
			alice.close()
		}
	}
}

// until reads up to a line that begins so.
func (c *client) until(prefix string) {
	c.t.Helper()
	for from := len(c.lines); !c.ended && !slices.ContainsFunc(c.lines[from:], func(l string) bool { return strings.HasPrefix(l, prefix) }); {
		c.read()
	}
}

// TestCancelStorm: alice's cancel requests, however late, end no statement of bob's and let none of hers run as somebody
// else: not even while pgtier sets her role again behind DISCARD ALL.
func TestCancelStorm(t *testing.T) {
	b := newLab(t)
	for _, l := range levels {
		bob := b.mustConnect(l, "bob")
		for range 30 {
			alice := b.mustConnect(l, "alice")
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 10 {
					alice.cancel(b.proxy.Addr())
				}
			}()
			for range 5 {
				alice.queries("DISCARD ALL", testify, probe)
			}
			alice.flush()
			for _, line := range bob.query("SELECT pg_sleep(0.003), 'bob'") {
				if strings.HasPrefix(line, "error") {
					t.Errorf("%s: bob got %s", l.name, line)
				}
			}
			<-done
			alice.finish()
			o := outcome{lines: alice.lines}
			if o.look(l, b.sql(l, witnesses)); o.reached != "" && (l.strict || o.reached != "login") {
				t.Errorf("%s: reached the %s: %s\n%q", l.name, o.reached, o.evidence, clip(alice.lines))
			}
			alice.close()
			b.sql(l, "TRUNCATE app.witness")
		}
		bob.close()
	}
}
