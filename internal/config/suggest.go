package config

import (
	"fmt"
	"iter"
)

// suggest returns "; did you mean ...?" with the candidate that is nearest to
// name, or "" if none is near.
func suggest(name string, candidates iter.Seq[string]) string {
	best, least := "", max(2, len(name)/3)+1
	for c := range candidates {
		if d := distance(name, c); d < least || d == least && c < best {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
