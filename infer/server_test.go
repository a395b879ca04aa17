package infer

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// quick is a server's options for a test: a free port, fast emulated steps, no log, and only the models named, if any.
func quick(models ...string) Options {
	o := DefaultOptions()
	if len(models) > 0 {
		o.Model = models
	}
	o.Port, o.Device, o.Seed = 0, DeviceEmulated, 1
	o.StepTime, o.TokenTime, o.PredictTime = time.Millisecond, time.Millisecond, time.Millisecond
	o.PrefillTime = 10 * time.Microsecond
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

// testServer is a server that really listens, with a client of its own.
type testServer struct {
	t      testing.TB
	s      *Server
	url    string
	client *http.Client
	stop   context.CancelFunc
	served chan error
}

// newClient is a client with connections of its own, that gives up before the test run does.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
}

func serve(t testing.TB, o Options) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ts := &testServer{
		t: t, s: s, url: "http://" + ln.Addr().String(), client: newClient(),
		stop: stop, served: make(chan error, 1),
	}
	go func() { ts.served <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		ts.client.CloseIdleConnections()
		if err := <-ts.served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		ts.served <- nil // for a second clean-up
	})
	return ts
}

// serveReady is serve, and waits until the models are loaded.
func serveReady(t testing.TB, o Options) *testServer {
	t.Helper()
	ts := serve(t, o)
	ts.eventually("the server is ready", func() bool { return ts.get("/health/ready").status == 200 })
	return ts
}

