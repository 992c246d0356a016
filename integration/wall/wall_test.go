package wall

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outcome is what came of an attack.
type outcome struct {
	reached  string   // one of reaches: the furthest that alice got
	evidence string   // the line that shows it
	poisoned bool     // the login has been changed for connections to come
	soiled   []string // what bob met that was not his
	refused  bool     // alice was told permission denied by somebody
	lines    []string // everything alice was told
}

// TestWall runs all attacks at all levels and checks what must hold.
func TestWall(t *testing.T) {
	attacks := loadAttacks(t)
	b := newLab(t)
	table := newTable(b.proxy.Cluster.Binaries.Major)
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			b.t = t
			w := b.newRange(l)
			for i, a := range attacks {
				for _, v := range variants(l, i) {
					o := w.run(a, v)
					if testing.Verbose() {
						t.Logf("%s %-10s %-10s %q %s", a.ID, v, o.reached, a.Name, o.evidence)
					}
					table.add(l, a, o)
					w.judge(a, v, o)
				}
			}
		})
	}
	b.t = t
	table.check(t)
	table.write(t)
}

// full is asked for by whoever wants the table: it takes minutes.
func full() bool { return os.Getenv("PGTIER_WALL_DOC") != "" }

// variants are how the attack number i is sent at a level. Where not all is run, each attack is sent in one way to those who
// must withstand it, and one in four, to see that attacks work, to the others.
func variants(l level, i int) []variant {
	all := []variant{simple, extended, pipelined}
	switch {
	case l.strict && full():
		return all
	case l.strict:
		return all[i%len(all):][:1]
	case full() || i%4 == 0:
		return all[:1]
	}
	return nil
}

// judge fails the test where an attack reached what it must not at this level.
func (w *firing) judge(a attack, v variant, o outcome) {
	t := w.t
	t.Helper()
	if w.level.strict && (o.reached != "" || o.poisoned) || o.reached == "tier" {
		t.Errorf("%s %q (%s) reached the %s: %s\n%s", a.ID, a.Name, v, o.reached, o.evidence, strings.Join(clip(o.lines), "\n"))
	}
	if len(o.soiled) > 0 {
		t.Errorf("%s %q (%s): bob met %q", a.ID, a.Name, v, o.soiled)
	}
}

func clip(lines []string) []string {
	var out []string
	for _, l := range lines {
		out = append(out, l[:min(len(l), 300)])
	}
	return out[max(0, len(out)-12):]
}

// firing is one level under fire.
type firing struct {
	*lab
	level    level
	baseline string // bob's state in a clean session
	sandbox  string // what is in schema sandbox when nobody has been there
	password string // of the login, as PostgreSQL keeps it
}

func (b *lab) newRange(l level) *firing {
	w := &firing{lab: b, level: l}
	w.sandbox, w.password = w.fingerprint()
	bob := b.mustConnect(l, "bob")
	defer bob.close()
	w.baseline = strings.Join(bob.query(state), " ")
	if !strings.Contains(w.baseline, "bob") {
		b.t.Fatalf("bob's clean state is %q", w.baseline)
	}
	return w
}

// run carries out one attack, looks at what it did, and mends it.
func (w *firing) run(a attack, v variant) (o outcome) {
	steps, startup := a.parse(w.t, w.level)
	alice, err := w.connect(w.level, "alice", startup)
	if err != nil {
		o.lines = []string{err.Error()}
	} else {
		alice.attack(steps, v)
		alice.close()
		o.lines = alice.lines
	}
	o.look(w.level, w.sql(w.level, witnesses))
	o.poisoned = w.mend()
	w.follow(&o, steps)
	if o.poisoned {
		w.cleanLogin()
	}
	return o
}

// attack sends alice's steps, each followed by the probe.
func (c *client) attack(steps []step, v variant) {
	c.t.Helper()
	due, frames := 0, false
	for _, s := range steps {
		if s.who != "alice" || c.ended {
			continue
		}
		due += c.send(s, v)
		frames = frames || s.frames != nil
		if v != pipelined && !frames {
			c.flush()
			c.await(due)
			due = 0
		}
	}
	c.flush()
	if !frames {
		c.await(due)
		return
	}
	c.finish()
}

