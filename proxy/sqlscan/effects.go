package sqlscan

import "bytes"

// settingEffects returns what it does to set the setting called name, in any case, to the value that the token v of src is.
// PostgreSQL does not mind the case of a setting's name, quoted or not.
func settingEffects(name, src []byte, v Token) Effects {
	if isRole(name) {
		return Role
	}
	if wordAt(src, v) == wDefault {
		return 0 // back to what the proxy asked for when it connected
	}
	var folded, buf [maxName + 1]byte
	switch string(foldTo(folded[:0], name)) {
	case "client_encoding":
		if text, known := valueText(buf[:0], src, v); !known || !SafeEncoding(string(text)) {
			return UnsafeEncoding
		}
	case "standard_conforming_strings":
		if text, known := valueText(buf[:0], src, v); !known || !isTrue(text) {
			return PlainEscapes
		}
	case "default_transaction_read_only", "transaction_read_only":
		if text, known := valueText(buf[:0], src, v); !known || !isTrue(text) {
			return ReadWrite
		}
	case "search_path":
		if text, known := valueText(buf[:0], src, v); known && v.isString() && isTempSchema(firstOfList(text)) {
			return TempObject
		}
	}
	return 0
}

// foldTo appends name in lower case.
func foldTo(dst, name []byte) []byte {
	for _, c := range name {
		dst = append(dst, lower(c))
	}
	return dst
}

func isRole(name []byte) bool {
	return equalFold(name, "role") || equalFold(name, "session_authorization")
}

// isTransactional reports whether the setting called name, in lower case, lasts for a transaction however it is set.
func isTransactional(name []byte) bool {
	switch string(name) {
	case "transaction_isolation", "transaction_read_only", "transaction_deferrable":
		return true
	}
	return false
}

// valueText appends the value that the single token v stands for. known is false when it is not a literal.
func valueText(dst, src []byte, v Token) (out []byte, known bool) {
	switch {
	case v.isName():
		return AppendName(dst, src, v)
	case v.isString():
		return AppendString(dst, src, v)
	case v.Kind == Number:
		return append(dst, src[v.Start:v.End]...), true
	}
	return dst, v.Kind == EOF // no value: SET NAMES
}

// isTrue reports whether PostgreSQL takes v as true (parse_bool_with_len).
func isTrue(v []byte) bool {
	var buf [5]byte
	if len(v) == 0 || len(v) > len(buf) {
		return false
	}
	v = foldTo(buf[:0], v)
	return bytes.HasPrefix([]byte("true"), v) || bytes.HasPrefix([]byte("yes"), v) || string(v) == "on" || string(v) == "1"
}

// startsTemp reports whether the first schema of a search_path, at the token t, is pg_temp.
func startsTemp(src []byte, t Token) bool {
	var buf [maxName + 1]byte
	text, known := valueText(buf[:0], src, t)
	return known && isTempSchema(text)
}

// firstOfList returns the first schema of a search_path that is given as one text.
func firstOfList(text []byte) []byte {
	first, _, _ := bytes.Cut(text, []byte{','})
	return bytes.Trim(first, " \t\n\r\f\v\"")
}
