package sqlscan

import (
	"bytes"
	"testing"
)

var benchTexts = []struct{ name, sql string }{
	{"pgbench-select", "SELECT abalance FROM pgbench_accounts WHERE aid = 7329184;"},
	{"pgbench-update", "UPDATE pgbench_accounts SET abalance = abalance + 4711 WHERE aid = 7329184;"},
	{"begin", "BEGIN"},
	{"orm", `SELECT "app_user"."id", "app_user"."name" FROM "app_user" WHERE "app_user"."id" = $1 LIMIT 21`},
	{"set", "SET search_path = app, public"},
	{"set-config", "SELECT pg_catalog.set_config('search_path', '', false)"},
	{"multi", "BEGIN; SELECT 1; UPDATE t SET a = 'it''s' WHERE b = E'\\''; COMMIT"},
}

func BenchmarkClassify(b *testing.B) {
	for _, x := range benchTexts {
		b.Run(x.name, func(b *testing.B) {
			sql := []byte(x.sql)
			b.ReportAllocs()
			b.SetBytes(int64(len(sql)))
			for b.Loop() {
				Classify(sql)
			}
		})
	}
	b.Run("1MB-insert", func(b *testing.B) {
		sql := append([]byte("INSERT INTO t VALUES (0,'')"), bytes.Repeat([]byte(",(12345,'some text value',now())"), 32768)...)
		b.ReportAllocs()
		b.SetBytes(int64(len(sql)))
		for b.Loop() {
			Classify(sql)
		}
	})
}

// TestNoAllocations holds the promise on which the relay relies.
func TestNoAllocations(t *testing.T) {
	for _, x := range benchTexts {
		sql := []byte(x.sql)
		if n := testing.AllocsPerRun(100, func() { Classify(sql) }); n != 0 {
			t.Errorf("%s: %v allocations", x.name, n)
		}
	}
}
