package server

import (
	"net"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, test := range []struct {
		host string
		port uint16
		want string // network, address and host; "" = refused
	}{
		{"db1.example", 0, "tcp db1.example:5432 db1.example"},
		{"db1.example", 6000, "tcp db1.example:6000 db1.example"},
		{"db1.example:5433", 6000, "tcp db1.example:5433 db1.example"},
		{"10.1.2.3", 5432, "tcp 10.1.2.3:5432 10.1.2.3"},
		{"::1", 5432, "tcp [::1]:5432 ::1"},
		{"[::1]", 5432, "tcp [::1]:5432 ::1"},
		{"[::1]:5433", 5432, "tcp [::1]:5433 ::1"},
		{"fe80::1%eth0", 5432, "tcp [fe80::1%eth0]:5432 fe80::1%eth0"},
		{"/run/postgresql", 5433, "unix /run/postgresql/.s.PGSQL.5433 /run/postgresql"},
		{"@abstract", 0, "unix @abstract/.s.PGSQL.5432 @abstract"},
		{"", 5432, ""}, {":5432", 5432, ""}, {"db:", 5432, ""}, {"db:0", 5432, ""}, {"db:65536", 5432, ""},
		{"db:x", 5432, ""}, {"a:b:c", 5432, ""}, {"[]:1", 5432, ""},
	} {
		a, ok := parseAddress(test.host, test.port)
		got := ""
		if ok {
			got = a.network + " " + a.addr + " " + a.host
		}
		if got != test.want {
			t.Errorf("%q, %d: %q, want %q", test.host, test.port, got, test.want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"db", "db:1", "[::1]:5432", "::1", "/run", "@x", "[", "]:1", "a%b:1"} {
		f.Add(s, uint16(5432))
	}
	f.Fuzz(func(t *testing.T, s string, port uint16) {
		a, ok := parseAddress(s, port)
		if !ok || a.network == "unix" {
			return
		}
		host, _, err := net.SplitHostPort(a.addr)
		if err != nil || host != a.host || host == "" || a.port == 0 || strings.HasPrefix(s, "/") {
			t.Errorf("%q: %+v, %v", s, a, err)
		}
	})
}
