// Package auth decides who a client is and what it may have.
package auth

import (
	"time"

	"github.com/pgtier/pgtier/config"
)

// Identity is who authenticated. It lives in pgtier and is not a PostgreSQL role.
type Identity struct {
	Name   string
	Method string // "scram-sha-256", "scram-sha-256-plus", "password", "cert", "peer"
}

// Decision is what Resolve decided: what the session gets and which lines of the configuration say so. It is immutable.
type Decision struct {
	Identity string
	Groups   []string
	Asked    string // the tier that was asked for; "" when none was
	Tier     *config.Tier
	Role     string // the role the session runs as; "" = the login itself. With isolation "login" it is the login too
	Grant    *config.Grant
	Expires  time.Time          // when access ends; zero: never
	Limits   config.GrantLimits // strictest of the tier's and the grant's
	Timeouts config.Timeouts    // strictest of global, tier's and grant's
}

// Login is the PostgreSQL role that the session's server connections are logged in as.
func (d *Decision) Login() string {
	if d.Tier.LogsInAsRole() {
		return d.Role
	}
	return d.Tier.Login
}
