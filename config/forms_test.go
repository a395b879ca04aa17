package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"10/s": 10, "600/m": 10, "5/h": 5.0 / 3600, "2.5/s": 2.5, "1/m": 1.0 / 60, "1000000000/s": 1e9,
	} {
		var got Rate
		if err := got.parse(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, float64(got), err, float64(want))
		}
		var again Rate
		if err := again.parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is read as %v, %v", text, got, float64(again), err)
		}
	}
	for text, want := range map[string]string{
		"": "is not a rate", "10": "no unit", "10/d": "is not a rate", "10/s/s": "is not a rate", "-1/s": "is not a rate", "0/s": "nothing through",
		"1s/s": "is not a rate", "1000000001/s": "too large", "99999999999999999999999999999/h": "too large", "1 /s": "is not a rate",
	} {
		r := Rate(7)
		if err := r.parse(text); err == nil || !strings.Contains(err.Error(), want) || r != 7 {
			t.Errorf("%q: got %v, %v, want an error with %q", text, float64(r), err, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::1": "::1/128", "2001:db8::/32": "2001:db8::/32", "0.0.0.0/0": "0.0.0.0/0",
	} {
		var got Network
		if err := got.parse(text); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "localhost", "fe80::1%eth0", "10.0.0.0/-1", "10.0.0.0/08"} {
		var got Network
		if err := got.parse(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestKey(t *testing.T) {
	src := func(key string) string {
		return `
listen: [{address: ":8080", routes: [{pool: a, tenant: "` + key + `"}]}]
pools: {a: {targets: ["127.0.0.1:9001"]}}
`
	}
	for text, want := range map[string]Key{
		"client": {Kind: KeyClient}, "network": {Kind: KeyNetwork}, "header:X-User": {KeyHeader, "X-User"}, "cookie:a": {KeyCookie, "a"},
	} {
		cfg, err := parse(t, src(text))
		if err != nil || cfg.Listen[0].Routes[0].Tenant != want || want.String() != text {
			t.Errorf("%q: got %+v, %v, want %+v (%s)", text, cfg, err, want, want)
		}
	}
	for _, text := range []string{"", "all", "json:user", "header", "header:", "client:a", "Header:X", "ip"} {
		if cfg, err := parse(t, src(text)); err == nil {
			t.Errorf("%q: got %+v", text, cfg.Listen[0].Routes[0].Tenant)
		}
	}
}

// TestShorthands holds that a value alone means the same as the key that it
// stands for.
func TestShorthands(t *testing.T) {
	for short, long := range map[string]string{
		"pool: a, priority: 3":          "pool: a, priority: {default: 3}",
		"pool: a, deadline: 3s":         "pool: a, deadline: {after: 3s}",
		"pool: a, hedge: 3s":            "pool: a, hedge: {after: 3s}",
		"pool: a, mirror: b":            "pool: a, mirror: {pool: b}",
		"pool: a, headers: {X-A: b}":    "pool: a, headers: {X-A: {exact: b}}",
		"pool: a, methods: GET":         "pool: a, methods: [GET]",
		"redirect: /x":                  "redirect: {to: /x}",
		"respond: 404":                  "respond: {status: 404}",
		"pool: a, retry: {attempts: 3}": "pool: a",
	} {
		var got [2]*Config
		for i, route := range []string{short, long} {
			cfg, err := parse(t, `
listen: [{address: ":8080", routes: [{`+route+`}, {path: /a, pool: a}]}]
pools: {a: {targets: ["127.0.0.1:9001"]}, b: {targets: ["127.0.0.1:9002"]}}
`)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Warnings = nil
			got[i] = cfg
		}
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: got %+v\n%s: got %+v", short, got[0].Listen[0].Routes[0], long, got[1].Listen[0].Routes[0])
		}
	}
}

// TestRouteNames holds that every route has a name of its own.
func TestRouteNames(t *testing.T) {
	cfg, err := parse(t, `
listen:
  - address: ":8080"
    routes:
      - {pool: a, methods: GET}
      - {pool: a}
      - {pool: a, host: API.example.com, path: "/v1/*"}
      - {pool: a, path: /x, name: ":8080/y"}
      - {pool: a, path: /y}
  - address: ":8081"
    routes: [{pool: a}, {pool: a, host: api.example.com, path: "/v1/*"}]
pools: {a: {targets: ["127.0.0.1:9001"]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range cfg.Listen {
		for _, r := range l.Routes {
			got = append(got, r.Name)
		}
	}
	want := []string{":8080/*", ":8080/*#2", "api.example.com/v1/*", ":8080/y", ":8080/y#2", ":8081/*", "api.example.com/v1/*#2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenSSLNames(t *testing.T) {
	for iana, want := range map[string]string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256":       "ECDHE-ECDSA-AES128-GCM-SHA256",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384":         "ECDHE-RSA-AES256-GCM-SHA384",
		"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256":   "ECDHE-RSA-CHACHA20-POLY1305",
		"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA":          "ECDHE-ECDSA-AES256-SHA",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
	} {
		if got := opensslName(iana); got != want {
			t.Errorf("%s: got %s, want %s", iana, got, want)
		}
	}
}
