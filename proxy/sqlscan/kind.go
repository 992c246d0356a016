package sqlscan

import "strings"

// Kind is what a statement is, by its first words.
type Kind uint8

const (
	Empty              Kind = iota // nothing, or comments only: PostgreSQL does not count it as a statement
	Other                          // none of the others, or not SQL at all
	Select                         // SELECT, VALUES, TABLE, or WITH (which may hold a statement that writes)
	Modify                         // INSERT, UPDATE, DELETE, MERGE
	Begin                          // BEGIN, START TRANSACTION
	Commit                         // COMMIT, END, also AND CHAIN
	Rollback                       // ROLLBACK, ABORT, also AND CHAIN
	Savepoint                      // Name is the savepoint
	Release                        // Name is the savepoint
	RollbackTo                     // Name is the savepoint
	PrepareTransaction             // PREPARE TRANSACTION
	FinishPrepared                 // COMMIT PREPARED, ROLLBACK PREPARED
	Set                            // SET of a setting, in every spelling; Name is the setting, see Settings
	SetTransaction                 // SET TRANSACTION: the current transaction only
	SetConstraints                 // SET CONSTRAINTS: the current transaction only
	Reset                          // Name is the setting, or All
	Show                           // Name is the setting, or All
	Discard                        // Name is all, plans, sequences or temp; All for ALL
	Prepare                        // SQL-level PREPARE; Name is the prepared statement, Inner the kind of its statement
	Execute                        // Name is the prepared statement
	Deallocate                     // Name is the prepared statement, or All
	Declare                        // Name is the cursor
	Fetch                          // FETCH, MOVE
	Close                          // Name is the cursor, or All
	Listen                         // Name is the channel
	Unlisten                       // Name is the channel, or All
	Notify                         // Name is the channel
	Load                           // LOAD of a library
	CreateTemp                     // CREATE [OR REPLACE] [LOCAL|GLOBAL] TEMP|TEMPORARY; SELECT INTO TEMP is a Select
	CreateRoutine                  // CREATE FUNCTION, PROCEDURE, AGGREGATE
	AlterRoutine                   // ALTER FUNCTION, PROCEDURE, ROUTINE, AGGREGATE
	AlterRole                      // ALTER ROLE, USER, GROUP
	AlterDatabase                  // ALTER DATABASE
	AlterSystem                    // ALTER SYSTEM
	Copy                           // COPY, in either direction
	Explain                        // Inner is the kind of the explained statement and Name its name
	Do                             // DO: an anonymous block
	Call                           // CALL of a procedure
	Vacuum                         // VACUUM
	numKinds
)

var kindNames = [numKinds]string{
	"empty", "other", "select", "modify", "begin", "commit", "rollback", "savepoint", "release", "rollback to",
	"prepare transaction", "finish prepared", "set", "set transaction", "set constraints", "reset", "show", "discard",
	"prepare", "execute", "deallocate", "declare", "fetch", "close", "listen", "unlisten", "notify", "load", "create temp",
	"create routine", "alter routine", "alter role", "alter database", "alter system", "copy", "explain", "do", "call", "vacuum",
}

func (k Kind) String() string { return kindNames[k] }

// Kinds is a set of kinds.
type Kinds uint64

// KindsOf returns the set of the given kinds.
func KindsOf(kinds ...Kind) (s Kinds) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has reports whether k is in s.
func (s Kinds) Has(k Kind) bool { return s&(1<<k) != 0 }

// Any reports whether s and o have a kind in common.
func (s Kinds) Any(o Kinds) bool { return s&o != 0 }

// Effects are what a statement may do to its session that its Kind does not say. All of them err on the side of yes: a
// function that is only mentioned counts as called.
type Effects uint32

const (
	// CannotLex: the text ends inside of a quote, a comment, a parenthesis or a function body, holds a zero byte, or has an
	// identifier that cannot be decoded. PostgreSQL refuses such a text whole; a guard does the same.
	CannotLex Effects = 1 << iota
	// NotUTF8: the text is not UTF-8. A server refuses it when the session's client_encoding is UTF8; in any encoding that
	// SafeEncoding knows it was read correctly nevertheless, in others not.
	NotUTF8
	// Role: sets or resets role or session_authorization, in any spelling.
	Role
	// OpaqueSetting: calls or names set_config in a way that does not show which setting it is about.
	OpaqueSetting
	// SetsByCall: calls set_config otherwise than for the current transaction only.
	SetsByCall
	// ReadWrite: switches a session or transaction to read-write, or may.
	ReadWrite
	// UnsafeEncoding: sets client_encoding to one that SafeEncoding does not know.
	UnsafeEncoding
	// PlainEscapes: sets standard_conforming_strings to anything but on, after which this package misreads texts.
	PlainEscapes
	// RunsText: names a function of PostgreSQL that runs its argument as SQL (query_to_xml, ts_stat, ts_rewrite...).
	RunsText
	// UsesPrepared: runs a statement prepared before by name: EXECUTE, also in EXPLAIN and CREATE TABLE AS.
	UsesPrepared
	// AdvisoryUnlock: gives session-level advisory locks back.
	AdvisoryUnlock
	// SequenceValues: asks for values that this session got from sequences: currval, lastval. Whether that ties it to its server
	// connection depends on where those values came from, so it is not one of Pins.
	SequenceValues

	// The state of a session that outlives its transaction and cannot be moved to another server connection: see Pins.

	TempObject   // makes or names a temporary object
	HoldsCursor  // DECLARE ... WITH HOLD
	Listens      // LISTEN
	AdvisoryLock // takes an advisory lock at session level
	Loads        // LOAD
	Prepares     // SQL-level PREPARE
)

// Pins are the effects that tie a session to the server connection on which they happened.
const Pins = TempObject | HoldsCursor | Listens | AdvisoryLock | Loads | Prepares

var effectNames = []string{
	"cannot lex", "not utf-8", "role", "opaque setting", "sets by call", "read write", "unsafe encoding", "plain escapes",
	"runs text", "uses prepared", "advisory unlock", "sequence values", "temporary object", "cursor with hold", "listen", "advisory lock",
	"load", "prepare",
}

// String names the effects, separated by commas.
func (e Effects) String() string {
	var names []string
	for i, name := range effectNames {
		if e&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
