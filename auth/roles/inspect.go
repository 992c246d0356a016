package roles

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// actual is what a server says, seen from one login.
type actual struct {
	facts      facts
	graph      *graph
	becomes    map[uint32]bool // roles that a client of the login can run as, the login included
	reaches    map[uint32]bool // roles whose privileges it can use, PUBLIC included
	privileges []privilege     // of those roles, on what they do not own
	functions  []function      // that those roles may call
	owned      []object        // by those roles
	defaults   []privilege     // default privileges: Owner is the creator, Kind TABLES or SEQUENCES; Schema "": in every one
	creators   []creator
	schemas    []privilege // everybody's, owners' included
	settings   []setting
	public     []privilege // what hardening is about, of everybody
}

type facts struct {
	Version              int    `json:"version"` // 150020
	VersionText          string `json:"version_text"`
	MaxConnections       int    `json:"max_connections"`
	Reserved             int    `json:"reserved"` // of these, for superusers and such
	PreparedTransactions int    `json:"prepared_transactions"`
	LargeObjectCompat    bool   `json:"lo_compat"`
	Login                uint32 `json:"login"`
	Database             string `json:"database"`
	Owner                uint32 `json:"owner"`
	ConnectionLimit      int    `json:"connection_limit"` // of the database; -1: none
}

func (f facts) major() int { return f.Version / 10_000 }

// privilege is one item of an access control list.
type privilege struct {
	Kind      string `json:"kind"` // as in GRANT ... ON: TABLE, SEQUENCE, SCHEMA...
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	Column    string `json:"column"` // "": the whole table
	Object    string `json:"object"` // instead of the above, in public
	Owner     uint32 `json:"owner"`
	Grantor   uint32 `json:"grantor"`
	Grantee   uint32 `json:"grantee"`
	Privilege string `json:"privilege"`
}

type function struct {
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	Definer   bool   `json:"definer"`
	Owner     uint32 `json:"owner"`
	Grantor   uint32 `json:"grantor"`
	Grantee   uint32 `json:"grantee"`
}

type object struct {
	Owner    uint32 `json:"owner"`
	Type     string `json:"type"`
	Identity string `json:"identity"`
}

type creator struct {
	Schema string `json:"schema"`
	Owner  uint32 `json:"owner"`
}

type setting struct {
	Role uint32 `json:"role"`
	Here bool   `json:"here"` // in this database only
	Text string `json:"text"` // name=value
}

//go:embed sql
var queries embed.FS

// query returns the statement sql/name.sql, made to answer with one JSON array.
func query(name string) string {
	text, err := queries.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return "SELECT coalesce(json_agg(x), '[]') FROM (\n" + string(text) + ") AS x"
}

// inspect reads the catalogs, all at one moment.
func inspect(ctx context.Context, conn *pgconn.PgConn) (*actual, error) {
	if err := execute(ctx, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return nil, err
	}
	a := &actual{}
	r := &reader{ctx: ctx, conn: conn}
	var one []facts
	var all []*role
	var members []membership
	r.read("facts", &one)
	r.read("roles", &all)
	r.read("members", &members)
	if r.err == nil && len(one) != 1 {
		r.err = fmt.Errorf("inspecting: the server gave %d rows of facts", len(one))
	}
	if r.err != nil {
		return nil, r.err
	}
	a.facts = one[0]
	a.graph = newGraph(all, members)
	a.graph.addDatabaseOwner(a.facts.Owner)
	a.becomes, a.reaches = a.graph.becomes(a.facts.Login), a.graph.reaches(a.facts.Login)
	r.read("privileges", &a.privileges, array(a.reaches))
	r.read("functions", &a.functions, array(a.reaches))
	r.read("owned", &a.owned, array(a.reaches))
	r.read("defaults", &a.defaults)
	r.read("creators", &a.creators)
	r.read("schemas", &a.schemas)
	r.read("settings", &a.settings)
	r.read("public", &a.public, textArray(hardenedFunctions()))
	if r.err != nil {
		return nil, r.err
	}
	return a, execute(ctx, conn, "COMMIT")
}

// reader runs one query after the other, until one fails.
type reader struct {
	ctx  context.Context
	conn *pgconn.PgConn
	err  error
}

// read runs a query of package sql and decodes its rows into a slice. Parameters are texts.
func (r *reader) read(name string, into any, params ...string) {
	if r.err != nil {
		return
	}
	values := make([][]byte, len(params))
	for i, p := range params {
		values[i] = []byte(p)
	}
	result := r.conn.ExecParams(r.ctx, query(name), values, nil, nil, nil).Read()
	r.err = result.Err
	if r.err == nil && (len(result.Rows) != 1 || len(result.Rows[0]) != 1) {
		r.err = fmt.Errorf("the server gave %d rows", len(result.Rows))
	}
	if r.err == nil {
		r.err = json.Unmarshal(result.Rows[0][0], into)
	}
	if r.err != nil {
		r.err = fmt.Errorf("inspecting %s: %w", name, r.err)
	}
}

func execute(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// addDatabaseOwner makes the owner of the database the member of pg_database_owner that it is without being told so.
func (g *graph) addDatabaseOwner(owner uint32) {
	if r := g.byName["pg_database_owner"]; r != nil {
		g.up[owner] = append(g.up[owner], membership{Role: r.OID, Member: owner, Grantor: owner, Inherit: true})
	}
}

// array writes oids as PostgreSQL's text form of an array.
func array(oids map[uint32]bool) string {
	var out []string
	for _, oid := range slices.Sorted(maps.Keys(oids)) {
		out = append(out, strconv.FormatUint(uint64(oid), 10))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// textArray is array for texts that need no more escaping than quotes.
func textArray(texts []string) string { return `{"` + strings.Join(texts, `","`) + `"}` }
