package config

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// decoder turns one file into cfg. It never stops at a mistake: every method reports what is wrong and goes on.
type decoder struct {
	file     string
	dir      string // of the file; relative paths start there
	env      Env
	mode     fs.FileMode // of the file, 0 when it came as bytes
	inline   bool        // inline_secrets
	cfg      *Config
	findings Findings
	where    map[any]*table // the table that each *Server, *Database, *Tier, *Identity, *Grant, *Deny was read from
}

func (d *decoder) failf(pos Pos, format string, args ...any) {
	d.findings = append(d.findings, Finding{pos, fmt.Sprintf(format, args...)})
}

// decode reads the whole file. What refers to something by name is read after it.
func (d *decoder) decode(t *table) {
	d.version(t)
	d.listen(t)
	d.cfg.Timeouts = DefaultTimeouts()
	if s := t.sub("timeouts", kindTimeouts); s != nil {
		d.cfg.Timeouts = s.timeouts(d.cfg.Timeouts)
	}
	d.limits(t)
	d.relay(t)
	d.log(t)
	d.servers(t)
	d.databases(t)
	d.identities(t)
	d.groups(t)
	d.grants(t)
	d.denies(t)
	d.console(t)
}

func (d *decoder) version(t *table) {
	if !t.has("config_version") {
		d.failf(Pos{d.file, 1, 1}, "config_version is missing; write config_version = %d at the top of the file", ConfigVersion)
	} else if v, ok := t.vals["config_version"].(int64); !ok || v != ConfigVersion {
		t.failf("config_version", "config_version must be %d: this program reads no other", ConfigVersion)
	}
	if d.inline = t.boolean("inline_secrets", false); d.inline && d.mode != 0 {
		if err := private(d.mode); err != nil {
			d.failf(t.keyAt("inline_secrets"), "%s has secrets inside and %v", d.file, err)
		}
	}
}

func (d *decoder) listen(top *table) {
	t := top.sub("listen", kindListen)
	if t == nil {
		if !top.has("listen") {
			d.failf(Pos{d.file, 1, 1}, `[listen] is missing; write address = "127.0.0.1:6432" in it`)
		}
		return
	}
	l := &d.cfg.Listen
	*l = Listen{
		Pos:           t.n.start,
		Address:       t.strs("address"),
		UnixSocketDir: t.file("unix_socket_dir"),
		TLSCert:       t.file("tls_cert"),
		TLSKey:        t.file("tls_key"),
		TLSClientCA:   t.file("tls_client_ca"),
		RequireTLS:    t.boolean("require_tls", true),
	}
	d.where[l] = t
	if !t.has("address") {
		d.failf(t.n.start, `[listen] has no address; write address = "127.0.0.1:6432"`)
	}
	for i, a := range l.Address {
		if err := checkAddress(a); err != nil && a != "" {
			d.failf(t.itemAt("address", i), "address %q: %v", a, err)
		}
	}
	if l.UnixSocketDir != "" && len(l.Address) > 0 && strings.HasSuffix(l.Address[0], ":0") {
		t.failf("unix_socket_dir", "the socket takes its number from the first address, whose port is 0; write a port there")
	}
}

// checkAddress says what is wrong with an address to listen on.
func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf(`write "host:port", such as "127.0.0.1:6432" or "[::1]:6432"`)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port must be from 1 to 65535 (or 0 for any free one)")
	}
	if host == "" || host == "*" {
		return fmt.Errorf(`write "0.0.0.0:%s" or "[::]:%s" for every interface`, port, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostPattern.MatchString(host) {
		return fmt.Errorf("%q is neither an address nor a host name", host)
	}
	return nil
}

// timeouts reads those timeouts that t's kind has, over def. Below the top, "0" is refused: it would look like lifting a
// limit that still holds.
func (t *table) timeouts(def Timeouts) Timeouts {
	for _, f := range def.fields() {
		if !t.has(f.key) {
			continue
		}
		*f.value = t.duration(f.key, *f.value)
		if t.kind != kindTimeouts && *f.value == 0 && t.vals[f.key] != nil {
			t.failZero(f.key)
		}
	}
	return def
}

// failZero reports a "0" where it would mean "not set", if that is what stands there.
func (t *table) failZero(key string) {
	if s, ok := t.vals[key].(string); ok {
		if d, err := time.ParseDuration(s); err == nil && d == 0 {
			t.failf(key, `%q = "0" cannot lift the limit that holds elsewhere: the strictest wins; leave the key out`, key)
		}
	}
}

// grantLimits reads the limits of a tier or of a grant.
func (t *table) grantLimits() GrantLimits {
	return GrantLimits{
		Session:     t.duration("session", 0),
		Connections: t.integer("connections", 0, 1, 1_000_000),
	}
}

func (d *decoder) limits(top *table) {
	l := DefaultLimits()
	if t := top.sub("limits", kindLimits); t != nil {
		l.Connections = t.integer("connections", l.Connections, 0, 10_000_000)
		l.PerIdentity = t.integer("per_identity", 0, 0, 10_000_000)
		l.PerDatabase = t.integer("per_database", 0, 0, 1_000_000)
		l.PerServer = t.integer("per_server", 0, 0, 1_000_000)
		// Whoever wants it bigger: this much memory is at the disposal of everybody who can connect.
		l.StartupPacket = t.integer("startup_packet", l.StartupPacket, 1<<10, 64<<10)
	}
	d.cfg.Limits = l
}

func (d *decoder) relay(top *table) {
	d.cfg.Relay.Engine = defaultEngine
	t := top.sub("relay", kindRelay)
	if t == nil {
		return
	}
	d.cfg.Relay.Engine = t.word("engine", defaultEngine, "auto", "epoll", "io_uring")
	if s, ok := t.vals["loops"].(string); ok {
		if s != "auto" {
			t.failf("loops", `"loops" must be "auto" or a number from 1 to 256`)
		}
		return
	}
	d.cfg.Relay.Loops = t.integer("loops", 0, 1, 256)
}

func (d *decoder) log(top *table) {
	d.cfg.Log = Log{Level: defaultLogLevel, Format: defaultLogFormat}
	if t := top.sub("log", kindLog); t != nil {
		d.cfg.Log.Level = t.word("level", defaultLogLevel, "debug", "info", "warn", "error")
		d.cfg.Log.Format = t.word("format", defaultLogFormat, "json", "console")
	}
}

// each calls read for every table in the table called name: one for each name that the operator chose.
func (d *decoder) each(parent *table, name string, k kind, read func(name string, t *table)) {
	all := parent.sub(name, kindNames)
	if all == nil {
		return
	}
	for _, key := range all.names() {
		if t := all.sub(key, k); t != nil {
			read(key, t)
		}
	}
}
