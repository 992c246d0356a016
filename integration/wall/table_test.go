package wall

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// table counts outcomes for docs/security.md.
type table struct {
	major int
	rows  map[string]*row // by level
}

// row is what attacks did at one level. An attack counts once, by the worst of its variants.
type row struct {
	byAttack map[string]outcome
}

func newTable(major int) *table { return &table{major: major, rows: map[string]*row{}} }

func (t *table) add(l level, a attack, o outcome) {
	r := t.rows[l.name]
	if r == nil {
		r = &row{byAttack: map[string]outcome{}}
		t.rows[l.name] = r
	}
	if old, ok := r.byAttack[a.ID]; ok {
		if worse(old.reached, o.reached) {
			o.reached = old.reached
		}
		o.poisoned = o.poisoned || old.poisoned
		o.soiled = append(old.soiled, o.soiled...)
	}
	r.byAttack[a.ID] = o
}

// counts are how many attacks reached whom, and how many left something for the next identity.
func (r *row) counts() (by map[string]int, soiled int) {
	by = map[string]int{}
	for _, o := range r.byAttack {
		by[o.reached]++
		if len(o.soiled) > 0 {
			soiled++
		}
	}
	return by, soiled
}

// check looks whether the attacks are worth anything: without a guard most of them have to succeed.
func (t *table) check(tb testing.TB) {
	tb.Helper()
	if r := t.rows["wall_shared"]; r != nil {
		if by, _ := r.counts(); by["identity"] < len(r.byAttack)/5 {
			tb.Errorf("only %d attacks succeeded where nothing keeps them: the table does not test anything", by["identity"])
		}
	}
}

func (t *table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| PostgreSQL %d | attacks | reached another tier | another identity | the login | nothing | left something for the next identity |\n"+
		"|---|---|---|---|---|---|---|\n", t.major)
	for _, l := range levels {
		if r := t.rows[l.name]; r != nil {
			by, soiled := r.counts()
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", l.title, len(r.byAttack), by["tier"], by["identity"], by["login"], by[""], soiled)
		}
	}
	return b.String()
}

// write puts the table between its two marks in the document that PGTIER_WALL_DOC names.
func (t *table) write(tb testing.TB) {
	tb.Helper()
	tb.Logf("\n%s", t)
	file := os.Getenv("PGTIER_WALL_DOC")
	if file == "" || tb.Failed() {
		return
	}
	path := filepath.Join("..", "..", file)
	doc, err := os.ReadFile(path)
	must(tb, err)
	from, to := fmt.Sprintf("<!-- wall %d -->\n", t.major), fmt.Sprintf("<!-- wall %d ends -->", t.major)
	head, rest, ok := bytes.Cut(doc, []byte(from))
	_, tail, ok2 := bytes.Cut(rest, []byte(to))
	if !ok || !ok2 {
		tb.Fatalf("%s has no place for the table of PostgreSQL %d", file, t.major)
	}
	must(tb, os.WriteFile(path, fmt.Appendf(nil, "%s%s%s%s%s", head, from, t, to, tail), 0o644))
}
