package route

import (
	"errors"
	"strings"
	"testing"
)

func TestRewrites(t *testing.T) {
	for _, c := range []struct {
		w                 Rewrite
		path, query, want string
	}{
		{Rewrite{}, "/a/../b", "q", "/a/../b?q"},
		{Rewrite{StripPrefix: "/api"}, "/api/x", "q=1", "/x?q=1"},
		{Rewrite{StripPrefix: "/api/"}, "/api/x", "", "/x"},
		{Rewrite{StripPrefix: "/api"}, "/api", "", "/"},
		{Rewrite{StripPrefix: "/api"}, "/api/", "", "/"},
		{Rewrite{StripPrefix: "/api"}, "/apix", "", "/apix"},
		{Rewrite{StripPrefix: "/api"}, "/other", "", "/other"},
		{Rewrite{StripPrefix: "/api"}, "/x/../%61pi/a%20b%2Fc", "", "/a%20b%2Fc"},
		{Rewrite{StripPrefix: "/api"}, "/api//evil.example/x", "", "/evil.example/x"},
		{Rewrite{StripPrefix: "/api"}, "*", "", "*"},
		{Rewrite{StripPrefix: "/"}, "/x", "", "/x"},
		{Rewrite{AddPrefix: "/v2"}, "/x", "q", "/v2/x?q"},
		{Rewrite{AddPrefix: "/v2/"}, "/", "", "/v2/"},
		{Rewrite{StripPrefix: "/v1", AddPrefix: "/v2"}, "/v1/x", "", "/v2/x"},
		{Rewrite{StripPrefix: "/v1", AddPrefix: "/v2"}, "/v1", "", "/v2/"},
		{Rewrite{Path: "/predict"}, "/x", "q", "/predict?q"},
		{Rewrite{Path: "/predict?a=b"}, "/x", "q", "/predict?a=b"},
		{Rewrite{Path: "/predict?"}, "/x", "q", "/predict"},
		{Rewrite{Path: "/predict", AddPrefix: "/v2"}, "/x", "", "/v2/predict"},
		{Rewrite{Regexp: "^/models/([^/]+)/run$", Replace: "/run/$1"}, "/models/sdxl/run", "q", "/run/sdxl?q"},
		{Rewrite{Regexp: "^/models/([^/]+)/run$", Replace: "/run/$1"}, "/models/a/b/run", "q", "/models/a/b/run?q"},
		{Rewrite{Regexp: "^/(?P<m>[a-z]+)(/.*)?$", Replace: "/${m}2$2"}, "/v", "", "/v2"},
		{Rewrite{Regexp: "^/(.*)$", Replace: "/$1x$$"}, "/a", "", "/ax$"},
		{Rewrite{Regexp: "a", Replace: "bb"}, "/a/a", "", "/bb/bb"},
		{Rewrite{Regexp: "^/v1", Replace: ""}, "/v1", "", "/"},
		{Rewrite{Regexp: "^/v1", Replace: "", AddPrefix: "/x"}, "/v1/y", "", "/x/y"},
		{Rewrite{Regexp: "^/a$", Replace: "/b?c=d"}, "/a", "q", "/b?c=d"},
		{Rewrite{StripPrefix: "/api", Regexp: "^/a$", Replace: "/b"}, "/api/a", "", "/b"},
	} {
		w, err := c.w.Compile()
		if err != nil {
			t.Errorf("%+v: %v", c.w, err)
			continue
		}
		got, err := w.Append([]byte("GET "), []byte(c.path), []byte(c.query))
		if string(got) != "GET "+c.want || err != nil {
			t.Errorf("%+v of %s?%s: %s %v, want %s", c.w, c.path, c.query, got, err, c.want)
		}
	}
}

func TestARewriteNeverMakesAnInvalidTarget(t *testing.T) {
	for _, c := range []struct {
		w           Rewrite
		path, query string
	}{
		{Rewrite{Regexp: "^/(.*)$", Replace: "$1"}, "/x", ""},
		{Rewrite{Regexp: "^/(.*)$", Replace: "$1", AddPrefix: "/p"}, "/x", ""},
		{Rewrite{AddPrefix: "/p"}, "/x\r\ny", ""},
		{Rewrite{AddPrefix: "/p"}, "/x", "a b"},
	} {
		w, err := c.w.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.Append([]byte("GET "), []byte(c.path), []byte(c.query)); !errors.Is(err, ErrRewrite) || string(got) != "GET " {
			t.Errorf("%+v of %q: %q %v", c.w, c.path, got, err)
		}
	}
}

