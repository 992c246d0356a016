package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (d *decoder) servers(top *table) {
	d.cfg.Servers = map[string]*Server{}
	d.each(top, "servers", kindServer, func(name string, t *table) {
		s := &Server{
			Name:    name,
			Pos:     t.n.start,
			Hosts:   t.strs("host"),
			Port:    uint16(t.integer("port", defaultServerPort, 1, 65535)),
			SSLMode: t.word("sslmode", defaultSSLMode, sslModes...),
		}
		if !t.has("host") {
			d.failf(s.Pos, "server %q has no host", name)
		}
		for i, h := range s.Hosts {
			if h == "" {
				continue // reported
			}
			checked, err := checkHost(h)
			if err != nil {
				d.failf(t.itemAt("host", i), "host %q: %v", h, err)
			}
			s.Hosts[i] = checked
		}
		s.SSLRootCert = d.rootCert(t.str("sslrootcert"))
		d.cfg.Servers[name] = s
		d.where[s] = t
	})
}

// rootCert is the path of a file, or libpq's word for the certificates that the system trusts.
func (d *decoder) rootCert(s string) string {
	if s == "" || s == "system" {
		return s
	}
	return d.path(s)
}

func (d *decoder) databases(top *table) {
	d.cfg.Databases = map[string]*Database{}
	d.each(top, "databases", kindDatabase, func(name string, t *table) {
		db := &Database{
			Name:        name,
			Pos:         t.n.start,
			DBName:      cmp.Or(t.str("dbname"), name),
			DefaultTier: t.word("default_tier", "", Tiers()...),
			Vars:        t.vars(),
			Tiers:       map[string]*Tier{},
		}
		if bad := badName(name); bad != "" {
			d.failf(t.n.key, "database %q: the name %s", name, bad)
		}
		if bad := badName(db.DBName); bad != "" && t.has("dbname") {
			t.failf("dbname", "dbname %q: the name %s", db.DBName, bad)
		}
		db.Server = d.serverOf(t)
		d.cfg.Databases[name] = db
		d.where[db] = t
		d.each(t, "tiers", kindTier, func(tier string, t *table) { d.tier(db, tier, t) })
		if len(db.Tiers) == 0 && !t.has("tiers") {
			d.failf(db.Pos, "database %q has no tiers; write [%s]", name, t.join("tiers")+".ro")
		}
		if _, ok := db.Tiers[db.DefaultTier]; !ok && db.DefaultTier != "" {
			t.failf("default_tier", "default_tier = %q, but %q has no such tier%s", db.DefaultTier, name, has(db))
		}
	})
}

// has ends a sentence with the tiers of a database.
func has(db *Database) string {
	if tiers := db.tiers(); len(tiers) > 0 {
		return "; it has " + strings.Join(tiers, ", ")
	}
	return ""
}

// tiers are the names of the tiers that db has, from the least to the most powerful.
func (db *Database) tiers() []string {
	return slices.DeleteFunc(Tiers(), func(name string) bool { return db.Tiers[name] == nil })
}

// maxName is how long names in PostgreSQL are, in bytes (NAMEDATALEN - 1 in its source).
const maxName = 63

// badName says what is wrong with a name that PostgreSQL has to know, "" when nothing is.
func badName(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case strings.ContainsRune(s, 0):
		return "must not contain a zero byte"
	case len(s) > maxName:
		return fmt.Sprintf("is %d bytes long; PostgreSQL cuts names after %d", len(s), maxName)
	}
	return ""
}

func (d *decoder) serverOf(t *table) *Server {
	name := t.str("server")
	if name == "" {
		if !t.has("server") {
			d.failf(t.n.start, `no server; write server = ".."%s`, oneOf(maps.Keys(d.cfg.Servers)))
		}
		return nil
	}
	s := d.cfg.Servers[name]
	if s == nil {
		t.failf("server", "server %q is not defined%s", name, suggest(name, d.cfg.Servers))
	}
	return s
}
