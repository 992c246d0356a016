package session

import "strings"

// quotedList are the parameters whose value is a list of names, so that SET takes one literal for one name of it
// (GUC_LIST_QUOTE in src/include/utils/guc.h; the other lists take the whole of it as one literal).
var quotedList = map[string]bool{
	"local_preload_libraries": true, "search_path": true, "session_preload_libraries": true, "shared_preload_libraries": true,
	"temp_tablespaces": true, "unix_socket_directories": true,
}

// splitList cuts such a value into names, as src/backend/utils/adt/varlena.c does (SplitIdentifierString): quoted ones with
// "" for a quote, others in lower case. An empty list is a list of one empty name, which names nothing. ok is false for what
// PostgreSQL does not take for a list either.
func splitList(value string) (names []string, ok bool) {
	const space = " \t\n\r\f\v"
	rest := strings.Trim(value, space)
	if rest == "" {
		return []string{""}, true
	}
	for {
		var name string
		if rest != "" && rest[0] == '"' {
			name, rest, ok = cutQuoted(rest[1:])
		} else {
			end := strings.IndexAny(rest+",", ","+space)
			name, rest, ok = lowerASCII(rest[:end]), rest[end:], end > 0
		}
		if !ok {
			return nil, false
		}
		names = append(names, name)
		if rest = strings.TrimLeft(rest, space); rest == "" {
			return names, true
		}
		if rest[0] != ',' {
			return nil, false
		}
		rest = strings.TrimLeft(rest[1:], space)
	}
}

// cutQuoted cuts the name off whose opening quote has been read.
func cutQuoted(text string) (name, rest string, ok bool) {
	var b strings.Builder
	for {
		end := strings.IndexByte(text, '"')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(text[:end])
		if text = text[end+1:]; text == "" || text[0] != '"' {
			return b.String(), text, true
		}
		b.WriteByte('"')
		text = text[1:]
	}
}

// lowerASCII leaves other bytes alone: in a database in UTF-8 PostgreSQL does too.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
