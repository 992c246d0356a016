package startup

import (
	"crypto"
	_ "crypto/sha512" // certificates may be signed with SHA-384 and SHA-512
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/pgtier/pgtier/config"
)

// LoadTLS reads the certificate, the key and the client CA that a listener is configured with. It returns nil without an
// error when none is. Renewed files are taken over by loading again and making a new Acceptor.
func LoadTLS(listen config.Listen) (*tls.Config, error) {
	if listen.TLSCert == "" {
		return nil, nil
	}
	if err := checkPrivate(listen.TLSKey); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(listen.TLSCert, listen.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls_cert %s and tls_key %s: %w", listen.TLSCert, listen.TLSKey, err)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{alpn},
	}
	if listen.TLSClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(listen.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls_client_ca: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_client_ca %s: no certificate in it", listen.TLSClientCA)
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	return c, nil
}

func checkPrivate(key string) error {
	info, err := os.Stat(key)
	if err != nil {
		return fmt.Errorf("tls_key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("tls_key %s is accessible by everyone (%04o); chmod 0640", key, mode)
	}
	return nil
}

// servedCertificate remembers which certificate a handshake showed to the client. crypto/tls does not: and after a
// certificate was exchanged, "the" certificate of the listener is not the one that older connections are bound to.
type servedCertificate struct {
	binding []byte // tls-server-end-point data; nil: not defined for this certificate
}

type servedKey struct{} // of the *servedCertificate in a handshake's context

// rememberServed returns a copy of c that fills in the servedCertificate of its handshakes. It resumes no sessions, as
// PostgreSQL: a resumed one shows no certificate, and would outlive the client CA that it was checked against.
func rememberServed(c *tls.Config) *tls.Config {
	choose, certificates := c.GetCertificate, c.Certificates
	if choose == nil {
		choose = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return firstFitting(hello, certificates) }
	}
	c = c.Clone()
	c.SessionTicketsDisabled = true
	c.Certificates = nil // or GetCertificate would not always be asked
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := choose(hello)
		if served, ok := hello.Context().Value(servedKey{}).(*servedCertificate); ok && err == nil && certificate != nil {
			served.binding = serverEndPoint(certificate)
		}
		return certificate, err
	}
	return c
}

func firstFitting(hello *tls.ClientHelloInfo, certificates []tls.Certificate) (*tls.Certificate, error) {
	for i := range certificates {
		if hello.SupportsCertificate(&certificates[i]) == nil {
			return &certificates[i], nil
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	return &certificates[0], nil
}

// serverEndPoint returns the tls-server-end-point channel binding (RFC 5929 section 4.1): the certificate hashed with the hash
// function of its signature, SHA-256 in place of MD5 and SHA-1. For signatures without one, as Ed25519, it is not defined,
// and nil.
func serverEndPoint(certificate *tls.Certificate) []byte {
	if len(certificate.Certificate) == 0 {
		return nil
	}
	leaf := certificate.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(certificate.Certificate[0]); err != nil {
			return nil
		}
	}
	var hash crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil
	}
	h := hash.New()
	h.Write(certificate.Certificate[0])
	return h.Sum(nil)
}
