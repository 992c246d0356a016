package startup

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/config"
)

func TestLoadTLS(t *testing.T) {
	if c, err := LoadTLS(config.Listen{}); c != nil || err != nil {
		t.Errorf("without files: %v, %v", c, err)
	}
	ca := newAuthority(t)
	cert, key := ca.files(t, "server")
	_, otherKey := ca.files(t, "other")
	open := filepath.Join(ca.dir, "open.key")
	b, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, b, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := LoadTLS(config.Listen{TLSCert: cert, TLSKey: key})
	if err != nil || c.MinVersion != tls.VersionTLS12 || c.ClientAuth != tls.NoClientCert || len(c.NextProtos) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, test := range []struct {
		listen config.Listen
		want   string
	}{
		{config.Listen{TLSCert: cert, TLSKey: otherKey}, "does not match"},
		{config.Listen{TLSCert: cert, TLSKey: open}, "accessible by everyone (0644); chmod 0640"},
		{config.Listen{TLSCert: cert, TLSKey: cert + "x"}, "tls_key"},
		{config.Listen{TLSCert: cert + "x", TLSKey: key}, "tls_cert"},
		{config.Listen{TLSCert: cert, TLSKey: key, TLSClientCA: cert + "x"}, "tls_client_ca"},
		{config.Listen{TLSCert: cert, TLSKey: key, TLSClientCA: key}, "no certificate in it"},
	} {
		if _, err := LoadTLS(test.listen); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.listen, err, test.want)
		}
	}
}

func TestServerEndPoint(t *testing.T) {
	der := []byte("a certificate")
	of := func(a x509.SignatureAlgorithm) []byte {
		return serverEndPoint(&tls.Certificate{Certificate: [][]byte{der}, Leaf: &x509.Certificate{SignatureAlgorithm: a}})
	}
	sum256, sum384, sum512 := sha256.Sum256(der), sha512.Sum384(der), sha512.Sum512(der)
	for algorithm, want := range map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA: sum256[:], x509.SHA1WithRSA: sum256[:], x509.ECDSAWithSHA1: sum256[:],
		x509.SHA256WithRSA: sum256[:], x509.SHA256WithRSAPSS: sum256[:], x509.ECDSAWithSHA256: sum256[:],
		x509.SHA384WithRSA: sum384[:], x509.SHA384WithRSAPSS: sum384[:], x509.ECDSAWithSHA384: sum384[:],
		x509.SHA512WithRSA: sum512[:], x509.SHA512WithRSAPSS: sum512[:], x509.ECDSAWithSHA512: sum512[:],
		x509.PureEd25519: nil, x509.UnknownSignatureAlgorithm: nil,
	} {
		if got := of(algorithm); string(got) != string(want) {
			t.Errorf("%v: %x", algorithm, got)
		}
	}
	if serverEndPoint(&tls.Certificate{}) != nil || serverEndPoint(&tls.Certificate{Certificate: [][]byte{der}}) != nil {
		t.Error("a binding to nothing")
	}
}

// TestUnboundCertificate: where the binding is not defined, it is not offered, and logins work without it.
func TestUnboundCertificate(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: []string{alpn}}
	conn, _ := begin(t, cfg, "tcp")
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}})
	if _, err := secure.Write(startupPacket(protocol30, "user", "alice")); err != nil {
		t.Fatal(err)
	}
	if _, body := frame(t, secure); string(body[4:]) != "SCRAM-SHA-256\x00\x00" {
		t.Errorf("offered %q", body)
	}
}
