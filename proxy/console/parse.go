package console

import (
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

const syntaxError = "42601"

// word is one word of a command: what stands together without white space, quotes taken off. parts are what an unquoted "/"
// separates. Names are as they are written: nothing is folded to lower case.
type word struct {
	text   string
	parts  []string
	quoted bool // any of it
}

// is reports whether w is the keyword, which is in upper case.
func (w word) is(keyword string) bool { return !w.quoted && strings.EqualFold(w.text, keyword) }

// parse reads a text of commands, separated by semicolons. Comments are white space. Nothing of a text that has a mistake
// is carried out.
func parse(text []byte) ([]*command, *pgerr.Error) {
	var commands []*command
	var words []word
	sc := sqlscan.NewScanner(text)
	last := -1 // where the token before this one ended
	for {
		t := sc.Next()
		switch raw := text[t.Start:t.End]; {
		case t.Kind == sqlscan.Bad:
			return nil, noCommand(string(raw))
		case t.Kind == sqlscan.EOF, t.Kind == sqlscan.Symbol && raw[0] == ';':
			if len(words) > 0 {
				c, err := commandOf(words)
				if err != nil {
					return nil, err
				}
				commands, words = append(commands, c), nil
			}
			if t.Kind == sqlscan.EOF {
				return commands, nil
			}
		default:
			if len(words) == 0 || t.Start != last {
				words = append(words, word{parts: []string{""}})
			}
			if !words[len(words)-1].add(text, t) {
				return nil, noCommand(string(raw))
			}
		}
		last = t.End
	}
}

// add appends a token to the word. It reports whether the token can be part of one.
func (w *word) add(text []byte, t sqlscan.Token) bool {
	part := string(text[t.Start:t.End])
	switch t.Kind {
	case sqlscan.Quoted, sqlscan.UQuoted, sqlscan.String, sqlscan.EString, sqlscan.UString, sqlscan.Dollar:
		decode := sqlscan.AppendString
		if t.Kind == sqlscan.Quoted || t.Kind == sqlscan.UQuoted {
			decode = sqlscan.AppendName
		}
		name, ok := decode(nil, text, t)
		if !ok {
			return false
		}
		part, w.quoted = string(name), true
	case sqlscan.Symbol:
		if part == "/" {
			w.text += part
			w.parts = append(w.parts, "")
			return true
		}
	}
	w.text += part
	w.parts[len(w.parts)-1] += part
	return true
}

// noCommand is the answer to what is not a command, in PostgreSQL's words.
func noCommand(at string) *pgerr.Error {
	const most = 64
	if len(at) > most {
		at = strings.ToValidUTF8(at[:most], "") + "..."
	}
	e := pgerr.New(syntaxError, "syntax error at or near \"%s\"", at)
	if at == "" {
		e = pgerr.New(syntaxError, "syntax error at end of input")
	}
	return e.WithHint("SHOW HELP lists the commands.")
}