// eventually polls until ok, for at most ten seconds.
func (ts *testServer) eventually(what string, ok func() bool) {
	ts.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			ts.t.Fatalf("waited ten seconds in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // what cut it short
}

func (ts *testServer) do(method, path, body string) answer {
	ts.t.Helper()
	req, err := http.NewRequest(method, ts.url+path, strings.NewReader(body))
	if err != nil {
		ts.t.Fatal(err)
	}
	return ts.send(req)
}

func (ts *testServer) send(req *http.Request) answer {
	resp, err := ts.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

func (ts *testServer) get(path string) answer        { ts.t.Helper(); return ts.do("GET", path, "") }
func (ts *testServer) post(path, body string) answer { ts.t.Helper(); return ts.do("POST", path, body) }

// json decodes an answer that must have the status given.
func (ts *testServer) json(a answer, status int) (v map[string]any) {
	ts.t.Helper()
	if a.err != nil || a.status != status {
		ts.t.Fatalf("got %d %s (%v), want %d", a.status, a.body, a.err, status)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		ts.t.Fatalf("answer %q is not JSON: %v", a.body, err)
	}
	return v
}

// metric sums the series of a metric whose line contains every text given; ok is false when there is none.
func (ts *testServer) metric(name string, contains ...string) (sum float64, ok bool) {
	ts.t.Helper()
	for line := range strings.Lines(ts.get("/metrics").body) {
		rest, found := strings.CutPrefix(line, name+"{")
		if !found {
			continue
		}
		for _, c := range contains {
			found = found && strings.Contains(rest, c)
		}
		if found {
			var v float64
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
				ts.t.Fatalf("metric line %q: %v", line, err)
			}
			sum, ok = sum+v, true
		}
	}
	return sum, ok
}

func (ts *testServer) wantMetric(want float64, name string, contains ...string) {
	ts.t.Helper()
	if got, ok := ts.metric(name, contains...); !ok || got != want {
		ts.t.Errorf("%s%v = %g (shown %v), want %g", name, contains, got, ok, want)
	}
}

func TestPredict(t *testing.T) {
	for _, device := range []string{DeviceCPU, DeviceEmulated} {
		o := quick(ModelPredict)
		o.Device = device
		ts := serveReady(t, o)
		for body, want := range map[string]string{
			``: "core", `{"input":[0,0.65]}`: "ring", `{"input":[0.9,-0.9]}`: "outside", `{"prompt":"warm up"}`: "core",
		} {
			a := ts.post("/predict", body)
			v := ts.json(a, 200)
			if v["label"] != want || v["device"] != device || len(v["output"].([]any)) != 3 {
				t.Errorf("predict %s on %s = %v, want %s", body, device, v, want)
			}
			if got := a.header.Get("X-Device"); got != device {
				t.Errorf("X-Device %q, want %q", got, device)
			}
		}
		if v := ts.json(ts.get("/predict"), 200); v["label"] != "core" {
			t.Errorf("GET /predict = %v", v)
		}
		v := ts.json(ts.post("/predict", `{"input":[1,2,3]}`), 400)
		if e := v["error"].(map[string]any); e["param"] != "input" || e["type"] != "invalid_request_error" {
			t.Errorf("error %v", e)
		}
		ts.wantMetric(5, "weir_infer_predictions_total", `device="`+device+`"`)
		ts.wantMetric(1, "weir_infer_requests_total", `outcome="invalid"`)
	}
}

func TestGenerate(t *testing.T) {
	for _, device := range []string{DeviceCPU, DeviceEmulated} {
		o := quick(ModelImage)
		o.Device = device
		ts := serveReady(t, o)
		const body = `{"prompt":"sunset","steps":6,"size":"64x48","seed":11}`
		a := ts.post("/generate", body)
		if a.status != 200 || a.header.Get("Content-Type") != "image/png" {
			t.Fatalf("got %d %s: %s", a.status, a.header.Get("Content-Type"), a.body)
		}
		cfg, err := png.DecodeConfig(strings.NewReader(a.body))
		if err != nil || cfg.Width != 64 || cfg.Height != 48 {
			t.Errorf("picture %dx%d, %v", cfg.Width, cfg.Height, err)
		}
		wantReal := map[string]string{DeviceCPU: "6", DeviceEmulated: "4"}[device]
		if a.header.Get("X-Steps") != "6" || a.header.Get("X-Real-Steps") != wantReal {
			t.Errorf("steps %q, real %q", a.header.Get("X-Steps"), a.header.Get("X-Real-Steps"))
		}
		if strings.Contains(a.body[:200], "EMULATED") != (device == DeviceEmulated) {
			t.Errorf("the picture's comment is not honest about %s: %q", device, a.body[:200])
		}

		v := ts.json(ts.post("/v1/images/generations", body), 200)
		b64 := v["data"].([]any)[0].(map[string]any)["b64_json"].(string)
		if b, err := base64.StdEncoding.DecodeString(b64); err != nil || string(b) != a.body {
			t.Errorf("the same seed gave another picture (%v)", err)
		}
		if v["device"] != device || v["steps"] != 6.0 {
			t.Errorf("answer says device %v, steps %v", v["device"], v["steps"])
		}
		ts.wantMetric(12, "weir_infer_steps_total")
	}
}

func TestImagesAreMadeOneAtATime(t *testing.T) {
	o := quick(ModelImage)
	o.QueueLimit, o.QueueStatus, o.StepTime = 1, 429, time.Hour
	ts := serveReady(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		req, _ := http.NewRequestWithContext(ctx, "POST", ts.url+"/generate", strings.NewReader(`{}`))
		go ts.send(req)
	}
	ts.eventually("one runs and one waits", func() bool {
		running, _ := ts.metric(gaugeRunning, "image")
		waiting, _ := ts.metric(gaugeWaiting, "image")
		return running == 1 && waiting == 1
	})
	a := ts.post("/generate", `{}`)
	v := ts.json(a, 429)
	if e := v["error"].(map[string]any); e["code"] != "queue_full" || a.header.Get("Retry-After") == "" {
		t.Errorf("refused with %v, Retry-After %q", e, a.header.Get("Retry-After"))
	}
	ts.wantMetric(1, "weir_infer_requests_total", `outcome="refused"`, "image")
}

func TestCheckpointSwitch(t *testing.T) {
	o := quick(ModelImage)
	o.CheckpointTime = 30 * time.Millisecond
	ts := serveReady(t, o)
	for _, tt := range []struct {
		name     string
		switches float64
	}{{"a", 0}, {"a", 0}, {"b", 1}, {"", 1}, {"a", 2}} {
		start := time.Now()
		before, _ := ts.metric("weir_infer_checkpoint_switches_total")
		if a := ts.post("/generate", fmt.Sprintf(`{"steps":1,"size":8,"checkpoint":%q}`, tt.name)); a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		ts.wantMetric(tt.switches, "weir_infer_checkpoint_switches_total")
		if took := time.Since(start); tt.switches > before && took < o.CheckpointTime {
			t.Errorf("a switch took %v, want at least %v", took, o.CheckpointTime)
		}
	}
	if v := ts.json(ts.get("/health/ready"), 200); v["checkpoint"] != "a" {
		t.Errorf("checkpoint in memory is %v, want a", v["checkpoint"])
	}
}

const hello = `{"messages":[{"role":"user","content":"Hello."}],"seed":3,"temperature":0.5,"max_tokens":40`

func TestChatWhole(t *testing.T) {
	ts := serveReady(t, quick(ModelChat))
	v := ts.json(ts.post("/v1/chat/completions", hello+`}`), 200)
	choice := v["choices"].([]any)[0].(map[string]any)
	text := choice["message"].(map[string]any)["content"].(string)
	u := v["usage"].(map[string]any)
	if v["object"] != "chat.completion" || v["model"] != "weir-chat-emulated" || len(text) < 5 {
		t.Errorf("answer %v", v)
	}
	// "Q: Hello.", a newline and "A: " are 13 characters.
	if u["prompt_tokens"] != 13.0 || u["total_tokens"] != 13+u["completion_tokens"].(float64) {
		t.Errorf("usage %v", u)
	}
	if v["weir"].(map[string]any)["device"] != "emulated" {
		t.Errorf("the answer does not say what device made it: %v", v["weir"])
	}
	ts.wantMetric(13, "vllm:prompt_tokens_total")
	ts.wantMetric(u["completion_tokens"].(float64), "vllm:generation_tokens_total")

	v = ts.json(ts.post("/v1/completions", `{"prompt":"The river","max_tokens":20,"ignore_eos":true}`), 200)
	choice = v["choices"].([]any)[0].(map[string]any)
	if text := choice["text"].(string); len(text) != 20 || choice["finish_reason"] != "length" || v["object"] != "text_completion" {
		t.Errorf("completion %v", v)
	}
}

// events reads a stream of server-sent events and returns their data.
func events(t *testing.T, body string) (data []string) {
	t.Helper()
	for frame := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		d, ok := strings.CutPrefix(frame, "data: ")
		if !ok || strings.Contains(d, "\n") {
			t.Fatalf("frame %q is not one line of data", frame)
		}
		data = append(data, d)
	}
	return data
}

