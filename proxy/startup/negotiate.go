package startup

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Request codes in the place of a protocol version (PostgreSQL source, src/include/libpq/pqcomm.h).
const (
	codeCancel = 1234<<16 | 5678
	codeTLS    = 1234<<16 | 5679
	codeGSS    = 1234<<16 | 5680
)

// alpn is the only application protocol that is spoken here.
const alpn = "postgresql"

// A TLS record that carries a handshake begins with this byte. As the first byte of a length it would mean 352 MiB.
const tlsHandshake = 0x16

// negotiate goes through what may come before the startup packet, and returns that or a cancel request:
//
//	[ direct TLS | SSLRequest, at most once | GSSENCRequest, at most once ] ... StartupMessage | CancelRequest
func (l *login) negotiate(ctx context.Context) (*request, *CancelRequest, error) {
	first, err := l.peek()
	if err != nil {
		return nil, nil, err
	}
	if first == tlsHandshake {
		if err := l.directTLS(ctx); err != nil {
			return nil, nil, err
		}
	}
	tlsAsked, gssAsked := l.tls != nil, l.tls != nil
	for {
		code, body, err := l.readPacket()
		switch {
		case err != nil:
			return nil, nil, err
		case code == codeCancel:
			cancel, err := l.cancelRequest(body)
			return nil, cancel, err
		case code == codeTLS && !tlsAsked:
			tlsAsked = true
			if err := l.answerTLS(ctx, body); err != nil {
				return nil, nil, err
			}
			gssAsked = gssAsked || l.tls != nil // no encryption inside encryption
		case code == codeGSS && !gssAsked:
			gssAsked = true
			if err := l.answer('N'); err != nil {
				return nil, nil, err
			}
		default:
			r, err := parseRequest(code, body)
			return r, nil, err
		}
	}
}

// readPacket reads a packet of the time before the startup packet, and that one.
//
//	int32 length, itself included | int32 code | body
func (l *login) readPacket() (code uint32, body []byte, err error) {
	head, err := l.read(4)
	if err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 8 || uint64(n) > uint64(l.cfg.MaxPacket) {
		return 0, nil, pgerr.Fatal(pgerr.ProtocolViolation, "invalid length of startup packet")
	}
	packet, err := l.read(int(n) - 4)
	if err != nil {
		return 0, nil, fmt.Errorf("incomplete startup packet: %w", err)
	}
	return binary.BigEndian.Uint32(packet), packet[4:], nil
}

// answer sends one letter.
func (l *login) answer(letter byte) error {
	l.out = append(l.out, letter)
	return l.flush()
}

// answerTLS answers an SSLRequest.
func (l *login) answerTLS(ctx context.Context, body []byte) error {
	if len(body) != 0 {
		return pgerr.Fatal(pgerr.ProtocolViolation, "invalid length of startup packet")
	}
	if l.cfg.TLS == nil || !l.addr.IsValid() { // as PostgreSQL: never on Unix sockets
		return l.answer('N')
	}
	// Nobody may speak before our answer. What is here already was not encrypted, and somebody in the middle may have put
	// it there so that we take it for the client's own words once TLS is up (CVE-2021-23214).
	early, err := l.pending()
	if err != nil {
		return err
	}
	if early {
		return pgerr.Fatal(pgerr.ProtocolViolation, "received unencrypted data after SSL request").
			WithDetail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.")
	}
	if err := l.answer('S'); err != nil {
		return err
	}
	return l.handshake(ctx)
}

// directTLS begins with TLS without asking. There the application protocol must be named, so that no server of another kind
// can be made to talk with a client of this one, nor the other way round (RFC 7301; CVE-2021-3618 is such an attack).
func (l *login) directTLS(ctx context.Context) error {
	if l.cfg.TLS == nil || !l.addr.IsValid() {
		return fmt.Errorf("direct TLS where there is no TLS")
	}
	if err := l.handshake(ctx); err != nil {
		return err
	}
	if l.tls.ConnectionState().NegotiatedProtocol != alpn {
		return pgerr.Fatal(pgerr.ProtocolViolation, "received direct SSL connection request without ALPN protocol negotiation extension")
	}
	return nil
}

// handshake puts TLS over the connection. crypto/tls tells the client what is wrong.
func (l *login) handshake(ctx context.Context) error {
	served := new(servedCertificate)
	conn := tls.Server(l.conn, l.cfg.TLS)
	if err := conn.HandshakeContext(context.WithValue(ctx, servedKey{}, served)); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	l.tls, l.stream, l.binding = conn, conn, served.binding
	return nil
}

// cancelRequest reads a CancelRequest's body.
//
//	int32 pid | secret: 4 bytes in protocol 3.0, up to 256 since 3.2
func (l *login) cancelRequest(body []byte) (*CancelRequest, error) {
	const pid, shortest, longest = 4, 4, 256
	if len(body) < pid+shortest || len(body) > pid+longest {
		return nil, fmt.Errorf("cancel request with %d bytes", len(body))
	}
	return &CancelRequest{
		PID: binary.BigEndian.Uint32(body), Secret: body[pid:], TLS: l.tls != nil, Addr: l.addr,
		conn: l.conn, tls: l.tls,
	}, nil
}
