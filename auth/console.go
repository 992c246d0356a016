package auth

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// ConsoleRight is what an identity may do on the console. A greater one includes the lesser.
type ConsoleRight uint8

const (
	NoConsole ConsoleRight = iota // for this identity there is no console
	Observer                      // may look
	Admin                         // may do everything
)

func (r ConsoleRight) String() string { return [...]string{"", "observer", "admin"}[r] }

// consoleEntry is a right with the entry of [console] that gives it.
type consoleEntry struct {
	right ConsoleRight
	name  string // an identity or "@group"
}

// consoleRights computes the right of every identity that has one.
func consoleRights(cfg *config.Config, groups map[string][]string) map[string]consoleEntry {
	if cfg.Console == nil {
		return nil
	}
	rights := map[string]consoleEntry{}
	for name, identity := range cfg.Identities {
		if identity.Disabled {
			continue
		}
		if entry := entryFor(name, groups[name], cfg.Console.Admins); entry != "" {
			rights[name] = consoleEntry{Admin, entry}
		} else if entry := entryFor(name, groups[name], cfg.Console.Observers); entry != "" {
			rights[name] = consoleEntry{Observer, entry}
		}
	}
	return rights
}

// entryFor returns the first entry of a list that an identity with these groups is meant by, "" when there is none.
func entryFor(identity string, groups, list []string) string {
	i := slices.IndexFunc(list, func(entry string) bool {
		return entry == identity || entry != "" && entry[0] == '@' && slices.Contains(groups, entry[1:])
	})
	if i < 0 {
		return ""
	}
	return list[i]
}

// ConsoleRight returns what the configuration gives an identity, from wherever it may be used.
func (p *Policy) ConsoleRight(identity string) ConsoleRight { return p.console[identity].right }

// Console returns what an authenticated identity may do when it connects to database from an address, invalid on a Unix
// socket: NoConsole unless database is the console's name. Grants have nothing to do with it. A deny of every database and
// every tier takes it away: who is shut out is shut out here too.
func (p *Policy) Console(identity, database string, from netip.Addr) ConsoleRight {
	if !config.IsConsole(database) || p.consoleDeny(identity, database, from) != nil {
		return NoConsole
	}
	return p.console[identity].right
}

// consoleDeny is the first deny that takes the console away from an identity, whether or not it would have it.
func (p *Policy) consoleDeny(identity, database string, from netip.Addr) *config.Deny {
	s := p.subjects[identity]
	if s == nil {
		return nil
	}
	c := circumstancesOf(from, time.Time{}) // denies do not depend on the time
	for _, d := range s.denies(database) {
		if len(d.Tiers) == 0 && s.denied(d, c) {
			return d
		}
	}
	return nil
}

// NoConsoleTier is the error for an identity that may have the console and asks for a tier of it.
func NoConsoleTier(identity string) *pgerr.Error {
	return pgerr.Fatal(pgerr.InvalidAuthorization, "the console has no tiers").
		WithHint("Connect as \"%s\", without a tier.", identity)
}
