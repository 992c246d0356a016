package config

import (
	"fmt"
	"slices"
)

// credential fills in what the tier logs in with: the override when its variable is set and not empty, whole and without
// a look at the rest; otherwise url; otherwise login with password or certificate on the database's server.
func (d *decoder) credential(tier *Tier, t *table) {
	if tier.LogsInAsRole() {
		d.ownCredential(tier, t)
		return
	}
	tier.OverrideEnv = t.str("override_env")
	d.credentialKeys(tier, t)
	passwords, url := t.secrets("password"), t.secrets("url")
	if v := d.override(tier); v != "" {
		tier.Overridden = true
		tier.Source = "override_env " + tier.OverrideEnv
		d.useURL(tier, t, "override_env", "environment "+tier.OverrideEnv, v)
		return
	}
	if t.has("url") {
		tier.Source = "url"
		if len(url) > 1 {
			t.failf("url", `"url" must be one source; only passwords may be several`)
		} else if v := d.values(url); len(v) == 1 {
			d.useURL(tier, t, "url", url[0].label(), v[0])
		}
		return
	}
	tier.Source = "login"
	tier.Login = t.str("login")
	tier.DBName = tier.Database.DBName
	tier.SSLCert, tier.SSLKey = t.file("sslcert"), t.file("sslkey")
	tier.Passwords = d.values(passwords)
	if s := tier.Database.Server; s != nil {
		tier.Hosts, tier.Port = slices.Clone(s.Hosts), s.Port
		tier.SSLMode, tier.SSLRootCert = s.SSLMode, s.SSLRootCert
	}
	if bad := badName(tier.Login); bad != "" && tier.Login != "" {
		t.failf("login", "login %q: the name %s", tier.Login, bad)
	}
}

// override is the value of the tier's override_env, "" when it has none, or when the variable is empty or not set.
func (d *decoder) override(tier *Tier) string {
	if tier.OverrideEnv == "" {
		return ""
	}
	v, ok := d.env(tier.OverrideEnv)
	if !ok {
		return ""
	}
	return v
}

// label names where a URL comes from, in front of what is wrong with it.
func (s secret) label() string {
	if s.inline != "" {
		return "url"
	}
	return s.source()
}

// credentialKeys checks which keys stand beside each other, whatever is in force.
func (d *decoder) credentialKeys(tier *Tier, t *table) {
	name := tier.String()
	whole := t.has("url")
	password, cert := t.has("password"), t.has("sslcert") || t.has("sslkey")
	for _, key := range []string{"login", "password", "sslcert", "sslkey"} {
		if whole && t.has(key) {
			d.failf(t.keyAt(key), "tier %s has both %q and \"url\"; a url is the whole credential", name, key)
		}
	}
	switch {
	case whole:
	case !password && !cert:
		// An override alone is a credential as long as it is set.
		if d.override(tier) == "" {
			d.failf(tier.Pos, "tier %s has no credential; write one of: password = %s, url = { .. }", name, secretForms)
		}
	case password && cert:
		d.failf(t.keyAt("password"), "tier %s has both a password and a certificate; keep one", name)
	case !t.has("login"):
		d.failf(tier.Pos, `tier %s has no login; write login = ".."`, name)
	default:
		d.certPair(tier, t)
	}
}

// certPair checks that a certificate has a key and a key a certificate.
func (d *decoder) certPair(tier *Tier, t *table) {
	switch cert, key := t.has("sslcert"), t.has("sslkey"); {
	case cert && !key:
		d.failf(t.keyAt("sslcert"), `tier %s has "sslcert" without "sslkey"`, tier)
	case key && !cert:
		d.failf(t.keyAt("sslkey"), `tier %s has "sslkey" without "sslcert"`, tier)
	}
}

// useURL makes v the whole credential of tier. from names where it comes from; key is the key to blame.
func (d *decoder) useURL(tier *Tier, t *table, key, from, v string) {
	u, err := parseURL(v)
	if err != nil {
		t.failf(key, "%s: %v", from, err)
		return
	}
	if bad := badName(u.login); bad != "" {
		t.failf(key, "%s: the login %s", from, bad)
	}
	db := tier.Database
	if u.dbname != db.DBName {
		t.failf(key, "%s names database %q but this is %s", from, u.dbname, thisDatabase(db, t))
	}
	tier.Login, tier.Hosts, tier.Port, tier.DBName = u.login, u.hosts, u.port, u.dbname
	tier.SSLMode, tier.SSLRootCert = u.sslmode, d.rootCert(u.sslrootcert)
	if u.hasPassword {
		tier.Passwords = []string{u.password}
	}
}

func thisDatabase(db *Database, t *table) string {
	header := t.d.where[db].path
	if db.DBName != db.Name {
		return fmt.Sprintf("[%s] with dbname = %q; names are case-sensitive", header, db.DBName)
	}
	return fmt.Sprintf("[%s]; names are case-sensitive", header)
}
