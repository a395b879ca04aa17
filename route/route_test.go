package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheMostSpecificRouteWins(t *testing.T) {
	routes := []Route{
		{Pool: "all"},
		{Path: "/v1/*", Pool: "v1"},
		{Path: "/v1/chat/*", Pool: "chat"},
		{Path: "/v1/chat/exact", Pool: "exact"},
		{Host: "*.example.com", Pool: "wild"},
		{Host: "*.eu.example.com", Pool: "eu"},
		{Host: "API.example.com", Path: "/only", Pool: "api"},
	}
	tab, err := New(routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, path, want string }{
		{"x", "/", "all"},
		{"x", "/v1", "v1"},
		{"x", "/v1x", "all"},
		{"x", "/v1/", "v1"},
		{"x", "/v1/chat", "chat"},
		{"x", "/v1/chat/exact", "exact"},
		{"x", "/v1/chat/exact/more", "chat"},
		{"a.example.com", "/v1/chat/x", "wild"},
		{"a.eu.example.com:8080", "/", "eu"},
		{"Api.Example.com.", "/only", "api"},
		{"api.example.com", "/other", "wild"},
		{"example.com", "/", "all"},
		{"[::1]:80", "/v1/x", "v1"},
	} {
		if i := tab.Match(at(c.host, c.path)); i < 0 || routes[i].Pool != c.want {
			t.Errorf("%s%s: route %d, want %s", c.host, c.path, i, c.want)
		}
	}
}

func at(host, path string) *Request {
	return &Request{Method: []byte("GET"), Host: []byte(host), Path: []byte(path)}
}

func TestNoRoute(t *testing.T) {
	tab, _ := New([]Route{{Host: "a", Path: "/x", Pool: "p"}})
	for _, c := range [][2]string{{"a", "/y"}, {"b", "/x"}, {"", "/x"}} {
		if i := tab.Match(at(c[0], c[1])); i != -1 {
			t.Errorf("%v: route %d, want none", c, i)
		}
	}
}

