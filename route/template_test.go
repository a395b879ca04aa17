package route

import (
	"strings"
	"testing"
)

func vars() *Vars {
	return &Vars{
		Request: Request{
			Method: []byte("POST"), Host: []byte("API.example.com:8080"), Path: []byte("/v1/a%20b"), Query: []byte("x=1&y"),
			Header: headers{"x-model": "sdxl", "x-evil": "a\r\nSet-Cookie: b=c\x00\x7f\td"},
		},
		ClientIP: "2001:db8::1", RequestID: []byte("0af7"), Target: "10.0.0.1:9001",
	}
}

func TestTemplates(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		"{client_ip}":              "2001:db8::1",
		"{host}|{header.host}":     "api.example.com|",
		"{method} {path} {query}":  "POST /v1/a%20b x=1&y",
		"{scheme}://{host}{uri}":   "http://api.example.com/v1/a%20b?x=1&y",
		"{request_id}/{target}":    "0af7/10.0.0.1:9001",
		"a{header.X-Model}b":       "asdxlb",
		"{header.x-none}":          "",
		"{header.x-evil}":          "aSet-Cookie: b=c\td",
		`{"group":"default"}`:      `{"group":"default"}`,
		`{"a":{"b":1}}`:            `{"a":{"b":1}}`,
		"{{host}":                  "{host}",
		"{{{host}":                 "{api.example.com",
		"{":                        "{",
		"}{":                       "}{",
		"{ host }":                 "{ host }",
		"{}":                       "{}",
		"{host":                    "{host",
		"{host}{host} {{ {method}": "api.example.comapi.example.com { POST",
	} {
		tmpl, err := ParseTemplate(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := string(tmpl.Append([]byte("> "), vars())); got != "> "+want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"{nothing}", "{Host}", "{header.}", "{header}", "a{client-ip}"} {
		if _, err := ParseTemplate(in); err == nil || !strings.Contains(err.Error(), "{client_ip}") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("a{header.x}b{uri}", "v\r\nx: y", "/p")
	f.Add("{{{host}", "", "//evil\n")
	f.Fuzz(func(t *testing.T, text, value, path string) {
		v := &Vars{Request: Request{Host: []byte(value), Path: []byte(path), Query: []byte(value), Header: headers{"x": value}}, Target: value}
		if e, err := NewRequestEdits([]Edit{{Set, "X-Fuzz", text}}); err == nil {
			if got := string(e.Append(nil, v)); strings.Count(got, "\n") != 1 || strings.Count(got, "\r") != 1 || !strings.HasSuffix(got, "\r\n") {
				t.Errorf("%q with %q: %q", text, value, got)
			}
		}
		if d, err := NewRedirect(text, 0); err == nil {
			if got := string(d.Append(nil, v)); strings.ContainsAny(got, "\r\n \x00\\") || strings.HasPrefix(got, "//") {
				t.Errorf("to %q with %q %q: %q", text, value, path, got)
			}
		}
	})
}

func TestEdits(t *testing.T) {
	e, err := NewRequestEdits([]Edit{
		{Set, "X-Real-IP", "{client_ip}"},
		{Add, "X-Tag", "a"},
		{Add, "X-Tag", "{method}"},
		{Remove, "Cookie", ""},
		{Remove, "X-Internal-*", ""},
		{Set, "Host", "{target}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "X-Real-IP: 2001:db8::1\r\nX-Tag: a\r\nX-Tag: POST\r\nHost: 10.0.0.1:9001\r\n"
	if got := string(e.Append(nil, vars())); got != want {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]bool{
		"x-real-ip": true, "X-REAL-IP": true, "X-Real-IPs": false, "X-Tag": false, "cookie": true, "X-INTERNAL-Token": true, "x-internal": false,
		"Host": true, "": false,
	} {
		if got := e.Drops([]byte(name)); got != want {
			t.Errorf("%s: dropped %v", name, got)
		}
	}
	h := map[string][]string{"Cookie": {"a"}, "X-Tag": {"b"}, "X-Internal-Token": {"c"}, "X-Real-Ip": {"d", "e"}, "Accept": {"f"}}
	host := e.Apply(h, vars())
	if len(h) != 3 || len(h["X-Tag"]) != 3 || h["X-Real-Ip"][0] != "2001:db8::1" || h["Accept"][0] != "f" || host != "10.0.0.1:9001" {
		t.Errorf("%v %s", h, host)
	}
	var none *Edits
	if none.Drops([]byte("x")) || none.Append(nil, vars()) != nil || none.Apply(h, vars()) != "" || len(h) != 3 {
		t.Error("no edits edit")
	}
	if e, err := NewResponseEdits(nil); e != nil || err != nil {
		t.Error(e, err)
	}
}

func TestEditsThatWouldConfuseAreRefused(t *testing.T) {
	for _, name := range framing {
		for _, op := range []Op{Set, Add, Remove} {
			if _, err := NewRequestEdits([]Edit{{op, strings.ToUpper(name), ""}}); err == nil {
				t.Errorf("%d %s is taken", op, name)
			}
		}
	}
	for _, e := range []Edit{
		{Set, "", "x"}, {Set, "a b", "x"}, {Set, "a:", "x"}, {Set, "a\r\nb", "x"}, {Set, "ü", "x"}, {Set, "a*", "x"},
		{Set, "a", "x\r\ny"}, {Set, "a", "x\x00"}, {Set, "a", " x"}, {Set, "a", "{what}"},
		{Remove, "*", ""}, {Remove, "c*", ""}, {Remove, "con*", ""}, {Remove, "ho*", ""}, {Remove, "a*b", ""}, {Remove, "a**", ""},
		{Remove, "Host", ""}, {Add, "Host", "x"}, {Set, "Host", "{header.x}"}, {Set, "Host", "a b"}, {Set, "Host", "a/b"}, {Set, "Host", ""},
	} {
		if _, err := NewRequestEdits([]Edit{e}); err == nil {
			t.Errorf("%+v is taken", e)
		}
	}
	if _, err := NewResponseEdits([]Edit{{Set, "Host", "x"}}); err == nil {
		t.Error("an answer is given a Host")
	}
	if _, err := NewRequestEdits([]Edit{{Set, "a", "x"}, {Set, "A", "y"}}); err == nil {
		t.Error("a header is set twice")
	}
}

func BenchmarkEdits(b *testing.B) {
	e, err := NewRequestEdits([]Edit{{Set, "X-Real-IP", "{client_ip}"}, {Set, "X-Request-ID", "{request_id}"}, {Remove, "Cookie", ""}})
	if err != nil {
		b.Fatal(err)
	}
	v, dst, name := vars(), make([]byte, 0, 256), []byte("content-type")
	b.ReportAllocs()
	for b.Loop() {
		e.Drops(name)
		e.Append(dst, v)
	}
}
