package config

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME} by its value, ${NAME:-text} by text where NAME is
// unset or empty, and $${ by a plain ${. It works on one scalar after
// parsing, so that no value can add YAML to the file. The problems are
// complete messages.
func expand(s string, lookup func(string) (string, bool)) (expanded string, problems []string) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		if !found {
			b.WriteString(s)
			return b.String(), problems
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(plain + "${")
			s = after
			continue
		}
		b.WriteString(before)
		inside, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", append(problems, fmt.Sprintf(`%q has no closing brace; write "${NAME}", or "$${" for a plain "${"`, shorten("${"+after)))
		}
		value, problem := variable(inside, lookup)
		if problem != "" {
			problems = append(problems, problem)
		}
		b.WriteString(value)
		s = rest
	}
}

// variable gives the value of what stands between the braces.
func variable(inside string, lookup func(string) (string, bool)) (value, problem string) {
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	if !isName(name) || strings.Contains(name, "-") || (name[0] >= '0' && name[0] <= '9') {
		return "", fmt.Sprintf(`"${%s}" names no environment variable; write "${NAME}" or "${NAME:-default}", or "$${" for a plain "${"`, shorten(inside))
	}
	value, set := lookup(name)
	switch {
	case hasFallback && value == "":
		return fallback, ""
	case !set:
		return "", fmt.Sprintf(`the environment has no %s; set it, write "${%[1]s:-default}", or "$${%[1]s}" to mean the text itself`, name)
	}
	return value, ""
}
