package probe

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExpectJSON(t *testing.T) {
	for _, c := range []struct {
		name, body, field string
		want              any
		why               string // "" passes
	}{
		{"bool", `{"ok": true}`, "ok", true, ""},
		{"bool as text", `{"ok": "true"}`, "ok", true, `ok is "true", expected true`},
		{"bool as number", `{"ok": 1}`, "ok", true, "ok is 1, expected true"},
		{"integer as float", `{"n": 2.0}`, "n", 2, ""},
		{"exponent", `{"n": 2e0}`, "n", uint64(2), ""},
		{"float", `{"n": 0.1}`, "n", 0.1, ""},
		{"number as text", `{"n": "2"}`, "n", 2, `n is "2", expected 2`},
		{"past 2^53", `{"n": 9007199254740993}`, "n", int64(9007199254740993), ""},
		{"next to it", `{"n": 9007199254740993}`, "n", int64(9007199254740992), "n is 9007199254740993, expected 9007199254740992"},
		{"too large for any float", `{"n": 1e999, "ok": true}`, "n", 1, "n is 1e999, expected 1"},
		{"null", `{"n": null}`, "n", nil, ""},
		{"null is not missing", `{}`, "n", nil, "n is missing, expected null"},
		{"list", `{"l": [1, "a"]}`, "l", []any{1, "a"}, ""},
		{"list in another order", `{"l": ["a", 1]}`, "l", []any{1, "a"}, `l is ["a",1], expected [1,"a"]`},
		{"object", `{"o": {"b": 1, "a": {}}}`, "o", map[string]any{"a": map[string]any{}, "b": 1}, ""},
		{"object with more", `{"o": {"b": 1, "a": 2}}`, "o", map[string]any{"b": 1}, `o is {"a":2,"b":1}, expected {"b":1}`},
		{"list for text", `{"l": []}`, "l", "x", `l is [], expected "x"`},
		{"text for list", `{"l": "x"}`, "l", []any{}, `l is "x", expected []`},
		{"dots reach in", `{"a": {"b": {"c": "yes"}}}`, "a.b.c", "yes", ""},
		{"a key with dots", `{"a.b": {"c.d": 1}}`, "a.b.c.d", 1, ""},
		{"the key as it stands first", `{"a.b": 1, "a": {"b": 2}}`, "a.b", 1, ""},
		{"no way in", `{"a": 1}`, "a.b", 1, "a.b is missing, expected 1"},
		{"not into lists", `{"a": [1]}`, "a.0", 1, "a.0 is missing, expected 1"},
		{"not an object", `[]`, "a", 1, "a is missing, expected 1"},
		{"no JSON", `ok`, "a", 1, "the body is not JSON: invalid character 'o' looking for beginning of value"},
		{"cut", `{"a": 1`, "a", 1, "the body is not JSON: unexpected EOF"},
		{"empty", ``, "a", 1, "the body is not JSON: it is empty"},
		{"two values", `{"a": 1} {"a": 2}`, "a", 1, "the body is not JSON: something follows the value"},
		{"markup", `{"a": "<b>"}`, "a", "x", `a is "<b>", expected "x"`},
		{"deeper than a parser likes", strings.Repeat("[", 20_000), "a", 1, "the body is not JSON: invalid character '[' exceeded max depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (Expect{JSON: map[string]any{c.field: c.want}}).body([]byte(c.body)); got != c.why {
				t.Errorf("%q, want %q", got, c.why)
			}
		})
	}
}

func TestLongValuesAreCutBetweenCharacters(t *testing.T) {
	why := Expect{JSON: map[string]any{"a": 1}}.body([]byte(`{"a": "` + strings.Repeat("é", 500) + `"}`))
	if want := `a is "` + strings.Repeat("é", 49) + "…, expected 1"; why != want {
		t.Errorf("%q, want %q", why, want)
	}
}

// FuzzExpect holds that nothing a target says breaks a check, and that every object is what it is: each field of it, expected
// by name, is found and equal.
func FuzzExpect(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), "a.b")
	f.Add([]byte(`[]`), "")
	f.Add([]byte(`{"a.b":null,"n":1e400,"l":[{"x":-0}]}`), "a..b")
	f.Add([]byte("{\"\xff\":\"\xff\"}"), ".")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		why := Expect{JSON: map[string]any{path: 1}}.body(body)
		if len(body) > maxBody {
			return
		}
		if (why == "" || strings.Contains(why, "expected 1")) != json.Valid(body) {
			t.Fatalf("valid JSON: %v, and %q", json.Valid(body), why)
		}
		doc, err := parse(body)
		fields, ok := doc.(map[string]any)
		if err != nil || !ok || len(fields) == 0 {
			return
		}
		if why := (Expect{JSON: fields}).body(body); why != "" {
			t.Fatalf("an object is not what it is: %s", why)
		}
	})
}
