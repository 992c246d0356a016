package wall

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// attack is one line of the table. A step is a text of SQL, which alice sends, unless it begins with a directive:
//
//	[startup NAME=VALUE]   a startup parameter of alice's
//	[extended A|B] SQL     by Parse, Bind with these parameters, Execute, Sync
//	[bytes] SQL            with Go's escapes in it
//	[long] SQL             with a MiB of x for its "..."
//	[frames] BYTES         as they are, with Go's escapes; nothing is awaited
//	[function OID A|B]     a FunctionCall message
//	[bob] SQL              bob sends it, behind alice
//	[new]                  all server connections end: what follows meets fresh ones
//
// LOGIN stands for the login of the level, and a step that asks for nothing is skipped. What the file says under "stock" is
// what came of an attack where nothing but SET ROLE kept identities apart: see integration/sqlscan.
type attack struct {
	ID, Name string
	Steps    []string
}

// loadAttacks reads the table.
func loadAttacks(t testing.TB) (all []attack) {
	t.Helper()
	text, err := os.ReadFile("testdata/attacks.json")
	must(t, err)
	must(t, json.Unmarshal(text, &all))
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.ID] {
			t.Fatalf("two attacks are called %s", a.ID)
		}
		if seen[a.ID] = true; len(a.Steps) == 0 {
			t.Fatalf("attack %s has no steps", a.ID)
		}
	}
	return all
}

// step is one thing that somebody sends.
type step struct {
	who      string // alice, bob or "" for [new]
	sql      string
	params   []string
	function uint32
	frames   []byte
	extended bool
}

var directive = regexp.MustCompile(`^\[(\w+) ?([^\]]*)\] ?`)

// parse turns the steps into what is sent, and the startup parameters of alice's session.
func (a attack) parse(t testing.TB, l level) (steps []step, startup map[string]string) {
	t.Helper()
	startup = map[string]string{}
	for _, text := range a.Steps {
		text = strings.ReplaceAll(text, "LOGIN", l.login())
		head := directive.FindStringSubmatch(text)
		if head == nil {
			steps = append(steps, step{who: "alice", sql: text})
			continue
		}
		s := step{who: "alice", sql: text[len(head[0]):]}
		switch word, rest := head[1], head[2]; word {
		case "startup":
			name, value, _ := strings.Cut(rest, "=")
			startup[name] = value
			continue
		case "bob":
			s.who = "bob"
		case "new":
			s = step{}
		case "extended":
			s.extended = true
			if rest != "" {
				s.params = strings.Split(rest, "|")
			}
		case "bytes":
			s.sql = unquote(t, s.sql)
		case "long":
			s.sql = strings.Replace(s.sql, "...", strings.Repeat("x", 1<<20), 1)
		case "frames":
			s.frames = []byte(unquote(t, s.sql))
		case "function":
			args := strings.Fields(rest)
			oid, err := strconv.ParseUint(args[0], 10, 32)
			must(t, err)
			s.function, s.params = uint32(oid), strings.Split(args[1], "|")
		default:
			t.Fatalf("%s: unknown directive %q", a.ID, head[0])
		}
		steps = append(steps, s)
	}
	return steps, startup
}

func unquote(t testing.TB, text string) string {
	t.Helper()
	s, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(text) + `"`)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// variant is how the steps of an attack are sent.
type variant string

const (
	simple    variant = "simple"    // a Query message each
	extended  variant = "extended"  // Parse, Bind, Execute, Sync each
	pipelined variant = "pipelined" // a Query message each, in one write
)

// send sends one step and, after it, the probe. It returns how many ReadyForQuery will come.
func (c *client) send(s step, v variant) int {
	switch {
	case s.frames != nil:
		c.flush()
		if _, err := c.raw.Conn.Write(s.frames); err != nil {
			c.ended = true
		}
		return 0
	case s.function != 0:
		args := make([][]byte, len(s.params))
		for i, p := range s.params {
			args[i] = []byte(p)
		}
		c.Send(&pgproto3.FunctionCall{Function: s.function, Arguments: args})
	case s.extended || v == extended:
		c.extended(s.sql, s.params...)
		c.Send(&pgproto3.Sync{})
	default:
		c.Send(&pgproto3.Query{String: s.sql})
	}
	c.Send(&pgproto3.Query{String: probe})
	return 2
}

// probe asks who acts. It fails for nobody, except in a transaction that has failed.
const probe = "SELECT pg_catalog.concat('acts as ', current_user, ' role ', pg_catalog.current_setting('role'), ' of ', session_user)"
