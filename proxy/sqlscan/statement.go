package sqlscan

// Statement is one statement of a text.
type Statement struct {
	// Text is the statement from its first token to its last: without the semicolon and without the comments around it. It
	// is part of the text that the Reader was given.
	Text []byte
	Kind Kind
	// Inner is the kind of the statement inside of EXPLAIN or PREPARE, else Empty.
	Inner Kind
	Does  Effects
	// All: RESET ALL, SHOW ALL, DISCARD ALL, DEALLOCATE ALL, CLOSE ALL, UNLISTEN *.
	All bool
	// Local: a SET that lasts for the current transaction only: SET LOCAL, or SET of transaction_isolation and its like.
	Local bool

	form  form
	fixed string // the name, when it does not stand in the text
	name  span
	value span
}

// span is a part of a statement's text. The zero span is none: a statement starts with a keyword.
type span struct{ from, to int }

func (s span) shift(by int) span {
	if s.to == 0 {
		return span{}
	}
	return span{s.from - by, s.to - by}
}

// Name returns what the statement is about, as PostgreSQL sees it; its Kind says what that is. It is empty when the statement
// has no name or one that cannot be decoded (then Does has CannotLex). Names of settings are in lower case, with dots where
// they have some, and by their usual names: "timezone" for SET TIME ZONE. SET SESSION CHARACTERISTICS has none, since it
// may set several: see Settings.
func (st *Statement) Name() string {
	var buf [2 * maxName]byte
	return string(st.appendName(buf[:0], st.Text))
}

// NameIs reports whether Name returns name, without allocating.
func (st *Statement) NameIs(name string) bool {
	var buf [2 * maxName]byte
	return string(st.appendName(buf[:0], st.Text)) == name
}

// NameSpan returns where the name stands in Text, as it is written, for a caller that puts another one there. ok is false
// when it does not stand there.
func (st *Statement) NameSpan() (from, to int, ok bool) {
	return st.name.from, st.name.to, st.name.to > 0 && st.fixed == ""
}

// appendName appends the name; src is what the spans refer to.
func (st *Statement) appendName(dst, src []byte) []byte {
	if st.fixed != "" {
		return append(dst, st.fixed...)
	}
	from := len(dst)
	s := NewScanner(src[st.name.from:st.name.to])
	for t := s.Next(); t.Kind != EOF; t = s.Next() {
		ok := true
		if isSymbol(s.src, t, '.') {
			dst = append(dst, '.')
		} else if dst, ok = AppendName(dst, s.src, t); !ok {
			return dst[:from]
		}
	}
	switch st.Kind {
	case Set, Reset, Show:
		return foldTo(dst[:from], dst[from:])
	case Discard:
		if string(dst[from:]) == "temporary" {
			return dst[:from+len("temp")]
		}
	}
	return dst
}
