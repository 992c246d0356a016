package session

import (
	"strconv"
	"strings"
	"sync"

	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// On a tier with isolation = "shared" all identities use the same server connections, and each lease begins with SET ROLE.
//
//	the connection carries            ahead of the client's bytes, in the same write (prefix.go)
//	another identity's state          DISCARD ALL, SET ROLE, the client's settings
//	nothing (fresh, or just reset)    SET ROLE, the client's settings
//	the same identity's state         SET ROLE, unless a guard watched and it is recent
//
// If any of it fails the server executes nothing of the client's, and is closed: so nothing of it can run as somebody else or
// meet what somebody else left. A session's first lease, a role of which nothing recent is known and a server whose timeouts
// could end the prefix are waited for, statement by statement, before the client is read.
//
// What SET ROLE does not check, PostgreSQL's rules for a login of that role, is asked of the server. A session that keeps its
// server is asked for again, before its next request, as soon as the answer is not recent any more.

// roleFresh is how long what was learned about a role holds, and how long a role that a guard watches is not set again: a
// revoked membership ends within twice this time.
const roleFresh = 4_000_000_000 // nanoseconds

// Roles remembers what servers said about the roles of shared pools, and counts their sessions. Safe for concurrent use; the
// lock is held for a map look-up.
type Roles struct {
	mu    sync.Mutex
	known map[roleKey]*role
}

type roleKey struct {
	pool *pool.Pool
	name string
}

// role is what is known of one role. Immutable but for sessions.
type role struct {
	checked  int64 // monotonic nanoseconds
	refusal  *pgerr.Error
	settings []Setting // ALTER DATABASE SET, ALTER ROLE SET, ALTER ROLE IN DATABASE SET, in this order
	limit    int       // CONNECTION LIMIT; -1 = none
	sessions int       // guarded by Roles.mu
	frames   []byte    // SET ROLE as a statement of a prefix
}

// NewRoles returns an empty memory.
func NewRoles() *Roles { return &Roles{known: make(map[roleKey]*role)} }

// forget drops what was learned of one role: the next lease of it asks again.
func (r *Roles) forget(k roleKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[k]; known != nil {
		known.checked = 0
	}
}

// Forget drops everything learned: the next lease of each role asks again.
func (r *Roles) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.known {
		known.checked = 0
	}
}

// find returns what is known of a role and still holds; nil when the server has to be asked.
func (r *Roles) find(k roleKey, now int64) *role {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[k]
	if known == nil || known.checked == 0 || now-known.checked > roleFresh {
		return nil
	}
	return known
}

func (r *Roles) store(k roleKey, fresh *role) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.known[k]; old != nil {
		fresh.sessions = old.sessions
	}
	r.known[k] = fresh
}

// enter counts a session of the role, unless the role's CONNECTION LIMIT is reached. seen is what find has returned: the last
// other session of the role may have left since.
func (r *Roles) enter(k roleKey, seen *role) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[k]
	if known == nil {
		known = seen
		known.sessions = 0
		r.known[k] = known
	}
	if known.limit >= 0 && known.sessions >= known.limit {
		return false
	}
	known.sessions++
	return true
}

// leave ends the count of a session; a role without sessions is forgotten, so that the memory is bounded by the sessions.
func (r *Roles) leave(k roleKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[k]; known != nil {
		if known.sessions--; known.sessions <= 0 {
			delete(r.known, k)
		}
	}
}

func (s *Session) roleKey() roleKey { return roleKey{s.Pool, s.Decision.Role} }

// takeRole makes the server the session's role. It reports whether that is confirmed; if not, the session waits for the
// answer to what it has sent.
func (s *Session) takeRole(st *Step) (done bool) {
	v := s.srv
	known := s.roles.find(s.roleKey(), st.Now)
	if known == nil {
		v.send(st, ownFacts, factsQuery(s.Decision.Role))
		return false
	}
	if known.refusal != nil {
		s.close(st, ReasonRole, known.refusal)
		return false
	}
	if !s.welcomed && !s.counted {
		if !s.roles.enter(s.roleKey(), known) {
			s.close(st, ReasonRole, pgerr.Fatal(pgerr.TooManyConnections, "too many connections for role %q", s.Decision.Role))
			return false
		}
		s.counted = true
		s.wants(overlay(known.settings, s.want))
	}
	s.roleSeen = known.checked
	if s.hasRole(st.Now) {
		return true
	}
	if !s.switches(st, false) {
		s.sendRole(st)
	}
	return false
}

// hasRole reports whether the server is known to have the session's role.
func (s *Session) hasRole(now int64) bool {
	return s.srv.role == s.Decision.Role && now-s.srv.roleAt <= roleFresh
}

// factsBehindReset asks what is not known of the role in the same write as the reset before it: both answers are waited for.
// Should the reset fail, the server is closed whatever it says.
func (s *Session) factsBehindReset(st *Step) {
	if s.shared && s.roles.find(s.roleKey(), st.Now) == nil {
		s.srv.send(st, ownFacts, factsQuery(s.Decision.Role))
	}
}

// factsKnown is called when the server has said what it knows of the role.
func (s *Session) factsKnown(st *Step) {
	why := s.learnRole(st.Now, s.srv.take().rows)
	switch {
	case s.state != Linked:
		s.prepare(st)
	case why != "":
		s.close(st, ReasonRole, errRole(s.Decision.Role))
	default:
		s.gated, s.roleSeen = false, st.Now
		s.requestEnded(st)
	}
	if why != "" {
		s.end.Detail = why
	}
}

