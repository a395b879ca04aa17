package telemetry

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 123456789, time.UTC)

// typical is a request as a log sees most of them.
func typical() *Access {
	a := &Access{}
	a.Reset(noon)
	a.Queue, a.Connect, a.FirstByte, a.Total = 12300*time.Microsecond, 400*time.Microsecond, 230100*time.Microsecond, 1250*time.Millisecond
	a.Client, a.Protocol, a.TLS = netip.MustParseAddr("203.0.113.7"), "HTTP/1.1", "TLS 1.3"
	a.Method, a.Host, a.Path = a.Keep([]byte("POST")), a.Keep([]byte("api.example.com")), a.Keep([]byte("/v1/chat/completions"))
	a.Query, a.UserAgent = a.Keep([]byte("key=secret")), a.Keep([]byte("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"))
	a.RequestID = a.Keep([]byte("01JNX9W6Y2Z8Q4"))
	a.Trace = Trace{ID: [16]byte{0x4b, 0xf9, 15: 0x36}, Span: [8]byte{7: 1}}
	a.Route, a.Pool, a.Target = "chat", "gpu", "10.0.0.1:9000"
	a.Status, a.BytesIn, a.BytesOut, a.Attempts = 200, 512, 20480, 1
	return a
}

func jsonOf(a *Access, query bool, without ...string) string {
	omit, err := fieldsOf(without)
	if err != nil {
		panic(err)
	}
	l := line{query: query, omit: omit}
	l.json(a)
	return string(l.b)
}

