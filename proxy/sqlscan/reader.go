package sqlscan

import (
	"bytes"
	"unicode/utf8"
)

// Reader reads a text statement by statement. Empty statements are passed over.
//
//	for r := sqlscan.NewReader(sql); r.Next(); {
//		st := r.Statement()
//
// A statement ends at a semicolon that is neither in parentheses (CREATE RULE ... DO (a; b)) nor in the body of a routine
// (CREATE FUNCTION ... BEGIN ATOMIC a; b; END).
type Reader struct {
	s           Scanner
	tok         Token // the current one
	prev, prev2 int   // where the one before it and the one before that start
	start, last int   // of the current statement: where it starts, where its last token so far ends
	depth       int   // of parentheses
	atomic      int   // of routine bodies
	ended       bool  // tok is the semicolon or the end of the text, behind st
	always      Effects
	st          Statement
}

// NewReader returns a Reader in front of the first statement of sql, which must not change while the Reader or its
// Statements are in use.
func NewReader(sql []byte) Reader {
	var r Reader
	r.init(sql)
	return r
}

func (r *Reader) init(sql []byte) {
	if !utf8.Valid(sql) {
		r.always = NotUTF8
	}
	if nul := bytes.IndexByte(sql, 0); nul >= 0 {
		// The protocol ends a text at its first zero byte: what follows would be read by us and not by the server.
		r.always |= CannotLex
		sql = sql[:nul]
	}
	r.s = NewScanner(sql)
}

// Next reads the next statement and reports whether there was one.
func (r *Reader) Next() bool {
	r.st = Statement{Does: r.always}
	for {
		r.ended = false
		r.advance()
		if !r.ended {
			break
		}
		if r.tok.Kind == EOF {
			return false
		}
	}
	r.start = r.tok.Start
	r.st.Kind = r.head()
	r.finish()
	r.st.Text = r.s.src[r.start:r.last]
	r.st.name = r.st.name.shift(r.start)
	r.st.value = r.st.value.shift(r.start)
	return true
}

// Statement returns the statement that Next has read. It is valid as long as the text is.
func (r *Reader) Statement() Statement { return r.st }

// finish moves to the end of the statement.
func (r *Reader) finish() {
	for !r.ended {
		r.advance()
	}
}

// advance moves to the next token of the statement. Every token passes through here, so that effects are seen wherever in
// a statement they are.
func (r *Reader) advance() {
	if r.ended {
		return
	}
	r.prev2, r.prev = r.prev, r.tok.Start
	r.tok = r.s.Next()
	switch t := r.tok; t.Kind {
	case Word:
		text := r.s.src[t.Start:t.End]
		if c := text[0] | 0x20; watched[c]&(1<<len(text)) != 0 || c == 'p' {
			r.watch(text)
		}
	case Symbol:
		r.symbol(r.s.src[t.Start])
	case Quoted:
		// Doubled quotes need no care: no name that is watched has one.
		r.watchName(r.s.src[t.Start+1 : t.End-1])
	case UQuoted:
		r.watchEscaped(t)
	case Bad:
		r.st.Does |= CannotLex
	case EOF:
		r.ended = true
		if r.depth != 0 || r.atomic != 0 {
			r.st.Does |= CannotLex
			r.depth, r.atomic = 0, 0
		}
		return
	}
	if !r.ended {
		r.last = r.tok.End
	}
}

// symbol keeps count of parentheses and notices the end of the statement.
func (r *Reader) symbol(c byte) {
	switch c {
	case '(':
		r.depth++
	case ')':
		if r.depth--; r.depth < 0 {
			r.depth = 0
			r.st.Does |= CannotLex
		}
	case ';':
		r.ended = r.depth == 0 && r.atomic == 0
	}
}

// is reports whether the current token is the symbol c.
func (r *Reader) is(c byte) bool { return !r.ended && isSymbol(r.s.src, r.tok, c) }

func isSymbol(src []byte, t Token, c byte) bool { return t.Kind == Symbol && src[t.Start] == c }

// word returns the word that the current token is.
func (r *Reader) word() word { return wordAt(r.s.src, r.tok) }

func wordAt(src []byte, t Token) word {
	if t.Kind != Word {
		return noWord
	}
	return lookup(src[t.Start:t.End])
}

// wordBefore returns the word that the token at the position start is: cheaper than to keep tokens that hardly ever matter.
func (r *Reader) wordBefore(start int) word {
	s := Scanner{src: r.s.src, pos: start}
	return wordAt(s.src, s.Next())
}

// peek returns the token behind the current one.
func (r *Reader) peek() Token {
	if r.ended {
		return r.tok
	}
	s := r.s
	return s.Next()
}

// peekWord returns the word behind the current token.
func (r *Reader) peekWord() word { return wordAt(r.s.src, r.peek()) }

// skipWords moves past the current token while it is one of ws.
func (r *Reader) skipWords(ws ...word) {
	for !r.ended {
		found := false
		for _, w := range ws {
			found = found || r.word() == w
		}
		if !found {
			return
		}
		r.advance()
	}
}
