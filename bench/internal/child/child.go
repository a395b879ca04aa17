// Package child starts the programs that a benchmark measures, keeps what they print, and ends them with all their children.
package child

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program that was started, with its children in a process group of their own.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string        // file with what it printed
	done chan struct{} // closed when it has ended
}

// grace is how long a process may take to end when told to.
const grace = 5 * time.Second

// Start starts cmd, which is called name in errors, until Stop. What it prints goes to the file log, but for its standard output when stdout is
// given. Should this program be killed, Linux tells the process to end.
func Start(name string, cmd *exec.Cmd, log string, stdout io.Writer) (*Process, error) {
	p := &Process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own copy
	cmd.Stdout, cmd.Stderr = file, file
	if stdout != nil {
		cmd.Stdout = stdout
	}
	Group(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		cmd.Wait() // its log says more than its status
		close(p.done)
	}()
	return p, nil
}

// PID is the number of the process itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Stop ends the process and its children, and returns once they are gone.
func (p *Process) Stop() {
	group := -p.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	// Also when the leader is gone: a child may have outlived it.
	syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

// Printed returns the end of the process's log, to quote in an error.
func (p *Process) Printed() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "nothing"
	}
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// Ended returns the error that the process is no longer there.
func (p *Process) Ended() error {
	return fmt.Errorf("%s ended; it printed:\n%s", p.name, p.Printed())
}

// AwaitReady waits until a GET of the URL is answered with 200, at most 20 seconds.
func (p *Process) AwaitReady(ctx context.Context, url string) error {
	const limit = 20 * time.Second
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		last := get(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.Ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%s does not answer GET %s within %v: %w; it printed:\n%s", p.name, url, limit, last, p.Printed())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// FreePorts returns n ports of 127.0.0.1 that nothing listened on just now.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close() // only when all are known, so that none is given twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// Find locates an installed program. It also looks where Debian keeps programs for administrators, which is not in every user's PATH.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// Weir returns the absolute path of Weir's binary: the one given, or with none one that it builds in dir from the source around it.
func Weir(ctx context.Context, path, dir string) (string, error) {
	if path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("-weir: %w; build it with `make build`", err)
		}
		return filepath.Abs(found)
	}
	path = filepath.Join(dir, "weir")
	output, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/weirlb/weir/cmd/weir").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building Weir: %w\n%s(run this inside Weir's module, name a binary with -weir, or leave weir out with -only)", err, output)
	}
	return path, nil
}

// Version is the first line of what a program prints about its version, or why it is unknown.
func Version(ctx context.Context, program string, args ...string) string {
	output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "unknown: " + err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return line
}
