package session

import (
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// What a client prepares is kept in memory, to be parsed again on another server. A client that prepares more than fits
// keeps its server instead: the texts past the bound are on that server and nowhere else, and nothing evicts them there.

// maxKept is how many bytes of prepared texts are kept for one client. An application that prepares thousands of long texts
// would like it bigger; with a thousand such clients this is 16 GiB already.
const maxKept = 16 << 20

// overfull is the pin of a client with texts that are not kept. No statement has this effect, so nothing but DISCARD ALL
// ends it.
const overfull sqlscan.Effects = 1 << 31

// keeps books a text of length bytes, and reports whether it is to be kept.
func (s *Session) keeps(length int) bool {
	if s.pinned&overfull != 0 || int(s.kept)+length > maxKept {
		s.pinned |= overfull
		return false
	}
	s.kept += uint32(length)
	return true
}

// name makes q the client's statement of that name.
func (s *Session) name(name string, q *statement) {
	if s.named == nil {
		s.named = make(map[string]*statement)
	}
	s.named[name] = q
}

// unname makes the name mean nothing.
func (s *Session) unname(name string) {
	if q := s.named[name]; q != nil && !q.unkept {
		s.kept -= min(s.kept, q.size)
	}
	delete(s.named, name)
}

// rename gives the name back to a statement that unname took it from.
func (s *Session) rename(name string, q *statement) {
	if !q.unkept {
		s.kept += q.size
	}
	s.name(name, q)
}

// errTooLong refuses a text that would have to be held as a whole to be judged.
var errTooLong = pgerr.New(pgerr.ProgramLimitExceeded, "the statement is too long for this tier").
	WithHint("Statements are read before they are passed on here; 16 MiB is the limit.")
