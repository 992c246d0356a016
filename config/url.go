package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// credentialURL is what a PostgreSQL URL says: all of a tier's credential. Fields that the URL does not have are empty.
type credentialURL struct {
	login       string
	password    string
	hasPassword bool
	hosts       []string // as in Tier.Hosts
	port        uint16
	dbname      string
	sslmode     string
	sslrootcert string
}

var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// parameters that libpq knows: only such a name is shown when it is refused. What stands behind a "?" may be the second
// half of a password that somebody forgot to encode.
var libpqParameters = strings.Fields(`application_name channel_binding client_encoding connect_timeout dbname
	fallback_application_name gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle
	keepalives_interval krbsrvname load_balance_hosts max_protocol_version min_protocol_version oauth_client_id
	oauth_client_secret oauth_issuer oauth_scope options passfile password port replication require_auth requirepeer
	requiressl scram_client_key scram_server_key service servicefile ssl sslcert sslcertmode sslcompression sslcrl sslcrldir
	sslkey sslkeylogfile ssl_max_protocol_version ssl_min_protocol_version sslmode sslnegotiation sslpassword sslrootcert
	sslsni target_session_attrs tcp_user_timeout user`)

// sslModes are libpq's words, from the weakest to the strongest.
var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// parseURL reads postgresql://login:password@host:port,host/dbname?sslmode=... as libpq does (PostgreSQL documentation,
// "Connection URIs"), with four differences: login, host and database must be there, because nothing is ever filled in from
// anywhere else, and of the parameters only host, port, sslmode and sslrootcert are known. Its errors never show a part of
// the text that may be a secret.
func parseURL(s string) (*credentialURL, error) {
	scheme := schemePattern.FindString(s)
	switch scheme {
	case "postgresql://", "postgres://":
	case "":
		return nil, errors.New("not a PostgreSQL URL (no scheme); value not shown")
	default:
		return nil, fmt.Errorf("not a PostgreSQL URL (scheme %q); value not shown", strings.TrimSuffix(scheme, "://"))
	}
	u := &credentialURL{sslmode: defaultSSLMode, port: defaultServerPort}
	rest, query, _ := strings.Cut(u.userinfo(s[len(scheme):]), "?")
	authority, dbname, _ := strings.Cut(rest, "/")
	var err error
	if u.dbname, err = decode(dbname); err != nil {
		return nil, malformed("database")
	}
	if u.hosts, err = parseAuthority(authority); err != nil {
		return nil, err
	}
	if err = u.decodeUser(); err != nil {
		return nil, err
	}
	if err = u.parameters(query); err != nil {
		return nil, err
	}
	return u, u.complete()
}

func malformed(what string) error {
	return fmt.Errorf("not a valid PostgreSQL URL (%s); value not shown", what)
}

// userinfo takes login and password off the front, still encoded, and returns the rest. As in libpq, they end at the first
// "@", and there are none when a "/" comes before it.
func (u *credentialURL) userinfo(s string) string {
	end := strings.IndexAny(s, "@/")
	if end < 0 || s[end] == '/' {
		return s
	}
	u.login, u.password, u.hasPassword = strings.Cut(s[:end], ":")
	return s[end+1:]
}

func (u *credentialURL) decodeUser() (err error) {
	if u.login, err = decode(u.login); err != nil {
		return malformed("login")
	}
	if u.password, err = decode(u.password); err != nil {
		return malformed("password")
	}
	u.hasPassword = u.password != ""
	return nil
}

// parseAuthority reads host[:port],... Each host may be a name, an address, [an IPv6 address] or an encoded directory.
func parseAuthority(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var hosts []string
	for one := range strings.SplitSeq(s, ",") {
		host, err := decode(one)
		if err != nil {
			return nil, malformed("host")
		}
		if host == "" || strings.HasPrefix(host, ":") {
			return nil, malformed("empty host")
		}
		if host, err = checkHost(host); err != nil {
			return nil, malformed("host or port")
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// parameters reads the part behind "?".
func (u *credentialURL) parameters(query string) error {
	if query == "" {
		return nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, raw, ok := strings.Cut(pair, "=")
		value, err := decode(raw)
		if !ok || err != nil || value == "" {
			return malformed("query parameter")
		}
		if err := u.parameter(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (u *credentialURL) parameter(name, value string) (err error) {
	switch name {
	case "host":
		if u.hosts != nil {
			return malformed("host twice")
		}
		if u.hosts, err = parseAuthority(strings.ReplaceAll(value, "%", "%25")); err != nil {
			return err
		}
	case "port":
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil || port == 0 {
			return malformed("port")
		}
		u.port = uint16(port)
	case "sslmode":
		if !slices.Contains(sslModes, value) {
			return fmt.Errorf("unknown sslmode; write one of: %s", strings.Join(sslModes, ", "))
		}
		u.sslmode = value
	case "sslrootcert":
		u.sslrootcert = value
	default:
		if slices.Contains(libpqParameters, name) {
			return fmt.Errorf("parameter %q is not supported; only host, port, sslmode and sslrootcert are", name)
		}
		return malformed("unknown query parameter")
	}
	return nil
}

// complete says what the URL lacks.
func (u *credentialURL) complete() error {
	switch {
	case u.login == "":
		return errors.New("no login; write postgresql://LOGIN:PASSWORD@HOST/DATABASE")
	case len(u.hosts) == 0:
		return errors.New("no host; write postgresql://LOGIN:PASSWORD@HOST/DATABASE")
	case u.dbname == "":
		return errors.New("no database; write postgresql://LOGIN:PASSWORD@HOST/DATABASE")
	}
	return nil
}

var errEncoding = errors.New("bad percent-encoding")

// decode undoes percent-encoding. "+" is a plus; a zero byte is refused.
func decode(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return "", errEncoding
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", errEncoding
			}
			c = byte(n)
			i += 2
		}
		if c == 0 {
			return "", errEncoding
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

// checkHost returns a server's host in the one form that Tier.Hosts has: a directory, "host", "host:port" or
// "[address]:port".
func checkHost(s string) (string, error) {
	if strings.HasPrefix(s, "/") {
		return s, nil
	}
	host, port, hasPort := s, "", false
	if inner, ok := strings.CutPrefix(s, "["); ok {
		var tail string
		if host, tail, ok = strings.Cut(inner, "]"); !ok {
			return "", errors.New(`"[" without "]"`)
		}
		if port, hasPort = strings.CutPrefix(tail, ":"); !hasPort && tail != "" {
			return "", errors.New(`only a port may follow "]"`)
		}
	} else if strings.Count(s, ":") == 1 {
		host, port, hasPort = strings.Cut(s, ":")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	} else if !hostPattern.MatchString(host) {
		return "", errors.New("not a host name, an address or a directory")
	}
	if !hasPort {
		return host, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("the port must be from 1 to 65535")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port, nil
}
