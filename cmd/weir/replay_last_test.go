package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

const lastPool = `  api:
    concurrency: 1
    queue: {limit: 1000, timeout: 60s}
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, predict, --predict-time, 120ms, --load-time, 500ms]}
    scale:
      min: 1
      max: 6   # as many as there is room for
      scale_in_window: 3s
      policies: [{queue: {wait_p95: 500ms}}]
metrics: {interval: 1s}
`

// shaped sends a load with a rush in its middle, and says how many requests.
func shaped(t *testing.T, w *weir) (sent int) {
	t.Helper()
	var arrivals []time.Duration
	for at := time.Duration(0); at < 12*time.Second; {
		arrivals = append(arrivals, at)
		if at > 4*time.Second && at < 8*time.Second {
			at += 40 * time.Millisecond
		} else {
			at += 200 * time.Millisecond
		}
	}
	play(t, w, arrivals)
	return len(arrivals)
}

// A real Weir serves a real load; what weir replay --last makes of its history has to be that load again: as many requests, and service times as they were.
func TestReplayLast(t *testing.T) {
	w := prepare(t, lastPool)
	w.start()
	w.ready(1)
	sent := shaped(t, w)
	until(t, "the history has all of it", func() bool {
		return strings.Contains(w.cli("query", "sum(weir_received_requests_total)"), fmt.Sprintf("  %d\n", sent))
	})

	replay := func(more ...string) (stdout, stderr string, code int) {
		var o, e bytes.Buffer
		code = run(append([]string{"replay", "-c", w.config()}, more...), &o, &e)
		return o.String(), e.String(), code
	}
	check := func(how string, more ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "runs.json")
		stdout, stderr, code := replay(append([]string{"--last", "10m", "--json", file}, more...)...)
		t.Logf("%s:\n%s%s", how, stdout, stderr)
		if code != exitOK {
			t.Fatalf("%s: exit %d", how, code)
		}
		for _, want := range []string{"rebuilt from counts and not the very requests", "oracle"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not say %q", how, want)
			}
		}
		if !strings.Contains(stderr, "the history begins at") { // Weir was not there ten minutes ago
			t.Errorf("%s does not tell of the time before Weir ran", how)
		}
		var got struct{ Runs []struct{ Requests int } }
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := got.Runs[0].Requests; math.Abs(float64(n-sent)) > 0.03*float64(sent) {
			t.Errorf("%s: %d requests were sent, %d are replayed", how, sent, n)
		}
		p50 := regexp.MustCompile(`service p50 ([0-9.]+ms)`).FindStringSubmatch(stdout)
		if p50 == nil {
			t.Fatalf("%s does not say how long requests took", how)
		}
		if d, err := time.ParseDuration(p50[1]); err != nil || d < 100*time.Millisecond || d > 220*time.Millisecond {
			t.Errorf("%s: half of the requests took %s; each takes 120ms and what the machine adds", how, p50[1])
		}
	}
	check("of the running Weir", "--against", "oracle")
	again := func() string { s, _, _ := replay("--last", "10m"); return s[strings.Index(s, "policy"):] }
	if a, b := again(), again(); a != b && strings.Count(a, "\n") != strings.Count(b, "\n") {
		t.Errorf("the same seed gives another replay:\n%s%s", a, b)
	}
	if _, stderr, code := replay("--last", "10m", "--pool", "chat"); code != exitUsage || !strings.Contains(stderr, "api") {
		t.Errorf("a pool that is not there: exit %d, %s", code, stderr)
	}

	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	check("of the state directory", "--against", "oracle")
	if stdout, stderr, code := replay("--last", "1s"); code == exitOK || !strings.Contains(stderr, "ask for a") {
		t.Errorf("nothing to replay: exit %d: %s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := replay("--last", "1h", "--admin", w.admin); code == exitOK || !strings.Contains(stderr, "no Weir answers") {
		t.Errorf("a Weir that is not where it was said to be: exit %d: %s%s", code, stdout, stderr)
	}
}

