package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leaf is one value of a table: its key, the value as text, when a change of it is felt, and whether it must not be shown.
// These lists are all that Diff knows of what changes do.
type leaf struct {
	key    string
	value  string
	effect Effect
	secret bool
}

func listenLeaves(l *Listen) []leaf {
	return []leaf{
		{"address", list(l.Address), Restart, false},
		{"unix_socket_dir", text(l.UnixSocketDir), Restart, false},
		{"tls_cert", text(l.TLSCert), Restart, false},
		{"tls_key", text(l.TLSKey), Restart, false},
		{"tls_client_ca", text(l.TLSClientCA), Restart, false},
		{"require_tls", strconv.FormatBool(l.RequireTLS), Restart, false},
	}
}

func serverLeaves(s *Server) []leaf {
	return []leaf{
		{"host", list(s.Hosts), Live, false},
		{"port", strconv.Itoa(int(s.Port)), Live, false},
		{"sslmode", text(s.SSLMode), Live, false},
		{"sslrootcert", text(s.SSLRootCert), Live, false},
	}
}

func databaseLeaves(db *Database) []leaf {
	server := ""
	if db.Server != nil {
		server = db.Server.Name
	}
	return []leaf{
		{"server", text(server), Live, false},
		{"dbname", text(db.DBName), Live, false},
		{"default_tier", text(db.DefaultTier), NewSessions, false},
	}
}

func tierLeaves(t *Tier) []leaf {
	role, url, cert, key := "", "", t.SSLCert, t.SSLKey
	if t.CertTemplate != nil {
		cert = t.CertTemplate.text
	}
	if t.KeyTemplate != nil {
		key = t.KeyTemplate.text
	}
	if t.RoleTemplate != nil {
		role = t.RoleTemplate.text
	}
	if t.Source != "login" { // otherwise all of this is the server's and the database's
		url = fmt.Sprintf("%s: %s/%s?sslmode=%s", t.Source, strings.Join(t.Endpoints(), ","), t.DBName, t.SSLMode)
		if t.SSLRootCert != "" {
			url += "&sslrootcert=" + t.SSLRootCert
		}
	}
	return []leaf{
		{"login", text(t.Login), Live, false},
		{"password", list(t.Passwords), Live, true},
		{"url", text(url), Live, false},
		{"override_env", text(t.OverrideEnv), Live, false},
		{"sslcert", text(cert), Live, false},
		{"sslkey", text(key), Live, false},
		{"role", text(role), Live, false},
		{"isolation", text(t.Isolation), NewSessions, false},
		{"guard", strconv.FormatBool(t.Guard), NewSessions, false},
		{"session_state", text(t.SessionState), NewSessions, false},
		{"application_name", text(t.ApplicationName), NewSessions, false},
		{"identity_setting", strconv.FormatBool(t.IdentitySetting), NewSessions, false},
		{"max_prepared_statements", strconv.Itoa(t.MaxPrepared), NewSessions, false},
		{"accept_superuser", strconv.FormatBool(t.AcceptSuperuser), Live, false},
	}
}

func poolLeaves(p *Pool) []leaf {
	perIdentity := ""
	if p.PerIdentity != 0 {
		perIdentity = strconv.Itoa(p.PerIdentity)
	}
	return []leaf{
		{"mode", text(p.Mode), NewSessions, false},
		{"reuse", strconv.FormatBool(p.Reuse), NewSessions, false},
		{"size", strconv.Itoa(p.Size), Live, false},
		{"per_identity", perIdentity, Live, false},
		{"min", strconv.Itoa(p.Min), Live, false},
		{"reserve", strconv.Itoa(p.Reserve), Live, false},
		{"reserve_after", FormatDuration(p.ReserveAfter), Live, false},
	}
}

func identityLeaves(i *Identity) []leaf {
	return []leaf{
		{"scram", list(i.Verifiers), NewSessions, true},
		{"password", list(i.Passwords), NewSessions, true},
		{"cert", list(i.Certs), NewSessions, false},
		{"peer", text(i.Peer), NewSessions, false},
		{"disabled", strconv.FormatBool(i.Disabled), Live, false},
	}
}

// liveTimeouts are those of server connections and of pgtier itself; sessions take the others along when they begin.
var liveTimeouts = []string{"server_connect", "server_login_retry", "server_idle", "server_lifetime", "cancel_wait", "shutdown"}

