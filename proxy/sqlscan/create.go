package sqlscan

// create reads the words behind CREATE that say what is created.
func (r *Reader) create() Kind {
	r.advance()
	r.skipWords(wOr, wReplace)
	switch r.word() {
	case wTemp, wTemporary:
		return CreateTemp
	case wLocal, wGlobal:
		if next := r.peekWord(); next == wTemp || next == wTemporary {
			return CreateTemp
		}
	case wFunction, wProcedure:
		r.routine()
		return CreateRoutine
	case wAggregate:
		return CreateRoutine
	}
	return Other
}

// alter reads the words behind ALTER that say what is altered.
func (r *Reader) alter() Kind {
	r.advance()
	switch r.word() {
	case wFunction, wProcedure, wRoutine, wAggregate:
		return AlterRoutine
	case wRole, wGroup:
		return AlterRole
	case wUser:
		if r.peekWord() != wMapping {
			return AlterRole
		}
	case wDatabase:
		return AlterDatabase
	case wSystem:
		return AlterSystem
	}
	return Other
}

// routine reads a CREATE FUNCTION or CREATE PROCEDURE up to its body, and the body if it is BEGIN ATOMIC ... END.
func (r *Reader) routine() {
	for ; !r.ended; r.advance() {
		if r.bodyBegins() {
			r.advance()
			r.body()
		}
	}
}

func (r *Reader) bodyBegins() bool {
	return r.depth == 0 && r.word() == wBegin && r.peekWord() == wAtomic
}

// body reads the body of a routine, the current token being ATOMIC. PostgreSQL's grammar (opt_routine_body) ends each
// statement of a body with a semicolon and allows none that begins with END, so that the END of the body is the one that
// stands first: any other belongs to a CASE or is a label. A body may hold, for the grammar, the creation of another routine.
func (r *Reader) body() {
	r.atomic = 1
	first, routine := true, false
	for r.advance(); !r.ended; r.advance() {
		switch {
		case r.is(';') && r.depth == 0:
			first, routine = true, false
			continue
		case first && r.word() == wEnd:
			if r.atomic--; r.atomic == 0 {
				return
			}
		case first && r.word() == wCreate:
			routine = r.createsRoutine()
		case routine && r.bodyBegins():
			r.advance()
			r.atomic++
			first, routine = true, false
			continue
		}
		first = false
	}
}

// createsRoutine reports whether the CREATE that is the current token creates a routine.
func (r *Reader) createsRoutine() bool {
	s := r.s
	w := wordAt(s.src, s.Next())
	for w == wOr || w == wReplace {
		w = wordAt(s.src, s.Next())
	}
	return w == wFunction || w == wProcedure
}
