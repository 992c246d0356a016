package config

import "slices"

// With isolation = "login" a tier has no credential: each server connection logs in as the role of its session, with what is
// that identity's own. In this order:
//
//  1. a certificate: sslcert and sslkey of the tier, as templates
//  2. the identity's password, where the configuration has it
//  3. the SCRAM client key that the identity has just proven to have

// ownCredential reads what such a tier says about logging in, and refuses what only the others have.
func (d *decoder) ownCredential(tier *Tier, t *table) {
	name := tier.String()
	for _, key := range []string{"login", "password", "url", "override_env"} {
		if t.has(key) {
			d.failf(t.keyAt(key), `tier %s has %q, but with isolation = "login" every identity logs in to PostgreSQL as itself; remove it`, name, key)
		}
	}
	d.certPair(tier, t)
	if tier.AcceptSuperuser {
		t.failf("accept_superuser", `accept_superuser is for logins of tiers: with isolation = "login" nobody logs in as a superuser`)
	}
	tier.Source = "login"
	tier.DBName = tier.Database.DBName
	tier.CertTemplate, tier.KeyTemplate = d.pathTemplate(tier, t, "sslcert"), d.pathTemplate(tier, t, "sslkey")
	if s := tier.Database.Server; s != nil {
		tier.Hosts, tier.Port = slices.Clone(s.Hosts), s.Port
		tier.SSLMode, tier.SSLRootCert = s.SSLMode, s.SSLRootCert
	}
}

// ownPool reads what a pool has when it is one identity's.
func (d *decoder) ownPool(p *Pool, s *table) {
	p.PerIdentity = s.integer("per_identity", min(defaultPerIdentity, p.Size), 1, 10_000)
	if p.PerIdentity > p.Size {
		s.failf("per_identity", "pool per_identity = %d is more than its size = %d", p.PerIdentity, p.Size)
	}
	if s.has("reserve") {
		s.failf("reserve", `pool reserve: with isolation = "login" the size is of the whole tier, and nothing goes above it`)
	}
}

// checkOwnLogins keeps the wall between tiers where people log in as themselves: the same template in two tiers of a database is the
// same login in both.
func (d *decoder) checkOwnLogins() {
	tiers := d.allTiers()
	for i, low := range tiers {
		for _, high := range tiers[i+1:] {
			both := low.LogsInAsRole() && high.LogsInAsRole() && low.Database == high.Database
			if both && low.RoleTemplate != nil && high.RoleTemplate != nil && slices.Equal(low.RoleTemplate.parts, high.RoleTemplate.parts) {
				d.where[low].failf("role", "tiers %s and %s of %q let people log in as the same role: everybody in %s would have their %s rights",
					low.Name, high.Name, low.Database.Name, low.Name, high.Name)
			}
		}
	}
}

// LogsInAsRole says whether server connections of the tier are logged in as the role of the session, with the identity's own
// credential, and not as a login of the tier (isolation = "login").
func (t *Tier) LogsInAsRole() bool { return t.Isolation == "login" }
