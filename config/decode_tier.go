package config

import (
	"slices"
	"strings"
)

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
		SessionState:    t.word("session_state", defaultState, "pin", "reject", "ignore"),
		MaxPrepared:     t.integer("max_prepared_statements", defaultMaxPrepared, 1, 100_000),
		Isolation:       t.word("isolation", defaultIsolation, "role", "shared", "login"),
		Guard:           t.boolean("guard", false),
		ApplicationName: t.word("application_name", defaultAppName, "label", "client"),
		IdentitySetting: t.boolean("identity_setting", false),
		Settings:        t.settings(),
	}
	db.Tiers[name] = tier
	d.where[tier] = t
	d.role(tier, t)
	d.pool(tier, t)
	d.isolation(tier, t)
	if s := t.sub("timeouts", kindTierTimeouts); s != nil {
		tier.own = s.timeouts(tier.own)
	}
	tier.Timeouts = d.cfg.Timeouts.Strictest(tier.own)
	if tier.LogsInAsRole() && tier.own.ServerIdle == 0 {
		tier.Timeouts.ServerIdle = strictest(tier.Timeouts.ServerIdle, defaultOwnIdle)
	}
	if s := t.sub("limits", kindTierLimits); s != nil {
		tier.Limits = s.grantLimits()
	}
	d.credential(tier, t)
}

func (d *decoder) pool(tier *Tier, t *table) {
	p := Pool{Mode: poolModeFor(tier.Name), Size: defaultPoolSize, ReserveAfter: defaultReserveAfter}
	if tier.LogsInAsRole() {
		p.PerIdentity = defaultPerIdentity
	}
	if s := t.sub("pool", kindPool); s != nil {
		p.Mode = s.word("mode", p.Mode, "session", "transaction")
		if p.Reuse = s.boolean("reuse", false); p.Reuse && p.Mode != "session" {
			s.failf("reuse", `pool reuse: with mode = "transaction" server connections always go from client to client`)
		}
		p.Size = s.integer("size", p.Size, 1, 10_000)
		p.Min = s.integer("min", 0, 0, 10_000)
		p.Reserve = s.integer("reserve", 0, 0, 10_000)
		p.ReserveAfter = s.duration("reserve_after", p.ReserveAfter)
		if tier.LogsInAsRole() {
			d.ownPool(&p, s)
		} else {
			p.PerIdentity = s.integer("per_identity", 0, 0, 10_000)
		}
		if p.Min > p.Size {
			s.failf("min", "pool min = %d is more than its size = %d", p.Min, p.Size)
		}
		if p.Min > 0 && tier.Isolation != "shared" && tier.RoleTemplate.PerSession() {
			s.failf("min", "pool min = %d: no connection can be kept open, because its role is not known before a client comes", p.Min)
		}
	}
	tier.Pool = p
}

// isolation checks what sessions share and may do against the roles that they have.
func (d *decoder) isolation(tier *Tier, t *table) {
	template := tier.RoleTemplate
	fixed := template != nil && !strings.Contains(template.text, "{")
	if tier.Isolation != defaultIsolation && (fixed || !t.has("role")) {
		t.failf("isolation", `isolation = %q is for sessions whose roles differ; write role = "{identity}", or leave isolation out`, tier.Isolation)
	}
	if !tier.Guard || missing(kindTier, "guard", true) != nil {
		return
	}
	if !t.has("role") && tier.Isolation != "shared" && !tier.readOnlySetting() {
		t.failf("guard", "guard = true has nothing to guard: no role is set, and no setting is read-only; "+
			`write role = "..", or settings = { default_transaction_read_only = "on" }, or leave guard out`)
	}
}

// readOnlySetting says whether sessions begin read-only, which a guard keeps them from changing.
func (t *Tier) readOnlySetting() bool {
	for name := range t.Settings {
		if strings.EqualFold(name, "default_transaction_read_only") {
			return true
		}
	}
	return false
}
