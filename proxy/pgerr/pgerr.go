// Package pgerr holds the errors that a client may see.
//
// An *Error carries what PostgreSQL's ErrorResponse carries: severity, SQLSTATE, message, detail and hint, in
// PostgreSQL's message style (PostgreSQL documentation, "Error Message Style Guide" and "Error and Notice Message
// Fields"). Anything that is not an *Error must not reach a client as it is: From turns it into XX000 with an incident
// id, and the log line with the same id explains it. This is a leaf: it imports nothing of pgtier and does no I/O.
package pgerr

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// SQLSTATE codes that pgtier itself sends, with their condition names (PostgreSQL documentation, appendix A).
const (
	ConnectionFailure        = "08001" // sqlclient_unable_to_establish_sqlconnection
	ConnectionDied           = "08006" // connection_failure
	ProtocolViolation        = "08P01"
	FeatureNotSupported      = "0A000"
	InvalidParameterValue    = "22023"
	UntranslatableCharacter  = "22P05"
	InFailedTransaction      = "25P02"
	IdleInTransactionTimeout = "25P03"
	TransactionTimeout       = "25P04"
	InvalidStatementName     = "26000" // invalid_sql_statement_name
	InvalidAuthorization     = "28000" // invalid_authorization_specification
	InvalidPassword          = "28P01"
	InvalidCatalogName       = "3D000"
	DuplicatePrepared        = "42P05" // duplicate_prepared_statement
	InsufficientPrivilege    = "42501"
	TooManyConnections       = "53300"
	ProgramLimitExceeded     = "54000"
	NotInPrerequisiteState   = "55000" // object_not_in_prerequisite_state
	QueryCanceled            = "57014"
	AdminShutdown            = "57P01"
	CannotConnectNow         = "57P03"
	IdleSessionTimeout       = "57P05"
	InternalError            = "XX000"
)

// Error is one ErrorResponse. Severity empty means ERROR. Detail and Hint empty means the field is not sent.
type Error struct {
	Severity string
	Code     string
	Message  string
	Detail   string
	Hint     string
}

// New returns an ERROR: the session goes on after it.
func New(code, format string, args ...any) *Error {
	return &Error{Severity: "ERROR", Code: code, Message: fmt.Sprintf(format, args...)}
}

// Fatal returns a FATAL: the connection is closed after it.
func Fatal(code, format string, args ...any) *Error {
	return &Error{Severity: "FATAL", Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithDetail sets the detail and returns e.
func (e *Error) WithDetail(format string, args ...any) *Error {
	e.Detail = fmt.Sprintf(format, args...)
	return e
}

// AsFatal returns a copy of e with severity FATAL.
func (e *Error) AsFatal() *Error {
	c := *e
	c.Severity = "FATAL"
	return &c
}

// AsError returns a copy of e with severity ERROR, for a session that lives on: drivers close the connection at FATAL.
func (e *Error) AsError() *Error {
	c := *e
	c.Severity = "ERROR"
	return &c
}

func (e *Error) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// From returns the *Error inside err, or XX000 with a new incident id, which the caller logs together with err.
// incident is empty when err already was an *Error.
func From(err error) (e *Error, incident string) {
	if errors.As(err, &e) {
		return e, ""
	}
	incident = Incident()
	return Fatal(InternalError, "internal error; incident %s", incident), incident
}

const incidentAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// Incident returns a random id of six letters and digits that joins a client's message with a log line.
func Incident() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails since Go 1.24
	for i := range b {
		b[i] = incidentAlphabet[int(b[i])%len(incidentAlphabet)]
	}
	return string(b[:])
}

// Append appends the ErrorResponse frame to dst.
//
//	'E' | int32 length | { byte field | string \0 } ... | \0
func (e *Error) Append(dst []byte) []byte { return e.appendAs(dst, 'E') }

// AppendNotice appends e as a NoticeResponse frame to dst.
func (e *Error) AppendNotice(dst []byte) []byte { return e.appendAs(dst, 'N') }

func (e *Error) appendAs(dst []byte, typ byte) []byte {
	severity := e.Severity
	if severity == "" {
		severity = "ERROR"
	}
	at := len(dst) + 1
	dst = append(dst, typ, 0, 0, 0, 0)
	for _, f := range [...]struct {
		field byte
		value string
	}{{'S', severity}, {'V', severity}, {'C', e.Code}, {'M', e.Message}, {'D', e.Detail}, {'H', e.Hint}} {
		if f.value == "" {
			continue
		}
		dst = append(dst, f.field)
		dst = append(dst, f.value...)
		dst = append(dst, 0)
	}
	dst = append(dst, 0)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
