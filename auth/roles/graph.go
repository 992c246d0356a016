package roles

import "time"

// public is the grantee that everybody is.
const public = 0

// role is a row of pg_roles.
type role struct {
	OID             uint32     `json:"oid"`
	Name            string     `json:"name"`
	Superuser       bool       `json:"superuser"`
	Inherit         bool       `json:"inherit"`
	CreateRole      bool       `json:"createrole"`
	CreateDB        bool       `json:"createdb"`
	Replication     bool       `json:"replication"`
	BypassRLS       bool       `json:"bypassrls"`
	ConnectionLimit int        `json:"connection_limit"` // -1: none
	ValidUntil      *time.Time `json:"valid_until"`      // nil: for ever
	Connect         bool       `json:"connect"`          // may connect to the database
}

// membership is a row of pg_auth_members: Member has been granted Role.
type membership struct {
	Role    uint32 `json:"role"`
	Member  uint32 `json:"member"`
	Grantor uint32 `json:"grantor"`
	Admin   bool   `json:"admin"`   // Member may grant Role, to itself too
	Set     bool   `json:"set"`     // Member may SET ROLE to Role
	Inherit bool   `json:"inherit"` // Member has Role's privileges without
}

// becomes says whether the member can run as the role, if need be after granting itself what is missing.
func (m membership) becomes() bool { return m.Set || m.Admin }

// graph is who is a member of whom.
type graph struct {
	byOID  map[uint32]*role
	byName map[string]*role
	up     map[uint32][]membership // by member
}

func newGraph(roles []*role, members []membership) *graph {
	g := &graph{byOID: map[uint32]*role{}, byName: map[string]*role{}, up: map[uint32][]membership{}}
	for _, r := range roles {
		g.byOID[r.OID], g.byName[r.Name] = r, r
	}
	for _, m := range members {
		g.up[m.Member] = append(g.up[m.Member], m)
	}
	return g
}

// name of a role, for people and SQL: PUBLIC is not quoted.
func (g *graph) name(oid uint32) string {
	if oid == public {
		return "PUBLIC"
	}
	if r := g.byOID[oid]; r != nil {
		return ident(r.Name)
	}
	return ident("unknown role")
}

// climb adds to set everything that its members reach over the memberships that along takes.
func (g *graph) climb(set map[uint32]bool, along func(membership) bool) map[uint32]bool {
	var queue []uint32
	for oid := range set {
		queue = append(queue, oid)
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, m := range g.up[at] {
			if along(m) && !set[m.Role] {
				set[m.Role] = true
				queue = append(queue, m.Role)
			}
		}
	}
	return set
}

// becomes is the SET closure of a login: itself and every role that a client of it can run as.
func (g *graph) becomes(login uint32) map[uint32]bool {
	return g.climb(map[uint32]bool{login: true}, membership.becomes)
}

// reaches is every role whose privileges a client of the login can use: by running as it, or by inheriting from what it can
// run as. Everybody is PUBLIC.
func (g *graph) reaches(login uint32) map[uint32]bool {
	set := g.climb(g.becomes(login), func(m membership) bool { return m.Inherit })
	set[public] = true
	return set
}

// inherits is every role whose privileges the login has without SET ROLE.
func (g *graph) inherits(login uint32) map[uint32]bool {
	return g.climb(map[uint32]bool{login: true}, func(m membership) bool { return m.Inherit })
}
