package server

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pgtier/pgtier/proxy/handover"
)

// CancelTarget is where and how to cancel the query of one server connection. It is a value, immutable and safe for
// concurrent use. It never prints its key. The zero value cannot be sent.
type CancelTarget struct {
	network, addr string
	tls           *tls.Config // nil when the connection has no TLS
	pid           uint32
	key           []byte // 4 bytes with protocol 3.0
}

// String names the place and the process.
func (t CancelTarget) String() string {
	return fmt.Sprintf("cancel of process %d at %s", t.pid, t.addr)
}

// Format makes every verb print String.
func (t CancelTarget) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// Send asks the server to cancel what the connection is doing. It goes to the same address, over TLS when the
// connection has TLS and never otherwise, and returns nil once the server has closed: by then PostgreSQL has signalled
// the process, so a query that is sent later is not hit. Whether there was anything to cancel is not known.
func (t CancelTarget) Send(ctx context.Context) error {
	if len(t.key) == 0 {
		return errors.New("the server gave no cancel key")
	}
	raw, err := dial(ctx, t.network, t.addr)
	if err != nil {
		return err
	}
	c := handover.New(raw)
	defer c.Close()
	var conn net.Conn = c
	if t.tls != nil {
		encrypted, err := encrypt(ctx, c, mustTLS, t.tls)
		if err != nil {
			return fmt.Errorf("%s: %w", t.addr, err)
		}
		conn = encrypted
	}
	defer interruptOn(ctx, conn)()
	if _, err := conn.Write(t.request()); err != nil {
		return err
	}
	return awaitClose(ctx, conn)
}

// request is a CancelRequest.
//
//	int32 length | int32 80877102 | int32 pid | bytes key
func (t CancelTarget) request() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(t.key)))
	b = binary.BigEndian.AppendUint32(b, 80877102)
	b = binary.BigEndian.AppendUint32(b, t.pid)
	return append(b, t.key...)
}

// awaitClose reads until the server closes, however it does that. It says nothing before; one that does is not waited
// for.
func awaitClose(ctx context.Context, c net.Conn) error {
	n, err := c.Read(make([]byte, 64))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case n > 0 || err == nil:
		return errors.New("the server answered a cancel request")
	default:
		return nil
	}
}