func (s *Session) sendRole(st *Step) {
	v := s.srv
	v.role, v.Identity = "", s.Identity
	v.send(st, ownRole, setRole(s.Decision.Role))
}

func setRole(name string) string { return "SET ROLE " + string(sqlscan.QuoteIdent(nil, name)) }

// overlay returns wanted on top of what the role has set.
func overlay(settings []Setting, wanted Settings) Settings {
	if len(settings) == 0 {
		return wanted
	}
	values := make(map[string]string)
	for _, x := range settings {
		values[x.Name] = x.Value
	}
	for name, value := range wanted.Map() {
		values[name] = value
	}
	return fromMap(values)
}

// roleTaken is called when SET ROLE has been confirmed.
func (s *Session) roleTaken(now int64) {
	s.srv.role, s.srv.roleAt = s.Decision.Role, now
	s.gated = false
}

// roleRefused is called when SET ROLE failed: the login is no member, or the role is gone.
func (s *Session) roleRefused(st *Step, failed ownError) {
	s.roles.forget(s.roleKey())
	s.close(st, ReasonRole, errRole(s.Decision.Role))
	s.end.Detail = failed.message + "; the login needs: GRANT " + string(sqlscan.QuoteIdent(nil, s.Decision.Role)) + " TO " +
		string(sqlscan.QuoteIdent(nil, s.Decision.Tier.Login))
}

func errRole(name string) *pgerr.Error {
	return pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied to take role %q", name).
		WithHint("The log of pgtier says why.")
}

// factsQuery asks for everything that a login of the role would be subject to. Rows are (name, value).
func factsQuery(name string) string {
	lit := string(appendLiteral(nil, name))
	return "WITH r AS (SELECT * FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) " + lit + "::pg_catalog.name), " +
		"d AS (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) " +
		"SELECT 'login', rolcanlogin::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'super', rolsuper::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'createrole', (rolcreaterole AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.<) 160000)::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'expired', (rolvaliduntil OPERATOR(pg_catalog.<=) pg_catalog.now())::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'limit', rolconnlimit::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'connect', pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT')::pg_catalog.text FROM r, d " +
		"UNION ALL SELECT 'member', pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')::pg_catalog.text FROM r " +
		"UNION ALL SELECT 'set', c FROM (" +
		"(SELECT c FROM d, pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c " +
		"WHERE s.setdatabase OPERATOR(pg_catalog.=) d.oid AND s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid) " +
		"UNION ALL (SELECT c FROM r, pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c " +
		"WHERE s.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND s.setrole OPERATOR(pg_catalog.=) r.oid) " +
		"UNION ALL (SELECT c FROM r, d, pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) c " +
		"WHERE s.setdatabase OPERATOR(pg_catalog.=) d.oid AND s.setrole OPERATOR(pg_catalog.=) r.oid)) x " +
		// What a superuser has given the role and the role may not set itself is left out; doctor says so.
		"WHERE COALESCE((SELECT p.context OPERATOR(pg_catalog.=) 'user' FROM pg_catalog.pg_settings p WHERE pg_catalog.lower(p.name) " +
		"OPERATOR(pg_catalog.=) pg_catalog.lower(pg_catalog.split_part(c, '=', 1))), pg_catalog.strpos(pg_catalog.split_part(c, '=', 1), '.') OPERATOR(pg_catalog.>) 0)"
}

// learnRole takes over the answer to factsQuery.
func (s *Session) learnRole(now int64, rows []Setting) (why string) {
	known := &role{checked: now, limit: -1, frames: appendStatement(nil, setRole(s.Decision.Role))}
	facts := make(map[string]string)
	for _, row := range rows {
		if row.Name != "set" {
			facts[row.Name] = row.Value
			continue
		}
		if x, ok := cutSetting(row.Value); ok && Unreadable(s.Decision.Tier, fromMap(map[string]string{x.Name: x.Value})) == nil {
			known.settings = append(known.settings, x)
		}
	}
	if n, err := strconv.Atoi(facts["limit"]); err == nil {
		known.limit = n
	}
	if why = unfit(facts); why != "" {
		known.refusal = errRole(s.Decision.Role)
	}
	s.roles.store(s.roleKey(), known)
	return why
}

// unfit says why a role is not assumed; "" when it is.
func unfit(facts map[string]string) string {
	switch {
	case len(facts) == 0:
		return "the role does not exist"
	case facts["super"] != "false":
		return "the role is a superuser"
	case facts["createrole"] != "false":
		return "the role has CREATEROLE, which before PostgreSQL 16 is as good as superuser"
	case facts["member"] != "true":
		return "the login of the tier is not a member of the role"
	case facts["login"] != "true":
		return "the role has NOLOGIN"
	case facts["expired"] == "true":
		return "the role's VALID UNTIL has passed"
	case facts["connect"] != "true":
		return "the role has no CONNECT privilege on the database"
	}
	return ""
}

// cutSetting splits name=value. Settings that pgtier owns (a hardened database has a long one), or that cannot be quoted
// safely, do not take effect; doctor says so.
func cutSetting(text string) (x Setting, ok bool) {
	for i := range text {
		if text[i] == '=' {
			x = Setting{Name: lower(text[:i]), Value: text[i+1:]}
			owned := isIdentity(x.Name) || x.Name == "local_preload_libraries" || strings.HasPrefix(x.Name, "pgtier.")
			return x, !owned && quotable(x.Name) && quotable(x.Value)
		}
	}
	return x, false
}
