package config

import (
	"strings"
	"testing"
)

const rescaled = `listen: [{address: ":8080", routes: [{pool: api}]}]
pools:
  api:
    concurrency: 1
    template: {command: [./infer, --port, "{{.Port}}"]}
    scale:
      min: 1 # never none
      max: 4
      policies:
        - queue: {wait_p95: 2s}
  flow:
    template: {command: [./infer, --port, "{{.Port}}"]}
    scale: {max: 3}
  fixed: {targets: ["127.0.0.1:9001"]}
`

func TestScaleText(t *testing.T) {
	for pool, want := range map[string]string{
		"api":  "min: 1 # never none\nmax: 4\npolicies:\n- queue: {wait_p95: 2s}\n",
		"flow": "{max: 3}\n",
	} {
		got, err := ScaleText([]byte(rescaled), pool)
		if plain := strings.ReplaceAll(got, "  - queue", "- queue"); err != nil || plain != want {
			t.Errorf("%s: %q, %v; want %q", pool, got, err, want)
		}
	}
	for _, pool := range []string{"fixed", "none"} {
		if got, err := ScaleText([]byte(rescaled), pool); err == nil {
			t.Errorf("%s has %q", pool, got)
		}
	}
}

func TestWithScale(t *testing.T) {
	cfg, err := Parse("weir.yaml", []byte(rescaled), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"min: 2\nmax: 9\n", "    min: 2\n    max: 9\n", "scale:\n  min: 2\n  max: 9\n", "{min: 2, max: 9}"} {
		p, err := cfg.WithScale("api", "policy", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if p.Scale.Min != 2 || p.Scale.Max != 9 || len(p.Scale.Policies) == 0 || p.Concurrency != 1 || cfg.Pools["api"].Scale.Max != 4 {
			t.Errorf("%q: %+v", text, p.Scale)
		}
	}
	for text, want := range map[string]string{
		"min: 1\nmaks: 2":                        "policy:2:1: scale.maks: there is no key",
		"min: 5\nmax: 2":                         "policy:1:1: scale.min: min 5 is more than max 2",
		"max: 2\npolicies:\n- queue: {wait: 2s}": "policy:3:11: scale.policies[0].queue.wait",
		"max: 2\npolicies:\n- step: {alarm: hot, adjustment_type: ChangeInCapacity, steps: [{lower: 0, adjustment: 1}]}": "policy:3",
		"":                    "empty",
		"- 1":                 "scale",
		"a: [":                "policy:1",
		"max: 2\n---\nmax: 3": "second document",
	} {
		if p, err := cfg.WithScale("api", "policy", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %s", text, p, err, want)
		}
	}
}
