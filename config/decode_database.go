package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
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

// badName says what is wrong with a name that PostgreSQL has to know, "" when nothing is.
func badName(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case strings.ContainsRune(s, 0):
		return "must not contain a zero byte"
	case len(s) > 63:
		return fmt.Sprintf("is %d bytes long; PostgreSQL cuts names after 63", len(s))
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

// tier reads one tier. Its name must be one of Tiers.
func (d *decoder) tier(db *Database, name string, t *table) {
	if !slices.Contains(Tiers(), name) {
		d.failf(t.n.key, "tier %q does not exist; the tiers are %s%s", name, strings.Join(Tiers(), ", "), didYouMean(name, Tiers()))
		return
	}
	tier := &Tier{
		Name:            name,
		Database:        db,
		Pos:             t.n.start,
		AcceptSuperuser: t.boolean("accept_superuser", false),
		Role:            t.str("role"),
		Settings:        t.settings(),
	}
	db.Tiers[name] = tier
	d.where[tier] = t
	t.word("isolation", "role", "role")
	t.boolean("guard", false)
	d.role(tier, t)
	d.pool(tier, t)
	own := Timeouts{}
	if s := t.sub("timeouts", kindTierTimeouts); s != nil {
		own = s.timeouts(own)
	}
	tier.Timeouts = d.cfg.Timeouts.Strictest(own)
	if s := t.sub("limits", kindTierLimits); s != nil {
		tier.Limits = s.grantLimits()
	}
	d.credential(tier, t)
}

// role checks the role that sessions run as (roles-and-security: fixed or absent in this version).
func (d *decoder) role(tier *Tier, t *table) {
	role := tier.Role
	bad := badName(role)
	switch {
	case role == "":
	case strings.ContainsAny(role, "{}"):
		t.failf("role", "\"role\" = %q is not supported yet: placeholders are not filled in; write the name of a role", role)
	case strings.EqualFold(role, "none") || strings.EqualFold(role, "public") || strings.HasPrefix(role, "pg_"):
		t.failf("role", "role %q is reserved by PostgreSQL; write the name of a role of yours", role)
	case bad != "":
		t.failf("role", "role %q: the name %s", role, bad)
	}
}

func (d *decoder) pool(tier *Tier, t *table) {
	p := Pool{Mode: poolModeFor(tier.Name), Size: defaultPoolSize, ReserveAfter: defaultReserveAfter}
	if s := t.sub("pool", kindPool); s != nil {
		p.Mode = s.word("mode", p.Mode, "session", "transaction")
		p.Size = s.integer("size", p.Size, 1, 10_000)
		p.Min = s.integer("min", 0, 0, 10_000)
		p.Reserve = s.integer("reserve", 0, 0, 10_000)
		p.ReserveAfter = s.duration("reserve_after", p.ReserveAfter)
		if p.Min > p.Size {
			s.failf("min", "pool min = %d is more than its size = %d", p.Min, p.Size)
		}
	}
	tier.Pool = p
}

// refusedSettings may not be set at connection start, with what to write instead.
var refusedSettings = map[string]string{
	"role":                  `write role = ".." in the tier`,
	"session_authorization": "the login of the tier is what sessions are authorised as",
	"user":                  `write login = ".." in the tier`,
	"database":              `write dbname = ".." in the database`,
	"replication":           "replication connections are not pooled",
	"options":               "write each setting with a key of its own",
}

// settings are sent in the startup packet of server connections. Numbers and booleans may stand without quotes.
func (t *table) settings() map[string]string {
	s := t.sub("settings", kindNames)
	if s == nil {
		return nil
	}
	out := make(map[string]string, len(s.vals))
	spelled := map[string]string{}
	for _, name := range s.names() {
		lower := strings.ToLower(name)
		switch instead, refused := refusedSettings[lower]; {
		case refused:
			t.d.failf(s.keyAt(name), "%q cannot be a setting: %s", name, instead)
		case spelled[lower] != "":
			t.d.failf(s.keyAt(name), "%q and %q are the same setting", spelled[lower], name)
		case !settingName(name):
			t.d.failf(s.keyAt(name), "%q is not the name of a PostgreSQL setting", name)
		}
		spelled[lower] = name
		switch v := s.vals[name].(type) {
		case int64:
			out[name] = strconv.FormatInt(v, 10)
		case float64:
			out[name] = strconv.FormatFloat(v, 'g', -1, 64)
		case bool:
			out[name] = strconv.FormatBool(v)
		case string: // may be empty: that is how some lists are cleared
			if out[name] = v; strings.ContainsRune(v, 0) {
				s.failf(name, "setting %q must not contain a zero byte", name)
			}
		default:
			s.failf(name, "setting %q must be a string, a number or a boolean", name)
		}
	}
	return out
}

// settingName is PostgreSQL's rule for a setting's name, extensions' included. It also keeps protocol options (_pq_.) out.
func settingName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '.' && c != '$' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 63 && !strings.HasPrefix(strings.ToLower(s), "_pq_")
}
