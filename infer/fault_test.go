package infer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// setFault sets faults and fails the test when they are refused.
func (ts *testServer) setFault(body string) {
	ts.t.Helper()
	ts.json(ts.post("/fault", body), 200)
}

// stream begins a streamed completion of n tokens and returns its answer, whose events are read one by one.
func (ts *testServer) stream(n int) (*http.Response, *bufio.Reader) {
	ts.t.Helper()
	body := fmt.Sprintf(`{"prompt":"The","max_tokens":%d,"ignore_eos":true,"stream":true}`, n)
	resp, err := ts.client.Post(ts.url+"/v1/completions", "application/json", strings.NewReader(body))
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

// readEvents reads n events.
func readEvents(r *bufio.Reader, n int) error {
	for range 2 * n { // a line of data and an empty one
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}

func TestDecodeFault(t *testing.T) {
	q, _ := url.ParseQuery("stall&stall_after_tokens=3&die_after_tokens=7&fail_rate=0.25&unready=model_loaded,memory_ok" +
		"&gauges=vllm:num_requests_waiting%3D9&missing_gauges=*&slow_load=5s&for=1m&refuse=503&reset=true&reset_after_tokens=2")
	f, err := decodeFault(fault{}, nil, q)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(f)
	const want = `{"die_after_tokens":7,"stall":true,"stall_after_tokens":3,"reset":true,"reset_after_tokens":2,"refuse":"503",` +
		`"fail_rate":0.25,"unready":["model_loaded","memory_ok"],"gauges":{"vllm:num_requests_waiting":9},` +
		`"missing_gauges":["*"],"slow_load":"5s","for":"1m0s"}`
	if string(b) != want {
		t.Errorf("query decoded as\n%s, want\n%s", b, want)
	}
	again, err := decodeFault(fault{}, b, nil)
	if b2, _ := json.Marshal(again); err != nil || string(b2) != want {
		t.Errorf("its own JSON decoded as %s, %v", b2, err)
	}
	for _, bad := range []string{"stal=1", "stall=perhaps", "fail_rate=2", "fail_rate=NaN", "unready=gpu", "refuse=no", "slow_load=-1s",
		"gauges=x", "gauges=up%3D1", "die_after_tokens=-1", "die_after_tokens=x", "missing_gauges=up"} {
		q, _ := url.ParseQuery(bad)
		if _, err := decodeFault(fault{}, nil, q); err == nil || !strings.Contains(err.Error(), "fault") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	if _, err := decodeFault(fault{}, []byte(`{"stal":true}`), nil); err == nil {
		t.Error("a misspelt fault was accepted")
	}
}

func TestFaultDie(t *testing.T) {
	o := quick(ModelChat)
	exited := make(chan int, 100)
	o.Exit = func(code int) { exited <- code }
	ts := serveReady(t, o)
	ts.setFault(`{"die_after_tokens":5}`)
	_, r := ts.stream(50)
	if err := readEvents(r, 5); err != nil {
		t.Fatalf("five tokens were to come first: %v", err)
	}
	if code := <-exited; code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if rest, err := io.ReadAll(r); err == nil || strings.Contains(string(rest), "[DONE]") {
		t.Errorf("after death came %q, %v", rest, err)
	}
	ts.wantMetric(5, "vllm:generation_tokens_total")
}

func TestFaultStall(t *testing.T) {
	ts := serveReady(t, quick())
	ts.setFault(`{"stall":true,"stall_after_tokens":4}`)
	_, r := ts.stream(10)
	if err := readEvents(r, 4); err != nil {
		t.Fatal(err)
	}
	next := make(chan error)
	go func() { next <- readEvents(r, 6) }()
	// A request that is accepted and never answered, while the server says that it is alive and ready.
	predicted := make(chan answer)
	go func() { predicted <- ts.get("/predict") }()
	ts.eventually("it runs", func() bool { n, _ := ts.metric(gaugeRunning, "predict"); return n == 1 })
	if a, b := ts.get("/health"), ts.get("/health/ready"); a.status != 200 || b.status != 200 {
		t.Errorf("stalled: /health %d, /health/ready %d, want 200", a.status, b.status)
	}
	select {
	case err := <-next:
		t.Fatalf("the stalled stream went on: %v", err)
	case a := <-predicted:
		t.Fatalf("the stalled server answered: %d", a.status)
	default:
	}
	if a := ts.do("DELETE", "/fault", ""); a.status != 200 || strings.TrimSpace(a.body) != "{}" {
		t.Errorf("DELETE /fault: %d %s", a.status, a.body)
	}
	if err := <-next; err != nil {
		t.Errorf("the stream did not go on: %v", err)
	}
	if a := <-predicted; a.status != 200 {
		t.Errorf("predict after the stall: %d", a.status)
	}
}

// A client can leave a stalled server, and its slot is free.
func TestCancelWhileStalled(t *testing.T) {
	ts := serveReady(t, quick(ModelPredict))
	ts.setFault(`{"stall":true}`)
	running := func() bool { n, _ := ts.metric(gaugeRunning, "predict"); return n == 1 }
	leave(ts, "/predict", `{}`, "generate", running)
	ts.wantMetric(0, gaugeRunning, "predict")
}

func TestFaultReset(t *testing.T) {
	ts := serveReady(t, quick())
	ts.setFault(`{"reset":true,"reset_after_tokens":3}`)
	_, r := ts.stream(20)
	// The reset throws away what the client has not read yet, so fewer than three may arrive; never more.
	var n int
	var err error
	for ; err == nil && n < 20; n++ {
		err = readEvents(r, 1)
	}
	if n > 4 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d events: %v, want a reset after 3", n-1, err)
	}
	if a := ts.post("/generate", `{"steps":1}`); a.err == nil {
		t.Errorf("a picture came whole: %d", a.status)
	}
	ts.setFault(`{"reset_after_tokens":0}`)
	if a := ts.post("/predict", `{}`); a.err == nil {
		t.Errorf("a prediction came: %d", a.status)
	}
	ts.wantMetric(1, "weir_infer_requests_total", `outcome="reset"`, "chat")
}

func TestFaultGauges(t *testing.T) {
	ts := serveReady(t, quick(ModelChat))
	ts.setFault(`{"gauges":{"vllm:num_requests_waiting":42},"missing_gauges":["vllm:kv_cache_usage_perc"]}`)
	ts.wantMetric(42, gaugeWaiting, "chat")
	if v, ok := ts.metric(gaugeKVCache); ok {
		t.Errorf("the missing gauge shows %g", v)
	}
	ts.wantMetric(0, gaugeRunning, "chat")
	ts.post("/fault?missing_gauges=*", "")
	if strings.Contains(ts.get("/metrics").body, "vllm:num_requests") {
		t.Error("gauges are shown though all are to be missing")
	}
	ts.do("DELETE", "/fault", "")
	ts.wantMetric(0, gaugeWaiting, "chat")
}

func TestFaultUnready(t *testing.T) {
	ts := serveReady(t, quick(ModelImage))
	for _, check := range checkNames {
		ts.setFault(`{"unready":["` + check + `"]}`)
		if v := ts.json(ts.get("/health/ready"), 503); v[check] != false || fmt.Sprint(v["failing"]) != "["+check+"]" {
			t.Errorf("unready %s: %v", check, v)
		}
	}
	if a := ts.get("/health"); a.status != 200 {
		t.Errorf("/health %d", a.status)
	}
}

func TestFaultFailRate(t *testing.T) {
	o := quick(ModelPredict)
	o.PredictTime = 0
	ts := serveReady(t, o)
	ts.setFault(`{"fail_rate":0.3}`)
	const n = 400
	failed := 0
	for range n {
		switch a := ts.get("/predict"); a.status {
		case 500:
			failed++
		case 200:
		default:
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	// Four standard deviations of a binomial with 400 draws of 0.3 are 37.
	if failed < 83 || failed > 157 {
		t.Errorf("%d of %d failed, want about 120", failed, n)
	}
	ts.wantMetric(float64(failed), "weir_infer_requests_total", `outcome="failed"`)
}

func TestFaultRefuse(t *testing.T) {
	ts := serveReady(t, quick())
	ts.setFault(`{"refuse":"503"}`)
	if a := ts.get("/predict"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("refused with %d", a.status)
	}
	ts.do("DELETE", "/fault", "")

	// A closed port refuses connections; those that are open live on.
	addr := strings.TrimPrefix(ts.url, "http://")
	dial := func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	}
	ts.setFault(`{"refuse":"close","for":"1h"}`)
	if err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling the closed port: %v", err)
	}
	if a := ts.do("DELETE", "/fault", ""); a.status != 200 {
		t.Fatalf("the open connection is gone: %d, %v", a.status, a.err)
	}
	ts.eventually("the port is open again", func() bool { return dial() == nil })

	ts.setFault(`{"refuse":"close","for":"20ms"}`)
	ts.eventually("the port opens by itself", func() bool { return dial() == nil })
	if a := ts.get("/predict"); a.status != 200 {
		t.Errorf("after opening: %d", a.status)
	}
	ts.eventually("the fault is over", func() bool { return strings.TrimSpace(ts.get("/fault").body) == "{}" })
}

func TestFaultSlowLoad(t *testing.T) {
	ts := serveReady(t, quick(ModelChat))
	ts.setFault(`{"slow_load":"1h","reload":true}`)
	if v := ts.json(ts.get("/health/ready"), 503); v["load_seconds_left"].(float64) < 3500 {
		t.Errorf("loading: %v", v)
	}
	if strings.Contains(ts.get("/fault").body, "reload") {
		t.Error("the reload stays in force")
	}
	ts.do("DELETE", "/fault", "")
	ts.post("/load", "")
	ts.eventually("it is ready", func() bool { return ts.get("/health/ready").status == 200 })
}

// Only a caller on the same machine, who did not come through a proxy or a web page, may change what the server does.
func TestFaultsAreLocal(t *testing.T) {
	s, err := New(quick(ModelChat))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		addr, header string
		want         int
	}{
		{"127.0.0.1:5", "", 200}, {"[::1]:5", "", 200}, {"192.0.2.1:5", "", 403}, {"", "", 403},
		{"127.0.0.1:5", "X-Forwarded-For", 403}, {"127.0.0.1:5", "Via", 403}, {"127.0.0.1:5", "Origin", 403},
	} {
		for _, call := range []string{"GET /fault", "POST /fault", "DELETE /fault", "POST /unload"} {
			method, path, _ := strings.Cut(call, " ")
			r := httptest.NewRequest(method, path, nil)
			r.RemoteAddr = tt.addr
			if tt.header != "" {
				r.Header.Set(tt.header, "x")
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s from %q with %q: %d, want %d", call, tt.addr, tt.header, w.Code, tt.want)
			}
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/fault?refuse=close", nil)
	r.RemoteAddr = "127.0.0.1:5"
	if s.ServeHTTP(w, r); w.Code != 400 || !strings.Contains(w.Body.String(), "503") {
		t.Errorf("closing a port that is not its own: %d %s", w.Code, w.Body)
	}
}

func TestFaultExpires(t *testing.T) {
	var exits atomic.Int32
	f := newFaults(func(int) { exits.Add(1) }, 1)
	cleared := make(chan struct{})
	f.replace(fault{Stall: true, For: span(time.Millisecond)}, func() { close(cleared) })
	if err := f.beforeStep(t.Context()); err != nil { // held until it expires
		t.Error(err)
	}
	<-cleared
	if got := f.get(); got.Stall {
		t.Errorf("still in force: %+v", got)
	}
	// One that is replaced does not clear its successor.
	f.replace(fault{For: span(time.Millisecond)}, func() { t.Error("a replaced fault expired") })
	f.replace(fault{FailRate: 1}, nil)
	f.replace(fault{FailRate: 1, For: span(20 * time.Millisecond)}, func() { exits.Add(1) })
	if !f.fails() {
		t.Error("the successor was cleared")
	}
}
