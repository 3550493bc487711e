package config

import (
	"sort"
	"strconv"
	"strings"
)

// didYouMean returns a hint that names the candidate nearest to a word, or "" when none is near. Near means that at most
// a third of the word's letters would have to change, and at least one may.
func didYouMean(word string, candidates []string) string {
	c := nearest(word, candidates)
	if c == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(c) + "?"
}

func nearest(word string, candidates []string) string {
	word = strings.ToLower(word)
	if c := only(candidates, func(c string) bool { return len(word) > 3 && strings.HasPrefix(c, word) }); c != "" {
		return c
	}
	best, bestDist := "", max(1, len(word)/3)+1
	for _, c := range sorted(candidates) {
		if d := editDistance(word, strings.ToLower(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	if best != "" {
		return best
	}
	if c := rearranged(word, candidates); c != "" {
		return c
	}
	return only(candidates, func(c string) bool { return len(c) > 3 && strings.HasPrefix(word, c) })
}

// only returns the candidate that is like what is looked for, if there is exactly one.
func only(candidates []string, like func(string) bool) (found string) {
	for _, c := range candidates {
		if !like(c) {
			continue
		}
		if found != "" {
			return ""
		}
		found = c
	}
	return found
}

// rearranged finds the candidate made of the same words in another order or with other separators, which no edit
// distance finds: conn-max for max-conn, keepalive_http for http-keep-alive.
func rearranged(word string, candidates []string) string {
	want := wordSet(word)
	for _, c := range sorted(candidates) {
		if wordSet(c) == want {
			return c
		}
	}
	return ""
}

func wordSet(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	sort.Strings(words)
	return strings.Join(words, "-")
}

// sorted is a sorted copy, so that a tie is broken the same way in every run.
func sorted(s []string) []string {
	out := append([]string(nil), s...)
	sort.Strings(out)
	return out
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours between two words.
func editDistance(a, b string) int {
	const longest = 64 // a longer word is nobody's typing error
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var before, prev, row [longest + 1]int
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}