// With an access log that reaches back so far, the replay has the very requests.
func TestReplayLastPrefersTheAccessLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "access.log")
	w := prepare(t, lastPool+fmt.Sprintf("access_log: {path: %q}\n", log))
	now := time.Now().Add(-time.Hour).UTC()
	old := fmt.Sprintf(`{"time":%q,"pool":"other","status":200,"duration_ms":1,"queue_ms":0,"attempts":1}`+"\n", now.Format(time.RFC3339Nano))
	if err := os.WriteFile(log, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.ready(1)
	for range 20 {
		r, err := http.Post(w.url+"/predict", "application/json", strings.NewReader(`{"input":[0.2,-0.4]}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	until(t, "the log has all lines", func() bool {
		b, _ := os.ReadFile(log)
		return bytes.Count(b, []byte("\n")) == 21
	})
	var o, e bytes.Buffer
	if code := run([]string{"replay", "-c", w.config(), "--last", "10m"}, &o, &e); code != exitOK || !strings.Contains(o.String(), "20 requests") || !strings.Contains(o.String(), "the very requests") {
		t.Errorf("exit %d: %s%s", code, o.String(), e.String())
	}
	o.Reset()
	if code := run([]string{"replay", "-c", w.config(), "--last", "2h"}, &o, &e); code != exitOK || !strings.Contains(e.String(), "within the time asked for") || !strings.Contains(o.String(), "rebuilt from counts") {
		t.Errorf("a log that begins later: exit %d: %s%s", code, o.String(), e.String())
	}
}

// asked sends a question to POST /v1/whatif.
func asked(t *testing.T, w *weir, q admin.Question, accept string) (int, string) {
	t.Helper()
	b, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+w.admin+"/v1/whatif", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// What if there had been one instance more: on what a real Weir has measured.
func TestWhatIf(t *testing.T) {
	w := prepare(t, lastPool)
	w.start()
	w.ready(1)
	sent := shaped(t, w)
	until(t, "the history has all of it", func() bool {
		return strings.Contains(w.cli("query", "sum(weir_received_requests_total)"), fmt.Sprintf("  %d\n", sent))
	})
	q := admin.Question{Pool: "api", From: time.Now().Add(-10 * time.Minute), Policy: "min: 6\nmax: 6\n"}
	status, text := asked(t, w, q, "application/json")
	var got admin.WhatIf
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 {
		t.Fatalf("%d %v: %.500s", status, err, text)
	}
	var runs []struct {
		Policy        string
		Requests      int
		Lost          int
		InstanceHours float64 `json:"instance_hours"`
		WaitP95       float64 `json:"wait_p95_s"`
		Peak          int     `json:"peak_instances"`
	}
	if err := json.Unmarshal(got.Runs, &runs); err != nil || len(runs) != 2 || len(got.Curves) != 3 {
		t.Fatalf("%v: %d runs, %d curves", err, len(runs), len(got.Curves))
	}
	t.Logf("%+v, %v", runs, got.Notes)
	if math.Abs(float64(got.Requests)-float64(sent)) > 0.03*float64(sent) || runs[0].Requests != runs[1].Requests {
		t.Errorf("%d requests sent, %d and %d replayed", sent, runs[0].Requests, runs[1].Requests)
	}
	if runs[1].InstanceHours <= runs[0].InstanceHours || runs[1].WaitP95 > runs[0].WaitP95 || runs[1].Peak != 6 {
		t.Errorf("six instances all the time do not cost more, or let users wait longer: %+v", runs)
	}
	if last := got.Curves[2]; last.Policy != "measured" || len(last.Instances) == 0 {
		t.Errorf("nothing was measured: %+v", last)
	}
	if status, text := asked(t, w, q, "application/x-ndjson"); status != 200 || !strings.Contains(text, `{"progress":`) || !strings.Contains(text, `{"result":`) {
		t.Errorf("by line: %d %.300s", status, text)
	}

	q.Policy = "min: 1\nmax: 4\npolicies:\n  - queue: {wait_p95: soon}\n"
	if status, text := asked(t, w, q, ""); status != 400 || !strings.Contains(text, "policy:4:") {
		t.Errorf("a mistake in the fourth line: %d %s", status, text)
	}
	for policy, want := range map[string]string{"": "empty", "[]": "what stands below scale", "min: 5\nmax: 2\n": "policy:1", "min: [": "policy:1", "max: 3\npolicies: [{target: {query: 'sum(', value: 1}}]\n": "PromQL"} {
		q.Policy = policy
		if status, text := asked(t, w, q, ""); status != 400 || !strings.Contains(text, want) {
			t.Errorf("%q: %d %s, want %q", policy, status, text, want)
		}
	}
	q.Policy = "max: 4"
	q.Pool = "chat"
	if status, text := asked(t, w, q, ""); status != 404 {
		t.Errorf("a pool that is not there: %d %s", status, text)
	}
	q.Pool, q.To = "api", time.Now().Add(-5*time.Minute)
	if status, text := asked(t, w, q, ""); status != 404 || !strings.Contains(text, "ask for") {
		t.Errorf("a time without traffic: %d %s", status, text)
	}
	r, err := http.Get("http://" + w.admin + "/v1/whatif?pool=api")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var now admin.WhatIfNow
	if err := json.NewDecoder(r.Body).Decode(&now); err != nil || !strings.HasPrefix(now.Policy, "min: 1\nmax: 6") || !strings.Contains(now.Policy, "# as many") {
		t.Errorf("%v: the policy now is %q, %s", err, now.Policy, strconv.Quote(now.Why))
	}
}
