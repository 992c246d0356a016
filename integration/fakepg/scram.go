package fakepg

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Scram is the server side of one SCRAM-SHA-256 exchange (RFC 5802), with everything that can be wrong about it. The zero
// value of each field but Password is honest.
type Scram struct {
	Password string

	Nonce      string // appended to the client's; "": a good one
	OtherNonce bool   // do not start with the client's nonce
	Iterations string // "": 4096
	Salt       string // base64; "": a good one
	Early      bool   // say AuthenticationOk instead of SASLFinal
	Forged     bool   // sign SASLFinal with another password
}

// LoginSCRAM reads a startup packet and goes through a SCRAM exchange up to AuthenticationOk; Welcome comes next. The
// client's proof is not checked: this server is here to be believed or not.
func LoginSCRAM(s Scram) Step {
	return All(ExpectStartup(), SendMessages(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}), s.exchange)
}

func (s Scram) exchange(c *Conn) error {
	clientFirst, err := readSASL(c, true)
	if err != nil {
		return err
	}
	serverFirst, salt := s.serverFirst(clientFirst)
	if err := SendMessages(&pgproto3.AuthenticationSASLContinue{Data: []byte(serverFirst)})(c); err != nil {
		return err
	}
	clientFinal, err := readSASL(c, false)
	if err != nil {
		return err
	}
	if s.Early {
		return SendMessages(&pgproto3.AuthenticationOk{})(c)
	}
	final, err := s.serverFinal(clientFirst, serverFirst, clientFinal, salt)
	if err != nil {
		return err
	}
	return SendMessages(&pgproto3.AuthenticationSASLFinal{Data: final}, &pgproto3.AuthenticationOk{})(c)
}

func (s Scram) serverFirst(clientFirst string) (message string, salt []byte) {
	_, nonce, _ := strings.Cut(clientFirst, "r=")
	if s.OtherNonce {
		nonce = strings.Repeat("x", len(nonce))
	}
	encodedSalt := or(s.Salt, base64.StdEncoding.EncodeToString([]byte("sixteen bytes...")))
	salt, _ = base64.StdEncoding.DecodeString(encodedSalt) // a lie need not decode
	return fmt.Sprintf("r=%s%s,s=%s,i=%s", nonce, or(s.Nonce, "fakefakefakefakefake"), encodedSalt, or(s.Iterations, "4096")), salt
}

func (s Scram) serverFinal(clientFirst, serverFirst, clientFinal string, salt []byte) ([]byte, error) {
	bare := clientFirst[strings.Index(clientFirst, "n="):]
	withoutProof, _, _ := strings.Cut(clientFinal, ",p=")
	password := s.Password
	if s.Forged {
		password += "?"
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, 4096, sha256.Size)
	if err != nil {
		return nil, err
	}
	signature := mac(mac(salted, "Server Key"), bare+","+serverFirst+","+withoutProof)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), nil
}

// readSASL reads SASLInitialResponse, whose data follow a mechanism name and a length, or SASLResponse, which is all data.
func readSASL(c *Conn, initial bool) (string, error) {
	typ, body, err := c.readFrame()
	if err != nil {
		return "", err
	}
	if initial {
		_, rest, found := bytes.Cut(body, []byte{0})
		if !found || len(rest) < 4 || !bytes.Contains(rest, []byte("n=")) {
			return "", &surprise{fmt.Sprintf("frame %q is no SASLInitialResponse with SCRAM", typ)}
		}
		body = rest[4:]
	}
	if typ != 'p' {
		return "", unexpected(typ, "SASL")
	}
	return string(body), nil
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
