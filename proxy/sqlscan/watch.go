package sqlscan

// watchName is watch for a quoted name. Letter case is not minded: a mention too many does less harm than one too few.
func (r *Reader) watchName(name []byte) {
	if c := name[0] | 0x20; watched[c]&(1<<len(name)) != 0 || c == 'p' {
		switch lookup(name) {
		case wTemp, wTemporary, wExecute: // keywords only without quotes
		default:
			r.watch(name)
		}
	}
}

// watchEscaped is watch for U&"name".
func (r *Reader) watchEscaped(t Token) {
	var buf [maxName + 1]byte
	name, ok := AppendName(buf[:0], r.s.src, t)
	if !ok {
		r.st.Does |= CannotLex
	} else if len(name) > 0 {
		r.watchName(name)
	}
}

// watch notes what the name that is the current token does wherever it stands.
func (r *Reader) watch(name []byte) {
	if name[0]|0x20 == 'p' && (len(name) < 3 || name[2] != '_') {
		return // almost every name with a p is none of PostgreSQL's own
	}
	if isTempSchema(name) && r.st.Kind != Set {
		r.st.Does |= TempObject // a SET search_path looks at its value itself
		return
	}
	switch lookup(name) {
	case wTemp, wTemporary:
		if r.makesTemp() {
			r.st.Does |= TempObject
		}
	case wExecute:
		// Not in CREATE TRIGGER ... EXECUTE FUNCTION.
		if w := r.peekWord(); w != wFunction && w != wProcedure {
			r.st.Does |= UsesPrepared
		}
	case wAdvisoryLock:
		r.st.Does |= AdvisoryLock
	case wAdvisoryUnlock:
		r.st.Does |= AdvisoryUnlock
	case wRunsText:
		r.st.Does |= RunsText
	case wSequenceValue:
		if isSymbol(r.s.src, r.peek(), '(') { // else it is a column
			r.st.Does |= SequenceValues
		}
	case wSetConfig:
		r.watchSetConfig()
	}
}

// makesTemp reports whether the TEMP that is the current token belongs to CREATE [OR REPLACE] [LOCAL|GLOBAL] TEMP or to
// SELECT ... INTO [LOCAL|GLOBAL] TEMP, and is not a name: INSERT INTO temp.
func (r *Reader) makesTemp() bool {
	switch r.wordBefore(r.prev) {
	case wCreate, wReplace, wLocal, wGlobal:
		return true
	case wInto:
		w := r.wordBefore(r.prev2)
		return w != wInsert && w != wMerge
	}
	return false
}

// watchSetConfig looks at the arguments of the set_config that is the current token.
func (r *Reader) watchSetConfig() {
	c, ok := readCall(r.s)
	if !ok {
		r.st.Does |= OpaqueSetting | SetsByCall
		return
	}
	var buf [maxName + 1]byte
	name, ok := AppendString(buf[:0], r.s.src, c.name)
	if !ok {
		r.st.Does |= OpaqueSetting
	}
	r.st.Does |= settingEffects(name, r.s.src, c.value)
	if !c.local {
		r.st.Does |= SetsByCall
	}
}

// call is a set_config whose first argument is a literal.
type call struct {
	name  Token
	value Token // Bad when it is more than one token
	local bool  // the last argument is TRUE
	exact bool  // the last argument is TRUE or FALSE
}

// maxCall bounds how many tokens of a value are looked at to find the last argument. Values that are expressions are short;
// an unbounded look ahead would cost the square of a text with many nested calls.
const maxCall = 40

// readCall reads the arguments of a set_config, s standing in front of the opening parenthesis.
func readCall(s Scanner) (c call, ok bool) {
	if !isSymbol(s.src, s.Next(), '(') {
		return c, false
	}
	if c.name = s.Next(); !c.name.isString() || !isSymbol(s.src, s.Next(), ',') {
		return c, false
	}
	c.value = s.Next()
	depth, n := 0, 0
	for t := c.value; n < maxCall; n++ {
		switch {
		case isSymbol(s.src, t, '('):
			depth++
		case isSymbol(s.src, t, ')'):
			depth--
		case t.Kind == EOF, t.Kind == Bad:
			return c, true
		case depth == 0 && isSymbol(s.src, t, ','):
			if n != 1 {
				c.value.Kind = Bad
			}
			w := wordAt(s.src, s.Next())
			c.exact = (w == wTrue || w == wFalse) && isSymbol(s.src, s.Next(), ')')
			c.local = c.exact && w == wTrue
			return c, true
		}
		t = s.Next()
	}
	c.value.Kind = Bad
	return c, true
}
