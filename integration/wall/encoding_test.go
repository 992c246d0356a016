package wall

import (
	"strings"
	"testing"

	"github.com/pgtier/pgtier/integration/pgtest/testpg"
)

// multiByte are the encodings of several bytes that a guarded client may choose: see sqlscan.SafeEncoding.
var multiByte = []string{"EUC_JP", "EUC_CN", "EUC_KR", "EUC_TW", "EUC_JIS_2004"}

// asciiOf counts, among the pairs of bytes of an encoding that are UTF-8 at the same time (what is not, the guard refuses),
// those that the server turns into something with an ASCII character in it: it would read a quote where the guard reads a
// letter. The two numbers are those, and how many pairs the encoding has.
const asciiOf = `
	CREATE OR REPLACE FUNCTION pg_temp.turned(encoding text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE text text; ascii int := 0; pairs int := 0;
	BEGIN
		FOR a IN 194..223 LOOP FOR b IN 128..191 LOOP
			BEGIN
				text := convert_from(set_byte(set_byte('\x0000', 0, a), 1, b), encoding);
				pairs := pairs + 1;
				IF text ~ '[\x01-\x7f]' THEN ascii := ascii + 1; END IF;
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
		END LOOP; END LOOP;
		RETURN ascii || ' of ' || pairs;
	END $$; `

// TestSafeEncodings: no character of an encoding that the guard lets pass is ASCII to the server and something else to the
// guard.
func TestSafeEncodings(t *testing.T) {
	cluster, epmt := testpg.Shared(t)
	for _, e := range multiByte {
		got, err := cluster.QueryText(t.Context(), epmt.Database, "SELECT encoding FROM pg_conversion c, LATERAL (SELECT pg_encoding_to_char(conforencoding) AS encoding) x WHERE encoding = '"+e+"' LIMIT 1")
		must(t, err)
		if got != e {
			t.Fatalf("this server has no encoding %s: %q", e, got)
		}
		conn, err := cluster.Connect(t.Context(), epmt.Database)
		must(t, err)
		results, err := conn.Exec(t.Context(), asciiOf+"SELECT pg_temp.turned('"+e+"')").ReadAll()
		must(t, err)
		_ = conn.Close(t.Context())
		answer := string(results[len(results)-1].Rows[0][0])
		if !strings.HasPrefix(answer, "0 of ") || strings.HasSuffix(answer, " of 0") {
			t.Errorf("%s: ASCII comes out of %s pairs", e, answer)
		}
	}
}
