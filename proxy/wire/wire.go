// Package wire turns bytes into protocol frames and back.
//
// It knows the header of a frame, the names of the type bytes and the few messages that pgtier itself writes
// (PostgreSQL documentation, "Message Formats"). It does no I/O, keeps no state and never copies a body. Everything here
// is called on the relay path: no function allocates unless it is named Append and its destination is too small.
package wire

import "encoding/binary"

// A frame is type | int32 length | body; length counts itself but not the type.
const HeaderSize = 5

// MaxFrame is the longest frame that is relayed: PostgreSQL's own bound for a message (PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1)
// plus the type byte. A longer one cannot be meant.
const MaxFrame = 0x3fffffff + 1

// Messages that a client sends.
const (
	Bind      = 'B'
	Close     = 'C'
	CopyData  = 'd' // both ways
	CopyDone  = 'c' // both ways
	CopyFail  = 'f'
	Describe  = 'D'
	Execute   = 'E'
	Flush     = 'H'
	Function  = 'F'
	Parse     = 'P'
	Password  = 'p' // also SASLInitialResponse, SASLResponse
	Query     = 'Q'
	Sync      = 'S'
	Terminate = 'X'
)

// Messages that a server sends.
const (
	Authentication       = 'R'
	BackendKeyData       = 'K'
	BindComplete         = '2'
	CloseComplete        = '3'
	CommandComplete      = 'C'
	CopyBothResponse     = 'W'
	CopyInResponse       = 'G'
	CopyOutResponse      = 'H'
	DataRow              = 'D'
	EmptyQueryResponse   = 'I'
	ErrorResponse        = 'E'
	FunctionCallResponse = 'V'
	NegotiateVersion     = 'v'
	NoData               = 'n'
	NoticeResponse       = 'N'
	NotificationResponse = 'A'
	ParameterDescription = 't'
	ParameterStatus      = 'S'
	ParseComplete        = '1'
	PortalSuspended      = 's'
	ReadyForQuery        = 'Z'
	RowDescription       = 'T'
)

// Transaction states in ReadyForQuery.
const (
	Idle     = 'I'
	InTx     = 'T'
	FailedTx = 'E'
)

// Header reads the header at the start of b, which holds at least HeaderSize bytes. size is the whole frame's size,
// type byte included; ok is false when the length is one that no frame may have.
func Header(b []byte) (typ byte, size int, ok bool) {
	n := binary.BigEndian.Uint32(b[1:HeaderSize])
	if n < 4 || n > MaxFrame-1 {
		return b[0], 0, false
	}
	return b[0], int(n) + 1, true
}

// CString returns the bytes of b before its first zero byte and what follows that byte. ok is false when b has none.
func CString(b []byte) (s, rest []byte, ok bool) {
	for i, c := range b {
		if c == 0 {
			return b[:i], b[i+1:], true
		}
	}
	return nil, nil, false
}

// Begin appends the header of a frame whose body follows; End must be called with the returned position.
func Begin(dst []byte, typ byte) (out []byte, at int) {
	return append(dst, typ, 0, 0, 0, 0), len(dst) + 1
}

// End writes the length of the frame that Begin started.
func End(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

// AppendQuery appends Query.
//
//	'Q' | int32 length | string sql \0
func AppendQuery(dst []byte, sql string) []byte {
	dst, at := Begin(dst, Query)
	dst = append(dst, sql...)
	return End(append(dst, 0), at)
}

// AppendParameterStatus appends ParameterStatus.
//
//	'S' | int32 length | string name \0 | string value \0
func AppendParameterStatus(dst []byte, name, value string) []byte {
	dst, at := Begin(dst, ParameterStatus)
	dst = append(append(dst, name...), 0)
	dst = append(append(dst, value...), 0)
	return End(dst, at)
}

// AppendReadyForQuery appends ReadyForQuery with the given transaction state.
//
//	'Z' | int32 5 | byte status
func AppendReadyForQuery(dst []byte, status byte) []byte {
	return append(dst, ReadyForQuery, 0, 0, 0, 5, status)
}

// AppendBackendKeyData appends BackendKeyData; secret is 4 bytes for protocol 3.0, 4 to 256 for 3.2.
//
//	'K' | int32 length | int32 pid | bytes secret
func AppendBackendKeyData(dst []byte, pid uint32, secret []byte) []byte {
	dst, at := Begin(dst, BackendKeyData)
	dst = binary.BigEndian.AppendUint32(dst, pid)
	return End(append(dst, secret...), at)
}

// AppendEmpty appends a frame without a body.
func AppendEmpty(dst []byte, typ byte) []byte { return append(dst, typ, 0, 0, 0, 4) }

// AppendCommandComplete appends CommandComplete.
//
//	'C' | int32 length | string tag \0
func AppendCommandComplete(dst []byte, tag string) []byte {
	dst, at := Begin(dst, CommandComplete)
	dst = append(append(dst, tag...), 0)
	return End(dst, at)
}

// EndLength writes the length of a frame that Begin started and whose last bytes are sent later: length counts itself and
// the whole body.
func EndLength(dst []byte, at, length int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(length))
	return dst
}

// Value returns the first value of a DataRow's or Bind's list, nil for NULL, and what follows it.
//
//	int32 length, -1 for NULL | bytes
func Value(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int32(binary.BigEndian.Uint32(b))
	b = b[4:]
	switch {
	case n == -1:
		return nil, b, true
	case n < 0 || int(n) > len(b):
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}
