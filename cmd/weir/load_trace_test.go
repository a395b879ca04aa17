package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// ask is one request that a server got.
type ask struct{ method, path, body, header string }

// askedBy runs weir load with a trace against a server, and returns what that was asked for, sorted by body and path.
func askedBy(t *testing.T, text, path string, flags ...string) (asked []ask, code int, stderr string) {
	t.Helper()
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, ask{r.Method, r.URL.RequestURI(), string(b), r.Header.Get("X-Model")})
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = run(append([]string{"load", s.URL + path, "--trace", file, "--speed", "1000"}, flags...), &out, &errs)
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(asked, func(a, b ask) int { return strings.Compare(a.body+a.path, b.body+b.path) })
	return asked, code, errs.String()
}

const webLog = `::1 - - [10/Oct/2023:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 2326 "-" "-" 0.100 0.100
::1 - - [10/Oct/2023:13:55:37 +0000] "HEAD /d%2Fe HTTP/1.1" 200 0 "-" "-" 0.100 0.100
`

func TestLoadSendsATrace(t *testing.T) {
	const chats = "timestamp,input_tokens,output_tokens,model\n2026-01-31T08:00:00Z,100,20,big\n2026-01-31T08:00:10Z,7,1,\n"
	for _, c := range []struct {
		name, text, path string
		flags            []string
		want             []ask
		note             string
	}{
		{"a log, as it was", webLog, "", nil, []ask{{"GET", "/a?b=c", "", ""}, {"HEAD", "/d%2Fe", "", ""}}, "its own path"},
		{"a log, to one path", webLog, "/x", nil, []ask{{"GET", "/x", "", ""}, {"GET", "/x", "", ""}}, ""},
		{"a body and a header", chats, "/x", []string{"-d", `{{.I}} {{.Input}} {{.Output}}`, "-H", "X-Model: {{.Model}}", "--tokens", "0.1"},
			[]ask{{"POST", "/x", "0 10 2", "big"}, {"POST", "/x", "1 1 1", ""}}, ""},
		{"images", "timestamp,exec_time_seconds,num_inference_steps,model\n2026-01-31T08:00:00Z,1000,30,M1\n2026-01-31T08:00:09Z,,30,\n", "", []string{"--step-time", "100ms"},
			[]ask{{"POST", "/generate", `{"prompt":"a river at sunset","steps":10,"seed":0,"checkpoint":"M1"}`, ""}, {"POST", "/generate", `{"prompt":"a river at sunset","steps":30,"seed":1}`, ""}},
			"POST http"},
		{"seconds", "timestamp,exec_time_seconds\n2026-01-31T08:00:00Z,1000\n", "/x", []string{"-d", "{{.Seconds}}"}, []ask{{"POST", "/x", "1", ""}}, ""},
		{"a part", chats, "/x", []string{"--from", "2026-01-31 08:00:05", "-d", "{{.Input}}"}, []ask{{"POST", "/x", "7", ""}}, ""},
		{"at most", chats, "/x", []string{"--max-requests", "1", "-d", "{{.Input}}"}, []ask{{"POST", "/x", "100", ""}}, ""},
		{"three times", "timestamp\n2026-01-31T08:00:00Z\n", "/x", []string{"--scale", "3"}, []ask{{"GET", "/x", "", ""}, {"GET", "/x", "", ""}, {"GET", "/x", "", ""}}, ""},
	} {
		got, code, stderr := askedBy(t, c.text, c.path, c.flags...)
		if code != exitOK || !slices.Equal(got, c.want) || !strings.Contains(stderr, c.note) {
			t.Errorf("%s: exit %d, asked %+v, want %+v\n%s", c.name, code, got, c.want, stderr)
		}
	}
}

func TestLoadSendsChatsWithTheirPrefixes(t *testing.T) {
	var rows strings.Builder
	for i, hashes := range []string{"[1, 2]", "[1, 3]", "[4, 2]", "[5]"} {
		rows.WriteString(fmt.Sprintf(`{"timestamp": %d, "input_length": 1000, "output_length": 50, "hash_ids": %s}`+"\n", i, hashes))
	}
	got, code, stderr := askedBy(t, rows.String(), "", "--token-chars", "1")
	if code != exitOK || len(got) != 4 {
		t.Fatalf("exit %d, %d requests: %s", code, len(got), stderr)
	}
	prompts := map[int]string{}
	for _, a := range got {
		var body struct {
			Max      int `json:"max_tokens"`
			Seed     int
			Messages []struct{ Content string }
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.path != "/v1/chat/completions" || body.Max != 50 || len(body.Messages) != 1 {
			t.Fatalf("%+v: %v", a, err)
		}
		prompts[body.Seed] = body.Messages[0].Content
	}
	const block = 512
	for i, p := range prompts {
		if len(p) != 1000 {
			t.Errorf("prompt %d has %d characters", i, len(p))
		}
	}
	if prompts[0][:block] != prompts[1][:block] || prompts[0][block:] == prompts[1][block:] || prompts[0][:block] == prompts[2][:block] ||
		prompts[0][block:] != prompts[2][block:] || prompts[3][block:] == prompts[0][block:] {
		t.Error("prompts share other blocks than their hashes")
	}
}

func TestLoadRefusesWhatItCannotSend(t *testing.T) {
	for _, c := range []struct {
		name, text string
		flags      []string
		want       string
	}{
		{"requests that change something", strings.Replace(webLog, "GET", "DELETE", 1), nil, "1 DELETE"},
		{"a fact that there is not", webLog, []string{"-d", "{{.Color}}"}, "Color"},
		{"a bad part", webLog, []string{"--from", "yesterday"}, "--from"},
		{"no trace", "\n", nil, "empty"},
		{"a bad speed", webLog, []string{"--speed", "0"}, "--speed"},
		{"no load", webLog, []string{"--scale", "0"}, "--scale"},
	} {
		got, code, stderr := askedBy(t, c.text, "", c.flags...)
		if code != exitUsage || len(got) > 0 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %d requests, %s; want %q", c.name, code, len(got), stderr, c.want)
		}
	}
	if got, code, stderr := askedBy(t, strings.Replace(webLog, "GET", "DELETE", 1), "", "-X", "GET"); code != exitOK || len(got) != 2 || got[0].method != "GET" {
		t.Errorf("with --method: exit %d, %+v, %s", code, got, stderr)
	}
}

func TestTraceSaysWhatAFileHolds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte(webLog), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"trace", file}, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	for _, want := range []string{"nginx combined log", "requests  2", "p50 0.1 s", "Tue 2023-10-10 13:55:35", "a minute"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if want := file + ":1: note: the numbers after the user agent"; !strings.Contains(errs.String(), want) {
		t.Errorf("no %q in %s", want, errs.String())
	}
	if code := run([]string{"trace", file, "--column", "colour=x"}, io.Discard, &errs); code == exitOK || !strings.Contains(errs.String(), "colour") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
