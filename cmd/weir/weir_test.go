package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

// The test binary is also the weir that the tests run, and the inference server that it launches: they are real processes.
func TestMain(m *testing.M) {
	if addr := os.Getenv("WEIR_TINY"); addr != "" {
		os.Exit(tiny(addr))
	}
	if os.Getenv("WEIR_MAIN") != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// weir is a running Weir.
type weir struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	next  []int  // processes that took over
	url   string // of the first listener
	admin string
	ended chan error
}

// log is what it has written, whichever process of it.
func (w *weir) log() string {
	b, _ := os.ReadFile(filepath.Join(w.dir, "weir.log"))
	return string(b)
}

// freePort finds a port; the config has to name it before Weir can take it. It is none that the system gives to clients, or one of the many
// connections of other tests would take it in between.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 15_000 + rand.IntN(15_000)
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}

// prepare writes a config whose pools are given as YAML; INFER there stands for the words that launch the inference server.
func prepare(t *testing.T, pools string) *weir {
	t.Helper()
	w := &weir{t: t, dir: t.TempDir()}
	listen, adm := freePort(t), freePort(t)
	w.url, w.admin = fmt.Sprintf("http://127.0.0.1:%d", listen), fmt.Sprintf("127.0.0.1:%d", adm)
	w.write(pools)
	t.Cleanup(w.stop)
	return w
}

func (w *weir) write(pools string) {
	w.t.Helper()
	launch := fmt.Sprintf(`env: {WEIR_MAIN: "1"}, command: [%q, infer, --port, "{{.Port}}", --device, emulated, --drain`, os.Args[0])
	text := fmt.Sprintf("listen: [{address: %q, routes: [{pool: api}]}]\nadmin: {address: %q}\nstate: %q\npools:\n%s",
		strings.TrimPrefix(w.url, "http://"), w.admin, filepath.Join(w.dir, "state"), strings.ReplaceAll(pools, "INFER", launch))
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *weir) config() string { return filepath.Join(w.dir, "weir.yaml") }

