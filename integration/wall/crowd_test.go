package wall

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtier/pgtier/auth/roles"
	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/integration/harness"
	"github.com/pgtier/pgtier/integration/pgtest"
	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

var crowdTime = flag.Duration("wall.crowd", 15*time.Second, "how long TestCrowd lasts")

//go:embed testdata/crowd.sql
var crowdSQL string

const (
	crowdSize = 1000
	// revocation is how long a role that has lost its right to be taken may still be answered.
	revocation = 10 * time.Second
	// think is how long it takes from an answer to the next question, at most: two thousand sessions must not be a test of
	// the machine.
	think = 2 * time.Second
)

// crowdLevels are the databases that the crowd is in, at the same time.
var crowdLevels = []struct {
	name  string // of the database
	guard bool
}{{"crowd", false}, {"crowd_guarded", true}}

// person is one identity of the crowd, with what has been done to its role.
type person struct {
	name string
	rows int

	mu       sync.Mutex
	barred   time.Time      // since when its role may not be taken; zero: it may
	restored time.Time      // when it last was given back
	answers  map[string]int // by database
}

func (p *person) bar() { p.mu.Lock(); p.barred = time.Now(); p.mu.Unlock() }
func (p *person) restore() {
	p.mu.Lock()
	p.barred, p.restored = time.Time{}, time.Now()
	p.mu.Unlock()
}

// mayFail reports whether an error is no surprise: its role is barred, or was a moment ago.
func (p *person) mayFail() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.barred.IsZero() || time.Since(p.restored) < revocation
}

// mustFail reports whether a question asked at that moment has to be refused.
func (p *person) mustFail(asked time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.barred.IsZero() && asked.Sub(p.barred) > revocation
}

// crowd is the people, their database and the pgtier in front of it.
type crowd struct {
	*testing.T
	people []*person
	proxy  *harness.Proxy
	admin  *pgconn.PgConn
	total  atomic.Int64
	late   atomic.Int64 // refusals, as there have to be
}

// TestCrowd: a thousand identities on twenty server connections of each level get their own rows and nobody else's, while
// memberships and roles change under them.
func TestCrowd(t *testing.T) {
	c := newCrowd(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience+*crowdTime)
	defer cancel()
	var wg, arrived sync.WaitGroup
	begin, end := make(chan struct{}), make(chan struct{})
	for _, p := range c.people {
		for _, l := range crowdLevels {
			arrived.Add(1)
			wg.Go(func() { c.live(ctx, p, l.name, &arrived, begin, end) })
		}
	}
	arrived.Wait()
	close(begin)
	time.AfterFunc(*crowdTime, func() { close(end) })
	c.trouble(ctx, end)
	wg.Wait()
	c.check()
}

func newCrowd(t *testing.T) *crowd {
	cluster, epmt := testpg.StartEPMT(t, pgtest.Options{Settings: map[string]string{"max_connections": "60"}})
	c := &crowd{T: t}
	must(t, cluster.Exec(t.Context(), pgtest.Superuser, `CREATE ROLE px_crowd LOGIN NOINHERIT PASSWORD '`+password+`';
		DO $$ BEGIN FOR i IN 0..999 LOOP EXECUTE format('CREATE ROLE %1$I LOGIN; GRANT %1$I TO px_crowd', 'p' || to_char(i, 'FM0000')); END LOOP; END $$`))
	var err error
	c.admin, err = pgconn.Connect(t.Context(), cluster.SuperuserURL(pgtest.Superuser))
	must(t, err)
	t.Cleanup(func() { _ = c.admin.Close(context.Background()) })
	var more strings.Builder
	more.WriteString("[limits]\nper_identity = 10\n")
	for _, l := range crowdLevels {
		createCrowd(t, cluster, l.name, l.guard)
		fmt.Fprintf(&more, "[databases.%[1]s]\nserver = \"main\"\ndefault_tier = \"rw\"\n[databases.%[1]s.tiers.rw]\nlogin = \"px_crowd\"\n"+
			"password = { env = \"WALL\" }\nrole = \"{identity}\"\nisolation = \"shared\"\nguard = %[2]v\npool = { size = 20 }\n"+
			"[[grants]]\nto = \"*\"\ndatabase = %[1]q\ntiers = [\"rw\"]\n", l.name, l.guard)
	}
	verifier := scram.Mint(password, scram.NewSalt(), harness.FewIterations).Encode()
	for i := range crowdSize {
		p := &person{name: fmt.Sprintf("p%04d", i), rows: i%7 + 1, answers: map[string]int{}}
		c.people = append(c.people, p)
		fmt.Fprintf(&more, "[identities.%s]\nscram = %q\n", p.name, verifier)
	}
	c.proxy = harness.Start(t, harness.Options{Cluster: cluster, EPMT: epmt, More: more.String(), Env: map[string]string{"WALL": password}})
	return c
}

