package route

import "testing"

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
	for _, r := range []Route{{Path: "v1"}, {Path: "/a b"}, {Path: "/a?b"}, {Host: "a.*"}} {
		if _, err := New([]Route{r}); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	tab, _ := New([]Route{{Path: "/v1/chat/*"}, {Path: "/v1/images/*"}, {Path: "/predict"}, {}})
	r := at("api.example.com:8080", "/predict")
	b.ReportAllocs()
	for b.Loop() {
		tab.Match(r)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a.example.com:80", "/v1/x")
	f.Add("[::1]", "")
	tab, _ := New([]Route{{Path: "/v1/*"}, {Host: "*.example.com"}, {Host: "a", Path: "/b"}})
	f.Fuzz(func(t *testing.T, host, path string) { tab.Match(at(host, path)) })
}