func TestBadRewrites(t *testing.T) {
	for _, w := range []Rewrite{
		{StripPrefix: "api"}, {AddPrefix: "v2"}, {Path: "predict"}, {Path: "?x"}, {AddPrefix: "/a b"}, {Path: "/a\r\nb"}, {AddPrefix: "/a?b"},
		{Path: "/a#b"}, {StripPrefix: "/ü"}, {Path: "/a", StripPrefix: "/b"}, {Path: "/a", Regexp: "b"}, {Replace: "/a"},
		{Regexp: "("}, {Regexp: "a", Replace: "$1"}, {Regexp: "(a)", Replace: "/$2"}, {Regexp: "(a)", Replace: "/$x"}, {Regexp: "(a)", Replace: "/${x"},
		{Regexp: "(a)", Replace: "/{1}"}, {Regexp: "(a)", Replace: "/a b"}, {Regexp: "(a)", Replace: "/$"}, {Regexp: "(a)", Replace: "/a?$1"},
		{Regexp: "(a)", Replace: "/$99999999999999999999"},
	} {
		if c, err := w.Compile(); err == nil {
			t.Errorf("%+v is taken: %+v", w, c)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("^/(a)(.*)$", "/$2/${1}", "/a/b", "q")
	f.Add("", "", "/%2e%2e/a//b", "")
	f.Fuzz(func(t *testing.T, re, replace, path, query string) {
		for _, w := range []Rewrite{{Regexp: re, Replace: replace}, {StripPrefix: replace}, {AddPrefix: replace}, {Path: replace}} {
			c, err := w.Compile()
			if err != nil || c == nil {
				continue
			}
			got, err := c.Append(nil, []byte(path), []byte(query))
			if err == nil && strings.HasPrefix(path, "/") && (len(got) == 0 || got[0] != '/' || strings.ContainsAny(string(got), " \r\n\t#\x00")) {
				t.Errorf("%+v of %q: %q", w, path, got)
			}
		}
	})
}

func TestRedirects(t *testing.T) {
	for _, c := range []struct{ to, path, want string }{
		{"https://{host}{uri}", "/a", "https://api.example.com/a?x=1&y"},
		{"https://{host}:8443{path}", "/a", "https://api.example.com:8443/a"},
		{"{scheme}://new.example{uri}", "/a", "http://new.example/a?x=1&y"},
		{"https://new.example{uri}", "*", "https://new.example/"},
		{"/new{path}", "/a", "/new/a"},
		{"/new?m={header.x-model}&e={header.x-evil}", "/a", "/new?m=sdxl&e=a%0D%0ASet-Cookie:%20b=c%00%7F%09d"},
		{"{path}", "//evil.example/", "/evil.example/"},
		{"{uri}", `/\evil.example/`, "/%5Cevil.example/?x=1&y"},
		{"/{header.x-slash}", "/a", "/evil.example"},
		{"https://new.example/#top", "/a", "https://new.example/#top"},
		{"https://[::1]:80/", "/a", "https://[::1]:80/"},
	} {
		d, err := NewRedirect(c.to, 0)
		if err != nil {
			t.Errorf("%s: %v", c.to, err)
			continue
		}
		v := vars()
		v.Path = []byte(c.path)
		v.Header.(headers)["x-slash"] = "/evil.example"
		if got := string(d.Append(nil, v)); got != c.want || d.Status != 302 {
			t.Errorf("%s: %d %s, want %s", c.to, d.Status, got, c.want)
		}
	}
	v := vars()
	v.Host, v.TLS = []byte("[::1]:80"), true
	if d, err := NewRedirect("{scheme}://{host}/", 308); err != nil || string(d.Append(nil, v)) != "https://[::1]/" || d.Status != 308 {
		t.Errorf("%v %s", err, d.Append(nil, v))
	}
}

func TestBadRedirects(t *testing.T) {
	for _, to := range []string{
		"", "new", "//new.example", "ftp://x/", "https://", "https:///x", "{scheme}", "{scheme}://", "{host}/x", "{header.x}", "https://{header.x}/",
		"https://new.example{query}", "https://new.example{header.x}/", "https://{host}{client_ip}/", "/a b", "/a\r\nb", "/{target}", "https://{what}/",
		"{scheme}://{uri}", "https://{path}", "javascript:alert(1)",
	} {
		if _, err := NewRedirect(to, 0); err == nil {
			t.Errorf("%s is taken", to)
		}
	}
	for _, status := range []int{200, 300, 304, 306, 400} {
		if _, err := NewRedirect("/", status); err == nil {
			t.Errorf("%d is taken", status)
		}
	}
}

func TestFixedAnswers(t *testing.T) {
	for _, c := range []struct {
		r      Respond
		status int
		lines  string
	}{
		{Respond{}, 200, "Content-Length: 0\r\n"},
		{Respond{Status: 204}, 204, ""},
		{Respond{Status: 403, Body: []byte("no\n")}, 403, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"},
		{Respond{Body: []byte(` {"a":1}`)}, 200, "Content-Type: application/json\r\nContent-Length: 8\r\n"},
		{Respond{Headers: []Header{{"content-type", "text/html"}, {"X-A", "{b}"}}, Body: []byte("<p>")}, 200,
			"content-type: text/html\r\nX-A: {b}\r\nContent-Length: 3\r\n"},
	} {
		a, err := c.r.Compile()
		if err != nil {
			t.Errorf("%+v: %v", c.r, err)
			continue
		}
		if a.Status != c.status || string(a.Lines) != c.lines || string(a.Body) != string(c.r.Body) {
			t.Errorf("%+v: %d %q", c.r, a.Status, a.Lines)
		}
	}
	for _, r := range []Respond{
		{Status: 101}, {Status: 600}, {Status: 204, Body: []byte("x")}, {Headers: []Header{{"Content-Length", "5"}}}, {Headers: []Header{{"a b", ""}}},
		{Headers: []Header{{"a", "b\r\nc"}}}, {Headers: []Header{{"Transfer-Encoding", "chunked"}}}, {Headers: []Header{{"Host", "x"}}},
	} {
		if _, err := r.Compile(); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}
