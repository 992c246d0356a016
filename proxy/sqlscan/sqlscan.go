// Package sqlscan lexes just enough SQL to know what a client's text does to its session.
//
// It cuts a text into tokens exactly as PostgreSQL does (Scanner), the tokens into statements (Reader), and says of each
// statement what kind it is, what it names and which lasting effects it has. Classify does that for a whole text without
// allocating, for every query that passes the relay.
//
// It does not parse: a text that PostgreSQL's grammar refuses gets some Kind, and since PostgreSQL parses a whole text
// before it runs any of it, nothing of such a text ever runs. What is decided here holds for standard_conforming_strings =
// on and an encoding that SafeEncoding knows; the effects PlainEscapes and UnsafeEncoding say when a client is about to leave
// that ground. And it sees the text only: what a function, a view or a trigger does when it is used is out of its sight.
//
// Nothing here keeps a text, holds a lock or starts a goroutine. All of it can be used from any goroutine.
package sqlscan

// Summary is what a text does, over all its statements.
type Summary struct {
	// First is the kind of the first statement that is not empty; Empty when there is none.
	First Kind
	// Count is the number of statements that are not empty: as many as PostgreSQL answers with a CommandComplete of their
	// own. Zero means that PostgreSQL answers EmptyQueryResponse. The extended protocol refuses texts with more than one.
	Count int
	// Kinds are the kinds of all statements, those inside of EXPLAIN and PREPARE included.
	Kinds Kinds
	// Does are the effects of all statements.
	Does Effects
}

// Classify sums sql up. It never fails: a text that cannot be lexed has the effect CannotLex. The cost is about two
// nanoseconds per byte; nothing is allocated unless an identifier is written as U&"..." with more than 63 bytes.
func Classify(sql []byte) Summary {
	var (
		sum Summary
		r   Reader
	)
	r.init(sql)
	sum.Does = r.always
	for r.Next() {
		if sum.Count++; sum.Count == 1 {
			sum.First = r.st.Kind
		}
		sum.Kinds |= 1<<r.st.Kind | 1<<r.st.Inner&^1
		sum.Does |= r.st.Does
	}
	return sum
}
