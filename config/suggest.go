package config

import (
	"fmt"
	"slices"
	"strings"
)

// elsewhere are words that other load balancers use for what Weir calls
// otherwise; the first of the words that is known is meant.
var elsewhere = map[string][]string{
	"algorithm":            {"balance"},
	"backend":              {"pool", "pools"},
	"backends":             {"targets", "pools"},
	"certificate":          {"certificates", "cert"},
	"client_ca":            {"client_auth"},
	"cookie":               {"cookies", "sticky"},
	"deregistration_delay": {"drain"},
	"endpoints":            {"targets"},
	"fixed_response":       {"respond"},
	"health_check":         {"health"},
	"least_conn":           {"least_connections"},
	"least_time":           {"least_response_time"},
	"locations":            {"routes"},
	"max_conns":            {"slots", "concurrency"},
	"maxconn":              {"slots", "concurrency", "connections"},
	"mtls":                 {"client_auth"},
	"private_key":          {"key"},
	"random":               {"random_two_choices"},
	"return":               {"respond"},
	"rules":                {"routes"},
	"servers":              {"targets"},
	"shadow":               {"mirror"},
	"source":               {"ip_hash"},
	"ssl":                  {"tls"},
	"stickiness":           {"sticky"},
	"target_groups":        {"pools"},
	"traces":               {"tracing"},
	"upstream":             {"pool", "pools"},
	"upstreams":            {"pools"},
	"uri_hash":             {"hash"},
	"weights":              {"split"},
}

// didYouMean ends an error about a word that is none of known: with the one
// that was probably meant, or with all of them.
func didYouMean(word string, known []string) string {
	for _, ours := range elsewhere[word] {
		if slices.Contains(known, ours) {
			return fmt.Sprintf("did you mean %q?", ours)
		}
	}
	if best := nearest(word, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	switch sorted := slices.Sorted(slices.Values(known)); len(sorted) {
	case 0:
		return "there is none to choose from"
	case 1:
		return fmt.Sprintf("write %q", sorted[0])
	default:
		last := len(sorted) - 1
		return "write one of " + strings.Join(sorted[:last], ", ") + " or " + sorted[last]
	}
}

// nearest gives the word of known that is most like word, or "" when none is
// much like it. Case, "_" and "-" do not count, and an abbreviation of at
// least three letters is like its word.
func nearest(word string, known []string) string {
	best, bestCost := "", 0
	w := fold(word)
	if len(w) > 64 {
		return ""
	}
	for _, k := range slices.Sorted(slices.Values(known)) {
		f := fold(k)
		cost := 2 * distance(w, f)
		if len(w) >= 3 && len(f) >= 3 && (strings.HasPrefix(f, w) || strings.HasPrefix(w, f)) {
			cost = min(cost, 1)
		}
		if cost <= 2*max(1, len(f)/3) && (best == "" || cost < bestCost) {
			best, bestCost = k, cost
		}
	}
	return best
}

func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance is the number of letters to insert, delete or replace to make b
// of a (V. I. Levenshtein, 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
