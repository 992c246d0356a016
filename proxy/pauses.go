package proxy

import (
	"context"
	"slices"
	"sync"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/console"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// tierName names a tier of a database: what can be paused.
type tierName struct{ database, tier string }

func nameOf(k pool.Key) tierName { return tierName{k.Database, k.Tier} }

// pauses knows which tiers are paused, and who waits for that. A tier is paused as long as one pausing holds it. Its lock is
// taken before those of the pools and of the loops' inboxes, so that what it decides reaches the pools in the same order.
type pauses struct {
	s       *Server
	mu      sync.Mutex
	holders map[tierName]map[*pausing]struct{}
	waiting map[*pausing]struct{}
}

// pausing is one PAUSE.
type pausing struct {
	tiers   []tierName
	busy    map[*pool.Pool]struct{} // those that have not come to rest yet
	done    chan struct{}           // closed when busy is empty, or when somebody has resumed a part
	resumed bool
}

func newPauses(s *Server) *pauses {
	return &pauses{s: s, holders: make(map[tierName]map[*pausing]struct{}), waiting: make(map[*pausing]struct{})}
}

// pool is pool.Set.Pool for pools that may have to begin paused.
func (p *pauses) pool(key pool.Key, settings pool.Settings) *pool.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	settings.Paused = p.holders[nameOf(key)] != nil
	return p.s.pools.Pool(key, settings)
}

// has reports whether a tier is paused.
func (p *pauses) has(name tierName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holders[name] != nil
}

// pause pauses tiers and returns when no server of theirs is in use. When ctx ends before that, or somebody resumes a part of
// them, they are as they were before.
func (p *pauses) pause(ctx context.Context, tiers []tierName) error {
	one := p.begin(tiers)
	select {
	case <-one.done:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, one)
	switch {
	case one.resumed:
		p.release(one)
		return pgerr.New("55000", "the pause was ended by RESUME before everything had come to rest")
	case len(one.busy) > 0:
		p.release(one)
		return context.Cause(ctx)
	}
	return nil
}

func (p *pauses) begin(tiers []tierName) *pausing {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := &pausing{tiers: tiers, busy: make(map[*pool.Pool]struct{}), done: make(chan struct{})}
	p.waiting[one] = struct{}{}
	for _, t := range tiers {
		if p.holders[t] == nil {
			p.holders[t] = make(map[*pausing]struct{})
		}
		p.holders[t][one] = struct{}{}
	}
	for _, q := range p.poolsOf(tiers) {
		one.busy[q] = struct{}{}
		p.s.relay.Tell(pool.Event{Kind: pool.Pause, Pool: q})
	}
	if len(one.busy) == 0 {
		close(one.done)
	}
	return one
}

// release gives up what one holds. What nobody else holds is resumed.
func (p *pauses) release(one *pausing) {
	var free []tierName
	for _, t := range one.tiers {
		if _, held := p.holders[t][one]; !held {
			continue // resumed, and perhaps paused by somebody else since
		}
		if delete(p.holders[t], one); len(p.holders[t]) == 0 {
			delete(p.holders, t)
			free = append(free, t)
		}
	}
	p.tellResume(free)
}

// resume ends every pause of tiers.
func (p *pauses) resume(tiers []tierName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range tiers {
		for one := range p.holders[t] {
			if _, waits := p.waiting[one]; waits && !one.resumed && len(one.busy) > 0 {
				one.resumed = true
				close(one.done)
			}
		}
		delete(p.holders, t)
	}
	p.tellResume(tiers)
}

func (p *pauses) tellResume(tiers []tierName) {
	for _, q := range p.poolsOf(tiers) {
		p.s.relay.Tell(pool.Event{Kind: pool.Resume, Pool: q})
	}
}

func (p *pauses) poolsOf(tiers []tierName) []*pool.Pool {
	return slices.DeleteFunc(p.s.pools.All(), func(q *pool.Pool) bool { return !slices.Contains(tiers, nameOf(q.Key)) })
}

// quiet is called on a loop when a pool has come to rest. That may have been in an earlier pause.
func (p *pauses) quiet(q *pool.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.s.pools.AtRest(q) {
		return
	}
	for one := range p.waiting {
		if _, is := one.busy[q]; !is || one.resumed {
			continue
		}
		if delete(one.busy, q); len(one.busy) == 0 {
			close(one.done)
		}
	}
}

// tiersOf returns the tiers that a command means: those of the configuration, and those that have gone from it but still have
// pools.
func (s *Server) tiersOf(t console.Target) ([]tierName, error) {
	all := make(map[tierName]bool)
	for _, db := range s.snapshot.Load().cfg.Databases {
		for _, tier := range db.Tiers {
			all[tierName{db.Name, tier.Name}] = true
		}
	}
	for _, q := range s.pools.All() {
		all[nameOf(q.Key)] = true
	}
	known := t.Database == ""
	var tiers []tierName
	for name := range all {
		known = known || name.database == t.Database
		if (t.Database == "" || name.database == t.Database) && (t.Tier == "" || name.tier == t.Tier) {
			tiers = append(tiers, name)
		}
	}
	switch {
	case !known:
		return nil, pgerr.New(pgerr.InvalidCatalogName, "database \"%s\" does not exist", t.Database).
			WithHint("Names are case-sensitive. SHOW DATABASES lists them.")
	case len(tiers) == 0 && t.Tier != "":
		return nil, pgerr.New(undefinedObject, "database \"%s\" has no tier \"%s\"", t.Database, t.Tier)
	}
	return tiers, nil
}

const undefinedObject = "42704"
