package doctor

import (
	"context"
	"testing"

	"github.com/pgtier/pgtier/config"
)

func TestBrokenFutures(t *testing.T) {
	noDefaults := `ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public `
	for _, b := range []broken{
		{name: "the next table cannot be read", sql: []string{noDefaults + `REVOKE SELECT ON TABLES FROM "epmt-ro"`}, want: []string{"warning ro default-privileges"}},
		{name: "the next table cannot be written", sql: []string{noDefaults + `REVOKE INSERT, DELETE ON TABLES FROM "epmt-rw"`}, want: []string{"warning rw default-privileges"}},
		{name: "nor its numbers be drawn", sql: []string{noDefaults + `REVOKE USAGE ON SEQUENCES FROM "epmt-rw"`}, want: []string{"warning rw default-privileges"}},
		{name: "a second schema", sql: []string{`CREATE SCHEMA later AUTHORIZATION "epmt-admin"`, `GRANT USAGE ON SCHEMA later TO "epmt-ro"`},
			want: []string{"warning ro default-privileges"}, after: []string{`DROP SCHEMA later CASCADE`}},
		{name: "a schema that is nobody's business", sql: []string{`CREATE SCHEMA inner_works AUTHORIZATION "epmt-admin"`}, want: nil,
			after: []string{`DROP SCHEMA inner_works`}},
		{name: "a second maker",
			sql:   []string{`CREATE ROLE maker`, `CREATE TABLE made ()`, `ALTER TABLE made OWNER TO maker`},
			want:  []string{"warning ro default-privileges", "warning rw default-privileges", "warning rw default-privileges"},
			after: []string{`DROP TABLE made`, `DROP OWNED BY maker`, `DROP ROLE maker`}},
	} {
		t.Run(b.name, b.run)
	}
}

// A server that is too small needs a restart for its fix. It is one finding, although all tiers are on it.
func TestTooFewConnections(t *testing.T) {
	const tooMany = 300 // more than the clusters of these tests allow
	c := newClinic(t)
	c.change = func(cfg *config.Config) { cfg.Databases["EPMT"].Tiers["rw"].Pool.Size = tooMany }
	findings := c.examine()
	c.wantOnly(findings, "warning ro max-connections")
	for _, f := range findings {
		if f.Code == "max-connections" {
			c.sql(f.Fix...)
		}
	}
	restart := func() {
		ctx := context.Background()
		if err := c.cluster.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.cluster.StartServer(ctx); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	c.wantOnly(c.examine())
	c.sql(`ALTER SYSTEM RESET max_connections`)
	restart()
	c.change = func(cfg *config.Config) {
		cfg.Databases["EPMT"].Tiers["rw"].Pool.Size = tooMany
		cfg.Limits.PerServer = 90
	}
	c.wantOnly(c.examine())
}
