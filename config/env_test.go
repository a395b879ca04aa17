package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"plain":                  "plain",
		"$HOME":                  "$HOME",
		"a$":                     "a$",
		"${SECRET}":              "hunter2",
		"a-${SECRET}-${SLOTS}":   "a-hunter2-4",
		"${EMPTY}":               "",
		"${EMPTY:-x}":            "x",
		"${NOT_SET:-x y}":        "x y",
		"${NOT_SET:-}":           "",
		"${SECRET:-x}":           "hunter2",
		"$${SECRET}":             "${SECRET}",
		"a$${SECRET}${SLOTS}":    "a${SECRET}4",
		"{{.Port}}":              "{{.Port}}",
		"${NOT_SET:-a: [b], &c}": "a: [b], &c",
	} {
		if got, problems := expand(text, environment); got != want || problems != nil {
			t.Errorf("%q: got %q, %v; want %q", text, got, problems, want)
		}
	}
}

func TestExpandTellsEveryProblem(t *testing.T) {
	_, problems := expand("${A} ${B:-ok} ${a b} ${", environment)
	if len(problems) != 3 {
		t.Fatalf("got %q, want 3 problems", problems)
	}
	for i, want := range []string{"has no A; set it", `"${a b}" names no environment variable`, "closing brace"} {
		if !strings.Contains(problems[i], want) {
			t.Errorf("got %q, want %q", problems[i], want)
		}
	}
}

func TestEnvironmentCannotAddYAML(t *testing.T) {
	evil := "a\nadmin: {address: ':1'}\n# ${SECRET}"
	cfg, err := Parse("weir.yaml", []byte(`
listen: [{address: ":8080", routes: [{pool: api}]}]
state: ${STATE}
pools: {api: {targets: ["127.0.0.1:9001"]}}
`), func(string) (string, bool) { return evil, true })
	if err != nil || cfg.State != evil || cfg.Admin.Address != Default().Admin.Address {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	for _, path := range files(t, "bad") {
		if _, err := Parse(path, read(t, path), environment); strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a value of the environment: %v", path, err)
		}
	}
}
