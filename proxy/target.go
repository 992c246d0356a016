package proxy

import (
	"errors"
	"fmt"

	"github.com/pgtier/pgtier/config"
	"github.com/pgtier/pgtier/pool"
	"github.com/pgtier/pgtier/pool/server"
	"github.com/pgtier/pgtier/proxy/sqlscan"
)

// tier returns the tier that a pool is of, nil when it has been removed.
func (snap *snapshot) tier(key pool.Key) *config.Tier {
	db := snap.cfg.Databases[key.Database]
	if db == nil {
		return nil
	}
	return db.Tiers[key.Tier]
}

// target is how the connections of a pool are logged in, except for the client keys that pass through: these are nobody's but
// the sessions'.
func (snap *snapshot) target(key pool.Key) (server.Target, error) {
	t := snap.tier(key)
	if t == nil {
		return server.Target{}, errors.New("the tier has been removed from the configuration")
	}
	if t.LogsInAsRole() != (key.Identity != "") {
		return server.Target{}, errors.New("the isolation of the tier has changed")
	}
	target := server.Target{
		Hosts: t.Hosts, Port: t.Port, Database: t.DBName, Login: t.Login, Passwords: t.Passwords,
		SSLMode: t.SSLMode, SSLRootCert: t.SSLRootCert, SSLCert: t.SSLCert, SSLKey: t.SSLKey,
		Params: parameters(t, key.Role), ConnectTimeout: t.Timeouts.ServerConnect, AcceptSuperuser: t.AcceptSuperuser,
	}
	if t.LogsInAsRole() {
		return target, snap.own(&target, t, key)
	}
	return target, nil
}

// own makes target the login of one person: as their role, with what is theirs. accept_superuser is for logins of tiers.
func (snap *snapshot) own(target *server.Target, t *config.Tier, key pool.Key) error {
	who := snap.cfg.Identities[key.Identity]
	if who == nil || who.Disabled {
		return fmt.Errorf("identity %q has been removed or disabled", key.Identity)
	}
	target.Login, target.Passwords = key.Role, who.Passwords
	target.AcceptSuperuser, target.AskSuperuser = false, true
	if t.CertTemplate == nil {
		return nil
	}
	var err, err2 error
	target.SSLCert, err = t.CertTemplate.Fill(key.Identity, key.Role)
	target.SSLKey, err2 = t.KeyTemplate.Fill(key.Identity, key.Role)
	return errors.Join(err, err2)
}

// parameters are the startup packet's.
func parameters(t *config.Tier, role string) map[string]string {
	params := make(map[string]string, len(t.Settings)+1)
	for name, value := range t.Settings {
		params[name] = value
	}
	switch {
	case t.Isolation == "shared":
		// A login that many identities share may have been set up by one of them to mislead the next: these three are what it
		// may change of its own settings (ALTER ROLE ... SET) and what would take effect before anything can be reset.
		params["role"], params["local_preload_libraries"] = "none", ""
		if _, ok := params["search_path"]; !ok {
			params["search_path"] = `"$user", public`
		}
	case t.LogsInAsRole(): // the role is the login, and its settings are its own
	case role != "":
		params["role"] = role
	}
	if t.Guard {
		// What the guard's lexer relies on, whatever ALTER ROLE or ALTER DATABASE says: RESET leads back to what is sent here.
		params["standard_conforming_strings"] = "on"
		if !sqlscan.SafeEncoding(params["client_encoding"]) || params["client_encoding"] == "" {
			params["client_encoding"] = "UTF8"
		}
	}
	return params
}
