package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// Error is why Connect failed.
type Error struct {
	// Definite: it will fail again until somebody changes the configuration or the server: waiters need not wait.
	Definite bool
	// Public is what a client may see. nil: only that the database cannot be reached (08001, with an incident id; the
	// caller knows the names); the rest is for the log.
	Public *pgerr.Error
	// Cause is for the log: host, what was tried, what came back. It never holds a password or a cancel key.
	Cause error

	answered bool // the server itself decided: another host would decide the same
	tls      bool // the encryption is the cause, or may be: an attempt with the other kind makes sense
	password bool // the password was refused: another one may be accepted
}

func (e *Error) Error() string { return e.Cause.Error() }

func (e *Error) Unwrap() error { return e.Cause }

// misconfigured is an Error that no other attempt can avoid.
func misconfigured(format string, args ...any) *Error {
	return &Error{Definite: true, Cause: fmt.Errorf(format, args...)}
}

// unreachable is the Error of a failed dial: the next attempt may succeed.
func unreachable(err error) *Error { return &Error{Cause: err} }

// untrusted is the Error of a failed TLS negotiation. A certificate that does not verify, a refusal and an alert are
// decisions; a connection that broke is not.
func untrusted(at address, err error) *Error {
	var unverified *tls.CertificateVerificationError
	var alert tls.AlertError
	decided := errors.Is(err, errNoTLS) || errors.As(err, &unverified) || errors.As(err, &alert)
	return &Error{Definite: decided, Cause: fmt.Errorf("%s (%s): %w", at.addr, at.host, err), tls: true}
}

// refused is the Error of a login that did not succeed. secret is a password that the server knows in clear by now and
// might therefore repeat; "" when it knows none.
func refused(err error, secret string) *Error {
	// pgconn's ConnectError carries its Config, password included: it goes no further.
	var outer *pgconn.ConnectError
	if errors.As(err, &outer) {
		err = outer.Unwrap()
	}
	e := &Error{Cause: err}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		e.answered = true
		e.password = server.Code == pgerr.InvalidPassword
		e.tls = server.Code == pgerr.InvalidAuthorization // "no pg_hba.conf entry for ..., no encryption"
		e.Definite = definite(server.Code)
		e.Public = public(server, secret)
	}
	if secret != "" {
		e.Cause = errors.New(strings.ReplaceAll(err.Error(), secret, "***"))
	}
	return e
}

// definite tells whether a SQLSTATE is a decision about this login, as opposed to the server's state: invalid
// authorization (28), catalog name (3D), access rule or name (42), data (22: a parameter's value), feature not supported
// (0A), and a database that does not accept connections (55000).
func definite(code string) bool {
	if !validCode(code) {
		return false
	}
	switch code[:2] {
	case "28", "3D", "42", "22", "0A":
		return true
	}
	return code == "55000"
}

// public is the server's refusal as a client may see it: its SQLSTATE and its words, except those about the login
// itself, which name hosts and logins.
func public(e *pgconn.PgError, secret string) *pgerr.Error {
	if !validCode(e.Code) {
		return nil
	}
	if strings.HasPrefix(e.Code, "28") {
		return pgerr.Fatal(e.Code, "the server refused the login of this tier").WithHint("The log of pgtier says why.")
	}
	clean := func(s string) string {
		const longest = 1000
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
		if len(s) > longest {
			s = s[:longest]
		}
		return strings.ToValidUTF8(s, "")
	}
	return &pgerr.Error{
		Severity: "FATAL", Code: e.Code, Message: clean(e.Message), Detail: clean(e.Detail), Hint: clean(e.Hint),
	}
}

// validCode tells whether code has the form of a SQLSTATE. A server that leaves it out has said nothing that can be
// passed on.
func validCode(code string) bool {
	if len(code) != 5 {
		return false
	}
	for i := range len(code) {
		if c := code[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
