package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// check finds what is wrong between the parts of a configuration that are each right by themselves.
func (d *decoder) check() {
	d.checkTLS()
	d.checkMethods()
	d.checkFiles()
	d.checkLogins()
	d.checkOwnLogins()
	d.checkRoles()
	d.checkMeetings()
}

// checkTLS reads the listener's certificate files.
func (d *decoder) checkTLS() {
	l := &d.cfg.Listen
	t := d.where[l]
	if t == nil {
		return
	}
	switch {
	case l.TLSCert != "" && l.TLSKey == "":
		d.failf(t.keyAt("tls_cert"), `"tls_cert" without "tls_key"`)
	case l.TLSKey != "" && l.TLSCert == "":
		d.failf(t.keyAt("tls_key"), `"tls_key" without "tls_cert"`)
	case l.TLSClientCA != "" && l.TLSCert == "":
		d.failf(t.keyAt("tls_client_ca"), `"tls_client_ca" needs tls_cert and tls_key`)
	}
	cert, certErr := t.readable("tls_cert", l.TLSCert)
	key, keyErr := t.readKey("tls_key", l.TLSKey)
	if cert != nil && key != nil && certErr == nil && keyErr == nil {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			t.failf("tls_cert", "tls_cert and tls_key are not a pair: %v", err)
		}
	}
	if ca, err := t.readable("tls_client_ca", l.TLSClientCA); ca != nil && err == nil && !hasCertificate(ca) {
		t.failf("tls_client_ca", "file %s has no certificate in it", l.TLSClientCA)
	}
}

func hasCertificate(pem []byte) bool { return x509.NewCertPool().AppendCertsFromPEM(pem) }

// readable reads a file that is not secret; nil when path is empty. What is wrong is reported at the key.
func (t *table) readable(key, path string) ([]byte, error) {
	return t.readWith(key, "file", path, func(fs.FileMode) error { return nil })
}

// readKey reads a file with a private key in it; nil when path is empty.
func (t *table) readKey(key, path string) ([]byte, error) {
	return t.readWith(key, "key file", path, private)
}

// CheckKeyFile says what is wrong with a file that has a private key in it, as Load does. It is for those whose names are
// known only when somebody comes.
func CheckKeyFile(path string) error {
	if _, err := readRegular(path, maxFile, private); err != nil {
		return fmt.Errorf("key file %s %w", path, err)
	}
	return nil
}

func (t *table) readWith(key, what, path string, check func(fs.FileMode) error) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := readRegular(path, maxFile, check)
	if err != nil {
		t.failf(key, "%s %s %v", what, path, err)
	}
	return b, err
}

// checkMethods finds identities that could never log in, and passwords that would travel without TLS.
func (d *decoder) checkMethods() {
	l := &d.cfg.Listen
	t := d.where[l]
	if t == nil {
		return
	}
	open := ""
	for _, a := range l.Address {
		if open == "" && !loopback(a) {
			open = a
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Identities)) {
		id := d.cfg.Identities[name]
		if (len(id.Verifiers) > 0 || len(id.Passwords) > 0) && open != "" && l.TLSCert == "" && l.RequireTLS {
			d.failf(t.keyAt("address"),
				"password identities on %s need TLS; set tls_cert and tls_key, or listen on 127.0.0.1 / a socket", open)
		}
		if len(id.Certs) > 0 && l.TLSClientCA == "" {
			d.where[id].failf("cert", "identity %q logs in by a certificate, but [listen] has no tls_client_ca", name)
		}
		if id.Peer != "" && l.UnixSocketDir == "" {
			d.where[id].failf("peer", "identity %q logs in over a Unix socket, but [listen] has no unix_socket_dir", name)
		}
	}
}

// loopback says whether an address to listen on can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // reported as not an address
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost"
	}
	return addr.Unmap().IsLoopback()
}

// checkFiles reads the certificate files of servers and tiers.
func (d *decoder) checkFiles() {
	for _, s := range d.cfg.Servers {
		d.checkRootCert(d.where[s], "sslrootcert", s.SSLRootCert)
	}
	for _, tier := range d.allTiers() {
		t := d.where[tier]
		if tier.Source != "login" {
			d.checkRootCert(t, strings.Fields(tier.Source)[0], tier.SSLRootCert)
		}
		_, _ = t.readable("sslcert", tier.SSLCert)
		_, _ = t.readKey("sslkey", tier.SSLKey)
		if c := tier.CertTemplate; c != nil && c.Fixed() { // the others are read when their identities come
			_, _ = t.readable("sslcert", c.text)
		}
		if k := tier.KeyTemplate; k != nil && k.Fixed() {
			_, _ = t.readKey("sslkey", k.text)
		}
	}
}

func (d *decoder) checkRootCert(t *table, key, path string) {
	if path == "system" {
		return
	}
	if b, err := t.readable(key, path); b != nil && err == nil && !hasCertificate(b) {
		t.failf(key, "file %s has no certificate in it", path)
	}
}

// allTiers are the tiers of all databases, in an order that does not change: by database, then from the least powerful.
func (d *decoder) allTiers() []*Tier {
	var out []*Tier
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Databases)) {
		db := d.cfg.Databases[name]
		for _, tier := range db.tiers() {
			out = append(out, db.Tiers[tier])
		}
	}
	return out
}

// checkLogins keeps the wall between tiers: a login that serves two of them gives the lower one the rights of the higher.
// Roles belong to the whole server, so the same holds between its databases.
func (d *decoder) checkLogins() {
	tiers := d.allTiers()
	for i, a := range tiers {
		for _, b := range tiers[i+1:] {
			if a.Login == "" || a.Login != b.Login || a.Name == b.Name {
				continue
			}
			low, high := a, b
			if slices.Index(Tiers(), a.Name) > slices.Index(Tiers(), b.Name) {
				low, high = b, a
			}
			t := d.where[low]
			at := t.at("login")
			if low.Source != "login" {
				at = t.at(strings.Fields(low.Source)[0])
			}
			switch {
			case a.Database == b.Database:
				d.failf(at, "tiers %s and %s of %q use the same login %q: every %s client would have %s rights",
					low.Name, high.Name, a.Database.Name, a.Login, low.Name, high.Name)
			case sameServer(a, b):
				d.failf(at, "tiers %s and %s use the same login %q on the same server: every %s client would have %s rights",
					low, high, a.Login, low, high)
			}
		}
	}
}

// sameServer says whether two tiers have a host in common.
func sameServer(a, b *Tier) bool {
	for _, x := range a.Endpoints() {
		for _, y := range b.Endpoints() {
			if strings.EqualFold(x, y) {
				return true
			}
		}
	}
	return false
}
