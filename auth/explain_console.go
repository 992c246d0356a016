package auth

import (
	"net/netip"

	"github.com/pgtier/pgtier/config"
)

// explainConsole tells what somebody who asks for the console gets. It reports false when what follows is a matter of grants
// after all: database is not the console's name, or a database of this name is configured, which there is only without a
// console.
func (p *Policy) explainConsole(e *Explanation, v *verdict, identity, database string, from netip.Addr) bool {
	if !config.IsConsole(database) || v.database != nil {
		return false
	}
	e.identity(p, v, identity)
	if v.subject != nil && !v.subject.identity.Disabled {
		e.line("database", "%s, the console of pgtier itself%s", database, p.consoleWritten())
		e.line("from", "%s", clientOf(from))
	}
	right := p.Console(identity, database, from)
	switch {
	case right == NoConsole:
		e.refused(v.err, nil)
		e.line("because", "%s", p.whyNoConsole(v, identity, database, from))
	case v.asked != "":
		e.refused(NoConsoleTier(identity), nil)
	default:
		e.Console = right
		entry := p.console[identity]
		e.line("decision", "the console, as %s; %q is among the %ss of [console] (%s)", right, entry.name, right, p.consolePos.Short())
		e.line("may", "%s", map[ConsoleRight]string{Admin: "every command: SHOW, PAUSE, RESUME, KILL, RELOAD, RECONNECT, SHUTDOWN", Observer: "SHOW"}[right])
	}
	return true
}

// consoleWritten says where [console] is.
func (p *Policy) consoleWritten() string {
	if p.consolePos == nil {
		return ", which is not configured"
	}
	return " (" + p.consolePos.Short() + ")"
}

// whyNoConsole says what clients are not told: to them there is no such database.
func (p *Policy) whyNoConsole(v *verdict, identity, database string, from netip.Addr) string {
	switch {
	case v.subject == nil || v.subject.identity.Disabled:
		return v.because()
	case p.consolePos == nil:
		return "the configuration has no [console]"
	case p.ConsoleRight(identity) == NoConsole:
		return "no entry of [console] is for " + identity + "; clients are not told that there is a console"
	}
	return "the deny at " + p.consoleDeny(identity, database, from).Pos.Short() + " is of everything; clients are not told so"
}
