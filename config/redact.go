package config

import (
	"fmt"
	"io"
)

// Tier and Identity hold secrets. Whatever prints them, with whatever verb or encoder, gets their names only.

// Format prints "EPMT/ro" for every verb.
func (t Tier) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// MarshalText is what encoding/json and zap's reflection use.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String is the tier's name behind its database's.
func (t Tier) String() string {
	if t.Database == nil {
		return t.Name
	}
	return t.Database.Name + "/" + t.Name
}

// Format prints the identity's name for every verb.
func (i Identity) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, i.Name) }

// MarshalText is what encoding/json and zap's reflection use.
func (i Identity) MarshalText() ([]byte, error) { return []byte(i.Name), nil }

func (i Identity) String() string { return i.Name }
