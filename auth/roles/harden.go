package roles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/config"
)

// Hardening takes from PUBLIC what would let SQL behind a guard change its identity, and gives it back. It is of one
// database; PostgreSQL keeps all of it per database.
type Hardening struct {
	Database string   // its name on the server
	Keep     []string // roles that keep what PUBLIC loses: those that migrations run as
}

// HardeningOf is the hardening of a database whose admin tier keeps what it has.
func HardeningOf(db *config.Database, keep []string) Hardening {
	h := Hardening{Database: db.DBName, Keep: slices.Clone(keep)}
	if t := db.Tiers["admin"]; t != nil {
		h.Database = t.DBName
		h.Keep = append(h.Keep, t.Login)
		if t.Role != "" {
			h.Keep = append(h.Keep, t.Role)
		}
	}
	slices.Sort(h.Keep)
	h.Keep = slices.Compact(h.Keep)
	return h
}

// recordSetting is a setting of the database in which Apply writes down what it took away, for Undo to give exactly that
// back. Only superusers may set it.
const recordSetting = "pgtier.hardened"

// record is what Apply did: by the key of a change, the roles that were granted it because PUBLIC lost it.
type record map[string][]string

// WriteScript writes, for psql, what Apply would do to a database that nobody has touched, or with undo its opposite. major
// is the version of the server: 14 to 18.
func (h Hardening) WriteScript(w io.Writer, major int, undo bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "-- For database %s on PostgreSQL %d, as a superuser.\n", show(h.Database), major)
	if undo {
		b.WriteString("-- This gives PUBLIC what PostgreSQL gives it by default, whether it had it before or not.\n")
	}
	b.WriteString("BEGIN;\n")
	list := changes(major, h.Database, []string{"plpgsql", "sql"})
	if undo {
		slices.Reverse(list)
		// Since 15 PUBLIC may not create anything in public by default.
		list = slices.DeleteFunc(list, func(c change) bool { return c.kind == "SCHEMA" && major >= 15 })
	}
	for rest := list; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].why == rest[0].why {
			n++
		}
		fmt.Fprintf(&b, "\n-- %s\n", rest[0].why)
		for _, sql := range h.statements(rest[:n], undo) {
			b.WriteString(sql + "\n")
		}
		rest = rest[n:]
	}
	b.WriteString("\nCOMMIT;\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// statements are those for changes of one measure.
func (h Hardening) statements(list []change, undo bool) []string {
	m := list[0].measure
	what := on(list)
	keep := idents(append(slices.Clone(m.keep), h.Keep...))
	if undo {
		if m.kind == "DATABASE" || m.kind == "SCHEMA" {
			keep = "" // the admin tier often owns them, and an owner's rights were there before
		}
		return optional([]string{"GRANT " + what + " TO PUBLIC;"}, "REVOKE "+what+" FROM ", keep)
	}
	return optional([]string{"REVOKE " + what + " FROM PUBLIC;"}, "GRANT "+what+" TO ", keep)
}

// optional appends a statement about roles, unless there are none.
func optional(list []string, sql, roles string) []string {
	if roles == "" {
		return list
	}
	return append(list, sql+roles+";")
}

func idents(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, ident(n))
	}
	return strings.Join(out, ", ")
}

// Apply hardens the database that conn, a superuser's connection, is connected to: in one transaction, and only what is not
// so already. It writes the statements that it ran.
func (h Hardening) Apply(ctx context.Context, conn *pgconn.PgConn, w io.Writer) error {
	return h.transact(ctx, conn, w, func(s *state) ([]string, record) {
		next := record{}
		maps.Copy(next, s.done)
		var out []string
		for _, c := range s.list {
			key := c.key()
			if slices.Contains(s.has[key], public) {
				out = append(out, "REVOKE "+key+" FROM PUBLIC;")
				next[key] = append([]string{}, next[key]...)
			}
			if _, ours := next[key]; !ours {
				continue // PUBLIC never had it, so nobody lost it
			}
			for _, name := range append(slices.Clone(c.keep), h.Keep...) {
				r := s.graph.byName[name]
				if r != nil && !slices.Contains(s.has[key], r.OID) {
					out = append(out, "GRANT "+key+" TO "+ident(name)+";")
					next[key] = append(next[key], name)
				}
			}
		}
		return out, next
	})
}

