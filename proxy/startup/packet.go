package startup

import (
	"slices"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
	"github.com/pgtier/pgtier/proxy/wire"
)

// Protocol versions.
const (
	protocol30 = 3 << 16
	protocol32 = 3<<16 | 2
)

// request is a startup packet taken apart, nothing of it judged.
type request struct {
	protocol  uint32 // what we will speak: protocol30 or protocol32
	negotiate bool   // the client must be told so, or that it used options that are
	unknown   []string
	user      string
	database  string // "" when the client did not say
	options   string
	params    []Param // the others, pgtier.* included
}

// parseRequest reads a StartupMessage's body.
//
//	{ string name \0 | string value \0 } ... | \0
func parseRequest(version uint32, body []byte) (*request, error) {
	major, minor := version>>16, version&0xffff
	if major != 3 {
		return nil, pgerr.Fatal(pgerr.FeatureNotSupported, "unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", major, minor)
	}
	r := &request{protocol: protocol30}
	if minor >= 2 {
		r.protocol = protocol32
	}
	r.negotiate = version != r.protocol // 3.1 never was; 3.9999 is sent to keep us supple
	if err := r.parseParameters(body); err != nil {
		return nil, err
	}
	if r.user == "" {
		return nil, errNoUser()
	}
	return r, nil
}

func errNoUser() error {
	return pgerr.Fatal(pgerr.InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
}

func (r *request) parseParameters(body []byte) error {
	var seen []string
	for {
		name, rest, ok := wire.CString(body)
		if !ok {
			return errLayout()
		}
		if len(name) == 0 {
			if len(rest) != 0 {
				return errLayout()
			}
			return nil
		}
		value, rest, ok := wire.CString(rest)
		if !ok {
			return errLayout()
		}
		body = rest
		// PostgreSQL takes the last of several. Two readers of one packet must not disagree about which one that is.
		key := strings.ToLower(string(name))
		if at, twice := slices.BinarySearch(seen, key); twice {
			return pgerr.Fatal(pgerr.ProtocolViolation, "startup parameter \"%s\" is given twice", name)
		} else {
			seen = slices.Insert(seen, at, key)
		}
		if err := r.set(string(name), string(value)); err != nil {
			return err
		}
	}
}

func errLayout() error {
	return pgerr.Fatal(pgerr.ProtocolViolation, "invalid startup packet layout: expected terminator as last byte")
}

func (r *request) set(name, value string) error {
	switch {
	case name == "user":
		r.user = value
	case name == "database":
		r.database = value
	case name == "options":
		r.options = value
	case name == "replication":
		return checkReplication(value)
	case strings.HasPrefix(name, "_pq_."):
		r.unknown, r.negotiate = append(r.unknown, name), true
	default:
		r.params = append(r.params, Param{name, value})
	}
	return nil
}

// checkReplication accepts only what means "no": a replication connection is another protocol with other rights.
func checkReplication(value string) error {
	switch strings.ToLower(value) {
	case "false", "off", "no", "0", "f", "n":
		return nil
	}
	return pgerr.Fatal(pgerr.FeatureNotSupported, "replication connections are not supported").
		WithHint("Connect to the PostgreSQL server itself for replication.")
}
