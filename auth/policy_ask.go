package auth

import (
	"slices"
	"strings"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/proxy/pgerr"
)

// spelledOut are the words that clients may use beside the names of the tiers.
var spelledOut = map[string]string{"read-only": "ro", "read-write": "rw"}

// SplitUser splits the startup parameter "user" at its last "~" into an identity and the tier that is asked for, "" for
// none. The tier is as the client wrote it; Asked judges it.
//
// identity is set even when err is not nil, so that a caller may authenticate the client before it tells it anything.
func SplitUser(user string) (identity, tier string, err *pgerr.Error) {
	identity = user
	if i := strings.LastIndexByte(user, '~'); i >= 0 {
		identity, tier = user[:i], user[i+1:]
		if tier == "" {
			err = pgerr.Fatal(pgerr.InvalidAuthorization, `no tier after "~" in user name %q`, user).
				WithHint("Tiers: %s.", strings.Join(config.Tiers(), ", "))
		}
	}
	if identity == "" {
		err = pgerr.Fatal(pgerr.InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
	}
	return identity, tier, err
}

// Asked joins the three ways to ask for a tier: in the user name, in options, in a startup parameter of its own. "" means
// not asked. It returns the tier's name, "" when nobody asked.
//
// Its errors are authorisation detail: a client must not see them before it is authenticated.
func Asked(fromUser, fromOptions, fromParameter string) (string, *pgerr.Error) {
	var word, where, tier string
	for _, ask := range [...]struct{ word, where string }{
		{fromUser, "in the user name"},
		{fromOptions, "in options"},
		{fromParameter, "in a startup parameter"},
	} {
		if ask.word == "" {
			continue
		}
		t, ok := tierOf(ask.word)
		switch {
		case !ok:
			return "", unknownTier(ask.word)
		case tier != "" && t != tier:
			return "", pgerr.Fatal(pgerr.InvalidAuthorization, "tier asked twice: %q %s, %q %s", word, where, ask.word, ask.where)
		case tier == "":
			word, where, tier = ask.word, ask.where, t
		}
	}
	return tier, nil
}

// tierOf returns the tier that a word means.
func tierOf(word string) (string, bool) {
	if t, ok := spelledOut[word]; ok {
		return t, true
	}
	return word, slices.Contains(config.Tiers(), word)
}

func unknownTier(word string) *pgerr.Error {
	return pgerr.Fatal(pgerr.InvalidAuthorization, "tier %q does not exist", word).
		WithHint("Tiers: %s.", strings.Join(config.Tiers(), ", "))
}
