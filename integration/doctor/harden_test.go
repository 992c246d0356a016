package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/config"
)

// catalogs is everything that hardening could change, one line for each right. An access control list that was never
// written (NULL) and one that says the same are the same.
const catalogs = `
SELECT 'function ' || p.oid::regprocedure || ' ' || a::text FROM pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
UNION ALL SELECT 'relation ' || c.oid::regclass || ' ' || a::text FROM pg_class c, aclexplode(coalesce(relacl, acldefault('r', relowner))) a
UNION ALL SELECT 'language ' || lanname || ' ' || a::text FROM pg_language, aclexplode(coalesce(lanacl, acldefault('l', lanowner))) a
UNION ALL SELECT 'schema ' || nspname || ' ' || a::text FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
UNION ALL SELECT 'database ' || datname || ' ' || a::text FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) a
UNION ALL SELECT 'setting ' || s::text FROM pg_db_role_setting s
ORDER BY 1`

func (c *clinic) dump() []string {
	c.t.Helper()
	conn := c.superuser()
	results, err := conn.Exec(c.t.Context(), catalogs).ReadAll()
	if err != nil {
		c.t.Fatal(err)
	}
	var out []string
	for _, row := range results[0].Rows {
		out = append(out, string(row[0]))
	}
	return out
}

func (c *clinic) superuser() *pgconn.PgConn {
	c.t.Helper()
	conn, err := c.cluster.Connect(c.t.Context(), c.epmt.Database)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// run hardens or undoes, and returns what was done.
func (c *clinic) harden(h roles.Hardening, undo bool) string {
	c.t.Helper()
	var log strings.Builder
	do := h.Apply
	if undo {
		do = h.Undo
	}
	if err := do(c.t.Context(), c.superuser(), &log); err != nil {
		c.t.Fatal(err)
	}
	return log.String()
}

func differences(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, "- "+x)
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			out = append(out, "+ "+x)
		}
	}
	return out
}

// What hardening takes away, undoing gives back, and nothing that was not there before: EPMT's PUBLIC has no TEMPORARY, and
// somebody has already taken pg_notify away and given an advisory lock to the admin.
func TestHardenAndUndo(t *testing.T) {
	c := newClinic(t)
	c.sql(`REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC`, `GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO "epmt-admin"`)
	defer c.sql(`GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO PUBLIC`, `REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint) FROM "epmt-admin"`)
	before := c.dump()
	h := roles.HardeningOf(c.config().Databases["EPMT"], nil)

	log := c.harden(h, false)
	for _, want := range []string{"REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text,text,boolean) FROM PUBLIC;", `REVOKE USAGE ON LANGUAGE "plpgsql" FROM PUBLIC;`,
		`GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO "epmt-admin";`, "REVOKE SELECT ON TABLE pg_catalog.pg_stat_activity FROM PUBLIC;"} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in\n%s", want, log)
		}
	}
	if strings.Contains(log, "pg_notify") || strings.Contains(log, "TEMPORARY") {
		t.Errorf("what PUBLIC did not have was taken away:\n%s", log)
	}
	hard := c.dump()
	if again := c.harden(h, false); again != "-- nothing to do\n" {
		t.Errorf("hardening twice did\n%s", again)
	}
	for _, denied := range []string{`SELECT set_config('role', 'none', false)`, `DO 'BEGIN END'`, `SELECT lo_create(0)`, `SELECT pg_advisory_lock(1)`, `TABLE pg_stat_activity`} {
		if err := c.as(c.epmt.RW.Name, c.epmt.RW.Password, denied); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", denied, err)
		}
		if err := c.as(c.epmt.Admin.Name, c.epmt.Admin.Password, denied); err != nil && !strings.Contains(denied, "pg_stat_activity") {
			t.Errorf("the admin: %s: %v", denied, err)
		}
	}
	// A role more: only its grants are new, and undoing takes them back too.
	more := h
	more.Keep = append(more.Keep, c.epmt.RW.Name)
	if log := c.harden(more, false); !strings.Contains(log, `lo_create(oid) TO "epmt-rw"`) || strings.Contains(log, "PUBLIC") {
		t.Errorf("keeping for one more did\n%s", log)
	}
	c.harden(h, true)
	if d := differences(before, c.dump()); len(d) > 0 {
		t.Errorf("undoing did not restore:\n%s", strings.Join(d, "\n"))
	}
	if again := c.harden(h, true); again != "-- nothing to do\n" {
		t.Errorf("undoing twice did\n%s", again)
	}
	if len(differences(before, hard)) < 50 {
		t.Error("hardening changed hardly anything")
	}
}

func (c *clinic) as(name, password, sql string) error {
	ctx := c.t.Context()
	conn, err := pgconn.Connect(ctx, c.cluster.URL(name, password, c.epmt.Database))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql).ReadAll()
	return err
}

