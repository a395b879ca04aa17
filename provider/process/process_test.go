package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet"
)

// The test binary is also the instance that the tests launch: ROLE says what it does.
func TestMain(m *testing.M) {
	switch os.Getenv("ROLE") {
	case "":
		os.Exit(m.Run())
	case "server":
		serveAs(false)
	case "stubborn":
		serveAs(true)
	case "parent": // leaves a child behind
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "ROLE=stubborn", "PORT=0")
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("child", child.Process.Pid)
		serveAs(false)
	case "crash":
		fmt.Println("about to crash")
		os.Exit(3)
	case "limits":
		var l syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
		prio, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
		fmt.Println("files", l.Cur, "nice", 20-prio)
	case "weir": // launches two instances, says how to find them, and waits to be killed
		p, err := New(Options{Dir: os.Getenv("DIR")})
		if err != nil {
			os.Exit(1)
		}
		for _, id := range []string{"api-1", "api-2"} {
			h, err := p.Launch(context.Background(), spec(id, "server"))
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(id, h.Ref())
		}
		fmt.Println("launched")
		select {}
	}
	os.Exit(0)
}

func serveAs(stubborn bool) {
	if stubborn {
		signal.Ignore(syscall.SIGTERM)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("serving")
	http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, os.Getenv("WEIR_INSTANCE")) }))
}

func spec(id, role string) fleet.Spec {
	return fleet.Spec{ID: id, Pool: "api", Template: fleet.Template{
		Command: []string{os.Args[0], "-port={{.Port}}", "-id={{.ID}}"}, Env: map[string]string{"ROLE": role},
	}}
}

func provider(t *testing.T) *Provider {
	t.Helper()
	p, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func launch(t *testing.T, p *Provider, s fleet.Spec) fleet.Handle {
	t.Helper()
	h, err := p.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Stop(0)
		<-h.Done()
	})
	return h
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func serves(addr, id string) bool {
	r, err := http.Get("http://" + addr)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return string(b) == id
}

func ended(t *testing.T, h fleet.Handle) string {
	t.Helper()
	select {
	case <-h.Done():
		return h.Exit()
	case <-time.After(20 * time.Second):
		t.Fatal("the instance did not end")
		return ""
	}
}

func readLog(t *testing.T, p *Provider, id string) string {
	t.Helper()
	b, err := os.ReadFile(p.LogPath("api", id))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLaunchServesAndStops(t *testing.T) {
	p := provider(t)
	h := launch(t, p, spec("api-1", "server"))
	until(t, "it serves", func() bool { return serves(h.Addr(), "api-1") })
	if _, err := h.Usage(); err == nil {
		t.Error("processor use is not known from one look")
	}
	until(t, "its use is known", func() bool {
		u, err := h.Usage()
		return err == nil && u.Memory > 1<<20
	})
	h.Stop(10 * time.Second)
	if how := ended(t, h); !strings.Contains(how, "terminated") {
		t.Errorf("ended: %s", how)
	}
	if !strings.Contains(readLog(t, p, "api-1"), "serving") {
		t.Error("its output is not in the log")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	until(t, "the port is free again", func() bool {
		p.mu.Unlock()
		time.Sleep(time.Millisecond)
		p.mu.Lock()
		return len(p.ports) == 0
	})
}

func TestWhoDoesNotListenIsKilled(t *testing.T) {
	p := provider(t)
	h := launch(t, p, spec("api-1", "stubborn"))
	until(t, "it serves", func() bool { return serves(h.Addr(), "api-1") })
	h.Stop(50 * time.Millisecond)
	if how := ended(t, h); !strings.Contains(how, "SIGKILL") {
		t.Errorf("ended: %s", how)
	}
}

func TestGrandchildrenEndToo(t *testing.T) {
	p := provider(t)
	h := launch(t, p, spec("api-1", "parent"))
	until(t, "it serves", func() bool { return serves(h.Addr(), "api-1") })
	var pid int
	if _, err := fmt.Sscanf(readLog(t, p, "api-1"), "child %d", &pid); err != nil {
		t.Fatal(err)
	}
	found, err := p.List()
	if err != nil || len(found) != 1 || found[0].ID != "api-1" {
		t.Errorf("List: %+v, %v; want the leader alone", found, err)
	}
	h.Stop(10 * time.Second)
	ended(t, h)
	until(t, "the child ended with it", func() bool {
		_, err := startTime(pid)
		return err != nil
	})
}

func TestACrashSaysHow(t *testing.T) {
	p := provider(t)
	h := launch(t, p, spec("api-1", "crash"))
	if how := ended(t, h); how != "exit status 3" {
		t.Errorf("%q", how)
	}
	if !strings.Contains(readLog(t, p, "api-1"), "about to crash") {
		t.Error("its last words are lost")
	}
}

func TestLimitsHoldFromTheStart(t *testing.T) {
	p := provider(t)
	s := spec("api-1", "limits")
	s.Template.Limits = fleet.Limits{OpenFiles: 123, Nice: 5, CPUTime: time.Minute}
	ended(t, launch(t, p, s))
	if got := readLog(t, p, "api-1"); !strings.Contains(got, "files 123 nice 5") {
		t.Errorf("%q", got)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644)
	for _, c := range []struct {
		t    fleet.Template
		want string
	}{
		{fleet.Template{}, "it is empty"},
		{fleet.Template{Command: []string{"no-such-program-here"}}, `no program "no-such-program-here" in PATH`},
		{fleet.Template{Command: []string{"./nothing"}, Dir: dir}, "there is no program " + dir + "/nothing"},
		{fleet.Template{Command: []string{"./plain"}, Dir: dir}, "not executable"},
		{fleet.Template{Command: []string{"sh", "{{.Prot}}"}}, "{{.Port}}"},
		{fleet.Template{Command: []string{"sh", "{{"}}, "not a template"},
		{fleet.Template{Command: []string{"sh"}, Env: map[string]string{"A": "{{.X}}"}}, "env.A"},
		{fleet.Template{Command: []string{"sh"}, Dir: "/no/such/dir"}, "dir: "},
		{fleet.Template{Command: []string{"sh"}, Dir: "/etc/passwd"}, "not a directory"},
	} {
		if err := Check(c.t); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.t, err, c.want)
		}
	}
	if err := Check(fleet.Template{Command: []string{"sh", "-c", "{{.Port}} {{.ID}} {{.Pool}} {{.Host}}"}}); err != nil {
		t.Error(err)
	}
}

