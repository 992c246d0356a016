package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/relay"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Clients returns everybody who has logged in, in the order in which they came.
func (o operator) Clients(ctx context.Context) ([]console.Client, error) {
	var all []console.Client
	err := o.sessions(ctx, func(p *place, v *session.View) { all = append(all, clientOf(p, v)) })
	slices.SortFunc(all, func(a, b console.Client) int { return cmp.Compare(a.ID, b.ID) })
	return all, err
}

// sessions calls fn for every session, in no order; v is nil for one of the console.
func (o operator) sessions(ctx context.Context, fn func(p *place, v *session.View)) error {
	var places []place
	var clients []*relay.Client
	for _, p := range o.s.registry.all() {
		switch {
		case p.client != nil:
			places, clients = append(places, p), append(clients, p.client)
		case p.console != nil:
			fn(&p, nil)
		}
	}
	return o.s.relay.Views(ctx, clients, func(i int, v session.View) { fn(&places[i], &v) })
}

func clientOf(p *place, v *session.View) console.Client {
	c := console.Client{
		ID: p.id, Identity: p.decision.Identity, Method: p.method, Database: consoleName, State: "console",
		Addr: p.addr, Since: time.Unix(0, p.since),
	}
	if p.tls != 0 {
		c.TLS = tls.VersionName(p.tls)
	}
	if v == nil {
		return c
	}
	d := p.decision
	c.Database, c.Tier, c.Role = d.Tier.Database.Name, d.Tier.Name, cmp.Or(d.Role, d.Login())
	c.State, c.PinReason, c.Wait = stateOf(v.State), v.Pinned, v.Wait
	c.ServerPID, c.AppName, c.Counts = v.ServerPID, v.AppName, countsOf(&v.Counts)
	switch v.Transaction {
	case wire.Idle:
		c.Transaction = "idle"
	case wire.InTx:
		c.Transaction = "open"
	case wire.FailedTx:
		c.Transaction = "failed"
	}
	return c
}

// stateOf says PgBouncer's word where it has one.
func stateOf(s session.State) string {
	switch s {
	case session.Welcoming:
		return "login"
	case session.Preparing, session.Linked:
		return "active"
	}
	return s.String()
}

// Servers returns every server connection, by database, tier and age.
func (o operator) Servers(ctx context.Context) ([]console.Server, error) {
	views, err := o.s.relay.Servers(ctx)
	snap := o.s.snapshot.Load()
	all := make([]console.Server, len(views))
	for i, v := range views {
		all[i] = console.Server{
			Login: loginOf(snap, v.Key), Database: v.Key.Database, Tier: v.Key.Tier, Role: cmp.Or(v.Key.Role, loginOf(snap, v.Key)),
			State: v.State, Addr: v.Addr, Since: v.Since, Client: v.Client, PID: v.PID, TLS: v.TLS, Identity: v.Identity, PinReason: v.Pinned,
		}
	}
	slices.SortStableFunc(all, func(a, b console.Server) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Tier, b.Tier), a.Since.Compare(b.Since))
	})
	return all, err
}

// loginOf is as whom a pool logs in by the present configuration; "" when its tier has gone from it.
func loginOf(snap *snapshot, key pool.Key) string {
	if t := snap.tier(key); t != nil {
		if t.LogsInAsRole() {
			return key.Role
		}
		return t.Login
	}
	return ""
}

// Pools returns every pool, by name.
func (o operator) Pools() []console.Pool {
	snap, used := o.s.snapshot.Load(), o.s.registry.usage()
	var all []console.Pool
	for _, st := range o.s.pools.Stats() {
		p := console.Pool{
			Database: st.Key.Database, Tier: st.Key.Tier, Role: cmp.Or(st.Key.Role, loginOf(snap, st.Key)), Login: loginOf(snap, st.Key),
			Clients: used.pools[st.Key], Waiting: st.Waiters, Active: st.Leased, Idle: st.Idle, LoggingIn: st.Opening,
			MaxWait: st.OldestWait, Size: st.Size, Reserve: st.Reserve, Paused: st.Paused, LastError: publicText(st.LastError),
		}
		if t := snap.tier(st.Key); t != nil {
			p.Mode = t.Pool.Mode
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b console.Pool) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Role, b.Role))
	})
	return all
}

