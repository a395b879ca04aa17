package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/child"
	"github.com/weirlb/weir/bench/internal/procstat"
)

// asProgram makes the test binary run as the benchmark, which starts itself
// for its tools as well.
const asProgram = "WEIR_BENCH_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// program returns the benchmark as a command whose temporary files and what is
// left of them the test can see.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, output *bytes.Buffer, tmp string) {
	t.Helper()
	if err := checkCores(0, 1); err != nil {
		t.Skip("this needs two cores:", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp = t.TempDir()
	cmd = exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+tmp)
	output = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output, tmp
}

// patient returns the benchmark as one that no noise disturbs and that tries again when nothing was answered: the machine of a test is busy.
func patient(t *testing.T, args ...string) (cmd *exec.Cmd, output *bytes.Buffer, tmp string) {
	return program(t, append(args, "-tries", "5", "-max-steal", "100", "-max-foreign", "1000", "-max-load-foreign", "1000", "-keep-noisy")...)
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "nginx,envoy"},
		{"-only", "nginx,nginx"},
		{"-scenarios", ""},
		{"-rounds", "0"},
		{"-for", "0s"},
		{"-proxy-core", "1"},
		{"-second-core", "0"},
		{"left over"},
	} {
		if s, err := parse(args); err == nil {
			t.Errorf("%q was taken: %+v", args, s)
		}
	}
	s, err := parse([]string{"-only", "weir, floor", "-max-steal", "2"})
	if err != nil || !slices.Equal(s.only, []string{"weir", "floor"}) || s.limits.steal != 0.02 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// The real thing: the floor and the target in their own processes, loaded in
// every way for half a second.
func TestSmoke(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	cmd, output, tmp := patient(t, "-only", "floor", "-scenarios", "get,post,rate,sse,conns10,hold", "-rounds", "1", "-for", "250ms", "-warm-up", "100ms",
		"-streams", "50", "-held", "50", "-json", file)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Refused) > 0 || len(r.Rows) != 7 {
		t.Fatalf("%d rows, refused %q\n%s", len(r.Rows), r.Refused, output)
	}
	for _, row := range r.Rows[:5] {
		if s := row.Sums["floor"]; s.N != 1 || s.Median < 0 || s.Median > 10_000 {
			t.Errorf("%s: %+v", row.Name, s)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// nginx stands for all that speak TLS.
func TestSmokeTLS(t *testing.T) {
	if _, err := child.Find("nginx"); err != nil {
		t.Skip("nginx is not installed: sh scripts/deps.sh")
	}
	cmd, output, _ := patient(t, "-only", "nginx", "-scenarios", "tls,handshake", "-rounds", "1", "-for", "500ms", "-warm-up", "100ms")
	if err := cmd.Run(); err != nil || !strings.Contains(output.String(), "TLS 1.3 handshake") {
		t.Errorf("%v:\n%s", err, output)
	}
}

func TestInterruptLeavesNothing(t *testing.T) {
	cmd, output, tmp := program(t, "-only", "floor", "-scenarios", "sse", "-for", "1m", "-streams", "20")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := awaitFamily(t, cmd.Process.Pid, 4) // itself, target, floor, load
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 130 || !strings.Contains(output.String(), "interrupted") {
		t.Errorf("%v, want exit status 130\n%s", err, output)
	}
	for _, pid := range started {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d still runs", pid)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A machine that is never quiet ends the run instead of filling it with tries.
func TestBusyMachine(t *testing.T) {
	cmd, output, _ := program(t, "-only", "floor", "-scenarios", "get", "-for", "200ms", "-warm-up", "0s",
		"-max-foreign", "-1000", "-tries", "1")
	if err := cmd.Run(); err == nil || !strings.Contains(output.String(), "this machine is too busy") {
		t.Errorf("%v, want the machine to be blamed:\n%s", err, output)
	}
}

// awaitFamily waits until the process and its children are at least n.
func awaitFamily(t *testing.T, pid, n int) []int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		tree, err := procstat.Tree(pid)
		if err == nil && len(tree) >= n {
			return tree
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v, %v; want %d", tree, err, n)
		}
	}
}

// A program that does not start is named, with what it said.
func TestProgramThatDoesNotStart(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "weir")
	script := "#!/bin/sh\necho no such command >&2\nexit 3\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, output, _ := program(t, "-only", "weir", "-weir", fake, "-rounds", "1")
	if err := cmd.Run(); err == nil || !strings.Contains(output.String(), "weir ended; it printed:\nno such command") {
		t.Errorf("%v, want the log of the program that did not start:\n%s", err, output)
	}
}

func TestAddresses(t *testing.T) {
	list := append(addresses(0, manyTargets), addresses(manyTargets, 2*manyTargets)...)
	slices.Sort(list)
	if list[0] != "127.0.1.0:9" || len(slices.Compact(list)) != 3*manyTargets {
		t.Errorf("from %s on, %d different addresses", list[0], len(slices.Compact(list)))
	}
}
