package infer

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// A command can embed the options, and the defaults it shows are the ones programs start from.
func TestOptionsEmbedInKong(t *testing.T) {
	var cli struct {
		Infer Options `cmd:""`
	}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"infer"}); err != nil {
		t.Fatal(err)
	}
	if want := DefaultOptions(); !reflect.DeepEqual(cli.Infer, want) {
		t.Errorf("defaults of the tags\n%+v\nDefaultOptions\n%+v", cli.Infer, want)
	}
	_, err = parser.Parse(strings.Fields("infer --model chat,predict --device emulated --port 0 --prefill-time 0.2ms --batch-cost 0 --load-scale 0.1 --drain"))
	if o := cli.Infer; err != nil || len(o.Model) != 2 || o.PrefillTime != 200*time.Microsecond || o.BatchCost != 0 || !o.Drain {
		t.Errorf("parsed %+v, %v", o, err)
	}
	if err := cli.Infer.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	o := Options{
		Model: []string{"video"}, Device: "tpu", Port: -1, StepTime: -1, LoadScale: 0, QueueStatus: 500,
		QueueLimit: -1, BatchCost: -1, MemoryLimit: -1, LoadFile: "x", LoadTime: 1, DrainTimeout: 48 * time.Hour,
	}
	err := o.Validate()
	for _, want := range []string{"video", "tpu", "port", "step-time", "load-scale", "queue-status", "queue-limit", "batch-cost",
		"memory-limit", "load-time and load-file", "slots", "steps", "context-length", "drain-timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	d := DefaultOptions()
	if err := d.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestRunRefusesWhatCannotWork(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := quick()
	o.Port = ln.Addr().(*net.TCPAddr).Port
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "choose another --port") {
		t.Errorf("a port in use: %v", err)
	}
	o = quick()
	o.Device = "tpu"
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "tpu") {
		t.Errorf("a bad option: %v", err)
	}
	o = quick()
	o.LoadFile = filepath.Join(t.TempDir(), "none")
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.LoadFile) {
		t.Errorf("a missing load file: %v", err)
	}
}

func TestLoadTimesAreDrawnFromTheFile(t *testing.T) {
	o := quick(ModelImage)
	o.LoadFile = filepath.Join(t.TempDir(), "loads.csv")
	if err := os.WriteFile(o.LoadFile, []byte("value\n100\n200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.LoadScale = 0.5
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[time.Duration]bool{}
	for range 50 {
		seen[s.loadTime(nil)] = true
	}
	if len(seen) != 2 || !seen[50*time.Millisecond] || !seen[100*time.Millisecond] {
		t.Errorf("drew %v, want 50ms and 100ms", seen)
	}
}

// The log says from the first line on that a device is emulated.
func TestLogSaysEmulated(t *testing.T) {
	var buf bytes.Buffer
	o := quick(ModelChat)
	o.Logger = slog.New(slog.NewTextHandler(&buf, nil))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for line := range strings.Lines(buf.String()) {
		if !strings.Contains(line, "device=emulated") {
			t.Errorf("the line %q does not say it", line)
		}
	}
	if !strings.Contains(buf.String(), "EMULATED") {
		t.Errorf("the log does not say it in words: %q", buf.String())
	}
}

// running is a server under run, with signals that the test sends.
type running struct {
	*testServer
	signals chan os.Signal
	ended   chan error
}

func start(t *testing.T, o Options) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = ln
	r := &running{signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	r.testServer = &testServer{t: t, url: "http://" + ln.Addr().String(), client: newClient()}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.ended <- run(ctx, o, r.signals) }()
	t.Cleanup(func() {
		cancel()
		r.client.CloseIdleConnections()
	})
	r.eventually("the server is ready", func() bool { return r.get("/health/ready").status == 200 })
	return r
}

// With drain, SIGTERM lets what was accepted finish, waiting requests too, and refuses what is new.
func TestSIGTERMDrains(t *testing.T) {
	o := quick()
	o.Drain, o.Slots, o.TokenTime = true, 2, 5*time.Millisecond
	r := start(t, o)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			a := r.post("/v1/completions", `{"prompt":"The","max_tokens":60,"ignore_eos":true,"stream":true}`)
			if n := len(events(t, a.body)); a.err != nil || n != 62 {
				t.Errorf("a stream ended after %d events: %v", n, a.err)
			}
		})
	}
	r.eventually("two run and one waits", func() bool {
		running, _ := r.metric(gaugeRunning, "chat")
		waiting, _ := r.metric(gaugeWaiting, "chat")
		return running == 2 && waiting == 1
	})
	r.signals <- syscall.SIGTERM
	r.eventually("it is draining", func() bool { return strings.Contains(r.get("/health/ready").body, `"draining"`) })
	if a := r.get("/predict"); a.status != 503 || !strings.Contains(a.body, "shutting down") || a.header.Get("Retry-After") == "" {
		t.Errorf("a new request while draining: %d %s", a.status, a.body)
	}
	wg.Wait()
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://")); err == nil {
		t.Error("the port is still open")
	}
}

func TestSIGTERMWithoutDrainEndsAtOnce(t *testing.T) {
	o := quick(ModelChat)
	o.TokenTime = 5 * time.Millisecond
	r := start(t, o)
	_, stream := r.stream(16000)
	if err := readEvents(stream, 2); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGTERM
	if err := readEvents(stream, 16000); err == nil {
		t.Error("the stream that was cut looks whole")
	}
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestDrainHasADeadline(t *testing.T) {
	o := quick(ModelImage)
	o.Drain, o.DrainTimeout, o.StepTime = true, 20*time.Millisecond, time.Hour
	r := start(t, o)
	got := make(chan answer)
	go func() { got <- r.post("/generate", `{}`) }()
	r.eventually("it runs", func() bool { n, _ := r.metric(gaugeRunning, "image"); return n == 1 })
	r.signals <- syscall.SIGTERM
	if a := <-got; a.status != 503 {
		t.Errorf("who was cut short got %d %s (%v)", a.status, a.body, a.err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestSecondSignalExits(t *testing.T) {
	o := quick(ModelImage)
	o.Drain, o.StepTime = true, time.Hour
	exited := make(chan int, 1)
	o.Exit = func(code int) { exited <- code }
	r := start(t, o)
	go r.post("/generate", `{}`)
	r.eventually("it runs", func() bool { n, _ := r.metric(gaugeRunning, "image"); return n == 1 })
	r.signals <- syscall.SIGTERM
	r.signals <- syscall.SIGTERM
	if code := <-exited; code != 128+15 {
		t.Errorf("exit code %d, want 143", code)
	}
}
