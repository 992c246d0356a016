package config

import (
	"slices"
	"strings"
)

// Closest returns the word that somebody who wrote got most likely meant, "" when none is near: the same but for case, or
// at most two typing errors away and no more than one for every three letters.
func Closest(got string, words []string) string {
	words = slices.Sorted(slices.Values(words))
	for _, w := range words {
		if w != got && strings.EqualFold(w, got) {
			return w
		}
	}
	best, distance := "", min(2, (len(got)+2)/3)+1
	for _, w := range words {
		// A word that is much longer or shorter cannot be near. Clients choose got: do not let a long one cost anything.
		if w == got || len(w) > len(got)+distance || len(got) > len(w)+distance {
			continue
		}
		if d := editDistance(strings.ToLower(got), strings.ToLower(w)); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that lead from a to b.
func editDistance(a, b string) int {
	// Three rows of the usual table are enough: the one before the previous is for swaps.
	before, previous, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(b)]
}
