package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docHeadings are the headings of docs/configuration.md under which the keys of each kind are described.
var docHeadings = map[kind]string{
	kindTop:           "## Top of the file",
	kindListen:        "## `[listen]`",
	kindServer:        "## `[servers.NAME]`",
	kindDatabase:      "## `[databases.NAME]`",
	kindTier:          "## `[databases.NAME.tiers.TIER]`",
	kindPool:          "### `pool`",
	kindTierTimeouts:  "## `[databases.NAME.tiers.TIER]`",
	kindTierLimits:    "## `[databases.NAME.tiers.TIER]`",
	kindIdentity:      "## `[identities.NAME]`",
	kindGrant:         "## `[[grants]]`",
	kindGrantTimeouts: "## `[[grants]]`",
	kindGrantLimits:   "## `[[grants]]`",
	kindDeny:          "## `[[denies]]`",
	kindTimeouts:      "## `[timeouts]`",
	kindLimits:        "## `[limits]`",
	kindRelay:         "## `[relay]`",
	kindLog:           "## `[log]`",
	kindConsole:       "## `[console]`",
	kindSecret:        "## Secrets",
}

func readDocs(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// docSection is the text from a heading to the next.
func docSection(t *testing.T, doc, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(doc, "\n"+heading)
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	if end := regexp.MustCompile(`\n##+ `).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

func TestEveryKeyIsDocumented(t *testing.T) {
	doc := readDocs(t)
	for k, names := range keys {
		section := docSection(t, doc, docHeadings[k])
		for _, name := range names {
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("%s: `%s` is not under %q", k, name, docHeadings[k])
			}
		}
	}
	for _, l := range notYet {
		if section := docSection(t, doc, "## Not supported yet"); !strings.Contains(section, l.key) {
			t.Errorf("%q is not among what is not supported yet", l.key)
		}
	}
}

func TestDocumentedDefaults(t *testing.T) {
	doc := readDocs(t)
	timeouts := DefaultTimeouts()
	for _, f := range timeouts.fields() {
		m := regexp.MustCompile("\\| `" + f.key + "` \\| (\\S+) \\|").FindStringSubmatch(docSection(t, doc, docHeadings[kindTimeouts]))
		if m == nil {
			t.Errorf("no default of %s", f.key)
		} else if d, err := time.ParseDuration(m[1]); err != nil || d != *f.value {
			t.Errorf("%s: documented %s, is %s", f.key, m[1], *f.value)
		}
	}
	for heading, defaults := range map[string]map[string]any{
		docHeadings[kindLimits]: {"connections": DefaultLimits().Connections, "startup_packet": DefaultLimits().StartupPacket},
		docHeadings[kindPool]:   {"size": defaultPoolSize, "reserve_after": defaultReserveAfter},
		docHeadings[kindServer]: {"port": defaultServerPort, "sslmode": "`\"" + defaultSSLMode + "\"`"},
		docHeadings[kindSecret]: {"timeout": defaultCommandWait},
		docHeadings[kindLog]:    {"level": "`\"" + defaultLogLevel + "\"`", "format": "`\"" + defaultLogFormat + "\"`"},
	} {
		for key, value := range defaults {
			if row := fmt.Sprintf("| `%s` | %v |", key, value); !strings.Contains(docSection(t, doc, heading), row) {
				t.Errorf("under %q there is no row %s", heading, row)
			}
		}
	}
}

func TestDocumentedExampleLoads(t *testing.T) {
	_, rest, _ := strings.Cut(readDocs(t), "```toml\n")
	example, _, _ := strings.Cut(rest, "```")
	t.Setenv("EPMT_ADMIN_PASSWORD", "x")
	cfg, findings := LoadBytes("pgtier.toml", []byte(example), func(name string) (string, bool) {
		return "x", strings.HasSuffix(name, "_PASSWORD") || strings.Contains(name, "_PASSWORD_")
	})
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cfg.Grants) != 3 || len(cfg.Identities["ingest"].Passwords) != 2 {
		t.Errorf("%d grants, %d passwords", len(cfg.Grants), len(cfg.Identities["ingest"].Passwords))
	}
}
