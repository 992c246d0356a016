package sqlscan

import "strings"

// safeEncodings are PostgreSQL's client encodings in which no byte of a character of several bytes is an ASCII byte
// (pg_enc2name_tbl and pg_encname_tbl in src/common/encnames.c), as SafeEncoding folds them.
var safeEncodings = func() map[string]bool {
	m := make(map[string]bool)
	for _, name := range strings.Fields(`sqlascii utf8 unicode muleinternal abc tcvn tcvn5712 vscii alt win koi8 koi8r koi8u
		win866 win874 win1250 win1251 win1252 win1253 win1254 win1255 win1256 win1257 win1258
		windows866 windows874 windows1250 windows1251 windows1252 windows1253 windows1254 windows1255 windows1256 windows1257
		windows1258 latin1 latin2 latin3 latin4 latin5 latin6 latin7 latin8 latin9 latin10 iso88591 iso88592 iso88593
		iso88594 iso88595 iso88596 iso88597 iso88598 iso88599 iso885910 iso885913 iso885914 iso885915 iso885916
		eucjp euccn euckr euctw eucjis2004`) {
		m[name] = true
	}
	return m
}()

// SafeEncoding reports whether texts in the client encoding called name, in any spelling that PostgreSQL takes, are read
// correctly by this package. It is false for SJIS, BIG5, GBK, UHC, GB18030, JOHAB, SHIFT_JIS_2004, whose characters may end
// in a backslash or a letter, and for names that it does not know. The empty name, which stands for the default, is safe.
func SafeEncoding(name string) bool {
	var buf [maxName]byte
	key := buf[:0]
	for i := range len(name) {
		c := lower(name[i])
		if (c >= 'a' && c <= 'z' || c >= '0' && c <= '9') && len(key) < cap(key) {
			key = append(key, c)
		}
	}
	return name == "" || safeEncodings[string(key)]
}
