package fakepg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"
)

// The codes that stand where a startup packet has its protocol version.
const (
	cancelRequest = 1234<<16 | 5678
	sslRequest    = 1234<<16 | 5679
	gssRequest    = 1234<<16 | 5680
)

// ExpectStartup reads the startup packet. It answers 'N' to requests for encryption, and ends the conversation after a
// cancel request.
func ExpectStartup() Step {
	return func(c *Conn) error {
		for {
			body, err := c.readBody()
			if err != nil {
				return err
			}
			if len(body) < 4 {
				return &surprise{fmt.Sprintf("a startup packet of %d bytes", len(body))}
			}
			switch code := binary.BigEndian.Uint32(body); code {
			case sslRequest, gssRequest:
				if _, err := c.Write([]byte("N")); err != nil {
					return err
				}
			case cancelRequest:
				c.note(&c.server.cancels)
				return errEnd
			default:
				c.note(&c.server.startups)
				c.Startup = startupParameters(body[4:])
				return nil
			}
		}
	}
}

// note changes a counter of the server.
func (c *Conn) note(counter *int) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	*counter++
}

func startupParameters(b []byte) map[string]string {
	params := map[string]string{}
	fields := bytes.Split(b, []byte{0})
	for i := 0; i+1 < len(fields) && len(fields[i]) > 0; i += 2 {
		params[string(fields[i])] = string(fields[i+1])
	}
	return params
}

// Expect reads one frame, which must be of one of the types.
func Expect(types ...byte) Step {
	return func(c *Conn) error {
		typ, _, err := c.readFrame()
		if err == nil && !slices.Contains(types, typ) {
			err = unexpected(typ, fmt.Sprintf("one of %q", types))
		}
		return err
	}
}

// Send sends bytes as they are, in one write.
func Send(chunks ...[]byte) Step {
	b := bytes.Join(chunks, nil)
	return func(c *Conn) error {
		_, err := c.Write(b)
		return err
	}
}

// SendMessages sends well-formed messages, in one write.
func SendMessages(messages ...pgproto3.BackendMessage) Step { return Send(Encode(messages...)) }

// Encode encodes well-formed messages.
func Encode(messages ...pgproto3.BackendMessage) []byte {
	var b []byte
	for _, m := range messages {
		var err error
		if b, err = m.Encode(b); err != nil {
			panic(fmt.Sprintf("BUG: %T: %v", m, err)) // the caller's literal cannot be encoded
		}
	}
	return b
}

// Frame makes a frame of any type with any body.
func Frame(typ byte, body string) []byte { return FrameWithLength(typ, uint32(len(body)+4), body) }

// FrameWithLength makes a frame whose length is what you say.
func FrameWithLength(typ byte, length uint32, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, length), body...)
}

// Silence says nothing until the client hangs up or the server ends. What the client sends meanwhile is read and dropped.
func Silence() Step {
	return func(c *Conn) error {
		buf := make([]byte, 4096)
		for {
			if _, err := c.r.Read(buf); err != nil {
				return err
			}
		}
	}
}

// Deafness neither says nor reads anything until the server ends, so that the client's writes fill the sockets.
func Deafness() Step {
	return func(c *Conn) error {
		<-c.server.closing
		return errEnd
	}
}

// HangUp closes the connection in good order (FIN).
func HangUp() Step { return func(*Conn) error { return errEnd } }

// Reset drops the connection (RST), as a server that is killed with unread data does.
func Reset() Step {
	return func(c *Conn) error {
		if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		return errEnd
	}
}

// Login reads a startup packet and lets everybody in.
func Login() Step {
	return All(ExpectStartup(), SendMessages(&pgproto3.AuthenticationOk{}), Welcome())
}

// Welcome says what a server says between AuthenticationOk and the first query.
func Welcome() Step { return Send(Settings(), Encode(&pgproto3.ReadyForQuery{TxStatus: 'I'})) }

// Settings are the ParameterStatus messages and the BackendKeyData of a login.
func Settings() []byte {
	var b []byte
	for _, s := range [][2]string{
		{"application_name", ""}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"}, {"default_transaction_read_only", "off"},
		{"in_hot_standby", "off"}, {"integer_datetimes", "on"}, {"IntervalStyle", "postgres"}, {"is_superuser", "off"},
		{"server_encoding", "UTF8"}, {"server_version", "15.18"}, {"session_authorization", "fake"},
		{"standard_conforming_strings", "on"}, {"TimeZone", "UTC"},
	} {
		b = append(b, Encode(&pgproto3.ParameterStatus{Name: s[0], Value: s[1]})...)
	}
	return append(b, Encode(&pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: []byte{1, 2, 3, 4}})...)
}

// Answer is an honest answer of one row with one text column.
func Answer(text string) []byte {
	return Encode(columns(), &pgproto3.DataRow{Values: [][]byte{[]byte(text)}},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
}

func columns() *pgproto3.RowDescription {
	return &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte("answer"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1},
	}}
}

// ServeQueries answers every simple query with one row that holds text, until the client says goodbye.
func ServeQueries(text string) Step {
	return func(c *Conn) error {
		for {
			typ, _, err := c.readFrame()
			if err != nil {
				return err
			}
			switch typ {
			case 'Q':
			case 'X':
				return errEnd
			default:
				return unexpected(typ, "'Q'")
			}
			if _, err := c.Write(Answer(text)); err != nil {
				return err
			}
		}
	}
}

// All is several steps as one.
func All(steps ...Step) Step {
	return func(c *Conn) error {
		for _, step := range steps {
			if err := step(c); err != nil {
				return err
			}
		}
		return nil
	}
}
