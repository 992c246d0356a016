package session

import "github.com/pgtier/pgtier/proxy/wire"

// A prepared statement whose result would have other columns than when it was parsed, as SELECT * after ALTER TABLE ... ADD
// COLUMN, is refused with 0A000 (src/backend/utils/cache/plancache.c, RevalidateCachedQuery) for as long as it exists.
// Drivers know that: asyncpg, pgjdbc, ActiveRecord and others then close the statement and prepare the same text again.
// They must not be handed the same stale statement under its shared name: ActiveRecord would try for ever.

const codeStale = "0A000"

// retireStale makes later Parse messages with the text of a statement that was refused as stale prepare anew, on every
// server. Clients that hold the old one keep it, and get the same refusal as they would from PostgreSQL. It reports false
// when more of the frame is needed to tell.
func (v *Server) retireStale(r *request, size int, frame []byte) (told bool) {
	if r.stmt == nil || r.kind != kBind && r.kind != kDescribe || v.session == nil {
		return true
	}
	if len(frame) < size && size <= maxOwnError {
		return false
	}
	if errorField(frame, 'C') == codeStale {
		v.session.texts.retire(r.stmt)
	}
	return true
}

// errorField returns a field of an ErrorResponse, of which frame holds what has arrived; "" when it is not there.
func errorField(frame []byte, field byte) string {
	for rest := frame[min(wire.HeaderSize, len(frame)):]; len(rest) > 1; {
		value, next, ok := wire.CString(rest[1:])
		if !ok {
			break
		}
		if rest[0] == field {
			return string(value)
		}
		rest = next
	}
	return ""
}