// start starts Weir and waits until it answers.
func (w *weir) start() {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "weir.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	w.cmd = exec.Command(os.Args[0], "run", "-c", w.config())
	w.cmd.Env = append(os.Environ(), "WEIR_MAIN=1")
	w.cmd.Stderr = log
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.ended = make(chan error, 1)
	go func() { w.ended <- w.cmd.Wait() }()
	http.DefaultClient.CloseIdleConnections() // those to a Weir that was killed
	until(w.t, "Weir answers", func() bool {
		c, err := net.Dial("tcp", w.admin)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// stop ends Weir and every instance of its state directory, whatever the test did.
func (w *weir) stop() {
	if w.t.Failed() {
		w.t.Log(w.log())
	}
	for _, pid := range w.next {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if w.cmd != nil && w.cmd.ProcessState == nil {
		w.cmd.Process.Kill()
		<-w.ended
	}
	for _, pid := range w.instances() {
		syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// instances are the pids of all processes that this Weir's state directory launched.
func (w *weir) instances() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, d := range dirs {
		env, err := os.ReadFile(d)
		if err != nil || !bytes.Contains(env, []byte("WEIR_STATE="+filepath.Join(w.dir, "state")+"\x00")) {
			continue
		}
		var pid int
		fmt.Sscanf(d, "/proc/%d/", &pid)
		pids = append(pids, pid)
	}
	return pids
}

func (w *weir) status() (s admin.Status) {
	w.t.Helper()
	r, err := http.Get("http://" + w.admin + "/v1/status")
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *weir) pool() admin.Pool { return w.status().Pools[0] }

// ready waits for so many ready instances, and no others.
func (w *weir) ready(n int) {
	w.t.Helper()
	until(w.t, fmt.Sprintf("%d instances are ready", n), func() bool {
		p := w.pool()
		return p.Scale.Ready == n && len(p.Instances)-p.Scale.Warm-p.Scale.Preparing == n
	})
}

// cli runs another weir command against this one.
func (w *weir) cli(args ...string) string {
	w.t.Helper()
	var out bytes.Buffer
	args = append(args, "--admin", w.admin)
	if code := run(args, &out, &out); code != exitOK {
		w.t.Fatalf("weir %v: exit %d: %s", args, code, out.String())
	}
	return out.String()
}

// exit waits for Weir's end and returns its exit code.
func (w *weir) exit() int {
	w.t.Helper()
	select {
	case <-w.ended:
		return w.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		w.t.Fatal("Weir did not end")
		return -1
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stream asks for a chat answer of so many tokens and returns how many came, and whether the end did.
func stream(ctx context.Context, url string, tokens int, began func()) (int, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"stream":true,"max_tokens":%d,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}`, tokens)))
	if err != nil {
		return 0, err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != 200 {
		b, _ := io.ReadAll(r.Body)
		return 0, fmt.Errorf("status %d: %s", r.StatusCode, b)
	}
	n := 0
	done := false
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() { // to the very end: leaving after [DONE] would be leaving before the last chunk
		switch line := lines.Text(); {
		case line == "data: [DONE]":
			done = true
		case strings.HasPrefix(line, "data: "):
			if n++; n == 1 && began != nil {
				began()
			}
		}
	}
	if !done {
		return n, errors.Join(lines.Err(), errors.New("the stream ended without [DONE]"))
	}
	return n, lines.Err()
}

const chatPool = `  api:
    concurrency: 20
    health: {path: /health/ready, interval: 100ms}
    drain: 60s
    template: {INFER, --model, chat, --slots, "20", --token-time, 20ms]}
`

func TestKillAndRestartUnderLoad(t *testing.T) {
	w := prepare(t, chatPool+"    scale: {min: 2, max: 2}\n")
	w.start()
	w.ready(2)
	before := map[string]string{}
	for _, i := range w.pool().Instances {
		before[i.ID] = i.Ref
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 { // requests come all the time; those on Weir's own sockets are lost with it
		load.Go(func() {
			for ctx.Err() == nil {
				stream(ctx, w.url, 20, nil)
			}
		})
	}
	w.cmd.Process.Kill()
	<-w.ended
	at := time.Now()
	w.start()
	if _, err := stream(t.Context(), w.url, 5, nil); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	t.Logf("the first answer after the restart came after %v", time.Since(at))
	cancel()
	load.Wait()
	for _, i := range w.pool().Instances {
		if before[i.ID] != i.Ref || !i.Adopted {
			t.Errorf("instance %s (%s) was not there before", i.ID, i.Ref)
		}
		delete(before, i.ID)
	}
	if len(before) > 0 {
		t.Errorf("not adopted: %v", before)
	}
	if pids := w.instances(); len(pids) != 2 {
		t.Errorf("%d processes, want the 2 that were there", len(pids))
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if pids := w.instances(); len(pids) != 0 {
		t.Errorf("left running: %v", pids)
	}
}

func TestTermFinishesFiftyStreams(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(strings.ReplaceAll(chatPool, "concurrency: 20", "concurrency: 50"), `"20"`, `"50"`)+"    scale: {min: 1, max: 1}\n")
	w.start()
	w.ready(1)
	const streams, tokens = 50, 40
	var began, done sync.WaitGroup
	began.Add(streams)
	results := make(chan error, streams)
	for range streams {
		done.Go(func() {
			n, err := stream(t.Context(), w.url, tokens, began.Done)
			if err == nil && n < tokens {
				err = fmt.Errorf("%d tokens of %d", n, tokens)
			}
			results <- err
		})
	}
	began.Wait()
	w.cmd.Process.Signal(syscall.SIGTERM)
	until(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	done.Wait()
	close(results)
	for err := range results {
		if err != nil {
			t.Error(err)
		}
	}
	if code := w.exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestScaleInWaitsForTheStream(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(chatPool, "concurrency: 20", "concurrency: 1")+"    scale: {min: 0, max: 2, policies: [{target: {metric: in_flight, value: 1}}]}\n")
	w.start()
	w.cli("scale", "api", "1")
	w.ready(1)
	began := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := stream(t.Context(), w.url, 60, func() { close(began) })
		result <- err
	}()
	<-began
	w.cli("scale", "api", "0")
	until(t, "the instance drains", func() bool {
		is := w.pool().Instances
		return len(is) == 1 && is[0].State == "draining"
	})
	if err := <-result; err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
	w.ready(0)
	if why := w.cli("explain", "api"); !strings.Contains(why, "hand") {
		t.Errorf("explain does not say that the capacity is set by hand: %s", why)
	}
}

func TestTwoHundredRequestsAtAnEmptyPool(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(chatPool, "20ms]", "1ms, --load-time, 1s]")+"    scale: {min: 0, max: 3}\n")
	w.start()
	if p := w.pool(); len(p.Instances) != 0 {
		t.Fatalf("%d instances before the first request", len(p.Instances))
	}
	var all sync.WaitGroup
	errs := make(chan error, 200)
	for range 200 {
		all.Go(func() {
			_, err := stream(t.Context(), w.url, 3, nil)
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	var p admin.Pool
	until(t, "all are counted", func() bool { // a client has its answer a moment before
		p = w.pool()
		return p.Totals.OK+p.Totals.Failed() >= 200
	})
	if p.Totals.OK != 200 || p.Totals.Failed() != 0 {
		t.Errorf("%+v", p.Totals)
	}
	if p.LastDecision == nil || p.Boot == nil || p.Boot.Count == 0 {
		t.Errorf("no decision or no measured boot: %+v", p)
	}
}

func TestACrashIsReplacedAndBackedOff(t *testing.T) {
	w := prepare(t, chatPool+"    scale: {min: 1, max: 2}\n")
	w.start()
	w.ready(1)
	first := w.pool().Instances[0]
	for _, pid := range w.instances() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	until(t, "another instance is ready", func() bool {
		p := w.pool()
		return p.Scale.Ready == 1 && p.Instances[0].ID != first.ID
	})
	if _, err := stream(t.Context(), w.url, 3, nil); err != nil {
		t.Error(err)
	}
	if logs := w.cli("logs", "api", w.pool().Instances[0].ID); !strings.Contains(logs, "emulated") {
		t.Errorf("logs: %s", logs)
	}
}

func TestATemplateThatNeverBecomesReadySaysWhy(t *testing.T) {
	w := prepare(t, `  api:
    health: {path: /health/ready, interval: 100ms}
    template: {command: [sh, -c, "echo no such model; exit 4"], backoff: {initial: 10s, max: 10s}}
    scale: {min: 1, max: 1}
`)
	w.start()
	until(t, "the status says why", func() bool {
		b := w.pool().LaunchesBlocked
		return b != nil && strings.Contains(b.Why, "exit status 4")
	})
}

func TestAStartThatTakesTooLongIsAFailedLaunch(t *testing.T) {
	w := prepare(t, `  api:
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, chat, --load-time, 1h], start_timeout: 1s, backoff: {initial: 10s, max: 10s}}
    scale: {min: 1, max: 1}
`)
	w.start()
	until(t, "the status says why", func() bool {
		b := w.pool().LaunchesBlocked
		return b != nil && strings.Contains(b.Why, "was not ready within 1s") && strings.Contains(b.Why, "503")
	})
	until(t, "the instance was ended", func() bool { return len(w.instances()) == 0 })
}

func TestReloadKeepsHealthAndStreams(t *testing.T) {
	w := prepare(t, chatPool+"    scale: {min: 1, max: 1}\n")
	w.start()
	w.ready(1)
	began := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := stream(t.Context(), w.url, 50, func() { close(began) })
		result <- err
	}()
	<-began
	id := w.pool().Instances[0].ID
	w.write(strings.ReplaceAll(chatPool, "concurrency: 20", "concurrency: 7") + "    scale: {min: 1, max: 5}\n")
	w.cmd.Process.Signal(syscall.SIGHUP)
	until(t, "the new config is in force", func() bool {
		p := w.pool()
		return p.Concurrency == 7 && p.Scale.Max == 5 && p.Instances[0].Slots == 7
	})
	if p := w.pool(); p.Instances[0].ID != id || p.Instances[0].State != "ready" {
		t.Errorf("the instance was touched: %+v", p.Instances)
	}
	w.write("  api: {targets: []}\n")
	var out bytes.Buffer
	if code := run([]string{"reload", "--admin", w.admin}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "pools.api") {
		t.Errorf("a bad file: exit %d, %s", code, out.String())
	}
	if p := w.pool(); p.Concurrency != 7 {
		t.Error("a bad file changed something")
	}
	if err := <-result; err != nil {
		t.Errorf("a stream was cut by a reload: %v", err)
	}
}

func TestMistakesAreClearAndNothingIsHalfStarted(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		args       []string
		code       int
		want       string
	}{
		{"no file", "", []string{"run", "-c", filepath.Join(dir, "nothing.yaml")}, 1, "nothing.yaml"},
		{"bad flag", "", []string{"run", "--nonsense"}, 2, "--nonsense"},
		{"bad command", "", []string{"rum"}, 2, "rum"},
		{"bad word", "listen: [{address: \":8080\", routes: [{pool: api}]}]\npools:\n  api: {targets: [\"127.0.0.1:1\"], balance: leastconn}\n", nil, 1,
			`weir.yaml:3:35: pools.api.balance: "leastconn" is not an algorithm; did you mean "least_connections"?`},
		{"port in use", "listen: [{address: \"" + taken.Addr().String() + "\", routes: [{pool: api}]}]\nadmin: {address: \"127.0.0.1:0\"}\npools:\n  api: {targets: [\"127.0.0.1:1\"]}\n", nil, 1,
			"the port is in use by another process"},
		{"command not found", "listen: [{address: \"127.0.0.1:0\", routes: [{pool: api}]}]\nadmin: {address: \"127.0.0.1:0\"}\npools:\n  api: {template: {command: [no-such-model-server]}}\n", nil, 1,
			`there is no program "no-such-model-server" in PATH`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "weir.yaml")
			args := c.args
			if args == nil {
				text := c.text + "state: " + filepath.Join(dir, "state") + "\n"
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = []string{"run", "-c", path}
			}
			var out, errs bytes.Buffer
			if code := run(args, &out, &errs); code != c.code || !strings.Contains(errs.String(), c.want) {
				t.Errorf("exit %d, want %d\n%s\nwant: %s", code, c.code, errs.String(), c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "state", "weir.db")); err == nil {
				t.Error("a database was made although nothing was started")
			}
		})
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, name := range []string{"", "run", "check", "demo", "load", "infer", "status", "logs", "drain", "scale", "explain", "target", "reload", "upgrade", "schema", "version", "trace"} {
		var out, errs bytes.Buffer
		args := strings.Fields(name + " --help")
		if code := run(args, &out, &errs); code != 0 || out.Len() < 80 {
			t.Errorf("weir %s --help: exit %d, %d bytes, %s", name, code, out.Len(), errs.String())
		}
	}
	var out bytes.Buffer
	if code := run([]string{"schema"}, &out, &out); code != 0 || !json.Valid(out.Bytes()) {
		t.Errorf("weir schema: exit %d", code)
	}
}

func TestDemoLosesNothing(t *testing.T) {
	cmd := exec.Command(os.Args[0], "demo", "--headless", "--for", "15s", "--speed", "2")
	cmd.Env = append(os.Environ(), "WEIR_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"0 lost", "What scaled and why", "image    ", "The spike"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}

// metrics is what GET /metrics says.
func (w *weir) metrics() string {
	w.t.Helper()
	r, err := http.Get("http://" + w.admin + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}