func TestChatStream(t *testing.T) {
	ts := serveReady(t, quick(ModelChat))
	whole := ts.json(ts.post("/v1/chat/completions", hello+`}`), 200)
	want := whole["choices"].([]any)[0].(map[string]any)

	a := ts.post("/v1/chat/completions", hello+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %d %s", a.status, a.header.Get("Content-Type"))
	}
	data := events(t, a.body)
	if data[len(data)-1] != "[DONE]" {
		t.Errorf("the stream ends with %q", data[len(data)-1])
	}
	var text bytes.Buffer
	var finish any
	var usage map[string]any
	for i, d := range data[:len(data)-1] {
		var v struct {
			Object  string
			Choices []struct {
				Delta  map[string]string
				Reason any `json:"finish_reason"`
			}
			Usage map[string]any
		}
		if err := json.Unmarshal([]byte(d), &v); err != nil || v.Object != "chat.completion.chunk" {
			t.Fatalf("event %q: %v", d, err)
		}
		if v.Usage != nil {
			usage = v.Usage
			continue
		}
		if role := v.Choices[0].Delta["role"]; (role == "assistant") != (i == 0) {
			t.Errorf("event %d has the role %q", i, role)
		}
		text.WriteString(v.Choices[0].Delta["content"])
		if v.Choices[0].Reason != nil {
			finish = v.Choices[0].Reason
		}
	}
	if got := text.String(); got != want["message"].(map[string]any)["content"] {
		t.Errorf("streamed %q, whole %q", got, want["message"])
	}
	if finish != want["finish_reason"] || fmt.Sprint(usage) != fmt.Sprint(whole["usage"]) {
		t.Errorf("streamed: finish %v, usage %v; whole: %v, %v", finish, usage, want["finish_reason"], whole["usage"])
	}
}

func TestChatStopsAtStopText(t *testing.T) {
	ts := serveReady(t, quick(ModelChat))
	v := ts.json(ts.post("/v1/completions", `{"prompt":"low wall across","temperature":0,"max_tokens":60,"stop":["river"]}`), 200)
	choice := v["choices"].([]any)[0].(map[string]any)
	if choice["text"] != " a " || choice["finish_reason"] != "stop" {
		t.Errorf("choice %v", choice)
	}
}

// Four slots, six requests: four run, two wait in the server's own queue, and all are answered.
func TestChatBatch(t *testing.T) {
	o := quick(ModelChat)
	o.TokenTime = 5 * time.Millisecond
	ts := serveReady(t, o)
	answers := make(chan answer)
	for range 6 {
		go func() {
			answers <- ts.post("/v1/completions", `{"prompt":"The","max_tokens":40,"ignore_eos":true,"stream":true}`)
		}()
	}
	ts.eventually("four run and two wait", func() bool {
		running, _ := ts.metric(gaugeRunning, "chat")
		waiting, _ := ts.metric(gaugeWaiting, "chat")
		return running == 4 && waiting == 2
	})
	ts.eventually("the context memory is in use", func() bool {
		used, _ := ts.metric(gaugeKVCache)
		return used > 0 && used < 1
	})
	for range 6 {
		a := <-answers
		if data := events(t, a.body); a.err != nil || len(data) != 42 {
			t.Errorf("got %d events (%v), want 40 tokens, the end and [DONE]", len(data), a.err)
		}
	}
	ts.wantMetric(6, "weir_infer_requests_total", `outcome="ok"`, "chat")
	ts.eventually("nothing is in use any more", func() bool { used, _ := ts.metric(gaugeKVCache); return used == 0 })
}

