package startup

import (
	"strings"

	"github.com/pgtier/pgtier/auth"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

const (
	invalidName        = "42602" // invalid_name
	cantChangeParam    = "55P02" // cant_change_runtime_param
	tierParameter      = "pgtier.tier"
	ownParameterPrefix = "pgtier."
)

// parameters are all run-time parameters of a login.
type parameters struct {
	list        []Param
	fromOptions []string // values of pgtier.tier inside options, in order
	fromPacket  string   // value of pgtier.tier in the startup packet; "" when not given
}

// collect joins those of options and those of the packet itself, and refuses those that a client may not set.
func collect(r *request) (*parameters, error) {
	inOptions, err := parseOptions(r.options)
	if err != nil {
		return nil, err
	}
	p := new(parameters)
	for _, param := range inOptions {
		if strings.EqualFold(param.Name, tierParameter) {
			p.fromOptions = append(p.fromOptions, param.Value)
		} else if err := p.add(param); err != nil {
			return nil, err
		}
	}
	for _, param := range r.params {
		if strings.EqualFold(param.Name, tierParameter) {
			p.fromPacket = param.Value
		} else if err := p.add(param); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *parameters) add(param Param) error {
	if err := checkName(param.Name); err != nil {
		return err
	}
	p.list = append(p.list, param)
	return nil
}

// tier is the tier that the client asks for, "" for none. An error is for authenticated clients only.
func (p *parameters) tier(fromUser string) (string, *pgerr.Error) {
	inOptions := ""
	for _, word := range p.fromOptions {
		if inOptions != "" && word != inOptions {
			return "", pgerr.Fatal(pgerr.InvalidAuthorization, "tier asked twice: %q in options, %q in options", inOptions, word)
		}
		inOptions = word
	}
	return auth.Asked(fromUser, inOptions, p.fromPacket)
}

// checkName refuses parameters that would make the session somebody else's, or that are not names at all. It compares as
// PostgreSQL does: without regard to ASCII case, and with "-" for "_", which is more than PostgreSQL does outside options.
func checkName(name string) error {
	switch key := strings.ReplaceAll(strings.ToLower(name), "-", "_"); {
	case key == "role", key == "session_authorization":
		return pgerr.Fatal(pgerr.InvalidAuthorization, "permission denied to change role: the role of this connection is set by pgtier").
			WithHint(`Remove "%s" from the connection parameters; ask for a tier with user "name~tier".`, key)
	case key == "replication":
		return checkReplication("")
	case strings.HasPrefix(key, ownParameterPrefix):
		return pgerr.Fatal(cantChangeParam, "parameter \"%s\" cannot be changed", name).
			WithHint(`"%s" is the only parameter of pgtier that a client may set.`, tierParameter)
	case key == "local_preload_libraries", key == "session_preload_libraries":
		// They load code into a server connection that others will use after this client.
		return pgerr.Fatal(cantChangeParam, "parameter \"%s\" cannot be set through pgtier", name).
			WithHint("It can be set in the settings of a tier.")
	case !validName(name):
		return pgerr.Fatal(invalidName, "invalid configuration parameter name \"%s\"", name)
	}
	return nil
}

// validName is PostgreSQL's rule for names of parameters without its non-ASCII letters, which no parameter has. Whoever
// writes such a name into SQL needs no quotes.
func validName(name string) bool {
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			c := part[i]
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
			if !letter && (i == 0 || c != '$' && (c < '0' || c > '9')) {
				return false
			}
		}
	}
	return true
}
