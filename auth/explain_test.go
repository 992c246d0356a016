package auth

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

var updateExplain = flag.Bool("update-explain", false, "rewrite testdata/explain.txt from what the program says")

// testdata/explain.txt has, for each "$ who database [from] [env]", what Explain says.
func TestExplain(t *testing.T) {
	const path = "testdata/explain.txt"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	preamble, rest, _ := strings.Cut(string(data), "$ ")
	out.WriteString(preamble)
	for section := range strings.SplitSeq(rest, "\n$ ") {
		command, want, _ := strings.Cut(section, "\n")
		got := explainCommand(t, strings.Fields(command))
		fmt.Fprintf(&out, "$ %s\n%s\n", command, got)
		if strings.TrimSpace(got) != strings.TrimSpace(want) && !*updateExplain {
			t.Errorf("$ %s\n got\n%s\nwant\n%s", command, got, want)
		}
	}
	if *updateExplain {
		if err := os.WriteFile(path, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func explainCommand(t *testing.T, args []string) string {
	var from netip.Addr
	env := map[string]string{}
	for _, arg := range args[2:] {
		if name, value, ok := strings.Cut(arg, "="); ok {
			env[name] = value
		} else {
			from = netip.MustParseAddr(arg)
		}
	}
	text := policyText
	if strings.Contains(rolesText, "[databases."+args[1]+"]") {
		text = rolesText
	}
	e := policyOf(t, text, env).Explain(args[0], args[1], from, today)
	if (e.Decision == nil && e.Console == NoConsole) == (e.Err == nil) {
		t.Errorf("%v: decision %v, error %v", args, e.Decision, e.Err)
	}
	if strings.Contains(e.String(), "canary") {
		t.Errorf("%v: a secret is shown", args)
	}
	return e.String()
}

func TestExplainWithoutConsole(t *testing.T) {
	e := policyOf(t, rolesText, nil).Explain("carol", "pgtier", netip.Addr{}, today)
	if e.Err == nil || e.Err.Code != pgerr.InvalidCatalogName || !strings.Contains(e.String(), "the configuration has no [console]") {
		t.Errorf("%v\n%s", e.Err, e)
	}
}
