package config

import (
	"strconv"
	"strings"
)

// refusedSettings may not be set at connection start, with what to write instead.
var refusedSettings = map[string]string{
	"role":                  `write role = ".." in the tier`,
	"session_authorization": "the login of the tier is what sessions are authorised as",
	"user":                  `write login = ".." in the tier`,
	"database":              `write dbname = ".." in the database`,
	"replication":           "replication connections are not pooled",
	"options":               "write each setting with a key of its own",
}

// settings are sent in the startup packet of server connections. Numbers and booleans may stand without quotes.
func (t *table) settings() map[string]string {
	s := t.sub("settings", kindNames)
	if s == nil {
		return nil
	}
	out := make(map[string]string, len(s.vals))
	spelled := map[string]string{}
	for _, name := range s.names() {
		lower := strings.ToLower(name)
		switch instead, refused := refusedSettings[lower]; {
		case refused:
			t.d.failf(s.keyAt(name), "%q cannot be a setting: %s", name, instead)
		case spelled[lower] != "":
			t.d.failf(s.keyAt(name), "%q and %q are the same setting", spelled[lower], name)
		case !settingName(name):
			t.d.failf(s.keyAt(name), "%q is not the name of a PostgreSQL setting", name)
		}
		spelled[lower] = name
		switch v := s.vals[name].(type) {
		case int64:
			out[name] = strconv.FormatInt(v, 10)
		case float64:
			out[name] = strconv.FormatFloat(v, 'g', -1, 64)
		case bool:
			out[name] = strconv.FormatBool(v)
		case string: // may be empty: that is how some lists are cleared
			if out[name] = v; strings.ContainsRune(v, 0) {
				s.failf(name, "setting %q must not contain a zero byte", name)
			}
		default:
			s.failf(name, "setting %q must be a string, a number or a boolean", name)
		}
	}
	return out
}

// settingName is PostgreSQL's rule for a setting's name, extensions' included. It also keeps protocol options (_pq_.) out.
func settingName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '.' && c != '$' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 63 && !strings.HasPrefix(strings.ToLower(s), "_pq_")
}
