package e2e

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"github.com/pgtier/pgtier/integration/harness"
)

func TestStartupParameters(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	for _, c := range []struct{ params, sql, want string }{
		{"application_name=", "SHOW application_name", ""},
		{"application_name=it's \"me\" \\ and ünicode", "SHOW application_name", ""}, // refused, below
		{"application_name=it's \"me\" \\", "SHOW application_name", `it's "me" \`},
		{"application_name=" + strings.Repeat("n", 63), "SHOW application_name", strings.Repeat("n", 63)},
		{"options=-c work_mem=3MB --statement-timeout=4s -cDateStyle=German", "SELECT current_setting('work_mem') || current_setting('statement_timeout') || current_date::text ~ '[.]'", "t"},
		{`options=-c application_name=with\ a\ space\\and\ more`, "SHOW application_name", `with a space\and more`},
		{"options=-c search_path=pg_catalog,public", "SELECT current_schemas(false)::text", "{pg_catalog,public}"},
		{"search_path=\"$user\", public", "SHOW search_path", `"$user", public`},
		{"options=-c my.own=value", "SHOW my.own", "value"},
		{"TimeZone=Europe/Zurich", "SHOW timezone", "Europe/Zurich"},
		{"extra_float_digits=3", "SHOW extra_float_digits", "3"},
		{"default_transaction_isolation=serializable", "SHOW transaction_isolation", "serializable"},
		{"client_encoding=LATIN1", "SHOW client_encoding", "LATIN1"},
	} {
		conn, err := tryConnect(t, p.DSN("alice", c.params))
		if strings.Contains(c.params, "ünicode") {
			wantError(t, err, "22023", "application_name")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.params, err)
			continue
		}
		wantAnswer(t, conn, c.sql, c.want)
		// Somebody else on the same server has none of it.
		wantAnswer(t, connect(t, p.DSN("ops")), "SELECT concat(current_setting('work_mem'), current_setting('my.own', true))", "4MB")
		wantAnswer(t, conn, c.sql, c.want)
	}
}

func TestStartupParametersRefused(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, c := range []struct{ params, code, words string }{
		{"no_such_parameter=1", "42704", `unrecognized configuration parameter "no_such_parameter"`},
		{"options=-c no_such_parameter=1", "42704", `unrecognized configuration parameter "no_such_parameter"`},
		{"work_mem=lots", "22023", `invalid value for parameter "work_mem"`},
		{"TimeZone=Middle/Earth", "22023", "TimeZone"},
		{"shared_buffers=1GB", "55P02", `parameter "shared_buffers" cannot be changed`},
		{"log_statement=none", "42501", "permission denied to set parameter"},
		{"role=epmt-admin", "", "role"},
		{"session_authorization=epmt-admin", "", "session_authorization"},
		{"options=-c role=epmt-admin", "", "role"},
		{"options=--Role=epmt-admin", "", "ole"},
		{"options=-c session_authorization=epmt-admin", "", "session_authorization"},
		{"replication=database", "", "replication"},
		{"replication=true", "", "replication"},
		{"options=-c is_superuser=on", "", "is_superuser"},
		{"options=-W 5", "42601", "-W"},
		{"options=work_mem", "42601", "work_mem"},
		{"options=-c work_mem", "42601", "requires a value"},
		{"pgtier.tire=rw", "", "pgtier.tire"},
	} {
		conn, err := tryConnect(t, p.DSN("alice", c.params))
		if err == nil {
			t.Errorf("%s was accepted; current_user is %s", c.params, ask(t, conn, "SELECT current_user"))
			continue
		}
		code := c.code
		if code == "" {
			code = wantErrorOf(t, err)
		}
		wantError(t, err, code, c.words)
	}
	wantAnswer(t, connect(t, p.DSN("alice", "replication=off")), "SELECT current_user", "epmt-ro")
}

// TestSettingsStayApart: what each client has set, at its start and later, on one server that they share.
func TestSettingsStayApart(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	a := connect(t, p.DSN("alice", "TimeZone=Asia/Tokyo", "application_name=a"))
	b := connect(t, p.DSN("ops", "DateStyle=German", "application_name=b"))
	c := connect(t, p.DSN("ingest~ro"))
	const show = "SELECT current_setting('TimeZone') || ' ' || current_setting('DateStyle') || ' ' || current_setting('application_name') || ' ' || current_setting('IntervalStyle')"
	for range 3 {
		wantAnswer(t, a, show, "Asia/Tokyo ISO, MDY alice/ro: a postgres")
		wantAnswer(t, b, show, "UTC German, DMY ops/ro: b postgres")
		wantAnswer(t, c, show, "UTC ISO, MDY ingest/ro postgres")
	}
	exec(t, a, "SET IntervalStyle = iso_8601")
	exec(t, b, "SET TimeZone = 'America/New_York'")
	exec(t, c, "SET application_name = 'c'")
	for range 3 {
		wantAnswer(t, a, show, "Asia/Tokyo ISO, MDY alice/ro: a iso_8601")
		wantAnswer(t, b, show, "America/New_York German, DMY ops/ro: b postgres")
		wantAnswer(t, c, show, "UTC ISO, MDY ingest/ro: c postgres")
	}
	exec(t, a, "BEGIN; SET TimeZone = 'Europe/Rome'; ROLLBACK")
	exec(t, b, "BEGIN; SET LOCAL TimeZone = 'Europe/Rome'; COMMIT")
	wantAnswer(t, c, show, "UTC ISO, MDY ingest/ro: c postgres")
	wantAnswer(t, a, show, "Asia/Tokyo ISO, MDY alice/ro: a iso_8601")
	wantAnswer(t, b, show, "America/New_York German, DMY ops/ro: b postgres")
}

// TestEncodingsStayApart: bytes mean what their sender means by them.
func TestEncodingsStayApart(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 1"}}).Endpoint
	latin := dialRaw(t, p, "alice", map[string]string{"client_encoding": "LATIN1"})
	utf := dialRaw(t, p, "ops", map[string]string{"client_encoding": "UTF8"})
	if latin.params["client_encoding"] != "LATIN1" || utf.params["client_encoding"] != "UTF8" {
		t.Errorf("reported %q and %q", latin.params["client_encoding"], utf.params["client_encoding"])
	}
	for range 3 {
		latin.send(&pgproto3.Query{String: "SELECT '\xe9' || length('\xe9')"})
		if got := latin.answers(1); got != "columns row:\xe91 SELECT 1 ready:I" {
			t.Errorf("LATIN1: %q", got)
		}
		utf.send(&pgproto3.Query{String: "SELECT 'é' || length('é')"})
		if got := utf.answers(1); got != "columns row:é1 SELECT 1 ready:I" {
			t.Errorf("UTF8: %q", got)
		}
	}
}

// TestVersions: what is negotiated, and what is refused, before anybody has logged in.
func TestVersions(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	for _, c := range []struct {
		name    string
		version uint32
		param   string
		want    string // the first byte of the answer
		minor   uint32
	}{
		{"3.0", 3 << 16, "", "R", 0},
		{"3.2", 3<<16 | 2, "", "R", 0},
		{"3.9999", 3<<16 | 9999, "", "v", 2},
		{"3.0 with an option", 3 << 16, "_pq_.test", "v", 0},
		{"3.2 with an option", 3<<16 | 2, "_pq_.test", "v", 2},
		{"2.0", 2 << 16, "", "E", 0},
		{"4.0", 4 << 16, "", "E", 0},
		{"GSSENCRequest", 80877104, "", "N", 0},
		{"SSLRequest", 80877103, "", "N", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := openRaw(t, p)
			body := binary.BigEndian.AppendUint32(nil, c.version)
			if c.version < 80877100 {
				body = append(body, "user\x00alice\x00database\x00EPMT\x00"...)
				if c.param != "" {
					body = append(body, c.param+"\x001\x00"...)
				}
				body = append(body, 0)
			}
			client.write(append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...))
			answer := make([]byte, 13)
			if _, err := io.ReadFull(client.conn, answer[:len(c.want)]); err != nil || string(answer[:1]) != c.want {
				t.Fatalf("answered %q, %v", answer[:1], err)
			}
			if c.want == "v" {
				if _, err := io.ReadFull(client.conn, answer[1:]); err != nil {
					t.Fatal(err)
				}
				if got := binary.BigEndian.Uint32(answer[5:]); got != 3<<16|c.minor {
					t.Errorf("negotiated %#x", got)
				}
			}
		})
	}
}

// TestStartupPacketOf4KB: long is no mistake.
func TestStartupPacketOf4KB(t *testing.T) {
	p := harness.Start(t, harness.Options{}).Endpoint
	c := dialRaw(t, p, "alice", map[string]string{"options": strings.Repeat("-c work_mem=5MB ", 256)})
	c.send(&pgproto3.Query{String: "SHOW work_mem"})
	if got := c.answers(1); got != "columns row:5MB SHOW ready:I" {
		t.Error(got)
	}
}
