package sqlscan

// simpleHeads are the kinds of statements whose first word says it all.
var simpleHeads = [256]Kind{
	wSelect: Select, wValues: Select, wTable: Select, wWith: Select,
	wInsert: Modify, wUpdate: Modify, wDelete: Modify, wMerge: Modify,
	wFetch: Fetch, wMove: Fetch, wCopy: Copy, wDo: Do, wCall: Call, wVacuum: Vacuum,
}

// head reads the first words of a statement, the current token being the first, and returns its kind. It may read further
// but never past the end of the statement.
func (r *Reader) head() Kind {
	if r.is('(') {
		return Select // nothing else may begin so
	}
	w := r.word()
	if k := simpleHeads[w]; k != Empty {
		return k
	}
	switch w {
	case wBegin, wStart:
		return r.modes(Begin)
	case wCommit, wEnd, wRollback, wAbort, wSavepoint, wRelease:
		return r.transaction(w)
	case wSet:
		return r.set()
	case wReset:
		return r.reset()
	case wShow:
		r.advance()
		return r.settingName(Show)
	case wPrepare:
		return r.prepare()
	case wExplain:
		return r.explain()
	case wDeclare:
		return r.declare()
	case wCreate:
		return r.create()
	case wAlter:
		return r.alter()
	case noWord:
		return Other
	}
	return r.naming(w)
}

// naming reads the statements that consist of a word and a name.
func (r *Reader) naming(w word) Kind {
	r.advance()
	switch w {
	case wDiscard:
		return r.named(Discard)
	case wExecute:
		return r.named(Execute)
	case wDeallocate:
		r.optional(wPrepare)
		return r.named(Deallocate)
	case wClose:
		return r.named(Close)
	case wListen:
		r.st.Does |= Listens
		return r.named(Listen)
	case wUnlisten:
		return r.named(Unlisten)
	case wNotify:
		return r.named(Notify)
	case wLoad:
		r.st.Does |= Loads
		return Load
	}
	return Other
}

// named takes the current token as what the statement is about: a name, or ALL.
func (r *Reader) named(k Kind) Kind {
	switch {
	case r.ended:
	case r.word() == wAll && k != Listen, k == Unlisten && r.is('*'):
		r.st.All = true
		r.st.name = span{r.tok.Start, r.tok.End}
	case r.tok.isName():
		r.st.name = span{r.tok.Start, r.tok.End}
	}
	return k
}

// optional moves past the word w unless it is the name itself: PostgreSQL takes PREPARE and SAVEPOINT as names as well.
func (r *Reader) optional(w word) {
	if r.word() == w && r.peek().isName() {
		r.advance()
	}
}

// transaction reads the statements that end a transaction or mark a point in it.
func (r *Reader) transaction(w word) Kind {
	r.advance()
	switch w {
	case wSavepoint:
		return r.named(Savepoint)
	case wRelease:
		r.optional(wSavepoint)
		return r.named(Release)
	}
	if r.word() == wPrepared {
		return FinishPrepared
	}
	r.skipWords(wWork, wTransaction)
	switch {
	case w == wCommit || w == wEnd:
		return Commit
	case r.word() != wTo:
		return Rollback
	}
	r.advance()
	r.optional(wSavepoint)
	return r.named(RollbackTo)
}

// modes reads a list of transaction modes, which may say READ WRITE.
func (r *Reader) modes(k Kind) Kind {
	for ; !r.ended; r.advance() {
		if r.word() == wWrite && r.wordBefore(r.prev) == wRead {
			r.st.Does |= ReadWrite
		}
	}
	return k
}

// prepare reads PREPARE name [(types)] AS statement, and PREPARE TRANSACTION 'id', where a text tells it from a statement
// called transaction.
func (r *Reader) prepare() Kind {
	r.advance()
	if r.word() == wTransaction && r.peek().isString() {
		return PrepareTransaction
	}
	r.st.Does |= Prepares
	r.named(Prepare)
	r.st.All = false
	for !r.ended && (r.word() != wAs || r.depth > 0) {
		r.advance()
	}
	r.advance()
	own := r.st.name
	r.inner()
	r.st.name = own
	return Prepare
}

// explain reads EXPLAIN [ANALYZE] [VERBOSE] statement and EXPLAIN (options) statement.
func (r *Reader) explain() Kind {
	r.advance()
	r.skipWords(wAnalyze, wAnalyse, wVerbose)
	if r.is('(') && simpleHeads[r.peekWord()] != Select {
		for r.advance(); !r.ended && r.depth > 0; {
			r.advance()
		}
		r.advance()
	}
	r.inner()
	return Explain
}

// inner reads the statement inside of the current one. Neither EXPLAIN nor PREPARE may be inside of one: what looks so is
// not followed, which keeps a hostile text from nesting them.
func (r *Reader) inner() {
	switch w := r.word(); {
	case r.ended:
	case w == wExplain || w == wPrepare:
		r.st.Inner = Other
	default:
		r.st.Inner = r.head()
	}
}

// declare reads DECLARE name [options] CURSOR [WITH HOLD] FOR query.
func (r *Reader) declare() Kind {
	r.advance()
	r.named(Declare)
	r.st.All = false
	for ; !r.ended && r.word() != wFor; r.advance() {
		if r.word() == wHold && r.wordBefore(r.prev) == wWith {
			r.st.Does |= HoldsCursor
		}
	}
	return Declare
}
