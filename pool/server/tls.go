package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/pgtier/pgtier/proxy/handover"
)

// encryption is what one attempt does about TLS.
type encryption uint8

const (
	plain   encryption = iota
	tryTLS             // asks, and goes on without when the server says no
	mustTLS            // asks, and fails when the server says no
)

// attempts returns what sslmode tries, in order (libpq: "Protection Provided in Different Modes").
func attempts(sslmode, network string) ([]encryption, error) {
	if network == "unix" {
		return []encryption{plain}, nil
	}
	switch sslmode {
	case "disable":
		return []encryption{plain}, nil
	case "allow":
		return []encryption{plain, mustTLS}, nil
	case "", "prefer":
		return []encryption{tryTLS, plain}, nil
	case "require", "verify-ca", "verify-full":
		return []encryption{mustTLS}, nil
	}
	return nil, fmt.Errorf("sslmode %q is none of disable, allow, prefer, require, verify-ca, verify-full", sslmode)
}

// tlsConfig returns the configuration for one host. Files are read anew each time: a rotated certificate is used by the
// next connection.
func (t Target) tlsConfig(host string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if (t.SSLCert == "") != (t.SSLKey == "") {
		return nil, errors.New("sslcert and sslkey go together")
	}
	if t.SSLCert != "" {
		pair, err := tls.LoadX509KeyPair(t.SSLCert, t.SSLKey)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, t.verification(cfg)
}

// verification sets how cfg checks the server's certificate.
func (t Target) verification(cfg *tls.Config) error {
	mode := t.SSLMode
	if mode == "require" && t.SSLRootCert != "" && t.SSLRootCert != "system" {
		mode = "verify-ca" // as libpq: who names a root wants it looked at
	}
	switch mode {
	case "verify-full":
		roots, err := t.roots()
		cfg.RootCAs = roots // nil = the system's
		return err
	case "verify-ca":
		if t.SSLRootCert == "" || t.SSLRootCert == "system" {
			return errors.New(`sslmode=verify-ca needs the file of a root: any public authority would vouch for any host; use verify-full`)
		}
		roots, err := t.roots()
		cfg.InsecureSkipVerify = true // the name only: the chain is verified below
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, roots) }
		return err
	default:
		if t.SSLRootCert == "system" {
			return errors.New("sslrootcert=system needs sslmode=verify-full")
		}
		cfg.InsecureSkipVerify = true
		return nil
	}
}

// roots reads SSLRootCert; nil stands for the system's roots.
func (t Target) roots() (*x509.CertPool, error) {
	if t.SSLRootCert == "" || t.SSLRootCert == "system" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.SSLRootCert)
	if err != nil {
		return nil, fmt.Errorf("sslrootcert: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("sslrootcert: no certificate in %s", t.SSLRootCert)
	}
	return pool, nil
}

// verifyChain is crypto/tls's own verification without the host name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	certs := state.PeerCertificates
	if len(certs) == 0 {
		return errors.New("the server sent no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := certs[0].Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return nil
}

var errNoTLS = errors.New("the server does not support TLS, but sslmode requires it")

// sslRequest is int32 8, int32 80877103 (PostgreSQL documentation, "SSLRequest").
var sslRequest = []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}

// encrypt negotiates TLS on a fresh connection. It returns nil without an error when the attempt goes on in plain. Not a
// byte more than the answer is read before the handshake, so bytes that were injected before it break it.
func encrypt(ctx context.Context, c *handover.Conn, how encryption, cfg *tls.Config) (*tls.Conn, error) {
	if how == plain {
		return nil, nil
	}
	answer, err := askTLS(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case answer == 'N' && how == tryTLS:
		return nil, nil
	case answer == 'N':
		return nil, errNoTLS
	case answer != 'S':
		// An ErrorResponse is not shown: nobody vouches for it yet (CVE-2024-10977).
		return nil, fmt.Errorf("the server answered the request for TLS with byte 0x%02x", answer)
	}
	conn := tls.Client(c, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return conn, nil
}

// askTLS sends SSLRequest and reads the one byte of its answer.
func askTLS(ctx context.Context, c *handover.Conn) (byte, error) {
	defer interruptOn(ctx, c)()
	if _, err := c.Write(sslRequest); err != nil {
		return 0, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, fmt.Errorf("request for TLS: %w", err)
	}
	return answer[0], nil
}

// interruptOn makes reads and writes of c fail once ctx is done. The returned function ends that.
func interruptOn(ctx context.Context, c net.Conn) (stop func()) {
	interrupted := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = c.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !cancel() {
			<-interrupted
		}
	}
}
