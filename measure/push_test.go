package measure

import (
	"math"
	"strings"
	"testing"
	"time"
)

var pushNow = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestParsePush(t *testing.T) {
	got, err := ParsePush([]byte(`[
		{"name": "jobs_waiting", "value": 0},
		{"name": "a:b", "value": -1.5, "time": "2026-01-31T11:59:00Z", "pool": "api", "instance": "api-1", "labels": {"zone": "a"}},
		{"name": "x", "value": 1e3, "time": 1769860740.5}
	]`), pushNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || *got[0].Value != 0 || !got[0].Time.Equal(pushNow) || got[1].Pool != "api" || got[1].Instance != "api-1" || got[1].Labels["zone"] != "a" ||
		*got[2].Value != 1000 || !got[1].Time.Equal(pushNow.Add(-time.Minute)) || !got[2].Time.Equal(pushNow.Add(-time.Minute+500*time.Millisecond)) {
		t.Errorf("%+v", got)
	}
	if one, err := ParsePush([]byte(` {"name": "x", "value": 1}`), pushNow); err != nil || len(one) != 1 {
		t.Errorf("a single one: %v %v", one, err)
	}
}

func TestAPushThatIsWrongSaysWhere(t *testing.T) {
	for body, want := range map[string]string{
		``:    "not a list",
		`[]`:  "empty",
		`"x"`: "not a list",
		`[{"name": "x", "value": 1}, {"name": "x"}]`:                                       `item 1: "value" is missing`,
		`[{"name": "x", "value": "1"}]`:                                                    "item 0",
		`[{"name": "x", "value": null}]`:                                                   "missing",
		`[{"name": "x y", "value": 1}]`:                                                    `"name" is "x y"`,
		`[{"name": "weir_queue_depth", "value": 1}]`:                                       "Weir's own",
		`[{"name": "x", "value": 1, "pol": "api"}]`:                                        `unknown field "pol"`,
		`[{"name": "x", "value": 1, "instance": "i"}]`:                                     `needs "pool"`,
		`[{"name": "x", "value": 1, "labels": {"pool": "a"}}]`:                             `"pool"`,
		`[{"name": "x", "value": 1, "labels": {"__name__": "a"}}]`:                         "cannot name",
		`[{"name": "x", "value": 1, "time": "yesterday"}]`:                                 "RFC 3339",
		`[{"name": "x", "value": 1, "time": "2026-01-31T10:00:00Z"}]`:                      "2h0m0s ago",
		`[{"name": "x", "value": 1, "time": "2026-01-31T12:05:00Z"}]`:                      "ahead",
		`[{"name": "x", "value": 1, "time": 1769860740500}]`:                               "milliseconds",
		`[{"name": "x", "value": 1, "time": true}]`:                                        "RFC 3339",
		`[{"name": "x", "value": 1e999}]`:                                                  "item 0",
		`[` + strings.Repeat(`{"name":"x","value":1},`, 1000) + `{}]`:                      "at most 1000",
		`[{"name": "x", "value": 1, "labels": {"a": "` + strings.Repeat("x", 300) + `"}}]`: "longer",
	} {
		if _, err := ParsePush([]byte(body), pushNow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
}

func FuzzParsePush(f *testing.F) {
	f.Add([]byte(`[{"name": "x", "value": 1, "time": 1769860740.5, "labels": {"a": "b"}}]`))
	f.Add([]byte(`{"name": "x", "value": 1, "time": "2026-01-31T11:59:00Z", "pool": "p", "instance": "i"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParsePush(body, pushNow)
		if err != nil {
			if got != nil {
				t.Fatal("half of a push was taken")
			}
			return
		}
		for _, p := range got {
			if p.Name == "" || p.Value == nil || math.IsNaN(*p.Value) || pushNow.Sub(p.Time) > PushedLate || p.Time.Sub(pushNow) > PushedEarly {
				t.Fatalf("%+v was taken", p)
			}
		}
	})
}
