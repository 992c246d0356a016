package session

// What a statement's text means depends on settings of the session that parses it: literals are converted while parsing
// ('01/02/2024'::date by DateStyle, '2024-01-01 00:00'::timestamptz by TimeZone), names are looked up along search_path, the
// bytes themselves are in client_encoding. So clients share a prepared statement only when they read it alike, and a client
// whose settings have changed since it prepared gets the statement of those who read as it does now: what is parsed on a
// server under a shared name never depends on who came first.
//
// What is not seen here: a SET and a Parse behind it in one pipelined batch, and within one transaction a SET LOCAL of what
// PostgreSQL does not report at once (search_path before version 18). PostgreSQL itself looks names up again when
// search_path has changed.

// readingNames are the settings of PostgreSQL that parsing a text, or the input function of one of its own types, looks at.
var readingNames = map[string]bool{
	"array_nulls": true, "backslash_quote": true, "client_encoding": true, "datestyle": true,
	"default_text_search_config": true, "intervalstyle": true, "lc_monetary": true, "search_path": true,
	"standard_conforming_strings": true, "timezone": true, "timezone_abbreviations": true,
	"transform_null_equals": true, "xmloption": true,
}

// reading is those of a session's settings that say how it reads texts, and the settings that they were taken from.
type reading struct{ of, is Settings }

// reads returns how the session reads texts now.
func (s *Session) reads() Settings {
	if s.reading.of == s.want {
		return s.reading.is
	}
	some := s.want.Map()
	for name := range some {
		if !readingNames[name] {
			delete(some, name)
		}
	}
	s.reading = reading{of: s.want, is: fromMap(some)}
	return s.reading.is
}

// reread returns the statement to use for q, the client's statement called name: another one when the client's settings have
// changed since it was prepared, so that it would be parsed differently now.
func (s *Session) reread(name []byte, q *statement) *statement {
	if !q.sharable || q.reads == s.reads() {
		return q
	}
	now := s.texts.take(q.body, s.reads())
	s.texts.giveBack(q)
	s.named[string(name)] = now
	return now
}
