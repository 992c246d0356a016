package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParsePgbench(t *testing.T) {
	out := "number of clients: 8\nnumber of transactions actually processed: 1234\nnumber of failed transactions: 0 (0.000%)\n" +
		"latency average = 0.3 ms\ntps = 28035.125 (without initial connection time)\n"
	r, count, err := parsePgbench([]byte(out))
	if err != nil || count != 1234 || r.tps != 28035.125 {
		t.Errorf("got %v, %d, %v", r, count, err)
	}
	for _, bad := range []string{"", "number of transactions actually processed: 0\n", "number of transactions actually processed: 5\n"} {
		if _, _, err := parsePgbench([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestReadLatencies(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "latency")
	var one, two strings.Builder
	for i := 1; i <= 100; i++ {
		b := &one
		if i%2 == 0 {
			b = &two
		}
		fmt.Fprintf(b, "0 7 %d 0 1700000000 5\n", i)
	}
	for name, content := range map[string]string{".1": one.String(), ".1.1": two.String()} {
		if err := os.WriteFile(prefix+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p50, p99, err := readLatencies(prefix)
	if err != nil || p50 != 50*time.Microsecond || p99 != 99*time.Microsecond {
		t.Errorf("got %v, %v, %v", p50, p99, err)
	}
	if _, _, err := readLatencies(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no logs were accepted")
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("4711 (a (b) c) S 1 4711 4711 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 100 0 0")
	if err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseStat("4711 (x) S 1"); err == nil {
		t.Error("a short line was accepted")
	}
}

func TestRatio(t *testing.T) {
	tps := func(r result) float64 { return r.tps }
	compared := []result{{tps: 10}, {tps: 20}, {tps: 0}}
	for _, test := range []struct {
		runs []result
		want string
	}{
		{nil, "-"},
		{[]result{{tps: 20}}, "2.00"},
		{[]result{{tps: 20}, {tps: 20}}, "1.50"},
		{[]result{{tps: 20}, {tps: 20}, {tps: 20}}, "1.50"}, // nothing to compare the third with
	} {
		if got := ratio(test.runs, compared, tps); got != test.want {
			t.Errorf("%v: got %s, want %s", test.runs, got, test.want)
		}
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median = %v", got)
	}
}
