package roles

import "fmt"

// connections compares how many server connections the pools may open with what the server allows.
func (c *checkup) connections() {
	free := c.facts.MaxConnections - c.facts.Reserved
	const why = "when all are in use, the server refuses further ones and clients wait or fail"
	if c.demand > free {
		f := c.add(Warning, "max-connections", fmt.Sprintf("the pools of all tiers on this server may open %d connections and it allows %d", c.demand, free),
			why, fmt.Sprintf("ALTER SYSTEM SET max_connections = %d;", c.demand+c.facts.Reserved))
		f.Hint = "or make pools smaller, or set limits.per_server; max_connections takes a restart"
	}
	login := c.login()
	if n := c.perLogin[c.tier.Login]; login.ConnectionLimit >= 0 && n > login.ConnectionLimit {
		c.add(Warning, "connection-limit", fmt.Sprintf("the pools of login %s may open %d connections and its CONNECTION LIMIT is %d",
			show(login.Name), n, login.ConnectionLimit), why, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d;", ident(login.Name), n))
	}
	if n := c.perDatabase[c.tier.DBName]; c.facts.ConnectionLimit >= 0 && n > c.facts.ConnectionLimit {
		c.add(Warning, "connection-limit", fmt.Sprintf("the pools of database %s may open %d connections and its CONNECTION LIMIT is %d",
			show(c.facts.Database), n, c.facts.ConnectionLimit), why, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d;", ident(c.facts.Database), n))
	}
}
