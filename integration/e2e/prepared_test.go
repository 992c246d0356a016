package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgproto3/v2"

	"github.com/pgtier/pgtier/integration/harness"
)

// TestRandomPipelines: batches of 100 that prepare, run and close statements in any order, several in flight, of three clients on
// two servers that keep 66 statements each: every answer is that of a direct connection, errors in their places included.
func TestRandomPipelines(t *testing.T) {
	p := harness.Start(t, harness.Options{Pools: map[string]string{"ro": "size = 2"},
		Tiers: map[string]string{"ro": "max_prepared_statements = 66"}}).Endpoint
	var clients []*preparing
	for i := range 3 {
		clients = append(clients, &preparing{rawClient: dialRaw(t, p, "alice", nil), id: i, known: map[string]string{}, rand: rand.New(rand.NewPCG(1, uint64(i)))})
	}
	for round := range 30 {
		for _, c := range clients {
			c.want = c.want[:0]
			var send []pgproto3.FrontendMessage
			batches := 1 + c.rand.IntN(3)
			for range batches {
				send = append(send, c.batch(100)...)
			}
			c.send(send...)
			if got, want := c.answers(batches), strings.Join(c.want, " "); got != want {
				t.Fatalf("round %d, client %d:\ngot  %s\nwant %s", round, c.id, got, want)
			}
		}
	}
}

// preparing is a client with a model of what PostgreSQL knows of it.
type preparing struct {
	*rawClient
	id    int
	known map[string]string // name -> the value that the statement returns
	want  []string
	next  int
	rand  *rand.Rand
}

// batch returns n requests and a Sync, and notes what must be answered. What an error discards has not happened; what came
// before it in the batch has: prepared statements are not transactional.
func (c *preparing) batch(n int) (send []pgproto3.FrontendMessage) {
	failed := false
	answer := func(text string) {
		if !failed {
			c.want = append(c.want, text)
		}
		failed = failed || strings.HasPrefix(text, "error")
	}
	for range n {
		name := fmt.Sprint("s", c.rand.IntN(100))
		value, known := c.known[name]
		switch roll := c.rand.IntN(1000); {
		case roll < 3: // fails when it is run
			send = append(send, &pgproto3.Parse{Query: "SELECT 1 / (random() * 0)::int"}, &pgproto3.Bind{}, &pgproto3.Execute{})
			answer("parsed")
			answer("bound")
			answer("error:22012")
		case roll < 6: // an unknown name, or one that is taken
			if known {
				send = append(send, &pgproto3.Parse{Name: name, Query: "SELECT 0"})
				answer("error:42P05")
			} else {
				send = append(send, &pgproto3.Bind{PreparedStatement: name})
				answer("error:26000")
			}
		case !known:
			c.next++
			value = fmt.Sprint(c.next%120*10 + c.id%2) // some texts are another client's, too
			send = append(send, &pgproto3.Parse{Name: name, Query: "SELECT " + value})
			if answer("parsed"); !failed {
				c.known[name] = value
			}
		case roll < 250:
			send = append(send, &pgproto3.Close{ObjectType: 'S', Name: name})
			if answer("closed"); !failed {
				delete(c.known, name)
			}
		default:
			send = append(send, &pgproto3.Bind{PreparedStatement: name}, &pgproto3.Execute{})
			answer("bound")
			answer("row:" + value)
			answer("SELECT 1")
		}
	}
	failed = false
	answer("ready:I")
	return append(send, &pgproto3.Sync{})
}