// The printed script does the same as --apply where nobody has touched the defaults, and its undo the opposite.
func TestScript(t *testing.T) {
	c := newClinic(t)
	c.sql(`GRANT TEMPORARY ON DATABASE "EPMT" TO PUBLIC`)
	defer c.sql(`REVOKE TEMPORARY ON DATABASE "EPMT" FROM PUBLIC`)
	h := roles.HardeningOf(c.config().Databases["EPMT"], nil)
	version := c.cluster.Binaries.Major
	if version < 15 { // CREATE in public was PUBLIC's then
		c.sql(`GRANT CREATE ON SCHEMA public TO PUBLIC`)
		defer c.sql(`REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	}
	script := func(undo bool) {
		var b strings.Builder
		if err := h.WriteScript(&b, version, undo); err != nil {
			t.Fatal(err)
		}
		c.sql(b.String())
	}
	before := c.dump()
	script(false)
	if log := c.harden(h, false); log != "-- nothing to do\n" {
		t.Errorf("after the script, --apply did\n%s", log)
	}
	script(true)
	if d := differences(before, c.dump()); len(d) > 0 {
		t.Errorf("the undo script did not restore:\n%s", strings.Join(d, "\n"))
	}
}

// With the guard on, doctor wants the hardening; its fixes are that.
func TestGuardWantsHardening(t *testing.T) {
	c := newClinic(t)
	c.sql(powerless...)
	c.sql(makeApp...)
	defer c.sql(append(slices.Clone(powers), dropApp...)...)
	c.sql(`CREATE FUNCTION run(what text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE what; END'`)
	defer c.sql(`DROP FUNCTION run(text)`)
	c.admit = withRoles
	c.change = func(cfg *config.Config) {
		shared(cfg)
		cfg.Databases["EPMT"].Tiers["rw"].Guard = true
	}
	findings := c.examine()
	c.wantOnly(findings, "error rw not-hardened", "error rw not-hardened", "error rw not-hardened")
	if !strings.Contains(text(findings), "guard-dynamic-function: these functions run statements that they put together: public.run") {
		t.Errorf("no note about run()\n%s", text(findings))
	}
	before := c.dump()
	h := roles.HardeningOf(c.config().Databases["EPMT"], nil)
	c.harden(h, false)
	c.wantOnly(c.examine())
	if strings.Contains(text(c.examine()), "not-hardened") {
		t.Error("hardening leaves notes about hardening")
	}
	c.harden(h, true)
	for _, f := range findings {
		if f.Code == "not-hardened" {
			c.sql(f.Fix...)
		}
	}
	c.wantOnly(c.examine())
	for _, d := range differences(before, c.dump()) {
		if !strings.HasPrefix(d, "- ") {
			t.Errorf("the fixes gave something: %s", d)
		}
	}
	// Back to the defaults, for the other tests.
	var b strings.Builder
	if err := (roles.Hardening{Database: c.epmt.Database}).WriteScript(&b, c.cluster.Binaries.Major, true); err != nil {
		t.Fatal(err)
	}
	c.sql(b.String(), `REVOKE TEMPORARY ON DATABASE "EPMT" FROM PUBLIC`)
	if c.cluster.Binaries.Major < 15 {
		c.sql(`REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	}
	if d := differences(before, c.dump()); len(d) > 0 {
		t.Errorf("not as before: %s", strings.Join(d, "\n"))
	}
}

// Only a superuser can, only in the database that is meant, and failing changes nothing.
func TestHardeningThatFails(t *testing.T) {
	c := newClinic(t)
	before := c.dump()
	h := roles.HardeningOf(c.config().Databases["EPMT"], nil)
	conn, err := pgconn.Connect(t.Context(), c.cluster.URL(c.epmt.Admin.Name, c.epmt.Admin.Password, c.epmt.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var log strings.Builder
	if err := h.Apply(t.Context(), conn, &log); err == nil || !strings.Contains(err.Error(), "only a superuser") {
		t.Error(err)
	}
	wrong := h
	wrong.Database = "epmt"
	if err := wrong.Apply(t.Context(), c.superuser(), &log); err == nil || !strings.Contains(err.Error(), `database "EPMT", which is not "epmt"`) {
		t.Error(err)
	}
	nobody := h
	nobody.Keep = []string{"no such role"}
	if err := nobody.Apply(t.Context(), c.superuser(), &log); err == nil || !strings.Contains(err.Error(), `role "no such role" does not exist`) {
		t.Error(err)
	}
	if d := differences(before, c.dump()); len(d) > 0 || log.Len() > 0 {
		t.Errorf("%s\n%s", strings.Join(d, "\n"), log.String())
	}
}
