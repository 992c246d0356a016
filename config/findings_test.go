package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata from what the program says")

// edit replaces a block of lines; an empty old means append.
type edit struct{ old, new string }

// findingsCase is one case of testdata/findings.txt.
type findingsCase struct {
	name  string
	env   map[string]string
	edits []edit
	want  []string
	head  []string // its lines without the wanted ones, for -update
}

func TestFindings(t *testing.T) {
	const path = "testdata/findings.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	preamble, cases := parseFindings(string(data))
	out := preamble
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := c.run(t)
			if *update {
				out += c.render(got)
				return
			}
			if want := strings.Join(c.want, "\n"); want != strings.Join(got, "\n") {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
			for _, line := range got {
				if strings.Contains(line, "canary") {
					t.Errorf("a secret is shown: %s", line)
				}
			}
		})
	}
	if *update {
		write(t, path, strings.TrimRight(out, "\n")+"\n", 0o644)
	}
}

func parseFindings(data string) (preamble string, cases []*findingsCase) {
	for line := range strings.Lines(data) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "== "); ok {
			cases = append(cases, &findingsCase{name: name, env: map[string]string{}, head: []string{line}})
			continue
		}
		if len(cases) == 0 {
			preamble += line + "\n"
			continue
		}
		cases[len(cases)-1].line(line)
	}
	return preamble, cases
}

func (c *findingsCase) line(line string) {
	previous := c.head[len(c.head)-1]
	if want, ok := strings.CutPrefix(line, "> "); ok {
		c.want = append(c.want, want)
		return
	}
	if line == "" {
		return
	}
	c.head = append(c.head, line)
	if env, ok := strings.CutPrefix(line, "env "); ok {
		name, value, _ := strings.Cut(env, "=")
		c.env[name] = value
	} else if old, ok := strings.CutPrefix(line, "- "); ok {
		if !strings.HasPrefix(previous, "- ") {
			c.edits = append(c.edits, edit{})
		}
		c.edits[len(c.edits)-1].old += old + "\n"
	} else if new, ok := strings.CutPrefix(line, "+ "); ok {
		if !strings.HasPrefix(previous, "- ") && !strings.HasPrefix(previous, "+ ") {
			c.edits = append(c.edits, edit{})
		}
		c.edits[len(c.edits)-1].new += new + "\n"
	}
}

func (c *findingsCase) run(t *testing.T) []string {
	dir, env := world(t)
	write(t, filepath.Join(dir, "open"), "canary\n", 0o644)
	cfg, findings := LoadBytes(filepath.Join(dir, "pgtier.toml"), []byte(c.edit(t, epmt)), c.environment(env))
	if (cfg == nil) != (len(findings) > 0) {
		t.Errorf("configuration %v with %d findings", cfg != nil, len(findings))
	}
	var got []string
	for _, f := range findings {
		got = append(got, strings.ReplaceAll(f.String(), dir+"/", ""))
	}
	return got
}

// edit applies the case's edits to text.
func (c *findingsCase) edit(t *testing.T, text string) string {
	t.Helper()
	for _, e := range c.edits {
		if e.old == "" {
			text += e.new
			continue
		}
		if !strings.Contains(text, e.old) {
			t.Fatalf("nothing to replace: %q", e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text
}

// environment is env with the case's variables.
func (c *findingsCase) environment(env Env) Env {
	return func(name string) (string, bool) {
		if v, ok := c.env[name]; ok {
			return v, true
		}
		return env(name)
	}
}

func (c *findingsCase) render(got []string) string {
	out := strings.Join(c.head, "\n") + "\n"
	for _, line := range got {
		out += "> " + line + "\n"
	}
	return out + "\n"
}
