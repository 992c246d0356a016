package config

import (
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Endpoints returns the tier's hosts, each with its port: "host:port", "[address]:port" or "/directory:port".
func (t *Tier) Endpoints() []string {
	out := make([]string, len(t.Hosts))
	for i, host := range t.Hosts {
		out[i] = endpoint(host, t.Port)
	}
	return out
}

func endpoint(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("%s:%d", path.Clean(host), port)
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// GroupsOf returns the names of the groups that each identity is a member of, sorted.
func (c *Config) GroupsOf() map[string][]string {
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		for _, member := range c.Groups[name].Members {
			out[member] = append(out[member], name)
		}
	}
	return out
}

// Holds says whether every attribute that when names has one of the values that when lists. An attribute that the identity
// lacks has no value.
func Holds(when, attributes map[string][]string) bool {
	for name, wanted := range when {
		if !slices.ContainsFunc(attributes[name], func(v string) bool { return slices.Contains(wanted, v) }) {
			return false
		}
	}
	return true
}