func TestLoading(t *testing.T) {
	o := quick()
	o.LoadTime = time.Hour
	ts := serve(t, o)
	if a := ts.get("/health"); a.status != 200 {
		t.Errorf("/health while loading: %d", a.status)
	}
	a := ts.get("/health/ready")
	v := ts.json(a, 503)
	if v["status"] != "loading" || v["model_loaded"] != false || v["gpu_available"] != true || v["memory_ok"] != true ||
		v["inference_test"] != false || v["load_seconds_left"].(float64) < 3500 || a.header.Get("Retry-After") == "" {
		t.Errorf("/health/ready while loading: %v, Retry-After %q", v, a.header.Get("Retry-After"))
	}
	for _, path := range []string{"/predict", "/generate", "/v1/chat/completions"} {
		a := ts.post(path, `{}`)
		v := ts.json(a, 503)
		if v["error"].(map[string]any)["code"] != "model_loading" || a.header.Get("Retry-After") != "300" {
			t.Errorf("%s while loading: %s, Retry-After %q", path, a.body, a.header.Get("Retry-After"))
		}
	}
	ts.wantMetric(0, gaugeLoaded)

	// A load that is replaced by a quicker one.
	if a := ts.post("/load?time=1ms", ""); a.status != 202 {
		t.Fatalf("POST /load: %d %s", a.status, a.body)
	}
	ts.eventually("the models are loaded", func() bool { return ts.get("/health/ready").status == 200 })
	ts.wantMetric(1, gaugeLoaded)

	ts.json(ts.post("/unload", ""), 200)
	if v := ts.json(ts.get("/health/ready"), 503); v["status"] != "unloaded" {
		t.Errorf("after unloading: %v", v)
	}
	if v := ts.json(ts.get("/predict"), 503); v["error"].(map[string]any)["code"] != "model_not_loaded" {
		t.Errorf("predict after unloading: %v", v)
	}
	if a := ts.post("/load?time=soon", ""); a.status != 400 {
		t.Errorf("a bad time: %d", a.status)
	}
}

func TestUnloadRefusesWhoWaitsAndLetsRunnersFinish(t *testing.T) {
	o := quick(ModelImage)
	o.StepTime, o.Steps = 20*time.Millisecond, 10
	ts := serveReady(t, o)
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- ts.post("/generate", `{}`) }()
	}
	ts.eventually("one waits", func() bool { n, _ := ts.metric(gaugeWaiting, "image"); return n == 1 })
	ts.post("/unload", "")
	if a := <-answers; a.status != 503 {
		t.Errorf("who waited got %d", a.status)
	}
	if a := <-answers; a.status != 200 {
		t.Errorf("who ran got %d %s", a.status, a.body)
	}
}

func TestOnlyTheModelsAskedFor(t *testing.T) {
	o := quick()
	o.Model = []string{ModelChat}
	ts := serveReady(t, o)
	if a := ts.get("/predict"); a.status != 404 {
		t.Errorf("/predict without its model: %d", a.status)
	}
	v := ts.json(ts.get("/v1/models"), 200)
	if list := v["data"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != "weir-chat-emulated" {
		t.Errorf("models %v", list)
	}
}

func TestMemoryCheck(t *testing.T) {
	o := quick(ModelImage)
	o.MemoryLimit = 1 // nobody fits in that
	ts := serve(t, o)
	ts.eventually("only the memory check fails", func() bool {
		v := ts.json(ts.get("/health/ready"), 503)
		return v["status"] == "unready" && v["memory_ok"] == false && fmt.Sprint(v["failing"]) == "[memory_ok]"
	})
}

func TestLoadReportHeader(t *testing.T) {
	ts := serveReady(t, quick(ModelPredict))
	for format, want := range map[string]string{
		"TEXT": "TEXT named_metrics.kv_cache_usage_perc=0, named_metrics.num_requests_waiting=0",
		"json": `JSON {"named_metrics":{"kv_cache_usage_perc":0,"num_requests_waiting":0}}`,
	} {
		req, _ := http.NewRequest("GET", ts.url+"/predict", nil)
		req.Header.Set("endpoint-load-metrics-format", format)
		if got := ts.send(req).header.Get("endpoint-load-metrics"); got != want {
			t.Errorf("load report %q, want %q", got, want)
		}
	}
}

func TestBodyTooLarge(t *testing.T) {
	ts := serveReady(t, quick(ModelPredict))
	if a := ts.post("/predict", strings.Repeat(" ", maxBody+1)); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
