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
	Identity string // whose own credential logs in, and who alone has its connections; "" = the tier's, for all of them
}

// Settings of one pool. Zero durations mean "off"; Size is at least 1.
type Settings struct {
	Size           int
	Min            int           // kept open even when nobody asks
	Reserve        int           // more than Size by this many, once a waiter waited ReserveAfter
	ReserveAfter   time.Duration // 0 = the reserve is never used
	ServerIdle     time.Duration // an idle connection above Min is closed after this
	ServerLifetime time.Duration // a connection is not lent again after this age, give or take a tenth
	LoginRetry     time.Duration // pause after a failed login before the next attempt; less than 100 ms counts as 100 ms
	Server         string        // cap domain "per server"; "" = none
	PerServer      int           // cap over all pools with the same Server; 0 = none
	PerTier        int           // cap over all pools with the same Key.Database and Key.Tier; 0 = none
	PerDatabase    int           // cap over all pools with the same Key.Database; 0 = none
	PerIdentity    int           // connections that one identity may have on loan at once; 0 = all
	Paused         bool          // begin as after Pause; looked at when the pool is made only
}

// EventKind is what happened. Each comment names the fields of Event that it uses.
type EventKind uint8

const (
	Acquire    EventKind = iota // Pool, Waiter: a session needs a server
	Cancel                      // Waiter: it needs none any more (client gone, timed out)
	Opened                      // Pool, Conn: a login that Open asked for succeeded; Conn is new and clean
	OpenFailed                  // Pool, Err (not nil), Definite: a login that Open asked for failed
	Released                    // Conn: clean for its identity, outside a transaction, may be lent again
	Discarded                   // Conn: it was leased and is closed now
	Lost                        // Conn: its socket ended or spoke while it was idle; answered with Close if the Core still had it
	Tick                        // nothing: time has passed; at least once a second, more often while waiters exist
	Resize                      // Pool, Settings: new settings
	Retire                      // Pool: its connections, logins under way included, belong to the past: lent no more, closed when they are free
	Drain                       // nothing: close idle connections and refuse new waiters from now on, for shutdown
	Pause                       // Pool: lend nothing until Resume, close what is idle or comes back; Quiet follows when nothing is left
	Resume                      // Pool: lend again; the time of the pause is not counted as waiting
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
	Quiet                    // Pool: it is paused and has neither connections nor logins under way
)

// Action is an output of Step.
type Action struct {
	Kind   ActionKind
	Pool   *Pool
	Waiter *Waiter
	Conn   *Conn
	Loop   int // Open: the loop whose waiter caused it; any loop seen so far when it is to keep Min
	Err    error
}

// Waiter is one session's place in a pool's queue. A session embeds one and uses it again and again: queueing allocates
// nothing. The exported fields are set by the session before Acquire and not changed until Grant, Reject or the answer to
// Cancel.
type Waiter struct {
	Owner    any    // the session
	Loop     int    // the loop that the session lives on
	Identity string // for fairness and affinity
	// Paused is how much of its waiting its pool was paused, in pauses that are over: the Core adds to it. The session sets it
	// to 0 before it asks for a server, and reads it by Set.PausedFor.
	Paused time.Duration

	pool   *Pool        // that it queues in; nil when it does not queue
	who    *identity    // its identity's record there
	mine   node[Waiter] // its place among who's waiters
	queue  node[Waiter] // its place among all waiters of the pool, in order of arrival
	since  int64        // when it began to wait; later by the pauses since
	passed int          // how often a later waiter was preferred
	parked bool         // it is not in the queue: its identity has its share
}

// Conn is the pool's record of one server connection. The relay's server connection embeds one.
type Conn struct {
	Owner    any    // the relay's server connection
	Loop     int    // the loop that its socket is registered on; changed only by the loop that has it
	Identity string // whose session state it may carry; "" = clean. Set by the session that has it on lease, read by the Core while idle

	pool   *Pool
	state  connState
	epoch  uint32    // the pool's when its login was asked for
	born   int64     // when it was opened
	idled  int64     // when it became idle
	spread int64     // -102..102: its own deviation from ServerLifetime, in 1024ths
	who    *identity // the record it is filed under while idle
	by     *identity // the one that has it on loan, where that is counted
	loop   int       // the loop it is filed under while idle
	links  [numIndexes]node[Conn]
}

// connState is what the Core knows about a Conn.
//
//	unknown --Opened--> leased <--> idle
//	   ^                  |           |
//	   +---- Discarded ---+-- Close --+
type connState uint8

const (
	unknown connState = iota // never opened, or forgotten
	leased
	idle
)

// Pool is one pool inside a Core; made by Core.Pool. Except for Key, which never changes, it belongs to the Core.
type Pool struct {
	Key Key

	set     Settings
	domains [numCaps]*domain // nil without such a cap

	conns   idleIndex
	leased  int // on loan
	opening int // logins that Open asked for and that have not been answered

	identities map[string]*identity
	clean      *identity      // the record of clean connections, Identity ""
	ring       list[identity] // those who wait, in the order of their turns
	spare      list[identity] // records without content, latest first, kept so that coming back costs nothing
	waiting    list[Waiter]   // all waiters, in order of arrival
	parked     list[Waiter]   // those that are kept out of the queue

	retryAt  int64 // no login before this
	failures int   // logins that failed since one succeeded
	lastErr  error // of the latest login; nil when it succeeded
	refused  error // lastErr when the server refused for good

	paused   bool  // nothing is lent or opened
	pausedAt int64 // since when; meaningful while paused

	epoch uint32 // counts the Retire events: connections of an earlier one are lent no more
	stale int    // logins under way that were asked for in an earlier one

	blocked   node[Pool] // its place in blockedOn's queue
	blockedOn *domain    // the cap that it waits for

	due   int64 // when it needs a Tick; 0 = never
	place int   // its place in the Core's heap; meaningful while due is not 0
}
