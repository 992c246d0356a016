// Package pool lends server connections fairly within limits.
//
// Core is pure: no I/O, no clock, no locks. Step takes an event and returns the actions that follow from it; Set is the
// thin shell, one lock around one Core. Whoever calls Step carries the actions out, outside the lock, on the loop that
// owns the connection concerned.
//
// Ownership: a Conn that is idle belongs to the Core: nobody may touch its socket except to close it after a Close action
// or after a Lost event was answered with Close. A granted Conn belongs to the waiter's session until it comes back with
// exactly one Released or Discarded event.
package pool

import "time"

// Key names a pool: server connections that are interchangeable once they are clean.
type Key struct {
	Database string // as clients say it
	Tier     string
	Role     string // "" = the login itself
}

// Settings of one pool. Zero durations mean "off"; Size is at least 1.
type Settings struct {
	Size           int
	Min            int
	Reserve        int
	ReserveAfter   time.Duration
	ServerIdle     time.Duration // an idle connection above Min is closed after this
	ServerLifetime time.Duration // a connection is not lent again after this age
	LoginRetry     time.Duration // pause after a failed login before the next attempt
	Server         string        // cap domain "per server"; "" = none
	PerServer      int           // cap over all pools with the same Server; 0 = none
	PerDatabase    int           // cap over all pools with the same Key.Database; 0 = none
}

// EventKind is what happened. Each comment names the fields of Event that it uses.
type EventKind uint8

const (
	Acquire    EventKind = iota // Pool, Waiter: a session needs a server
	Cancel                      // Waiter: it needs none any more (client gone, timed out)
	Opened                      // Pool, Conn: a login that Open asked for succeeded; Conn is new and clean
	OpenFailed                  // Pool, Err, Definite: a login that Open asked for failed
	Released                    // Conn: clean for its identity, outside a transaction, may be lent again
	Discarded                   // Conn: it was leased and is closed now
	Lost                        // Conn: its socket ended or spoke while it was idle; answered with Close if the Core still had it
	Tick                        // nothing: time has passed; at least once a second, more often while waiters exist
	Resize                      // Pool, Settings: new settings
	Drain                       // nothing: close idle connections and refuse new waiters from now on, for shutdown
)

// Event is the input of Step.
type Event struct {
	Kind     EventKind
	Pool     *Pool
	Waiter   *Waiter
	Conn     *Conn
	Err      error
	Definite bool // OpenFailed: the server refused for good (28P01, 28000, 3D000): every waiter fails at once
	Settings Settings
}

// ActionKind is what the caller must do. Each comment names the fields of Action that it uses.
type ActionKind uint8

const (
	Grant  ActionKind = iota // Waiter, Conn: hand Conn over to Waiter (moving it to Waiter.Loop when it lives on another)
	Reject                   // Waiter, Err: tell the waiter that it gets none
	Open                     // Pool, Loop: log in to the server once; answer with Opened or OpenFailed
	Close                    // Conn: close its socket; the Core has forgotten it
)

// Action is an output of Step.
type Action struct {
	Kind   ActionKind
	Pool   *Pool
	Waiter *Waiter
	Conn   *Conn
	Loop   int // Open: the loop whose waiter caused it
	Err    error
}

// Waiter is one session's place in a pool's queue. A session embeds one and uses it again and again: queueing allocates
// nothing. The exported fields are set by the session before Acquire and not changed until Grant, Reject or the answer to
// Cancel.
type Waiter struct {
	Owner    any    // the session
	Loop     int    // the loop that the session lives on
	Identity string // for fairness and affinity
}

// Conn is the pool's record of one server connection. The relay's server connection embeds one.
type Conn struct {
	Owner    any    // the relay's server connection
	Loop     int    // the loop that its socket is registered on; changed only by the loop that has it
	Identity string // whose session state it may carry; "" = clean. Set by the session that has it on lease, read by the Core while idle
}

// Pool is one pool inside a Core; made by Core.Pool.
type Pool struct {
	Key Key
}
