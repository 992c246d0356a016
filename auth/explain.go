package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Explanation is one decision with its reasons. It holds no secrets. String is what `pgtier explain` prints.
type Explanation struct {
	Decision *Decision    // nil when refused, and for the console
	Console  ConsoleRight // NoConsole unless it is the console that was asked for, and given
	Err      *pgerr.Error // what the client would see; nil when allowed
	text     strings.Builder
}

// String is a few lines of "label  value", each ending in a newline.
func (e *Explanation) String() string { return e.text.String() }

// Explain tells what would happen if who ("alice", "alice~rw"), authenticated, asked for database from an address at a time:
// the code that decides is Resolve's.
func (p *Policy) Explain(who, database string, from netip.Addr, now time.Time) *Explanation {
	e := &Explanation{}
	identity, word, err := SplitUser(who)
	var asked string
	if err == nil {
		asked, err = Asked(word, "", "")
	}
	if err != nil {
		e.refused(err, nil)
		return e
	}
	v := p.judge(identity, database, asked, circumstancesOf(from, now))
	if p.explainConsole(e, v, identity, database, from) {
		return e
	}
	e.identity(p, v, identity)
	e.rules(v, from)
	if v.err != nil {
		e.refused(v.err, v)
		return e
	}
	e.Decision = v.decision()
	e.allowed(v)
	return e
}

// line writes one line; an empty label continues the one before.
func (e *Explanation) line(label, format string, args ...any) {
	fmt.Fprintf(&e.text, "%-11s %s\n", label, fmt.Sprintf(format, args...))
}

func (e *Explanation) identity(p *Policy, v *verdict, name string) {
	if v.subject == nil {
		e.line("identity", "%s is not defined", name)
		return
	}
	disabled := ""
	if v.subject.identity.Disabled {
		disabled = ", disabled"
	}
	e.line("identity", "%s (%s%s)", name, v.subject.identity.Pos.Short(), disabled)
	if len(v.subject.identity.Attributes) > 0 {
		e.line("attributes", "%s", attributes(v.subject.identity.Attributes))
	}
	var groups []string
	for _, g := range v.subject.groups {
		groups = append(groups, fmt.Sprintf("%s (%s)", g, p.groups[g].Pos.Short()))
	}
	e.line("groups", "%s", orNone(strings.Join(groups, ", ")))
}

// rules lists the grants for the identity on the database, holding or not, and the denies that hold.
func (e *Explanation) rules(v *verdict, from netip.Addr) {
	if v.database == nil || v.subject == nil || v.subject.identity.Disabled {
		return
	}
	e.line("database", "%s (%s)", v.database.Name, v.database.Pos.Short())
	e.line("from", "%s", clientOf(from))
	if v.asked != "" {
		e.line("asked", "%s", v.asked)
	} else {
		e.line("asked", "nothing, so a default applies")
	}
	label := "grants"
	for i, g := range v.considered {
		e.line(label, "%s to %s: %s: %s", g.Pos.Short(), g.To, strings.Join(g.Tiers, ", "), holds(v.whyNot[i]))
		label = ""
	}
	if len(v.considered) == 0 {
		e.line(label, "none")
	}
	label = "denies"
	for _, d := range v.denies {
		tiers := "every tier"
		if len(d.Tiers) > 0 {
			tiers = strings.Join(d.Tiers, ", ")
		}
		e.line(label, "%s to %s: %s: holds", d.Pos.Short(), d.To, tiers)
		label = ""
	}
}

func clientOf(from netip.Addr) string {
	if from.IsValid() {
		return from.String()
	}
	return "a Unix socket, which counts as loopback"
}

func holds(whyNot string) string {
	if whyNot != "" {
		return "does not hold: " + whyNot
	}
	return "holds"
}

// refused writes the error that the client would see and, of a deny, where it stands.
func (e *Explanation) refused(err *pgerr.Error, v *verdict) {
	e.Err = err
	e.line("decision", "refused")
	e.line("", "%s %s: %s", err.Severity, err.Code, err.Message)
	if err.Hint != "" {
		e.line("", "HINT: %s", err.Hint)
	}
	if why := v.because(); why != "" {
		e.line("because", "%s", why)
	}
}