func TestBadPatterns(t *testing.T) {
	for _, r := range []Route{
		{Path: "v1"}, {Path: "*/v1"}, {Host: "*."}, {Host: "a*b"}, {Path: "/a#b"}, {Path: "/a%2Ab"}, {Path: "/a\r\n"}, {Path: "/a b"}, {Path: "/a?b"}, {Host: "a.*"},
	} {
		if _, err := New([]Route{r}); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

func TestHostsAsRequestsWriteThem(t *testing.T) {
	tab, err := New([]Route{{Host: "::1"}, {Host: "[::2]"}, {Host: "a.example."}, {Host: "*.b.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"[::1]": 0, "[::1]:80": 0, "[::2]:80": 1, "[::3]": -1, "a.example": 2, "A.Example.:443": 2, "x.b.example": 3, "x.y.b.example:1": 3,
		"b.example": -1, ".b.example": -1, "xb.example": -1, "": -1, ":": -1, "[": -1, "]": -1,
	} {
		if got := tab.Match(at(host, "/")); got != want {
			t.Errorf("%q: %d, want %d", host, got, want)
		}
	}
}

// A * stands for any run of bytes, slashes included, as in the path conditions of AWS's load balancers.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		path string
		yes  []string
		no   []string
	}{
		{path: "/v1/*", yes: []string{"/v1", "/v1/", "/v1/x", "/v1/x/y"}, no: []string{"/", "/v", "/v1x", "/v2/v1/"}},
		{path: "/v1*", yes: []string{"/v1", "/v1/", "/v1x"}, no: []string{"/v"}},
		{path: "/v1/**", yes: []string{"/v1/x", "/v1"}, no: []string{"/v1x"}},
		{
			path: "/users/*/files",
			yes:  []string{"/users/1/files", "/users/1/2/files", "/users//files/files"},
			no:   []string{"/users/files", "/users/1/files/", "/users/1/file"},
		},
		{path: "/*/chat/*", yes: []string{"/v1/chat/completions", "/a/b/chat/"}, no: []string{"/chat/x", "/v1/chat"}},
		{path: "/*.php", yes: []string{"/.php", "/a.php", "/a/b.php"}, no: []string{"/a.php5", "/a"}},
		{path: "/a*b*a", yes: []string{"/aba", "/axbxa", "/abbaa"}, no: []string{"/ab", "/aa", "/abab"}},
		{path: "/a*aa", yes: []string{"/aaa", "/aaaa"}, no: []string{"/aa", "/a"}},
		{path: "/img/%7Ejoe", yes: []string{"/img/~joe", "/img/%7ejoe"}, no: []string{"/img/%257ejoe"}},
		{path: "/a%20b/*", yes: []string{"/a%20b/c"}, no: []string{"/a+b/c"}},
	} {
		tab, err := New([]Route{{Path: c.path}})
		if err != nil {
			t.Fatal(err)
		}
		for i, list := range [][]string{c.yes, c.no} {
			for _, p := range list {
				if got := tab.Match(at("h", p)); (got == 0) != (i == 0) {
					t.Errorf("%s and %s: %d", c.path, p, got)
				}
			}
		}
	}
}

func TestWhichOfSeveralPatternsWins(t *testing.T) {
	routes := []Route{
		{Path: "/v1*"}, {Path: "/v1/*"}, {Path: "/v1/*/chat"}, {Path: "/v1/models/*"}, {Path: "/v1/*t"}, {Path: "/*/chat"}, {},
		{Path: "/v1/models/list"},
	}
	tab, err := New(routes)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/v1x": 0, "/v1": 1, "/v1/": 1, "/v1/a/chat": 2, "/v1/models/chat": 3, "/v1/models/list": 7, "/v1/at": 4, "/v2/chat": 5, "/v2": 6, "*": 6,
	} {
		if got := tab.Match(at("h", path)); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// Whoever guards /admin guards every way to write it (nginx compares locations in the same form).
func TestPathsAreComparedInNormalForm(t *testing.T) {
	for path, want := range map[string]string{
		"/admin": "/admin", "//admin": "/admin", "/./admin": "/admin", "/x/../admin": "/admin", "/../../admin": "/admin", "/%61dmin": "/admin",
		"/x/%2e%2e/admin": "/admin", "/x/.%2E/admin": "/admin", "/x%2f..%2fadmin": "/admin", "/x//../admin": "/admin", "/admin/.": "/admin/",
		"/admin/x/..": "/admin/", "/admin/..": "/", "/..": "/", "/.": "/", "/": "/", "///": "/", "/...": "/...", "/.well-known/x": "/.well-known/x",
		"/a..b/.c/d.": "/a..b/.c/d.", "/%2561dmin": "/%61dmin", "/%": "/%", "/%6": "/%6", "/%zz": "/%zz", "*": "*", "": "", "/a/%2E": "/a/",
	} {
		if got := string(clean(nil, []byte(path), true)); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if isClean([]byte(path)) && path != want {
			t.Errorf("%s is taken as clean", path)
		}
		tab, _ := New([]Route{{Path: "/admin/*"}, {}})
		if got, inside := tab.Match(at("h", path)) == 0, strings.HasPrefix(want, "/admin"); got != inside {
			t.Errorf("%s: guarded %v", path, got)
		}
	}
}

type headers map[string]string

func (h headers) Get(lower string) []byte {
	if v, ok := h[lower]; ok {
		return append([]byte{}, v...)
	}
	return nil
}

func TestConditions(t *testing.T) {
	header := func(c Condition) Route { return Route{Headers: []Condition{c}} }
	query := func(c Condition) Route { return Route{Query: []Condition{c}} }
	cookie := func(c Condition) Route { return Route{Cookies: []Condition{c}} }
	for _, c := range []struct {
		route Route
		r     Request
		want  bool
	}{
		{Route{Methods: []string{"POST"}}, Request{Method: []byte("POST")}, true},
		{Route{Methods: []string{"POST"}}, Request{Method: []byte("GET")}, false},
		{Route{Methods: []string{"POST"}}, Request{Method: []byte("post")}, false},
		{Route{Methods: []string{"POST", "GET"}}, Request{Method: []byte("HEAD")}, true},
		{Route{Methods: []string{"POST"}}, Request{Method: []byte("HEAD")}, false},

		{header(Condition{Name: "X-Model", Values: []string{"sdxl"}}), Request{Header: headers{"x-model": "sdxl"}}, true},
		{header(Condition{Name: "X-Model", Values: []string{"sdxl"}}), Request{Header: headers{"x-model": "SDXL"}}, false},
		{header(Condition{Name: "X-Model", Values: []string{"sdxl"}}), Request{Header: headers{"x-model": "sdxl2"}}, false},
		{header(Condition{Name: "X-Model", Values: []string{"sd15", "sdxl*"}}), Request{Header: headers{"x-model": "sdxl-turbo"}}, true},
		{header(Condition{Name: "X-Model", Values: []string{"*turbo"}}), Request{Header: headers{"x-model": "sdxl-turbo"}}, true},
		{header(Condition{Name: "X-Model", Values: []string{"*"}}), Request{Header: headers{"x-model": ""}}, true},
		{header(Condition{Name: "X-Model"}), Request{Header: headers{"x-model": ""}}, true},
		{header(Condition{Name: "X-Model"}), Request{Header: headers{}}, false},
		{header(Condition{Name: "X-Model"}), Request{}, false},
		{header(Condition{Name: "X-Model", Not: true}), Request{Header: headers{}}, true},
		{header(Condition{Name: "X-Model", Not: true}), Request{}, true},
		{header(Condition{Name: "X-Model", Not: true}), Request{Header: headers{"x-model": ""}}, false},
		{header(Condition{Name: "X-Model", Not: true, Values: []string{"a"}}), Request{Header: headers{"x-model": "b"}}, true},
		{header(Condition{Name: "X-Model", Not: true, Values: []string{"a"}}), Request{Header: headers{"x-model": "a"}}, false},
		{header(Condition{Name: "X-Model", Regexp: "^sd(xl|15)$"}), Request{Header: headers{"x-model": "sdxl"}}, true},
		{header(Condition{Name: "X-Model", Regexp: "^sd(xl|15)$"}), Request{Header: headers{"x-model": "sdxl "}}, false},
		{header(Condition{Name: "X-Model", Regexp: "(?i)XL"}), Request{Header: headers{"x-model": "sdxl-turbo"}}, true},
		{header(Condition{Name: "X-Model", Regexp: ".*"}), Request{Header: headers{}}, false},

		{query(Condition{Name: "model", Values: []string{"a b"}}), Request{Query: []byte("x=1&model=a+b")}, true},
		{query(Condition{Name: "model", Values: []string{"a b"}}), Request{Query: []byte("m%6fdel=a%20b")}, true},
		{query(Condition{Name: "model", Values: []string{"a"}}), Request{Query: []byte("model=b&model=a")}, true},
		{query(Condition{Name: "model", Values: []string{"a"}, Not: true}), Request{Query: []byte("model=b&model=a")}, false},
		{query(Condition{Name: "model", Values: []string{""}}), Request{Query: []byte("model")}, true},
		{query(Condition{Name: "model"}), Request{Query: []byte("model=")}, true},
		{query(Condition{Name: "model"}), Request{Query: []byte("models=1&xmodel=1&Model=1&&")}, false},
		{query(Condition{Name: "model"}), Request{}, false},
		{query(Condition{Name: "a b"}), Request{Query: []byte("a+b=")}, true},
		{query(Condition{Name: "x", Values: []string{"1;y=2"}}), Request{Query: []byte("x=1;y=2")}, true},

		{cookie(Condition{Name: "canary", Values: []string{"1"}}), Request{Header: headers{"cookie": "a=b; canary=1"}}, true},
		{cookie(Condition{Name: "canary", Values: []string{"1"}}), Request{Header: headers{"cookie": `canary="1";a=b`}}, true},
		{cookie(Condition{Name: "canary", Values: []string{"1"}}), Request{Header: headers{"cookie": "xcanary=1; canary=2; canary=1"}}, false},
		{cookie(Condition{Name: "canary"}), Request{Header: headers{"cookie": "a=canary=1; canary; Canary=1"}}, false},
		{cookie(Condition{Name: "canary", Not: true}), Request{Header: headers{"cookie": "a=b"}}, true},
		{cookie(Condition{Name: "canary"}), Request{Header: headers{"cookie": "canary="}}, true},
	} {
		tab, err := New([]Route{c.route})
		if err != nil {
			t.Fatal(err)
		}
		if got := tab.Match(&c.r) == 0; got != c.want {
			t.Errorf("%+v with %s %q %v: %v", c.route, c.r.Method, c.r.Query, c.r.Header, got)
		}
		if why := tab.Reasons(&c.r)[0].Why; (why == "") != c.want {
			t.Errorf("%+v: the reason is %q", c.route, why)
		}
	}
}

func TestMoreConditionsWinAndThenTheOrder(t *testing.T) {
	one := []Condition{{Name: "a"}}
	tab, err := New([]Route{
		{Path: "/x/*"},
		{Path: "/x/*", Headers: one},
		{Path: "/x/*", Headers: one, Query: one},
		{Path: "/x/*", Cookies: one},
		{Path: "/x/*", Methods: []string{"POST", "PUT", "PATCH"}},
		{Path: "/x/y"},
		{Headers: one, Query: one, Cookies: one},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, query string
		header      headers
		want        int
	}{
		{"/x/z", "", nil, 0},
		{"/x/z", "", headers{"a": ""}, 1},
		{"/x/z", "a", headers{"a": ""}, 2},
		{"/x/z", "", headers{"cookie": "a=1"}, 3},
		{"/x/z", "", headers{"cookie": "a=1", "a": ""}, 1},
		{"/x/y", "a", headers{"cookie": "a=1", "a": ""}, 5},
		{"/z", "a", headers{"cookie": "a=1", "a": ""}, 6},
		{"/z", "a", headers{"a": ""}, -1},
	} {
		r := at("h", c.path)
		r.Query, r.Header = []byte(c.query), c.header
		if got := tab.Match(r); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestBadConditions(t *testing.T) {
	for _, r := range []Route{
		{Methods: []string{"get"}}, {Methods: []string{""}}, {Methods: []string{"GET POST"}},
		{Headers: []Condition{{}}}, {Headers: []Condition{{Name: "a b"}}}, {Headers: []Condition{{Name: "a:"}}}, {Cookies: []Condition{{Name: "a=b"}}},
		{Query: []Condition{{Name: "a", Regexp: "("}}}, {Query: []Condition{{Name: "a", Regexp: "a", Values: []string{"b"}}}},
	} {
		if _, err := New([]Route{r}); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

func TestAMissSaysWhichMethodsWouldFit(t *testing.T) {
	tab, err := New([]Route{
		{Host: "api.example", Path: "/predict", Methods: []string{"POST"}},
		{Host: "api.example", Path: "/predict", Methods: []string{"PUT"}, Headers: []Condition{{Name: "x-admin"}}},
		{Host: "*.example", Path: "/predict/*", Methods: []string{"GET", "POST"}},
		{Path: "/all", Methods: []string{"DELETE"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, host, path, allow string
		header                    headers
	}{
		{"DELETE", "api.example", "/predict", "GET, HEAD, POST", nil},
		{"DELETE", "api.example", "/predict", "GET, HEAD, POST, PUT", headers{"x-admin": ""}},
		{"DELETE", "b.example", "/x/../predict", "GET, HEAD, POST", nil},
		{"GET", "c", "/all", "DELETE", nil},
		{"GET", "api.example", "/nothing", "", nil},
		{"DELETE", "c", "/predict", "", nil},
	} {
		r := at(c.host, c.path)
		r.Method, r.Header = []byte(c.method), c.header
		if i := tab.Match(r); i >= 0 {
			t.Errorf("%+v: takes route %d", c, i)
		}
		if got := tab.Explain(r).Allow(); got != c.allow {
			t.Errorf("%+v: %q", c, got)
		}
	}
	want := []Reason{
		{0, "the path is not /predict"}, {1, "the path is not /predict"}, {2, "the method is not GET or POST or HEAD"}, {3, "the path is not /all"},
	}
	r := at("api.example", "/predict/x")
	r.Method = []byte("DELETE")
	if got := tab.Reasons(r); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := tab.Reasons(at("c", "/"))[:3]; got[0].Why != "the host is not api.example" || got[2].Why != "the host is not *.example" {
		t.Errorf("%v", got)
	}
}

// The index and trying one route after the other are the same.
func TestManyRoutesAreFoundAsFewAre(t *testing.T) {
	segment := rapid.SampledFrom([]string{"/a", "/b", "/ab", "/a*", "/*", "*", "/", "x"})
	path := rapid.Custom(func(t *rapid.T) string {
		p := strings.Join(rapid.SliceOfN(segment, 0, 4).Draw(t, "path"), "")
		if p != "" && p[0] != '/' {
			p = "/" + p
		}
		return p
	})
	host := rapid.SampledFrom([]string{"", "a.x", "b.a.x", "*.x", "*.a.x"})
	method := rapid.SampledFrom([][]string{nil, nil, {"POST"}, {"GET"}})
	rapid.Check(t, func(t *rapid.T) {
		routes := make([]Route, rapid.IntRange(0, 40).Draw(t, "n"))
		for i := range routes {
			routes[i] = Route{Host: host.Draw(t, "host"), Path: path.Draw(t, "path"), Methods: method.Draw(t, "methods")}
		}
		tab, err := New(routes)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			r := at(strings.ReplaceAll(host.Draw(t, "at"), "*", "q"), strings.ReplaceAll(path.Draw(t, "at"), "*", "c"))
			got, want := tab.Match(r), slowly(tab, r)
			if got != want {
				t.Fatalf("%s%s: %d, one after the other %d", r.Host, r.Path, got, want)
			}
		}
	})
}

// slowly finds the best of all routes that fit by what Table promises.
func slowly(t *Table, r *Request) int {
	var fit []hostRule
	for i, reason := range t.Reasons(r) {
		if reason.Why == "" {
			fit = append(fit, t.rules[i])
		}
	}
	if len(fit) == 0 {
		return -1
	}
	rank := func(h string) int { // exact, then the longest wildcard, then any
		switch {
		case h == "":
			return 0
		case h[0] == '.':
			return len(h)
		}
		return 1000
	}
	return slices.MinFunc(fit, func(a, b hostRule) int {
		return cmp.Or(cmp.Compare(rank(b.host), rank(a.host)), precedence(a.rule, b.rule))
	}).index
}

func TestMatchAllocatesNothing(t *testing.T) {
	tab, _ := New([]Route{
		{Host: "api.example", Path: "/v1/*", Methods: []string{"POST"}, Headers: []Condition{{Name: "x-model", Values: []string{"sd*"}}},
			Cookies: []Condition{{Name: "c", Regexp: "^1"}}, Query: []Condition{{Name: "q"}}},
	})
	h := fixed{[]byte("sdxl"), []byte("a=b; c=1")}
	r := at("api.example:80", "/v1/./x")
	r.Method, r.Query, r.Header = []byte("POST"), []byte("a=b&q=1"), &h
	if n := testing.AllocsPerRun(100, func() {
		if tab.Match(r) != 0 {
			t.Error("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type fixed struct{ model, cookie []byte }

func (f *fixed) Get(lower string) []byte {
	if lower == "cookie" {
		return f.cookie
	}
	return f.model
}

func BenchmarkMatch(b *testing.B) {
	few := []Route{{Path: "/v1/chat/*"}, {Path: "/v1/images/*"}, {Path: "/predict"}, {}}
	var many []Route
	for i := range 1000 {
		many = append(many, Route{Path: fmt.Sprintf("/service%d/v1/*", i)})
	}
	model := []Route{{Path: "/predict", Methods: []string{"POST"}, Headers: []Condition{{Name: "x-model", Values: []string{"sd*"}}}}}
	for _, c := range []struct {
		name   string
		routes []Route
		path   string
	}{
		{"any", []Route{{}}, "/predict"},
		{"few", few, "/predict"},
		{"conditions", model, "/predict"},
		{"unclean", few, "/x/../predict"},
		{"thousand", many, "/service777/v1/chat/completions"},
		{"thousand miss", many, "/zervice777/v1/chat/completions"},
	} {
		b.Run(c.name, func(b *testing.B) {
			tab, err := New(c.routes)
			if err != nil {
				b.Fatal(err)
			}
			r := at("api.example.com:8080", c.path)
			r.Method, r.Header = []byte("POST"), &fixed{model: []byte("sdxl")}
			b.ReportAllocs()
			for b.Loop() {
				tab.Match(r)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a.example.com:80", "/v1/x", "a=b&c", "a=b; c=d")
	f.Add("[::1]", "", "%zz=%", ";;=")
	f.Add("a", "/%%32e/%2e", "", "")
	f.Add("]:", "/%2e%2e/.//a/..", "a=%41", `a="`)
	tab, err := New([]Route{
		{Path: "/v1/*"}, {Host: "*.example.com"}, {Host: "a", Path: "/b"}, {Path: "/*/x*y/*z"},
		{Path: "/v1/*", Query: []Condition{{Name: "a", Values: []string{"b*c"}}}},
		{Path: "/v1/*", Cookies: []Condition{{Name: "a", Regexp: "b"}}}, {Path: "/post", Methods: []string{"POST"}},
		{Path: "/1"}, {Path: "/2"}, {Path: "/3"}, {Path: "/4"}, {Path: "/5"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, path, query, cookies string) {
		r := at(host, path)
		r.Query, r.Header = []byte(query), headers{"cookie": cookies}
		if got, want := tab.Match(r), slowly(tab, r); got != want {
			t.Errorf("%d, one after the other %d", got, want)
		}
		tab.Explain(r)
		once := clean(nil, []byte(path), false)
		if twice := clean(nil, once, false); string(once) != string(twice) {
			t.Errorf("%q becomes %q and then %q", path, once, twice)
		}
		if all := clean(nil, []byte(path), true); isClean([]byte(path)) && string(all) != path {
			t.Errorf("%q is clean but becomes %q", path, all)
		}
	})
}
