package sqlscan

// form is how a SET spells its setting and value.
type form uint8

const (
	plainForm   form = iota // name = value
	zoneForm                // TIME ZONE value, where LOCAL and INTERVAL mean something else than in timezone = value
	modesForm               // SESSION CHARACTERISTICS AS TRANSACTION modes
	currentForm             // name FROM CURRENT
)

// set reads what follows SET (set_rest in PostgreSQL's grammar).
func (r *Reader) set() Kind {
	r.st.Kind = Set // for watch
	r.advance()
	if w := r.word(); (w == wSession || w == wLocal) && !r.assigned() {
		if next := r.peekWord(); w == wLocal || next != wAuthorization && next != wCharacteristics {
			r.st.Local = w == wLocal
			r.advance()
		}
	}
	if r.assigned() {
		return r.assignment()
	}
	next := r.peekWord()
	switch w := r.word(); {
	case w == wRole:
		return r.special("role", 1)
	case w == wSession && next == wAuthorization:
		return r.special("session_authorization", 2)
	case w == wTime && next == wZone:
		r.st.form = zoneForm
		return r.special("timezone", 2)
	case w == wNames:
		return r.special("client_encoding", 1)
	case w == wSchema:
		return r.special("search_path", 1)
	case w == wXML && next == wOption:
		return r.special("xmloption", 2)
	case w == wSession && next == wCharacteristics:
		r.st.form = modesForm
		r.st.value.from = r.tok.Start
		r.modes(Set)
		r.st.value.to = r.last
		return Set
	case w == wTransaction:
		return r.modes(SetTransaction)
	case w == wConstraints:
		return SetConstraints
	}
	return r.assignment()
}

// assigned reports whether the current token is the name of a setting by what follows it, even if it is a keyword.
func (r *Reader) assigned() bool {
	switch next := r.peek(); next.Kind {
	case Symbol:
		c := r.s.src[next.Start]
		return c == '=' || c == '.'
	case Word:
		w := wordAt(r.s.src, next)
		return w == wTo || w == wFrom
	}
	return false
}

// assignment reads name {= | TO} value, and name FROM CURRENT.
func (r *Reader) assignment() Kind {
	r.settingName(Set)
	if r.word() == wFrom {
		r.st.form = currentForm
	}
	r.advance()
	r.value()
	return Set
}

// special reads the value of a setting that has a syntax of its own, which is words long.
func (r *Reader) special(name string, words int) Kind {
	r.st.fixed = name
	for range words {
		r.advance()
	}
	r.value()
	return Set
}

// value takes the rest of the statement as the value, and notes what it does.
func (r *Reader) value() {
	first, none := r.tok, r.ended
	if r.finish(); none {
		first = Token{}
	} else {
		r.st.value = span{first.Start, r.last}
	}
	whole := first
	if !none && first.End != r.last {
		whole.Kind = Bad
	}
	var buf [2 * maxName]byte
	name := r.st.appendName(buf[:0], r.s.src)
	r.st.Does |= settingEffects(name, r.s.src, whole)
	if isTransactional(name) {
		r.st.Local = true
	}
	if string(name) == "search_path" && startsTemp(r.s.src, first) {
		r.st.Does |= TempObject // the next CREATE TABLE makes a temporary one
	}
}

// reset reads what follows RESET.
func (r *Reader) reset() Kind {
	r.advance()
	r.settingName(Reset)
	var buf [2 * maxName]byte
	if isRole(r.st.appendName(buf[:0], r.s.src)) {
		r.st.Does |= Role
	}
	return Reset
}

// settingName reads the name of a setting, a name with dots or one of the three that have a syntax of their own, and moves
// behind it.
func (r *Reader) settingName(k Kind) Kind {
	if k != Set {
		w, next := r.word(), r.peekWord()
		switch {
		case w == wSession && next == wAuthorization:
			r.st.fixed = "session_authorization"
		case w == wTime && next == wZone:
			r.st.fixed = "timezone"
		case w == wTransaction && next == wIsolation:
			r.st.fixed = "transaction_isolation"
		case w == wAll:
			r.st.All = true
		}
	}
	if r.ended || !r.tok.isName() {
		return k
	}
	r.st.name = span{r.tok.Start, r.tok.End}
	for r.advance(); r.is('.') && r.peek().isName(); r.advance() {
		r.advance()
		r.st.name.to = r.tok.End
	}
	return k
}
