package auth

import (
	"net/netip"
	"testing"

	"github.com/pgtier/pgtier/config"
)

func TestConsole(t *testing.T) {
	identities := map[string]*config.Identity{
		"dba": {Name: "dba"}, "both": {Name: "both"}, "ops": {Name: "ops"}, "alice": {Name: "alice"},
		"off": {Name: "off", Disabled: true},
		"bad": {Name: "bad", Attributes: map[string][]string{"status": {"quarantine"}}},
		"far": {Name: "far"}, "shy": {Name: "shy"},
	}
	cfg := &config.Config{
		Identities: identities,
		Groups:     map[string]*config.Group{"dba": {Members: []string{"both", "off", "bad", "far", "shy"}}},
		Console:    &config.Console{Admins: []string{"dba", "@dba"}, Observers: []string{"ops", "both"}},
		Denies: []*config.Deny{
			{To: "*", When: map[string][]string{"status": {"quarantine"}}},
			{To: "far", Database: "*", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			{To: "shy", Tiers: []string{"admin"}}, // of databases, not of the console
			{To: "dba", Database: "EPMT"},
		},
	}
	p := NewPolicy(cfg)
	near, far := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.1.2.3")
	for _, c := range []struct {
		identity, database string
		from               netip.Addr
		want               ConsoleRight
	}{
		{"dba", "pgtier", near, Admin},
		{"dba", "pgbouncer", near, Admin},
		{"dba", "PGTIER", near, NoConsole},
		{"dba", "EPMT", near, NoConsole},
		{"dba", "pgtier", netip.Addr{}, Admin},
		{"both", "pgtier", near, Admin},
		{"ops", "pgtier", near, Observer},
		{"alice", "pgtier", near, NoConsole},
		{"nobody", "pgtier", near, NoConsole},
		{"off", "pgtier", near, NoConsole},
		{"bad", "pgtier", near, NoConsole},
		{"far", "pgtier", near, Admin},
		{"far", "pgtier", far, NoConsole},
		{"shy", "pgtier", near, Admin},
	} {
		if got := p.Console(c.identity, c.database, c.from); got != c.want {
			t.Errorf("%s on %s from %v: %q, want %q", c.identity, c.database, c.from, got, c.want)
		}
	}
	cfg.Console = nil
	if got := NewPolicy(cfg).Console("dba", "pgtier", near); got != NoConsole {
		t.Errorf("without a console: %q", got)
	}
}
