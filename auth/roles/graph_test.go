package roles

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Main(m)) }

// TestClosures compares what this package makes of memberships with what PostgreSQL says, on random ones.
func TestClosures(t *testing.T) {
	c, _ := testpg.Shared(t)
	ctx := t.Context()
	conn, err := c.Connect(ctx, pgtest.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	const n = 14
	r := rand.New(rand.NewPCG(1, 2))
	sql := []string{"SET search_path = pg_catalog, pg_temp"}
	for i := range n {
		sql = append(sql, fmt.Sprintf("CREATE ROLE g%d %s", i, []string{"INHERIT", "NOINHERIT"}[r.IntN(2)]))
	}
	for range 2 * n {
		a, b := r.IntN(n), r.IntN(n)
		if a == b {
			continue
		}
		grant := fmt.Sprintf("GRANT g%d TO g%d", min(a, b), max(a, b)) // downwards only: circles are refused
		if c.Binaries.Major >= 16 {
			grant += fmt.Sprintf(" WITH INHERIT %t, SET %t", r.IntN(2) == 0, r.IntN(2) == 0)
		}
		sql = append(sql, grant)
	}
	for _, s := range sql {
		if err := execute(ctx, conn, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var all []*role
	var members []membership
	read := &reader{ctx: ctx, conn: conn}
	read.read("roles", &all)
	read.read("members", &members)
	if read.err != nil {
		t.Fatal(read.err)
	}
	word := "MEMBER"
	if c.Binaries.Major >= 16 {
		word = "SET"
	}
	results, err := conn.Exec(ctx, `SELECT l.rolname, r.rolname, pg_has_role(l.oid, r.oid, '`+word+`'),
		EXISTS (SELECT FROM pg_roles s WHERE s.rolname ~ '^g' AND pg_has_role(l.oid, s.oid, '`+word+`') AND pg_has_role(s.oid, r.oid, 'USAGE'))
		FROM pg_roles l, pg_roles r WHERE l.rolname ~ '^g' AND r.rolname ~ '^g'`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	g := newGraph(all, members)
	for _, row := range results[0].Rows {
		login, target := g.byName[string(row[0])], g.byName[string(row[1])]
		if got := g.becomes(login.OID)[target.OID]; got != (string(row[2]) == "t") {
			t.Errorf("%s becomes %s: %v, PostgreSQL says %s", login.Name, target.Name, got, row[2])
		}
		if got := g.reaches(login.OID)[target.OID]; got != (string(row[3]) == "t") {
			t.Errorf("%s has the rights of %s: %v, PostgreSQL says %s", login.Name, target.Name, got, row[3])
		}
	}
	if len(results[0].Rows) != n*n {
		t.Errorf("%d pairs, want %d", len(results[0].Rows), n*n)
	}
}

// The right to grant a role is the right to become it.
func TestAdminOptionBecomes(t *testing.T) {
	roles := []*role{{OID: 1, Name: "a"}, {OID: 2, Name: "b"}, {OID: 3, Name: "c"}}
	g := newGraph(roles, []membership{{Role: 2, Member: 1, Admin: true}, {Role: 3, Member: 2, Inherit: true}})
	if got := ids(g.becomes(1)); got != "1 2" {
		t.Errorf("becomes %s", got)
	}
	if got := ids(g.reaches(1)); got != "0 1 2 3" {
		t.Errorf("reaches %s", got)
	}
	if got := ids(g.inherits(1)); got != "1" {
		t.Errorf("inherits %s", got)
	}
}

func ids(set map[uint32]bool) string {
	return strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(set))), "[]")
}