// because says what a refusal came from, "" when the error itself says all. v is nil when the question was malformed.
func (v *verdict) because() string {
	switch {
	case v == nil:
		return ""
	case v.subject == nil:
		return "no identity has this name; clients are not told whether one does"
	case v.subject.identity.Disabled:
		return "the identity is disabled; clients are not told so"
	case v.database == nil:
		return ""
	case v.deciding() != nil:
		return "the deny at " + v.deciding().Pos.Short() + " takes it away; denies always win"
	case len(v.granted) == 0:
		return "no grant holds"
	case slices.Contains(v.allowed, v.tier):
		return "the role of the tier is " + v.madeOf()
	case v.tier != "":
		return "no grant that holds gives tier " + v.tier
	}
	return "several tiers are granted and none of them is a default"
}

// deciding is the deny that made the difference, nil when grants did.
func (v *verdict) deciding() *config.Deny {
	for _, t := range v.granted {
		if t == v.tier || len(v.allowed) == 0 {
			return v.denyOf(t)
		}
	}
	return nil
}

// allowed writes what the session gets.
func (e *Explanation) allowed(v *verdict) {
	d, t := e.Decision, e.Decision.Tier
	e.line("decision", "tier %s, %s; granted at %s", t.Name, v.chosen, d.Grant.Pos.Short())
	e.login(v)
	switch {
	case t.Overridden:
		e.line("override", "%s is in force: it replaced the whole credential", t.OverrideEnv)
	case t.OverrideEnv != "":
		e.line("override", "%s is not set", t.OverrideEnv)
	}
	switch {
	case t.LogsInAsRole(): // said already
	case d.Role != "":
		e.line("role", "%s (%s)", d.Role, v.madeOf())
	default:
		e.line("role", "%s (the login itself)", t.Login)
	}
	e.line("label", "%s", labels(d))
	e.line("server", "%s, database %s, sslmode %s", strings.Join(t.Endpoints(), ", "), t.DBName, t.SSLMode)
	e.line("pool", "%s, %s", t.Pool.Mode, poolSize(t.Pool))
	keys, values := d.Timeouts.Set()
	var timeouts []string
	for i, key := range keys {
		timeouts = append(timeouts, key+" "+config.FormatDuration(values[i]))
	}
	e.line("timeouts", "%s", orNone(strings.Join(timeouts, ", ")))
	e.line("limits", "%s", orNone(limits(d.Limits)))
	if !d.Expires.IsZero() {
		e.line("expires", "%s", d.Expires.Format(time.RFC3339))
	}
}

// login says as whom the server connections are logged in, and with what.
func (e *Explanation) login(v *verdict) {
	d, t := e.Decision, e.Decision.Tier
	if !t.LogsInAsRole() {
		e.line("login", "%s (%s: %s)", t.Login, t.Pos.Short(), t.Source)
		return
	}
	e.line("login", "%s, the role of the session itself (%s)", d.Role, v.madeOf())
	var with []string
	if t.CertTemplate != nil {
		path, err := t.CertTemplate.Fill(d.Identity, d.Role)
		if err != nil {
			path = "none: " + err.Error()
		}
		with = append(with, "certificate "+path)
	}
	switch identity := v.subject.identity; {
	case len(identity.Passwords) > 0:
		with = append(with, "the identity's password at "+identity.Pos.Short())
	case len(identity.Verifiers) > 0:
		with = append(with, "SCRAM pass-through: what the client proves, where PostgreSQL has the identity's verifier")
	}
	e.line("with", "%s", orNone(strings.Join(with, "; if asked for a password, ")))
}

// labels says how PostgreSQL shows whose session it is.
func labels(d *Decision) string {
	s := "application_name is the client's own"
	if d.Tier.ApplicationName == "label" {
		s = fmt.Sprintf("application_name begins with %s/%s", d.Identity, d.Tier.Name)
	}
	if d.Tier.IdentitySetting {
		s += "; pgtier.identity and pgtier.tier are set"
	}
	return s
}

func poolSize(p config.Pool) string {
	s := fmt.Sprintf("size %d", p.Size)
	if p.PerIdentity > 0 {
		s += fmt.Sprintf(" for all identities, at most %d for each", p.PerIdentity)
	}
	if p.Min > 0 {
		s += fmt.Sprintf(", min %d", p.Min)
	}
	if p.Reserve > 0 {
		s += fmt.Sprintf(", reserve %d after %s", p.Reserve, config.FormatDuration(p.ReserveAfter))
	}
	return s
}

func limits(l config.GrantLimits) string {
	var out []string
	if l.Session > 0 {
		out = append(out, "session "+config.FormatDuration(l.Session))
	}
	if l.Connections > 0 {
		out = append(out, fmt.Sprintf("connections %d", l.Connections))
	}
	return strings.Join(out, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