// publicText is what clients are told of a login that failed; the rest is in the log, under the same incident.
func publicText(err error) string {
	var dial *relay.DialError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &dial) && dial.Public != nil:
		return dial.Public.Message
	}
	return "see the log"
}

// Databases returns every tier of every database.
func (o operator) Databases() (all []console.Database) {
	cfg, used := o.s.snapshot.Load().cfg, o.s.registry.usage()
	servers, sessions := make(map[tierName]int), make(map[tierName]int)
	for _, st := range o.s.pools.Stats() {
		servers[nameOf(st.Key)] += st.Idle + st.Leased + st.Opening
	}
	for key, n := range used.pools {
		sessions[nameOf(key)] += n
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Databases)) {
		for _, tier := range config.Tiers() {
			if t := cfg.Databases[name].Tiers[tier]; t != nil {
				is := tierName{name, tier}
				d := databaseOf(t)
				d.MaxConnections, d.Servers, d.Sessions, d.Paused = cfg.Limits.PerDatabase, servers[is], sessions[is], o.s.pauses.has(is)
				all = append(all, d)
			}
		}
	}
	return all
}

func databaseOf(t *config.Tier) console.Database {
	d := console.Database{
		Name: t.Database.Name, Tier: t.Name, Host: strings.Join(t.Hosts, ","), Port: t.Port, DBName: t.DBName, Login: t.Login,
		Credential: t.Source, Role: t.Login, Isolation: t.Isolation, Guard: t.Guard,
		Mode: t.Pool.Mode, Size: t.Pool.Size, Min: t.Pool.Min, Reserve: t.Pool.Reserve,
	}
	if t.RoleTemplate != nil {
		d.Role = t.RoleTemplate.String()
	}
	return d
}

// Identities returns who may log in, by name.
func (o operator) Identities() (all []console.Identity) {
	snap, used := o.s.snapshot.Load(), o.s.registry.usage()
	groups := snap.cfg.GroupsOf()
	for _, name := range slices.Sorted(maps.Keys(snap.cfg.Identities)) {
		i := snap.cfg.Identities[name]
		all = append(all, console.Identity{
			Name: name, Groups: groups[name], Methods: methodsOf(i), Disabled: i.Disabled, Sessions: used.identities[name],
			Console: snap.policy.ConsoleRight(name).String(),
		})
	}
	return all
}

// methodsOf are the keys of what an identity can prove itself with.
func methodsOf(i *config.Identity) (methods []string) {
	for _, m := range [...]struct {
		name string
		has  bool
	}{{"scram", len(i.Verifiers) > 0}, {"password", len(i.Passwords) > 0}, {"cert", len(i.Certs) > 0}, {"peer", i.Peer != ""}} {
		if m.has {
			methods = append(methods, m.name)
		}
	}
	return methods
}

// Stats returns what each tier has done, ended sessions and living ones.
func (o operator) Stats(ctx context.Context) (all []console.Stat, err error) {
	tiers := o.s.stats.all() // first: a session that ends meanwhile is missing for a moment rather than counted twice
	err = o.sessions(ctx, func(p *place, v *session.View) {
		if p.right == auth.NoConsole {
			addTo(tiers, tierName{p.decision.Tier.Database.Name, p.decision.Tier.Name}, countsOf(&v.Counts))
		}
	})
	for _, t := range tiers {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b console.Stat) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Tier, b.Tier))
	})
	return all, err
}

// Config returns the configuration in force.
func (o operator) Config() (all []console.Setting) {
	for _, i := range config.List(o.s.snapshot.Load().cfg) {
		all = append(all, console.Setting{Key: i.Key, Value: i.Value, Effect: string(i.Effect)})
	}
	return all
}

// Version says which pgtier this is.
func (o operator) Version() string { return Version() }
