package wall

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// stranger is what bob must not be told by his own statements in the attacks: what is alice's, and what only her code would
// have fetched for him.
var stranger = regexp.MustCompile(`^(row|notice).*(alice|fake|trojan|ran as|BOB-ONLY|parse tree)`)

// strange reports whether bob must not be told a line. Where alice has a server connection of her own, PostgreSQL lists it in
// pg_stat_activity for everybody, as it does without pgtier: that she is there, and nothing of what she does.
func strange(line string) bool {
	return stranger.MatchString(line) && !strings.Contains(line, "<insufficient privilege>")
}

// fingerprint is what an attack may have changed: what is in the sandbox, and the login's stored password.
func (w *firing) fingerprint() (sandbox, password string) {
	row := w.sql(w.level, fmt.Sprintf(`SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'sandbox'::regnamespace)
		|| ' ' || (SELECT count(*) FROM pg_proc WHERE pronamespace = 'sandbox'::regnamespace)
		|| ' ' || (SELECT count(*) FROM pg_type WHERE typnamespace = 'sandbox'::regnamespace)
		|| ' ' || (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'sandbox'::regnamespace)
		|| ' ' || (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sandbox.inbox'::regclass)
		|| ' ' || (SELECT coalesce(md5(relacl::text), '') FROM pg_class WHERE oid = 'sandbox.inbox'::regclass)
		|| '|' || (SELECT rolpassword FROM pg_authid WHERE rolname = '%s')`, w.level.login()))
	sandbox, password, _ = strings.Cut(row[0], "|")
	return sandbox, password
}

// mend puts back what an attack has changed, and reports whether the login was among it: then a new server connection would
// have met it.
func (w *firing) mend() (poisoned bool) {
	w.t.Helper()
	login := w.level.login()
	sandbox, password := w.fingerprint()
	if sandbox != w.sandbox {
		w.sql(w.level, sandboxSQL)
	}
	if password != w.password {
		poisoned = true
		w.sql(w.level, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", login, w.password))
	}
	if w.level.asIdentity {
		w.passwords(w.level)
	}
	changed := w.sql(w.level, "SELECT DISTINCT setrole::regrole::text FROM pg_db_role_setting WHERE setrole <> 0")
	for _, role := range changed {
		poisoned = poisoned || role == login
		if role == login {
			continue // bob is to meet it: mendLogin
		}
		w.sql(w.level, fmt.Sprintf("ALTER ROLE %s RESET ALL; ALTER ROLE %[1]s IN DATABASE %s RESET ALL", role, w.level.name))
	}
	w.sql(w.level, "TRUNCATE app.witness; SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
	return poisoned
}

// endServers ends the login's connections and waits until they are gone.
func (w *firing) endServers() {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := w.sql(w.level, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '%s' OR usename = 'bob' OR usename = 'alice'", w.level.login()))
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("server connections do not end")
		}
	}
}

// cleanLogin takes back what was changed of the login for connections to come.
func (w *firing) cleanLogin() {
	w.t.Helper()
	w.sql(w.level, fmt.Sprintf("ALTER ROLE %s RESET ALL; ALTER ROLE %[1]s IN DATABASE %s RESET ALL", w.level.login(), w.level.name))
	w.endServers()
}
