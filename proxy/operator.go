package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
)

// operator is what the console acts by; what it shows is in views.go. It implements console.Daemon.
type operator struct{ s *Server }

var _ console.Daemon = operator{}

func (o operator) Pause(ctx context.Context, t console.Target) error {
	tiers, err := o.s.tiersOf(t)
	if err != nil {
		return err
	}
	return o.s.pauses.pause(ctx, tiers)
}

func (o operator) Resume(t console.Target) error {
	tiers, err := o.s.tiersOf(t)
	if err == nil {
		o.s.pauses.resume(tiers)
	}
	return err
}

// errKilled does not say who did it: that is in the log.
var errKilled = pgerr.Fatal(pgerr.AdminShutdown, "terminating connection due to administrator command").
	WithDetail("The session was ended with KILL on the console of pgtier.")

func (o operator) Kill(id uint64) error {
	for _, p := range o.s.registry.all() {
		if p.id == id && o.s.endSession(p.pid, session.ReasonKilled, errKilled) {
			return nil
		}
	}
	return pgerr.New(undefinedObject, "there is no client %d", id).WithHint("SHOW CLIENTS lists them.")
}

func (o operator) KillIdentity(name string) (n int, err error) {
	if o.s.snapshot.Load().cfg.Identities[name] == nil {
		err = pgerr.New(undefinedObject, "identity \"%s\" does not exist", name).WithHint("Names are case-sensitive. SHOW IDENTITIES lists them.")
	}
	for _, p := range o.s.registry.all() {
		if p.decision.Identity == name && o.s.endSession(p.pid, session.ReasonKilled, errKilled) {
			n, err = n+1, nil
		}
	}
	return n, err
}

// configFileError is PostgreSQL's config_file_error.
const configFileError = "F0000"

func (o operator) Reload() error {
	err := o.s.ReloadSource()
	var findings config.Findings
	var public *pgerr.Error
	switch {
	case err == nil, errors.As(err, &public):
		return err
	case errors.As(err, &findings):
		what := "a mistake"
		if len(findings) > 1 {
			what = fmt.Sprintf("%d mistakes", len(findings))
		}
		return pgerr.New(configFileError, "the configuration has %s; the old one stays in force", what).WithDetail("%s", findings.Error())
	}
	return pgerr.New(configFileError, "the configuration could not be put in force; the old one stays").WithDetail("%s", err)
}

func (o operator) Reconnect(t console.Target) error {
	tiers, err := o.s.tiersOf(t)
	if err != nil {
		return err
	}
	for _, q := range o.s.pauses.poolsOf(tiers) {
		o.s.relay.Reconnect(q)
	}
	return nil
}

func (o operator) Shutdown(drain bool) { o.s.Shutdown(drain) }
