package notify

import (
	"errors"
	"fmt"
	"net"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// maxFrame bounds what the server may say at once. The longest is a notification: PostgreSQL takes payloads of less than
// 8,000 bytes, of which a conversion can make four times as many.
const maxFrame = 64 << 10

// read is the reader's goroutine: it returns why the connection has ended.
func (h *hub) read(conn net.Conn) error {
	buf := make([]byte, 0, 4<<10)
	var last error // the server's own reason
	for {
		if cap(buf)-len(buf) == 0 {
			buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return errors.Join(last, err)
		}
		var used int
		var bad error
		h.do(func(c *core) { used, bad = c.frames(buf, &last) })
		if bad != nil {
			return bad
		}
		buf = buf[:copy(buf, buf[used:])]
	}
}

// frames takes the whole frames at the beginning of b and returns how long they are. An error is final.
func (c *core) frames(b []byte, last *error) (used int, err error) {
	for len(b)-used >= wire.HeaderSize {
		typ, size, ok := wire.Header(b[used:])
		if !ok || size > maxFrame {
			return used, errors.New("the server sent a message of an impossible length")
		}
		if len(b)-used < size {
			return used, nil
		}
		if err := c.frame(typ, b[used:used+size], last); err != nil {
			return used, err
		}
		used += size
	}
	return used, nil
}

// frame takes one frame of the server's, which is not kept.
func (c *core) frame(typ byte, frame []byte, last *error) error {
	switch typ {
	case wire.NotificationResponse:
		name, ok := wire.NotificationChannel(frame)
		if !ok {
			return errors.New("the server sent a notification without a channel")
		}
		c.notified(name, append([]byte(nil), frame...))
		return nil
	case wire.ReadyForQuery:
		if *last = nil; c.answered() {
			return nil
		}
	case wire.ErrorResponse:
		e := errorOf(frame)
		*last = e
		c.refused(e)
		return nil
	case wire.CommandComplete, wire.NoticeResponse, wire.ParameterStatus:
		return nil
	}
	return fmt.Errorf("the server sent a message of type %q that nobody asked for", typ)
}

// errorOf reads an ErrorResponse.
//
//	'E' | int32 length | { byte field | string \0 } ... | \0
func errorOf(frame []byte) *pgerr.Error {
	e := pgerr.New(pgerr.InternalError, "the server failed to listen")
	for rest := frame[wire.HeaderSize:]; len(rest) > 1; {
		value, next, ok := wire.CString(rest[1:])
		if !ok {
			break
		}
		switch rest[0] {
		case 'C':
			e.Code = string(value)
		case 'M':
			e.Message = string(value)
		case 'H':
			e.Hint = string(value)
		}
		rest = next
	}
	return e
}