func TestInstancesOutliveWeirAndAreAdopted(t *testing.T) {
	dir := t.TempDir()
	weir := exec.Command(os.Args[0])
	weir.Env = append(os.Environ(), "ROLE=weir", "DIR="+dir)
	out, err := weir.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	buf := make([]byte, 1000)
	for !strings.Contains(said.String(), "launched") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v after %s", err, said.String())
		}
		said.Write(buf[:n])
	}
	weir.Process.Kill()
	weir.Wait()

	p, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.List()
	if err != nil || len(found) != 2 {
		t.Fatalf("%+v %v, want two instances", found, err)
	}
	for line := range strings.Lines(said.String()) {
		id, ref, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if id == "api-2" {
			ref = "" // as if Weir had died between the launch and its record
		}
		h, err := p.Adopt(t.Context(), id, ref)
		if err != nil {
			t.Fatal(err)
		}
		until(t, "it serves", func() bool { return serves(h.Addr(), id) })
		// Someone else's process, or another id's, is not adopted.
		if _, err := p.Adopt(t.Context(), "api-9", h.Ref()); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("another id: %v", err)
		}
		i, _ := parseRef(h.Ref())
		i.start += 1000
		if _, err := p.Adopt(t.Context(), id, i.ref()); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("the same pid, begun at another time: %v", err)
		}
		other, _ := New(Options{Dir: t.TempDir()})
		if _, err := other.Adopt(t.Context(), id, h.Ref()); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("another Weir's: %v", err)
		}
		h.Stop(10 * time.Second)
		ended(t, h)
		if _, err := p.Adopt(t.Context(), id, ref); !errors.Is(err, fleet.ErrGone) {
			t.Errorf("after its end: %v", err)
		}
	}
	if _, err := p.Adopt(t.Context(), "x", "nonsense"); err == nil || errors.Is(err, fleet.ErrGone) {
		t.Errorf("a reference that is none: %v", err)
	}
}

func TestRotationKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	for i := range 5 {
		f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "round %d\n", i)
		f.Close()
		if err := rotate(path, 2); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"": "", ".1": "round 4\n", ".2": "round 3\n"} {
		if b, err := os.ReadFile(path + name); err != nil || string(b) != want {
			t.Errorf("%s: %q %v, want %q", name, b, err, want)
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("more was kept than asked for")
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	var all strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	os.WriteFile(path, []byte(all.String()), 0o600)
	for _, c := range []struct {
		n    int
		want string
	}{{0, ""}, {1, "line 4999\n"}, {2, "line 4998\nline 4999\n"}, {10000, all.String()}} {
		var b strings.Builder
		if err := Tail(t.Context(), path, c.n, false, &b); err != nil || b.String() != c.want {
			t.Errorf("%d lines: %d bytes, want %d (%v)", c.n, b.Len(), len(c.want), err)
		}
	}
	os.WriteFile(path, []byte("a\nb"), 0o600)
	var b strings.Builder
	if Tail(t.Context(), path, 1, false, &b); b.String() != "b" {
		t.Errorf("%q, want the unfinished last line", b.String())
	}
	if err := Tail(t.Context(), path+"x", 1, false, &b); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestTailFollowsThroughARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintln(log, "before the rotation")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Tail(ctx, path, 10, true, w) }()
	read := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
			t.Fatalf("%q %v, want %q", b, err, want)
		}
	}
	read("before the rotation\n")
	if err := rotate(path, 1); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(log, "after")
	read("after\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
