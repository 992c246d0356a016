package scram

import (
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/unicode/norm"
)

// prohibited holds the tables of RFC 4013 section 2.3 and 2.5 (unassigned in Unicode 3.2).
var prohibited = []stringprep.Set{
	stringprep.TableC1_2, stringprep.TableC2_1, stringprep.TableC2_2, stringprep.TableC3, stringprep.TableC4, stringprep.TableC5,
	stringprep.TableC6, stringprep.TableC7, stringprep.TableC8, stringprep.TableC9, stringprep.TableA1,
}

// Prepare normalises a password exactly as PostgreSQL does (src/common/saslprep.c), so that a password set there works here
// and the other way round. SASLprep proper would refuse some passwords; PostgreSQL uses those as they are, byte for byte:
// what is not UTF-8, has prohibited or unassigned characters, mixes directions, or has nothing left.
//
// It is not stringprep.SASLprep, for two differences of PostgreSQL's: U+200B is a space, not nothing; and step 3 and 4 look at
// the characters before normalisation.
func Prepare(password string) string {
	if isASCII(password) || !utf8.ValidString(password) {
		return password
	}
	mapped := mapRunes(password)
	if len(mapped) == 0 || isProhibited(mapped) || mixesDirections(mapped) {
		return password
	}
	return norm.NFKC.String(string(mapped))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func mapRunes(s string) []rune {
	mapped := make([]rune, 0, len(s))
	for _, r := range s {
		if stringprep.TableC1_2.Contains(r) { // every space that is not ASCII's
			mapped = append(mapped, ' ')
			continue
		}
		if _, toNothing := stringprep.TableB1.Map(r); !toNothing {
			mapped = append(mapped, r)
		}
	}
	return mapped
}

func isProhibited(runes []rune) bool {
	for _, r := range runes {
		for _, set := range prohibited {
			if set.Contains(r) {
				return true
			}
		}
	}
	return false
}

// mixesDirections is RFC 3454 section 6, rules 2 and 3.
func mixesDirections(runes []rune) bool {
	var rightToLeft, leftToRight bool
	for _, r := range runes {
		rightToLeft = rightToLeft || stringprep.TableD1.Contains(r)
		leftToRight = leftToRight || stringprep.TableD2.Contains(r)
	}
	if !rightToLeft {
		return false
	}
	return leftToRight || !stringprep.TableD1.Contains(runes[0]) || !stringprep.TableD1.Contains(runes[len(runes)-1])
}