// createCrowd makes one level's database.
func createCrowd(t *testing.T, cluster *pgtest.Cluster, database string, hardened bool) {
	t.Helper()
	must(t, cluster.Exec(t.Context(), pgtest.Superuser, "CREATE DATABASE "+database))
	must(t, cluster.Exec(t.Context(), database, crowdSQL))
	if !hardened {
		return
	}
	conn, err := pgconn.Connect(t.Context(), cluster.SuperuserURL(database))
	must(t, err)
	must(t, roles.Hardening{Database: database}.Apply(t.Context(), conn, &strings.Builder{}))
	must(t, conn.Close(t.Context()))
}

// live is one person's session, and the next one when it has been ended.
func (c *crowd) live(ctx context.Context, p *person, database string, arrived *sync.WaitGroup, begin, end <-chan struct{}) {
	conn := c.connect(ctx, p, database)
	arrived.Done()
	<-begin
	for {
		select {
		case <-end:
			if conn != nil {
				_ = conn.Close(context.Background())
			}
			return
		case <-time.After(rand.N(think)):
		}
		if conn == nil {
			if conn = c.connect(ctx, p, database); conn == nil {
				continue
			}
		}
		if !c.ask(ctx, p, database, conn) {
			_ = conn.Close(context.Background())
			conn = nil
		}
	}
}

func (c *crowd) connect(ctx context.Context, p *person, database string) *pgconn.PgConn {
	conn, err := pgconn.Connect(ctx, c.proxy.DSNFor(url.UserPassword(p.name, password), database))
	if err != nil {
		c.failed(p, "connect", err)
		return nil
	}
	return conn
}

func (c *crowd) failed(p *person, what string, err error) {
	if !p.mayFail() {
		c.Errorf("%s: %s: %v", p.name, what, err)
	}
	c.late.Add(1)
}

// ask asks who and how many, and looks at every word of the answer. It reports whether the session goes on.
func (c *crowd) ask(ctx context.Context, p *person, database string, conn *pgconn.PgConn) bool {
	asked := time.Now()
	results, err := conn.Exec(ctx, "SELECT current_user, count(*), min(owner), max(owner) FROM public.crowd").ReadAll()
	if err != nil {
		var e *pgconn.PgError
		if !errors.As(err, &e) {
			err = fmt.Errorf("no answer of a server: %w", err)
		}
		c.failed(p, "ask", err)
		return false
	}
	row := results[0].Rows[0]
	got := fmt.Sprintf("%s %s %s %s", row[0], row[1], row[2], row[3])
	if want := fmt.Sprintf("%s %d %[1]s %[1]s", p.name, p.rows); got != want {
		c.Errorf("%s was answered %q in %s, not %q", p.name, got, database, want)
	}
	if p.mustFail(asked) {
		c.Errorf("%s is still answered %v after it was barred", p.name, revocation)
	}
	p.mu.Lock()
	p.answers[database]++
	p.mu.Unlock()
	c.total.Add(1)
	return true
}

// troubles are what is done to a role, and how it is undone. bars says that the role may not be taken meanwhile.
var troubles = []struct {
	do, undo string
	bars     bool
}{
	{"REVOKE %s FROM px_crowd", "GRANT %s TO px_crowd", true},
	{"ALTER ROLE %s NOLOGIN", "ALTER ROLE %s LOGIN", true},
	{"ALTER ROLE %s VALID UNTIL '2000-01-01'", "ALTER ROLE %s VALID UNTIL 'infinity'", true},
	{"ALTER ROLE %s CONNECTION LIMIT 1", "ALTER ROLE %s CONNECTION LIMIT -1", false},
	{"ALTER ROLE %s SET work_mem = '5MB'", "ALTER ROLE %s RESET work_mem", false},
	{"ALTER ROLE %s SET my.mark = 'marked'", "ALTER ROLE %s RESET ALL", false},
}

// trouble changes roles at random until the end; about half of what it bars stays so.
func (c *crowd) trouble(ctx context.Context, end <-chan struct{}) {
	var undo []func()
	for {
		select {
		case <-end:
			return
		case <-time.After(20 * time.Millisecond):
		}
		p, x := c.people[rand.N(len(c.people)/2)], troubles[rand.N(len(troubles))]
		if p.mayFail() {
			continue
		}
		if x.bars {
			p.bar() // before it is so: what is asked from now on may fail
		}
		c.exec(ctx, fmt.Sprintf(x.do, p.name))
		if x.bars {
			p.bar()
		}
		undo = append(undo, func() {
			c.exec(ctx, fmt.Sprintf(x.undo, p.name))
			if x.bars {
				p.restore()
			}
		})
		if i := rand.N(len(undo)); i < len(undo)/2 {
			undo[i]()
			undo = append(undo[:i], undo[i+1:]...)
		}
	}
}

func (c *crowd) exec(ctx context.Context, sql string) {
	if _, err := c.admin.Exec(ctx, sql).ReadAll(); err != nil {
		c.Errorf("%s: %v", sql, err)
	}
}

func (c *crowd) check() {
	silent := 0
	for _, p := range c.people[len(c.people)/2:] { // the others may have been barred from the first moment on
		for _, l := range crowdLevels {
			if p.answers[l.name] == 0 {
				silent++
			}
		}
	}
	if silent > 0 {
		c.Errorf("%d sessions had no answer", silent)
	}
	c.Logf("%d answers, %d refusals", c.total.Load(), c.late.Load())
}
