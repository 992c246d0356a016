package config

import (
	"cmp"
	"time"
)

// Tiers are the names of the tiers, from the least to the most powerful.
func Tiers() []string { return []string{"ro", "rw", "admin"} }

// Strictest returns, for each timeout, the shorter of those that are set in t and other. 0 is not set.
func (t Timeouts) Strictest(other Timeouts) Timeouts {
	return t.merge(other, strictest[time.Duration])
}

// Loosest returns, for each timeout, the longer of t's and other's. 0 is off and wins.
func (t Timeouts) Loosest(other Timeouts) Timeouts {
	return t.merge(other, loosest[time.Duration])
}

// merge makes Timeouts of f of each pair of fields.
func (t Timeouts) merge(other Timeouts, f func(a, b time.Duration) time.Duration) Timeouts {
	mine, theirs := t.fields(), other.fields()
	for i := range mine {
		*mine[i].value = f(*mine[i].value, *theirs[i].value)
	}
	return t
}

// Strictest returns the smaller of each limit that is set in l and other. 0 is not set.
func (l GrantLimits) Strictest(other GrantLimits) GrantLimits {
	return GrantLimits{strictest(l.Session, other.Session), strictest(l.Connections, other.Connections)}
}

// Loosest returns the larger of each limit of l and other. 0 is no limit and wins.
func (l GrantLimits) Loosest(other GrantLimits) GrantLimits {
	return GrantLimits{loosest(l.Session, other.Session), loosest(l.Connections, other.Connections)}
}

func strictest[T cmp.Ordered](a, b T) T {
	var zero T
	switch {
	case a == zero:
		return b
	case b == zero:
		return a
	}
	return min(a, b)
}

func loosest[T cmp.Ordered](a, b T) T {
	var zero T
	if a == zero || b == zero {
		return zero
	}
	return max(a, b)
}

// timeout is one field of Timeouts with its key in the file.
type timeout struct {
	key   string
	value *time.Duration
}

// fields is the one list of the timeouts: reading, merging and explaining go over it.
func (t *Timeouts) fields() []timeout {
	return []timeout{
		{"login", &t.Login},
		{"query_wait", &t.QueryWait},
		{"query_wait_notify", &t.QueryWaitNotify},
		{"client_idle", &t.ClientIdle},
		{"idle_transaction", &t.IdleTransaction},
		{"query", &t.Query},
		{"transaction", &t.Transaction},
		{"server_connect", &t.ServerConnect},
		{"server_login_retry", &t.ServerLoginRetry},
		{"server_idle", &t.ServerIdle},
		{"server_lifetime", &t.ServerLifetime},
		{"cancel_wait", &t.CancelWait},
		{"shutdown", &t.Shutdown},
	}
}

// Set lists the timeouts that are not off as key and value, in the order of the documentation.
func (t Timeouts) Set() (keys []string, values []time.Duration) {
	for _, f := range t.fields() {
		if *f.value != 0 {
			keys, values = append(keys, f.key), append(values, *f.value)
		}
	}
	return keys, values
}
