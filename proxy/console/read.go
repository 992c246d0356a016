package console

import (
	"bufio"
	"errors"
	"io"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/session"
	"github.com/pgtier/pgtier/proxy/wire"
)

// frame is one message of the client's, or its end: then body is nil and end says what it was.
type frame struct {
	typ  byte
	body []byte
	end  *ending
}

var errLeft = errors.New("the client has gone")

// read is the reading goroutine. Every session's last frame is an end, which comes behind what was sent before it; that the
// client has gone is known at once.
func (s *Session) read() {
	in := bufio.NewReader(s.cfg.Conn)
	for {
		f := readFrame(in)
		if f.end != nil {
			s.gone(errLeft)
		}
		select {
		case s.frames <- f:
		case <-s.ctx.Done():
			return
		}
		if f.end != nil {
			return
		}
	}
}

// readFrame reads one message.
//
//	byte type | int32 length | body
func readFrame(in io.Reader) frame {
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return frame{end: &ending{reason: session.ReasonClientGone}}
	}
	typ, size, ok := wire.Header(head[:])
	switch {
	case !ok:
		return frame{end: violation("invalid message length")}
	case typ == wire.Terminate:
		return frame{end: &ending{reason: session.ReasonTerminated}}
	case size > maxFrame:
		return frame{end: &ending{session.ReasonProtocol,
			pgerr.Fatal(pgerr.ProgramLimitExceeded, "the console takes no message of more than %d bytes", maxFrame)}}
	}
	body := make([]byte, size-wire.HeaderSize)
	if _, err := io.ReadFull(in, body); err != nil {
		return frame{end: &ending{reason: session.ReasonClientGone}}
	}
	return frame{typ: typ, body: body}
}

// violation ends a session whose stream cannot be understood any more.
func violation(format string, args ...any) *ending {
	return &ending{session.ReasonProtocol, pgerr.Fatal(pgerr.ProtocolViolation, format, args...)}
}
