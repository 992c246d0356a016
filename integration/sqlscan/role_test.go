package sqlscan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/transcript"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// TestRole runs the texts of the unit tests as alice. What is allowed must leave her alone; what is refused is refused with
// reason if PostgreSQL would have let enough of it through.
func TestRole(t *testing.T) {
	s := start(t)
	c := s.connect(t)
	changed := 0
	for _, file := range []string{"role.txt", "opaque.txt", "allowed.txt"} {
		for _, sql := range transcript.Texts(t, filepath.Join("../../proxy/sqlscan/testdata", file)) {
			c.must("SET ROLE alice")
			if c.run(sql).status != 'I' {
				c.run("COMMIT")
			}
			if role := c.must("SELECT pg_catalog.current_setting('role')").row[0]; role != "alice" {
				if changed++; file == "allowed.txt" {
					t.Errorf("%q is allowed and leads to %s", sql, role)
				}
			}
			c.must("DISCARD ALL")
			c.compare(sql)
		}
	}
	t.Logf("%d texts change the role on this server", changed)
	if changed < 50 {
		t.Error("too few of the texts do what they are meant to do")
	}
}

// refusing is what a guard refuses.
func refusing(sql string) bool {
	sum := sqlscan.Classify([]byte(sql))
	return sum.Does&(sqlscan.CannotLex|sqlscan.Role|sqlscan.OpaqueSetting|sqlscan.RunsText|sqlscan.PlainEscapes|sqlscan.UnsafeEncoding) != 0 ||
		sum.Kinds.Any(sqlscan.KindsOf(sqlscan.Do, sqlscan.CreateRoutine, sqlscan.AlterRoutine, sqlscan.AlterRole, sqlscan.Discard))
}

// TestAttacks reads the attacks of integration/wall, and wants at least one step of alice's refused in each that reached
// another role where nothing but SET ROLE kept identities apart.
func TestAttacks(t *testing.T) {
	b, err := os.ReadFile("../wall/testdata/attacks.json")
	if err != nil {
		t.Fatal(err)
	}
	var attacks []struct {
		ID, Name, Stock string
		Steps           []string
	}
	if err := json.Unmarshal(b, &attacks); err != nil {
		t.Fatal(err)
	}
	directive := regexp.MustCompile(`^\[(\w*)[^\]]*\] ?`)
	reached := 0
	for _, a := range attacks {
		if !strings.HasPrefix(a.Stock, "ESCAPE") && !strings.Contains(a.Stock, "role becomes") {
			continue
		}
		reached++
		refused := false
		for _, step := range a.Steps {
			head := directive.FindStringSubmatch(step)
			switch {
			case head == nil:
				refused = refused || refusing(step)
			case head[1] == "startup": // refused before there is a text to lex, as encodings are
				refused = true
			case head[1] != "bob" && head[1] != "new":
				refused = refused || refusing(step[len(head[0]):])
			}
		}
		if !refused {
			t.Errorf("%s (%s) is let through: %q", a.ID, a.Name, a.Steps)
		}
	}
	if reached < 48 {
		t.Errorf("only %d attacks of %d reach another role", reached, len(attacks))
	}
}