// Undo gives back what Apply took away, and only that. It writes the statements that it ran.
func (h Hardening) Undo(ctx context.Context, conn *pgconn.PgConn, w io.Writer) error {
	return h.transact(ctx, conn, w, func(s *state) ([]string, record) {
		var out []string
		for _, c := range slices.Backward(s.list) {
			kept, ours := s.done[c.key()]
			if !ours {
				continue
			}
			out = append(out, "GRANT "+c.key()+" TO PUBLIC;")
			for _, name := range kept {
				if s.graph.byName[name] != nil {
					out = append(out, "REVOKE "+c.key()+" FROM "+ident(name)+";")
				}
			}
		}
		return out, nil
	})
}

// state is what a plan is made from.
type state struct {
	graph *graph
	list  []change
	has   map[string][]uint32
	done  record
}

// transact reads the state, makes a plan, and carries it out with its record, all in one transaction.
func (h Hardening) transact(ctx context.Context, conn *pgconn.PgConn, w io.Writer, plan func(*state) ([]string, record)) (err error) {
	if err := execute(ctx, conn, "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = execute(context.WithoutCancel(ctx), conn, "ROLLBACK")
		}
	}()
	s, err := h.state(ctx, conn)
	if err != nil {
		return err
	}
	statements, next := plan(s)
	if len(statements) == 0 {
		_, err = fmt.Fprintln(w, "-- nothing to do")
		return errors.Join(err, execute(ctx, conn, "ROLLBACK"))
	}
	remember := "ALTER DATABASE " + ident(h.Database) + " RESET " + recordSetting + ";"
	if len(next) > 0 {
		text, err := json.Marshal(next)
		if err != nil {
			return err
		}
		remember = "ALTER DATABASE " + ident(h.Database) + " SET " + recordSetting + " = " + literal(string(text)) + ";"
	}
	for _, sql := range append(statements, remember) {
		if err := execute(ctx, conn, sql); err != nil {
			return fmt.Errorf("%s: %w; nothing has been changed", sql, err)
		}
		if _, err := fmt.Fprintln(w, sql); err != nil {
			return err
		}
	}
	return execute(ctx, conn, "COMMIT")
}

func (h Hardening) state(ctx context.Context, conn *pgconn.PgConn) (*state, error) {
	var one []facts
	var all []*role
	var rows []privilege
	var saved []struct{ Text string }
	r := &reader{ctx: ctx, conn: conn}
	r.read("facts", &one)
	r.read("roles", &all)
	r.read("public", &rows, textArray(hardenedFunctions()))
	r.read("record", &saved, recordSetting)
	switch {
	case r.err != nil:
		return nil, r.err
	case len(one) != 1:
		return nil, fmt.Errorf("the server gave %d rows of facts", len(one))
	case one[0].Database != h.Database:
		return nil, fmt.Errorf("connected to database %q, which is not %q", one[0].Database, h.Database)
	}
	s := &state{graph: newGraph(all, nil), list: changes(one[0].major(), h.Database, trusted(rows)), has: granted(rows), done: record{}}
	if login := s.graph.byOID[one[0].Login]; login == nil || !login.Superuser {
		return nil, errors.New("only a superuser can revoke privileges on PostgreSQL's own functions")
	}
	for _, name := range h.Keep {
		if s.graph.byName[name] == nil {
			return nil, fmt.Errorf("role %q does not exist, and so cannot keep anything", name)
		}
	}
	for _, x := range saved {
		if err := json.Unmarshal([]byte(x.Text), &s.done); err != nil {
			return nil, fmt.Errorf("the setting %s of the database is not what pgtier wrote: %w", recordSetting, err)
		}
	}
	return s, nil
}
