package wall

import (
	"strings"
	"testing"
)

// TestReadOnly: where the tier's settings say read-only and a guard is on, carol cannot turn it off, and nothing that she
// may call writes: not even a function that writes with its owner's rights.
func TestReadOnly(t *testing.T) {
	b := newLab(t)
	attacks := [][]string{
		{"SET default_transaction_read_only = off"}, {"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"},
		{"SET default_transaction_read_only TO DEFAULT"}, {"RESET default_transaction_read_only"}, {"RESET ALL"}, {"DISCARD ALL"},
		{"BEGIN READ WRITE"}, {"START TRANSACTION READ WRITE"}, {"BEGIN", "SET TRANSACTION READ WRITE"}, {"BEGIN", "SET transaction_read_only = off"},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE"}, {"BEGIN", "SET LOCAL transaction_read_only TO 0"}, {`SET "default_transaction_read_only" TO 'no'`},
		{"SELECT set_config('transaction_read_only', 'off', true)"}, {"SELECT set_config('default_transaction_' || 'read_only', 'off', false)"},
		{"UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'"}, {"COMMIT AND CHAIN"}, {"ROLLBACK", "BEGIN READ/**/WRITE"},
		{"SELECT lo_from_bytea(0, 'x')"}, {"SELECT lo_create(0)"}, {"DO $$ BEGIN SET transaction_read_only = off; END $$"},
		{"PREPARE TRANSACTION 'x'"}, {"SET ROLE bob"}, {"BEGIN; SET transaction_read_only=off; SELECT app.secdef_write('ro'); ROLLBACK;"},
		{"[startup] default_transaction_read_only=off"},
	}
	for _, l := range levels {
		if !l.guarded() {
			continue
		}
		plain := b.mustConnect(l, "carol")
		if got := strings.Join(plain.query("SELECT app.secdef_write('ro')"), " "); !strings.HasPrefix(got, "error 25006") {
			t.Fatalf("nothing to attack: %s", got)
		}
		plain.close()
		for _, a := range attacks {
			params := map[string]string{}
			if value, ok := strings.CutPrefix(a[0], "[startup] default_transaction_read_only="); ok {
				params["default_transaction_read_only"] = value
				a = nil
			}
			carol, err := b.connect(l, "carol", params)
			if err != nil {
				continue // refused at the door
			}
			for _, sql := range append(a, "SELECT app.secdef_write('ro')", "COMMIT", "SELECT app.secdef_write('ro')") {
				carol.query(sql)
			}
			carol.close()
			if wrote := b.sql(l, witnesses); len(wrote) > 0 {
				t.Errorf("%q wrote, as %q: %q", a, wrote, clip(carol.lines))
				b.sql(l, "TRUNCATE app.witness; SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
			}
		}
	}
}
