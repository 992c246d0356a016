package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/pgtier/pgtier/proxy/wire"
)

// Limits of what a server may send until it is logged in. PostgreSQL needs about 1 KiB.
const (
	maxLoginMessage = 64 << 10 // one message: an ErrorResponse or a long search_path
	maxLoginBytes   = 1 << 20  // all of them: notices, parameters
)

// maxIterations bounds the SCRAM iterations that a server may ask for. PostgreSQL's default is 4096; a million cost
// about half a second, in which nothing can interrupt the hashing. (pgconn's own bound is ten million.)
const maxIterations = 1_000_000

// Authentication requests (PostgreSQL documentation, "Message Formats").
const (
	authOk           = 0
	authCleartext    = 3
	authSASLContinue = 11
)

// guard reads what a server sends during the login on its way to pgconn and ends the stream where a server asks for too
// much. What pgconn checks itself, it does not check again.
type guard struct {
	r    io.Reader
	left int // bytes that may still come
	err  error

	head  []byte // of the frame that is being read, as far as it has come; never more than HeaderSize
	body  int    // bytes of its body that are still to come
	auth  []byte // the body of an Authentication frame, as far as it has come
	isR   bool
	asked bool // for authentication of any kind
	clear bool // for a password in clear
}

func newGuard(r io.Reader) *guard { return &guard{r: r, left: maxLoginBytes} }

func (g *guard) Read(b []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(b)
	if g.left -= n; g.left < 0 {
		g.err = fmt.Errorf("the server sent more than %d bytes before it was ready", maxLoginBytes)
	} else {
		g.err = g.watch(b[:n])
	}
	if g.err != nil {
		return 0, g.err
	}
	return n, err
}

// watch follows the frames in b. Frames may be cut anywhere.
//
//	type | int32 length | body
func (g *guard) watch(b []byte) error {
	for len(b) > 0 {
		if g.body == 0 {
			n := min(wire.HeaderSize-len(g.head), len(b))
			g.head, b = append(g.head, b[:n]...), b[n:]
			if len(g.head) < wire.HeaderSize {
				return nil
			}
			if err := g.begin(); err != nil {
				return err
			}
		}
		n := min(g.body, len(b))
		if g.isR {
			g.auth = append(g.auth, b[:n]...)
		}
		g.body, b = g.body-n, b[n:]
		if g.body == 0 && g.isR {
			if err := g.request(g.auth); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin starts the frame whose header is complete.
func (g *guard) begin() error {
	typ, size, ok := wire.Header(g.head)
	g.head = g.head[:0]
	if !ok || size > maxLoginMessage {
		return errors.New("the server sent a message of an impossible length before it was ready")
	}
	g.body, g.isR, g.auth = size-wire.HeaderSize, typ == wire.Authentication, g.auth[:0]
	return nil
}

// request looks at one authentication request.
//
//	int32 kind | data
func (g *guard) request(body []byte) error {
	if len(body) < 4 {
		return nil // pgconn refuses it
	}
	kind := binary.BigEndian.Uint32(body)
	g.asked = g.asked || kind != authOk
	switch kind {
	case authCleartext:
		g.clear = true
	case authSASLContinue:
		return checkIterations(body[4:])
	}
	return nil
}

// checkIterations looks for the iteration count in a server-first-message: r=nonce,s=salt,i=count[,extension...]
// (RFC 5802, section 7). A message without one is left to pgconn, which refuses it.
func checkIterations(message []byte) error {
	for field := range bytes.SplitSeq(message, []byte{','}) {
		count, found := bytes.CutPrefix(field, []byte("i="))
		if !found {
			continue
		}
		if n, err := strconv.Atoi(string(count)); err != nil || n < 1 || n > maxIterations {
			return fmt.Errorf("the server asked for an impossible number of SCRAM iterations (1 to %d are)", maxIterations)
		}
	}
	return nil
}
