package wall

import (
	"encoding/json"
	"os"
	"path/filepath"
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
//	[frames] BYTES         as they are, with Go's escapes; nothing is awaited
//	[function OID A|B]     a FunctionCall message
//	[bob] SQL              bob sends it, behind alice
//	[new]                  all server connections end: what follows meets fresh ones
//
// LOGIN stands for the login of the level, and a step that asks for nothing is skipped.
type attack struct {
	ID, Group, Name, Stock string
	Steps                  []string
	Residue                string // why what it leaves is known not to be cleaned; "" for all but a few
}

// loadAttacks reads the table of this package and, where there is one, that of the shared folder beside the repository.
func loadAttacks(t testing.TB) []attack {
	t.Helper()
	all := readAttacks(t, "testdata/attacks.json")
	shared := filepath.Join("..", "..", "..", "shared", "attacks", "attacks.json")
	if _, err := os.Stat(shared); err == nil {
		all = append(readAttacks(t, shared), all...)
	}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.ID] {
			t.Fatalf("two attacks are called %s", a.ID)
		}
		seen[a.ID] = true
	}
	return all
}

func readAttacks(t testing.TB, file string) (all []attack) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, json.Unmarshal(text, &all))
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

var directive = regexp.MustCompile(`^\[([^\]]*)\] ?`)

// parse turns the steps into what is sent, and the startup parameters of alice's session. It understands the shared table's
// own words too.
func (a attack) parse(t testing.TB, l level) (steps []step, startup map[string]string) {
	t.Helper()
	startup = map[string]string{}
	for _, text := range a.Steps {
		text = strings.NewReplacer("pool_rw", l.login(), "LOGIN", l.login()).Replace(text)
		head := directive.FindStringSubmatch(text)
		s := step{who: "alice", sql: text}
		if head == nil {
			s.sql = strings.ReplaceAll(s.sql, `\r;`, "\r;")
			s.sql = strings.ReplaceAll(s.sql, "xxxx...1MB...", strings.Repeat("x", 1<<20))
			steps = append(steps, s)
			continue
		}
		s.sql = text[len(head[0]):]
		word, rest, _ := strings.Cut(head[1], " ")
		switch {
		case word == "startup":
			name, value, _ := strings.Cut(rest, "=")
			startup[name] = value
			continue
		case strings.Contains(head[1], "bob"):
			s.who = "bob"
			if strings.HasPrefix(s.sql, "Bind/Execute ") {
				s.sql = "EXECUTE" + strings.TrimPrefix(s.sql, "Bind/Execute")
			}
			if strings.Contains(head[1], "search_path=app") {
				s.sql = "SET search_path = app, public; " + s.sql
			}
		case strings.HasPrefix(strings.ToLower(head[1]), "new") || strings.HasPrefix(head[1], "open a NEW"):
			s = step{}
		case word == "extended":
			s.extended = true
			if strings.Contains(s.sql, "$1,$2,false") {
				rest = "role|bob"
			}
			if strings.Contains(rest, "|") {
				s.params = strings.Split(rest, "|")
			}
		case word == "bytes":
			s.sql = unquote(t, s.sql)
		case word == "frames":
			s.frames = []byte(unquote(t, s.sql))
		case word == "function":
			args := strings.Fields(rest)
			oid, err := strconv.ParseUint(args[0], 10, 32)
			must(t, err)
			s.function, s.params = uint32(oid), strings.Split(args[1], "|")
		case strings.HasPrefix(head[1], "alice owns trigger"):
			steps = append(steps,
				step{who: "alice", sql: "CREATE FUNCTION sandbox.flip() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('role','alice',false); RETURN NEW; END$$"},
				step{who: "alice", sql: "CREATE TRIGGER flip BEFORE INSERT ON sandbox.inbox FOR EACH ROW EXECUTE FUNCTION sandbox.flip()"})
			continue
		default:
			continue // prose
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
