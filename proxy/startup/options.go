package startup

import (
	"strings"

	"github.com/pgtier/pgtier/proxy/pgerr"
)

const syntaxError = "42601" // syntax_error, which is what PostgreSQL says about command lines

// splitOptions splits the startup parameter "options" into words, as PostgreSQL's pg_split_opts: white space separates, a
// backslash takes the next byte as it is, and there are no quotes.
func splitOptions(s string) []string {
	var words []string
	for {
		s = strings.TrimLeft(s, " \t\n\v\f\r")
		if s == "" {
			return words
		}
		var word []byte
		word, s = firstWord(s)
		words = append(words, string(word))
	}
}

func firstWord(s string) (word []byte, rest string) {
	escaped := false
	for i := range len(s) {
		switch c := s[i]; {
		case escaped:
			word, escaped = append(word, c), false
		case c == '\\':
			escaped = true
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			return word, s[i:]
		default:
			word = append(word, c)
		}
	}
	return word, ""
}

// parseOptions reads the switches of a PostgreSQL command line that set parameters:
//
//	-c name=value | -cname=value | --name=value
//
// In names "-" means "_" (PostgreSQL's ParseLongOption). All other switches are refused.
func parseOptions(options string) (params []Param, err error) {
	words := splitOptions(options)
	for i := 0; i < len(words); i++ {
		assignment, ok := strings.CutPrefix(words[i], "--")
		prefix := "--"
		if !ok {
			prefix = "-c "
			if assignment, ok = strings.CutPrefix(words[i], "-c"); ok && assignment == "" && i+1 < len(words) {
				i++
				assignment = words[i]
			}
		}
		if !ok || assignment == "" {
			return nil, pgerr.Fatal(syntaxError, "invalid command-line argument for server process: %s", words[i]).
				WithHint("In options, pgtier takes -c name=value and --name=value.")
		}
		name, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, pgerr.Fatal(syntaxError, "%s%s requires a value", prefix, assignment)
		}
		params = append(params, Param{strings.ReplaceAll(name, "-", "_"), value})
	}
	return params, nil
}
