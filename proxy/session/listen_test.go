package session

import (
	"strconv"
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

// hub plays the hub: what it says to c.
func (p *player) hub(c *testClient, f []string) {
	switch f[0] {
	case "hub":
		var e *pgerr.Error
		if len(f) > 3 {
			e = pgerr.Fatal(f[3], "the hub cannot")
		}
		p.w.event(c, func(s *Session, st *Step) { s.HubAnswered(st, f[2], e) })
	case "lost":
		p.w.event(c, (*Session).HubLost)
	case "heard":
		p.w.event(c, func(s *Session, st *Step) {
			var frames [][]byte
			st.Unsent = 0
			for i := 2; i < len(f); i += 2 {
				if n, ok := strings.CutPrefix(f[i], "#"); ok {
					st.Unsent, _ = strconv.Atoi(n)
					i--
					continue
				}
				payload, times, many := strings.Cut(f[i+1], "*")
				n := 1
				if many {
					n, _ = strconv.Atoi(times)
				}
				for range n {
					frames = append(frames, frame(nil, 'A', 0xff, 0, 0, 7, f[i], 0, payload, 0))
				}
			}
			s.Heard(st, frames)
		})
	}
}

func channelsAsked(s *Session) string {
	var b strings.Builder
	for _, r := range s.TakeChannels() {
		sign := " -"
		if r.Listen {
			sign = " +"
		}
		b.WriteString(sign + r.Name)
	}
	return b.String()
}
