package config

import (
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	cfg, findings := load1(t, strings.Replace(epmt, "pool     = { size = 20 }",
		"pool     = { size = 20 }\nsettings = { \"ext.key\" = \"ro-secret\" }", 1)+"[console]\nadmins = [\"@analysts\"]\n")
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	got := map[string]Item{}
	for _, i := range List(cfg) {
		if strings.Contains(i.Value, "secret") || strings.Contains(i.Value, "SCRAM") {
			t.Errorf("%s shows a secret: %s", i.Key, i.Value)
		}
		got[i.Key] = i
	}
	for key, want := range map[string]string{
		"listen.address":                             `["127.0.0.1:6432"]`,
		"databases.EPMT.tiers.ro.password":           "(hidden)",
		`databases.EPMT.tiers.ro.settings."ext.key"`: "(hidden)",
		"databases.EPMT.tiers.ro.pool.size":          "20",
		"databases.EPMT.tiers.ro.timeouts.query":     "",
		"identities.alice.scram":                     "(hidden)",
		"identities.alice.password":                  "",
		"identities.ingest.password":                 "(hidden)",
		"groups.analysts":                            `["alice"]`,
		"timeouts.query_wait":                        "2m",
		"limits.connections":                         "100000",
		"relay.loops":                                `"auto"`,
		"console.admins":                             `["@analysts"]`,
	} {
		if i, ok := got[key]; !ok || i.Value != want {
			t.Errorf("%s = %q (%v), want %q", key, i.Value, ok, want)
		}
	}
	if got["relay.loops"].Effect != Restart || got["timeouts.shutdown"].Effect != Live {
		t.Error("when a change is felt is wrong")
	}
}