// witnesses are those who wrote rows, or own large objects, that are not to be.
const witnesses = "SELECT DISTINCT who FROM app.witness UNION SELECT lomowner::regrole::name FROM pg_largeobject_metadata"

// reaches are whom an attack may reach, from harmless to worst.
var reaches = []string{"", "login", "identity", "tier"}

// worse reports whether reaching a is worse than reaching b.
func worse(a, b string) bool { return slices.Index(reaches, a) > slices.Index(reaches, b) }

// look finds in what alice was told, and in what was written, whom she reached.
func (o *outcome) look(l level, wrote []string) {
	note := func(reached, evidence string) {
		if worse(reached, o.reached) {
			o.reached, o.evidence = reached, evidence
		}
	}
	for _, who := range wrote {
		if who != "alice" {
			note(l.whose(who), "wrote as "+who)
		}
	}
	for _, line := range o.lines {
		value, isRow := strings.CutPrefix(line, "row ")
		o.refused = o.refused || strings.HasPrefix(line, "error 42501")
		acts := actsAs.FindStringSubmatch(value)
		switch {
		case !isRow:
		case acts != nil && acts[2] != l.session("alice"):
			note("tier", line)
		case acts != nil && acts[1] != "alice":
			note(l.whose(acts[1]), line)
		case strings.Contains(value, "BOB-ONLY"), strings.HasPrefix(value, "bob/"):
			note("identity", line)
		case value == l.login(), strings.HasPrefix(value, l.login()+"/"):
			note("login", line)
		}
	}
}

// actsAs reads the answer to the probe.
var actsAs = regexp.MustCompile(`^acts as (\S+) role \S+ of (\S+)$`)

// whose tells what it means that somebody other than alice acted.
func (l level) whose(who string) string {
	switch who {
	case l.login():
		return "login"
	case "bob":
		return "identity"
	}
	return "tier" // nobody else is in this one
}

// state is what an identity that comes behind another must find as it was at first.
const state = `SELECT pg_catalog.concat_ws('; ', current_user, pg_catalog.current_setting('role'), pg_catalog.current_setting('search_path'),
	'temporary ' || (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema())
		|| (SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema())
		|| (SELECT count(*) FROM pg_catalog.pg_type WHERE typnamespace = pg_catalog.pg_my_temp_schema()),
	'prepared ' || (SELECT count(*) FROM pg_catalog.pg_prepared_statements),
	'cursors ' || (SELECT count(*) FROM pg_catalog.pg_cursors WHERE name <> ''),
	'listens ' || (SELECT count(*) FROM pg_catalog.pg_listening_channels()),
	'locks ' || (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()),
	'settings ' || (SELECT pg_catalog.string_agg(name || '=' || setting, ',') FROM pg_catalog.pg_settings WHERE source = 'session' AND name <> 'application_name'),
	'label ' || nullif(pg_catalog.current_setting('pgtier.identity', true), ''), 'secret ' || nullif(pg_catalog.current_setting('my.secret', true), ''))`

// follow lets bob come behind alice.
func (w *firing) follow(o *outcome, steps []step) {
	soiled := func(format string, args ...any) { o.soiled = append(o.soiled, fmt.Sprintf(format, args...)) }
	if slices.ContainsFunc(steps, func(s step) bool { return s.who == "" }) || o.poisoned {
		w.endServers()
	}
	bob, err := w.connect(w.level, "bob", nil)
	if err != nil {
		soiled("no session: %v", err)
		return
	}
	defer bob.close()
	if got := strings.Join(bob.query(state), " "); got != w.baseline {
		soiled("%s, not %s", got, w.baseline)
	}
	for _, line := range bob.query("SELECT pg_catalog.lastval()") {
		if strings.HasPrefix(line, "row") {
			soiled("lastval: %s", line)
		}
	}
	for _, s := range steps {
		if s.who != "bob" || bob.ended {
			continue
		}
		for _, line := range bob.query(s.sql) {
			if strange(line) {
				soiled("%s: %s", s.sql, line)
			}
		}
	}
	if got := bob.value("SELECT current_user"); got != "bob" {
		soiled("current_user is %q: %q", got, clip(bob.lines))
	}
	bob.query("DISCARD ALL") // the next bob may have the same server, and is not to meet this one
	w.mend()
}