func TestJSONLine(t *testing.T) {
	const want = `{"time":"2026-03-04T12:00:00.123456Z","status":200,"duration_ms":1250.000,"queue_ms":12.300,"connect_ms":0.400,"first_byte_ms":230.100,` +
		`"client":"203.0.113.7","method":"POST","host":"api.example.com","path":"/v1/chat/completions","protocol":"HTTP/1.1","tls":"TLS 1.3",` +
		`"route":"chat","pool":"gpu","target":"10.0.0.1:9000","bytes_in":512,"bytes_out":20480,"attempts":1,` +
		`"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","request_id":"01JNX9W6Y2Z8Q4",` +
		`"trace_id":"4bf90000000000000000000000000036"}` + "\n"
	if got := jsonOf(typical(), false); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestJSONLineOfWhatWentWrong(t *testing.T) {
	a := typical()
	a.Retries, a.Attempts, a.Cut, a.ClientLeft, a.Tenant = 2, 3, true, true, []byte("acme")
	a.Refused, a.Error, a.Referer = "timeouts.idle", "the target sent \"nothing\"\n", []byte("https://example.com/\xff")
	got := jsonOf(a, true)
	for _, part := range []string{
		`"query":"key=secret"`, `"attempts":3,"retries":2`, `"cut_after":20480`, `"client_left":true`, `"tenant":"acme"`,
		`"refused":"timeouts.idle"`, `"error":"the target sent \"nothing\"\n"`, `"referer":"https://example.com/\ufffd"`,
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is missing in %s", part, got)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(got), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range AccessFields() {
		if _, ok := fields[name]; !ok {
			t.Errorf("%s is missing though all fields have something to say", name)
		}
	}
	if len(fields) != len(AccessFields()) {
		t.Errorf("%d fields, want %d", len(fields), len(AccessFields()))
	}
}

func TestJSONLineOfNothing(t *testing.T) {
	want := `{"time":"2026-03-04T12:00:00.123456Z","status":0,"duration_ms":0.000,"bytes_in":0,"bytes_out":0,"attempts":0}` + "\n"
	if got := jsonOf(&Access{Start: noon}, true); got != want {
		t.Errorf("got %s", got)
	}
	if got := jsonOf(&Access{Start: noon}, true, AccessFields()...); got != "{}\n" {
		t.Errorf("with all fields left out: %q", got)
	}
}

func TestEachFieldCanBeLeftOut(t *testing.T) {
	a := typical()
	a.Retries, a.Cut, a.ClientLeft, a.Tenant, a.Refused, a.Error, a.Referer = 1, true, true, []byte("t"), "r", "e", []byte("f")
	for _, name := range AccessFields() {
		var fields map[string]any
		if err := json.Unmarshal([]byte(jsonOf(a, true, name)), &fields); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		if _, ok := fields[name]; ok || len(fields) != len(AccessFields())-1 {
			t.Errorf("without %s: %v", name, fields)
		}
	}
	if _, err := fieldsOf([]string{"cookie"}); err == nil || !strings.Contains(err.Error(), "user_agent") {
		t.Errorf("leaving out what is no field: %v", err)
	}
}

func TestCombinedLine(t *testing.T) {
	zone := time.Local
	defer func() { time.Local = zone }()
	time.Local = time.FixedZone("", 5*3600+1800)
	a := typical()
	a.UserAgent = []byte("a \"b\" \\ \x01 \x7f é")
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() {}, `203.0.113.7 - - [04/Mar/2026:17:30:01 +0530] "POST /v1/chat/completions HTTP/1.1" 200 20480 "-" "a \x22b\x22 \x5C \x01 \x7F \xC3\xA9"`},
		{func() { a.Referer = []byte("https://example.com/") }, `203.0.113.7 - - [04/Mar/2026:17:30:01 +0530] "POST /v1/chat/completions HTTP/1.1" 200 20480 "https://example.com/" "a \x22b\x22 \x5C \x01 \x7F \xC3\xA9"`},
		{func() { a.Status, a.ClientLeft = 0, true }, `203.0.113.7 - - [04/Mar/2026:17:30:01 +0530] "POST /v1/chat/completions HTTP/1.1" 499 20480 "https://example.com/" "a \x22b\x22 \x5C \x01 \x7F \xC3\xA9"`},
		{func() { *a = Access{Start: noon, Status: 400} }, `- - - [04/Mar/2026:17:30:00 +0530] "-" 400 0 "-" "-"`},
	} {
		c.change()
		l := line{}
		l.combined(a)
		if got := string(l.b); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

func TestTimesOfOneEncoder(t *testing.T) {
	l := line{}
	for _, at := range []time.Time{noon, noon.Add(time.Microsecond), noon.Add(time.Second), noon.Add(-time.Hour), time.Unix(0, 999), noon.In(time.FixedZone("", 3600))} {
		l.b = l.b[:0]
		l.json(&Access{Start: at})
		if want := `{"time":"` + at.UTC().Format("2006-01-02T15:04:05.000000Z") + `"`; !strings.HasPrefix(string(l.b), want) {
			t.Errorf("got %s, want %s", l.b, want)
		}
	}
}

func TestWhatIsKeptSurvivesItsBuffer(t *testing.T) {
	var a Access
	a.Reset(noon)
	buf := make([]byte, 300)
	var got, want [][]byte
	for i := range 20 { // more than fits the first memory
		for j := range buf {
			buf[j] = byte('a' + i)
		}
		got, want = append(got, a.Keep(buf)), append(want, bytes.Clone(buf))
	}
	clear(buf)
	if !reflect.DeepEqual(got, want) {
		t.Error("a value changed")
	}
	if long := a.KeepString(strings.Repeat("x", maxKept+1)); string(long) != strings.Repeat("x", maxKept)+"…" {
		t.Errorf("a long value became one of %d bytes", len(long))
	}
	a.Reset(noon)
	if cap(a.kept) > maxIdle {
		t.Errorf("an idle connection keeps %d bytes", cap(a.kept))
	}
}

func TestWhichRequestsAreSpoilt(t *testing.T) {
	for _, c := range []struct {
		a    Access
		want bool
	}{
		{Access{Status: 200}, false}, {Access{Status: 404}, false}, {Access{Status: 500}, true}, {Access{}, true},
		{Access{ClientLeft: true}, false}, {Access{Status: 200, Cut: true}, true}, {Access{Status: 429, Refused: "rate_limits"}, false},
	} {
		if got := c.a.Spoilt(); got != c.want {
			t.Errorf("%+v: %v", c.a, got)
		}
	}
}

func TestAKeyIsToldApartAndNotShown(t *testing.T) {
	if got := string(AppendKeyID([]byte("key "), []byte("abc"))); got != "key ba7816bf8f01cfea" { // SHA-256 of abc, FIPS 180-2
		t.Error(got)
	}
}

// The strings of a line are those of encoding/json, byte for byte.
func FuzzJSONString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t", "\x00\x1f\x7f", "é€😀", "\xff\xc3", "a\u2028b\u2029", "\ufffd", "\xf0\x9f\x98", "<&>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(string(s)); err != nil {
			t.Fatal(err)
		}
		if got := append(appendJSON(nil, s), '\n'); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%q: got %s, want %s", s, got, want.Bytes())
		}
	})
}

// Whatever clients send, a line is one line of valid JSON, and one of the combined format too.
func FuzzLine(f *testing.F) {
	f.Add([]byte("GET"), []byte("example.com"), []byte("/\n"), []byte("\"}\xff"), int64(1e9))
	f.Fuzz(func(t *testing.T, method, host, path, agent []byte, d int64) {
		a := Access{Start: time.Unix(d%4e9, 0), Total: time.Duration(d), Method: method, Host: host, Path: path, UserAgent: agent, Error: string(agent)}
		l := line{query: true}
		l.json(&a)
		if bytes.Count(l.b, []byte{'\n'}) != 1 || !json.Valid(l.b) {
			t.Errorf("not one line of JSON: %s", l.b)
		}
		l = line{query: true}
		l.combined(&a)
		if bytes.Count(l.b, []byte{'\n'}) != 1 || l.b[len(l.b)-1] != '\n' {
			t.Errorf("not one line: %q", l.b)
		}
	})
}

func BenchmarkJSONLine(b *testing.B) {
	a, l := typical(), line{query: true}
	b.ReportAllocs()
	for b.Loop() {
		l.b = l.b[:0]
		l.json(a)
	}
}