// timeoutLeaves are those that are not off, and unset for the others.
func timeoutLeaves(t Timeouts, unset string) []leaf {
	var out []leaf
	for _, f := range t.fields() {
		effect := NewSessions
		if slices.Contains(liveTimeouts, f.key) {
			effect = Live
		}
		value := unset
		if *f.value != 0 {
			value = FormatDuration(*f.value)
		}
		out = append(out, leaf{f.key, value, effect, false})
	}
	return out
}

func sessionLimitLeaves(l GrantLimits) []leaf {
	session, connections := "", ""
	if l.Session != 0 {
		session = FormatDuration(l.Session)
	}
	if l.Connections != 0 {
		connections = strconv.Itoa(l.Connections)
	}
	return []leaf{{"session", session, NewSessions, false}, {"connections", connections, NewSessions, false}}
}

func limitLeaves(l *Limits) []leaf {
	return []leaf{
		{"connections", strconv.Itoa(l.Connections), NewSessions, false},
		{"per_identity", strconv.Itoa(l.PerIdentity), NewSessions, false},
		{"per_database", strconv.Itoa(l.PerDatabase), Live, false},
		{"per_server", strconv.Itoa(l.PerServer), Live, false},
		{"startup_packet", strconv.Itoa(l.StartupPacket), NewSessions, false},
	}
}

func relayLeaves(r *Relay) []leaf {
	loops := text("auto")
	if r.Loops != 0 {
		loops = strconv.Itoa(r.Loops)
	}
	return []leaf{{"loops", loops, Restart, false}, {"engine", text(r.Engine), Restart, false}}
}

func logLeaves(l *Log) []leaf {
	return []leaf{{"level", text(l.Level), Live, false}, {"format", text(l.Format), Live, false}}
}

func consoleLeaves(c *Console) []leaf {
	if c == nil {
		c = &Console{}
	}
	return []leaf{{"admins", set(c.Admins), Live, false}, {"observers", set(c.Observers), Live, false}}
}

// rule is all that a grant says: two grants with the same text are the same.
func (g *Grant) rule() string {
	s := fmt.Sprintf("to %q on %q: %s", g.To, g.Database, set(g.Tiers)) + conditions(g.From, g.When)
	for _, l := range slices.Concat([]leaf{{key: "default", value: text(g.Default)}, {key: "role", value: text(g.Role)}},
		sessionLimitLeaves(g.Limits), timeoutLeaves(g.Timeouts, "")) {
		if l.value != "" {
			s += "; " + l.key + " " + l.value
		}
	}
	if !g.Expires.IsZero() {
		s += "; expires " + g.Expires.Format(time.RFC3339Nano)
	}
	return s
}

// rule is all that a deny says.
func (r *Deny) rule() string {
	database := r.Database
	if database == "" {
		database = "*"
	}
	tiers := "every tier"
	if len(r.Tiers) > 0 {
		tiers = set(r.Tiers)
	}
	return fmt.Sprintf("to %q on %q: %s", r.To, database, tiers) + conditions(r.From, r.When)
}

func conditions(from []netip.Prefix, when map[string][]string) string {
	s := ""
	if len(from) > 0 {
		var prefixes []string
		for _, p := range from {
			prefixes = append(prefixes, p.String())
		}
		s += "; from " + set(prefixes)
	}
	values := textOf(when)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		s += fmt.Sprintf("; when %q is %s", name, values[name])
	}
	return s
}

// textOf writes down each list of a table whose lists have no order.
func textOf(m map[string][]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, values := range m {
		out[name] = set(values)
	}
	return out
}

// texts are the values of a table as they stand in the file.
func texts(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		out[name] = strconv.Quote(value)
	}
	return out
}

// text is a string as it stands in the file, "" when it is empty.
func text(s string) string {
	if s == "" {
		return ""
	}
	return strconv.Quote(s)
}

// list is a list of strings as it stands in the file, "" when it is empty.
func list(items []string) string {
	if len(items) == 0 {
		return ""
	}
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// set is list for items that have no order.
func set(items []string) string { return list(slices.Sorted(slices.Values(items))) }

// shown is a value in a sentence.
func shown(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// FormatDuration writes a duration as one would in the file: 2m and not 2m0s, 0 for off.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if d == 0 {
		return "0"
	}
	return s
}
