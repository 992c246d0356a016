package sqlscan

// Setting is one setting that a statement sets.
type Setting struct {
	Name string // in lower case, with dots where it has some
	// Value is the value as it is written in the statement, of which it is a part, and nil when Default is true.
	Value   []byte
	Default bool // back to the session's default: RESET, TO DEFAULT, SET TIME ZONE LOCAL, set_config(..., NULL, ...)
	Local   bool // for the current transaction only

	form settingForm
}

// settingForm is how Value has to be written back.
type settingForm uint8

const (
	listValue settingForm = iota // SET name = value
	zoneValue                    // SET TIME ZONE value
	callValue                    // set_config(name, value, false), where a value with commas is no list of quoted texts
)

// AppendSet appends a statement that does again for the session, not for a transaction, what the setting says.
func (x Setting) AppendSet(dst []byte) []byte {
	switch {
	case x.Default:
		return appendSettingName(append(dst, "RESET "...), x.Name)
	case x.form == zoneValue:
		return append(append(dst, "SET TIME ZONE "...), x.Value...)
	case x.form == callValue:
		dst = QuoteLiteral(append(dst, "SELECT pg_catalog.set_config("...), x.Name)
		return append(append(append(dst, ", "...), x.Value...), ", false)"...)
	}
	dst = appendSettingName(append(dst, "SET "...), x.Name)
	return append(append(dst, " = "...), x.Value...)
}

// appendSettingName appends name with each of its parts quoted.
func appendSettingName(dst []byte, name string) []byte {
	from := 0
	for i := 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			dst = QuoteIdent(dst, name[from:i])
			if from = i + 1; i < len(name) {
				dst = append(dst, '.')
			}
		}
	}
	return dst
}

// Settings appends what the statement sets: for SET, RESET of one setting, and a SELECT of nothing but set_config calls with
// literal arguments. RESET ALL and DISCARD ALL append nothing; their All says it. ok is false when the statement may set
// something that does not show: another use of set_config, or SET ... FROM CURRENT.
func (st *Statement) Settings(dst []Setting) (out []Setting, ok bool) {
	switch st.Kind {
	case Set:
		return st.assigned(dst)
	case Reset:
		if !st.All {
			dst = append(dst, Setting{Name: st.Name(), Default: true})
		}
		return dst, true
	}
	if st.Does&(SetsByCall|OpaqueSetting) == 0 {
		return dst, true
	}
	return st.called(dst)
}

// assigned appends what a SET sets.
func (st *Statement) assigned(dst []Setting) ([]Setting, bool) {
	value := st.Text[st.value.from:st.value.to]
	switch st.form {
	case currentForm:
		return dst, false
	case modesForm:
		return st.modes(dst, value), true
	}
	x := Setting{Name: st.Name(), Value: value, Local: st.Local}
	switch {
	case len(value) == 0: // SET NAMES
		x.Default = true
	case equalFold(value, "default"), st.form == zoneForm && equalFold(value, "local"):
		x.Default = true
	}
	if x.Default {
		x.Value = nil
	} else if st.form == zoneForm {
		x.form = zoneValue
	}
	return append(dst, x), true
}

// modes appends what SET SESSION CHARACTERISTICS AS TRANSACTION sets.
func (st *Statement) modes(dst []Setting, text []byte) []Setting {
	add := func(name, value string) {
		dst = append(dst, Setting{Name: name, Value: []byte(value), Local: st.Local})
	}
	s := NewScanner(text)
	for prev, t := noWord, s.Next(); t.Kind != EOF && t.Kind != Bad; t = s.Next() {
		w := wordAt(text, t)
		switch {
		case prev == wRead && w == wOnly:
			add("default_transaction_read_only", "on")
		case prev == wRead && w == wWrite:
			add("default_transaction_read_only", "off")
		case prev == wNot && w == wDeferrable:
			add("default_transaction_deferrable", "off")
		case w == wDeferrable:
			add("default_transaction_deferrable", "on")
		case prev == wIsolation && w == wLevel:
			add("default_transaction_isolation", isolation(&s))
		}
		prev = w
	}
	return dst
}

// isolation reads the words behind ISOLATION LEVEL.
func isolation(s *Scanner) string {
	t := s.Next()
	switch text := s.src[t.Start:t.End]; {
	case equalFold(text, "serializable"):
		return "'serializable'"
	case equalFold(text, "repeatable"):
		s.Next()
		return "'repeatable read'"
	}
	if t = s.Next(); equalFold(s.src[t.Start:t.End], "uncommitted") {
		return "'read uncommitted'"
	}
	return "'read committed'"
}

// called appends what SELECT set_config(name, value, local) [AS label], ... sets. ok is false, and nothing is appended, when
// the statement is anything else.
func (st *Statement) called(dst []Setting) ([]Setting, bool) {
	from := len(dst)
	s := NewScanner(st.Text)
	if wordAt(st.Text, s.Next()) != wSelect {
		return dst, false
	}
	for {
		x, ok := target(&s)
		if !ok {
			return dst[:from], false
		}
		dst = append(dst, x)
		t := s.Next()
		if wordAt(st.Text, t) == wAs {
			t = s.Next()
		}
		if t.isName() {
			t = s.Next()
		}
		switch {
		case t.Kind == EOF:
			return dst, true
		case !isSymbol(st.Text, t, ','):
			return dst[:from], false
		}
	}
}

// target reads [pg_catalog.]set_config('name', 'value' | NULL, TRUE | FALSE).
func target(s *Scanner) (x Setting, ok bool) {
	t := s.Next()
	if isNamed(s.src, t, "pg_catalog") && isSymbol(s.src, s.Next(), '.') {
		t = s.Next()
	}
	if !isNamed(s.src, t, "set_config") {
		return x, false
	}
	c, ok := readCall(*s)
	if !ok || !c.exact {
		return x, false
	}
	name, ok := AppendString(nil, s.src, c.name)
	x = Setting{Name: string(foldTo(name[:0], name)), Local: c.local || isTransactional(name), form: callValue}
	switch {
	case c.value.isString():
		x.Value = s.src[c.value.Start:c.value.End]
	case wordAt(s.src, c.value) == wNull:
		x.Default = true
	default:
		return x, false
	}
	for t = s.Next(); !isSymbol(s.src, t, ')'); t = s.Next() { // readCall has seen it
	}
	return x, ok
}

// isNamed reports whether the identifier t is name.
func isNamed(src []byte, t Token, name string) bool {
	var buf [maxName + 1]byte
	got, ok := AppendName(buf[:0], src, t)
	return ok && string(got) == name
}
