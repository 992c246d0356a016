package pgerr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestAppend(t *testing.T) {
	e := New(InvalidParameterValue, "invalid value for %q", "x").WithDetail("It is %d.", 7).WithHint("Use another.")
	want := "SERROR\x00VERROR\x00C22023\x00Minvalid value for \"x\"\x00DIt is 7.\x00HUse another.\x00\x00"
	got := e.Append([]byte("before"))
	if !strings.HasPrefix(string(got), "beforeE\x00\x00\x00") || string(got[6+5:]) != want {
		t.Errorf("got %q", got)
	}
	if size := int(got[10]); size != len(want)+4 {
		t.Errorf("length %d for %d bytes", size, len(want))
	}
	if got := e.AppendNotice(nil); got[0] != 'N' {
		t.Errorf("got %q", got)
	}
	if got := string((&Error{Code: "XX000", Message: "m"}).Append(nil)); !strings.Contains(got, "SERROR\x00VERROR\x00") || strings.Contains(got, "\x00D") || strings.Contains(got, "\x00H") {
		t.Errorf("got %q", got)
	}
}

func TestAsFatal(t *testing.T) {
	e := New(QueryCanceled, "canceled").WithHint("h")
	f := e.AsFatal()
	if f.Severity != "FATAL" || e.Severity != "ERROR" || f.Code != e.Code || f.Hint != "h" {
		t.Errorf("%+v of %+v", f, e)
	}
}

func TestFrom(t *testing.T) {
	inner := Fatal(TooManyConnections, "full")
	if e, incident := From(fmt.Errorf("while waiting: %w", inner)); e != inner || incident != "" {
		t.Errorf("got %v, %q", e, incident)
	}
	secret := errors.New("password is hunter2")
	e, incident := From(secret)
	if e.Code != InternalError || e.Severity != "FATAL" || len(incident) != 6 || !strings.Contains(e.Message, incident) {
		t.Errorf("got %+v, %q", e, incident)
	}
	if strings.Contains(string(e.Append(nil)), "hunter2") {
		t.Error("the client is told what it may not know")
	}
}

func TestIncidentsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := Incident()
		if seen[id] || strings.Trim(id, incidentAlphabet) != "" {
			t.Fatalf("%q, after %d others", id, len(seen))
		}
		seen[id] = true
	}
}

// FuzzAppend: what is appended is what pgx, which is no relation, reads.
func FuzzAppend(f *testing.F) {
	f.Add("ERROR", "42601", "syntax error", "", "")
	f.Add("", "XX000", "", "detail", "hint")
	f.Add("FATAL", "57P01", "terminating", "d", "h")
	f.Fuzz(func(t *testing.T, severity, code, message, detail, hint string) {
		if strings.Contains(severity+code+message+detail+hint, "\x00") {
			return // a string of the protocol cannot hold one; no text that pgtier makes does
		}
		e := &Error{Severity: severity, Code: code, Message: message, Detail: detail, Hint: hint}
		b := e.Append(nil)
		var got pgproto3.ErrorResponse
		if err := got.Decode(b[5:]); err != nil {
			t.Fatal(err)
		}
		if severity == "" {
			severity = "ERROR"
		}
		if got.Severity != severity || got.Code != code || got.Message != message || got.Detail != detail || got.Hint != hint {
			t.Errorf("%+v became %+v", e, got)
		}
		if size := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4]); size != len(b)-1 {
			t.Errorf("length %d of %d bytes", size, len(b)-1)
		}
	})
}
