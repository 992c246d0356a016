package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
)

var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// matchesCertificate reports whether a verified leaf shows one of the wanted names, each written as "CN=name", "DNS:name",
// "URI:uri" or "email:address" (the last three: subject alternative names). A missing leaf matches nothing.
//
// Names are compared as they are, except for the case of DNS names. There are no wildcards: a certificate for *.example is the
// identity "*.example" and nobody else. A subject with several common names is ambiguous and matches none.
func matchesCertificate(wanted []string, leaf *x509.Certificate) bool {
	if leaf == nil {
		return false
	}
	return slices.ContainsFunc(wanted, func(want string) bool { return matchesName(want, leaf) })
}

func matchesName(want string, leaf *x509.Certificate) bool {
	if name, ok := strings.CutPrefix(want, "CN="); ok {
		return name != "" && leaf.Subject.CommonName == name && countCommonNames(leaf) == 1
	}
	kind, name, _ := strings.Cut(want, ":")
	switch {
	case name == "":
		return false
	case kind == "DNS":
		return slices.ContainsFunc(leaf.DNSNames, func(dns string) bool { return equalDNS(dns, name) })
	case kind == "email":
		return slices.Contains(leaf.EmailAddresses, name)
	case kind == "URI":
		for _, uri := range leaf.URIs {
			if uri.String() == name {
				return true
			}
		}
	}
	return false
}

func countCommonNames(leaf *x509.Certificate) (n int) {
	for _, attribute := range leaf.Subject.Names {
		if attribute.Type.Equal(commonName) {
			n++
		}
	}
	return n
}

// equalDNS ignores the case of ASCII letters and of nothing else: strings.EqualFold would take the Kelvin sign for a k.
func equalDNS(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
