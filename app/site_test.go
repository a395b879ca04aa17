package app

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/telemetry"
)

func parse(t *testing.T, src string) *config.Config {
	t.Helper()
	c, err := config.Parse("weir.yaml", []byte(src), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// headers are those of a request, by names in lower case.
type headers map[string]string

func (h headers) Get(lower string) []byte {
	if v, ok := h[lower]; ok {
		return []byte(v)
	}
	return nil
}

func TestConditionsMeanWhatConfigSays(t *testing.T) {
	for _, c := range []struct {
		match string
		fits  []string // values of the header that fit; "-" is none at all
		not   []string
	}{
		{`sd`, []string{"sd"}, []string{"-", "SD", "sd-2", ""}},
		{`""`, []string{""}, []string{"-", "a"}},
		{`"a*c"`, []string{"a*c"}, []string{"abc", "a*c\nd", "-"}},
		{`{prefix: sd-}`, []string{"sd-", "sd-2"}, []string{"-", "sd", "xsd-"}},
		{`{prefix: "a*"}`, []string{"a*", "a*b"}, []string{"-", "ab"}},
		{`{regexp: "^s.$"}`, []string{"sd", "sx"}, []string{"-", "sdd"}},
		{`{present: true}`, []string{"", "a"}, []string{"-"}},
		{`{present: false}`, []string{"-"}, []string{"", "a"}},
	} {
		cfg := parse(t, `
listen: [{address: ":8080", routes: [{headers: {X-Model: `+c.match+`}, respond: 200}]}]
pools: {a: {targets: ["127.0.0.1:9001"]}}`)
		table, err := route.New(routesOf(cfg.Listen[0]))
		if err != nil {
			t.Fatal(err)
		}
		fits := func(value string) bool {
			h := headers{"x-model": value}
			if value == "-" {
				h = headers{}
			}
			return table.Match(&route.Request{Method: []byte("GET"), Path: []byte("/"), Header: h}) == 0
		}
		for _, v := range c.fits {
			if !fits(v) {
				t.Errorf("%s does not take %q", c.match, v)
			}
		}
		for _, v := range c.not {
			if fits(v) {
				t.Errorf("%s takes %q", c.match, v)
			}
		}
	}
}

// TestEveryRouteCompiles holds that what config accepts, the packages that do the work accept too.
func TestEveryRouteCompiles(t *testing.T) {
	files, err := filepath.Glob("../config/testdata/good/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	environment := func(name string) (string, bool) {
		value, ok := map[string]string{"SECRET": "hunter2", "EMPTY": "", "SLOTS": "4", "VIA": "true"}[name]
		return value, ok
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(file, src, environment)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.Listen {
			if _, err := route.New(routesOf(l)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			for _, r := range l.Routes {
				if _, err := compile(r); err != nil {
					t.Errorf("%s: route %s: %v", file, r.Name, err)
				}
			}
		}
		for name, p := range c.Pools {
			if s := p.Sticky; s != nil {
				if err := new(cookieOf(s)).Check(); err != nil {
					t.Errorf("%s: pool %s: %v", file, name, err)
				}
			}
		}
	}
}

// TestConfigKnowsTheSameNames keeps the lists of config, which imports none of the packages that do the work, from falling behind.
func TestConfigKnowsTheSameNames(t *testing.T) {
	if got, want := config.AccessFields(), telemetry.AccessFields(); !slices.Equal(got, want) {
		t.Errorf("fields of the access log: config has %v, telemetry %v", got, want)
	}
	needs := map[string]string{
		"hash": "hash_by: client", "affinity": "affinity: {by: json:model}", "least_utilization": "load_report: orca",
	}
	for _, name := range balance.Names() {
		parse(t, `
listen: [{address: ":8080", routes: [{pool: a}]}]
pools:
  a:
    targets: ["127.0.0.1:9001"]
    balance: `+name+`
    `+needs[name])
	}
	for _, name := range admit.Orders() {
		size := ""
		if name == "shortest_first" {
			size = ", size: {bytes: true}"
		}
		parse(t, `
listen: [{address: ":8080", routes: [{pool: a}]}]
pools: {a: {targets: ["127.0.0.1:9001"], queue: {order: `+name+size+`}}}`)
	}
}

func TestSessionKeyIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "session.key")
	first, err := ownKey(file)
	if err != nil || len(first) != 32 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	again, err := ownKey(file)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("another key the second time, %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestLimitsGoOnAcrossAReload(t *testing.T) {
	src := `
listen: [{address: ":8080", routes: [{name: one, pool: a, rate_limits: [{by: all, rate: 1/h}, {by: client, rate: RATE}]}]}]
limits: {clients: {connections: 10, network6: 48}}
pools: {a: {targets: ["127.0.0.1:9001"]}}`
	sites := func(c *config.Config, old *shared) *shared {
		t.Helper()
		l, err := newLimiters(c, old)
		if err != nil {
			t.Fatal(err)
		}
		for i, limit := range c.Listen[0].Routes[0].RateLimits {
			if _, err := l.rate("one "+string(rune('0'+i)), limit); err != nil {
				t.Fatal(err)
			}
		}
		return &shared{c: c, limits: l}
	}
	before := sites(parse(t, strings.ReplaceAll(src, "RATE", "5/s")), nil)
	same := func(l *limiters) (n int) {
		for name, rates := range l.rates {
			if before.limits.rates[name] == rates {
				n++
			}
		}
		return n
	}
	after := sites(parse(t, strings.ReplaceAll(src, "RATE", "6/s")), before)
	if same(after.limits) != 1 || after.limits.keys != before.limits.keys || after.limits.conns != before.limits.conns {
		t.Errorf("%d of 2 rates go on, want 1, and keys and connections all: %+v", same(after.limits), after.limits)
	}
	if other := sites(parse(t, strings.NewReplacer("48", "56", "RATE", "6/s").Replace(src)), after); same(other.limits) != 0 || other.limits.keys == before.limits.keys {
		t.Errorf("counts of other networks go on: %+v", other.limits)
	}
}
