package app

import (
	"strings"
	"testing"

	"github.com/weirlb/weir/config"
)

func TestQueriesAreFoundAndChecked(t *testing.T) {
	load := func(policies, metrics string) (*config.Config, error) {
		return config.Parse("weir.yaml", []byte(`
listen: [{address: "127.0.0.1:0", routes: [{pool: api}]}]
`+metrics+`
pools:
  api:
    concurrency: 1
    template: {command: [sh, -c, "sleep {{.Port}}"]}
    scale: {max: 3, policies: [`+policies+`]}
`), func(string) (string, bool) { return "", false })
	}
	const server = `metrics: {prometheus: {url: "http://127.0.0.1:9090"}}`
	c, err := load(`{target: {query: sum(a), value: 1}}, {target: {query: sum(a), value: 2}}, {simple: {query: b, from: prometheus, threshold: 1, adjustment: 1}}`, server)
	if err != nil {
		t.Fatal(err)
	}
	if got := queriesOf(c.Pools["api"]); len(got) != 2 || got[0].Text != "sum(a)" || got[0].Source != "" || got[1].Text != "b" || got[1].Source != config.FromPrometheus {
		t.Errorf("%+v", got)
	}
	if err := Check(c); err != nil {
		t.Error(err)
	}
	for _, x := range []struct{ policies, metrics, want string }{
		{`{target: {query: "sum(", value: 1}}`, "", "pools.api.scale.policies[0].target.query"},
		{`{target: {query: a, from: prometheus, value: 1}}`, "", "metrics: {prometheus"},
		{`{target: {query: a, from: prometheus, value: 1}}, {target: {query: a, value: 1}}`, server, "two sources"},
	} {
		c, err := load(x.policies, x.metrics)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(c); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.policies, err, x.want)
		}
	}
}
