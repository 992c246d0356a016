package auth

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pgtier/pgtier/config"
)

// ConsoleRight is what an identity may do on the console. A greater one includes the lesser.
type ConsoleRight uint8

const (
	NoConsole ConsoleRight = iota // for this identity there is no console
	Observer                      // may look
	Admin                         // may do everything
)

func (r ConsoleRight) String() string { return [...]string{"", "observer", "admin"}[r] }

// consoleRights computes the right of every identity that has one.
func consoleRights(cfg *config.Config, groups map[string][]string) map[string]ConsoleRight {
	if cfg.Console == nil {
		return nil
	}
	rights := map[string]ConsoleRight{}
	for name, identity := range cfg.Identities {
		in := func(list []string) bool {
			return slices.Contains(list, name) ||
				slices.ContainsFunc(groups[name], func(g string) bool { return slices.Contains(list, "@"+g) })
		}
		switch {
		case identity.Disabled:
		case in(cfg.Console.Admins):
			rights[name] = Admin
		case in(cfg.Console.Observers):
			rights[name] = Observer
		}
	}
	return rights
}

// ConsoleRight returns what the configuration gives an identity, from wherever it may be used.
func (p *Policy) ConsoleRight(identity string) ConsoleRight { return p.console[identity] }

// Console returns what an authenticated identity may do when it connects to database from an address, invalid on a Unix
// socket: NoConsole unless database is the console's name. Grants have nothing to do with it. A deny of every database and
// every tier takes it away: who is shut out is shut out here too.
func (p *Policy) Console(identity, database string, from netip.Addr) ConsoleRight {
	if !config.IsConsole(database) {
		return NoConsole
	}
	right := p.console[identity]
	s := p.subjects[identity]
	if right == NoConsole || s == nil {
		return NoConsole
	}
	c := circumstancesOf(from, time.Time{}) // denies do not depend on the time
	for _, d := range s.denies(database) {
		if len(d.Tiers) == 0 && s.denied(d, c) {
			return NoConsole
		}
	}
	return right
}
