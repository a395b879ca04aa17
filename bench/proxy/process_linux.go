package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// process is a program this one started, with its children in a process group
// of their own.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string        // file with what it printed
	done chan struct{} // closed when it has ended
}

// stopGrace is how long a process may take to end when told to.
const stopGrace = 5 * time.Second

// command returns args as a program pinned to a core.
func (e *env) command(core int, args ...string) *exec.Cmd {
	cmd := exec.Command(e.self, append([]string{"pin", strconv.Itoa(core)}, args...)...)
	// In a group of its own so that its children end with it, and told to end
	// if this program is killed and can no longer do it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}

// start runs a program pinned to a core until it is stopped. Its output goes
// to a log, but for standard output when that is given.
func (e *env) start(name string, core int, stdout io.Writer, args ...string) (*process, error) {
	e.started++
	p := &process{
		name: name,
		cmd:  e.command(core, args...),
		log:  filepath.Join(e.dir, fmt.Sprintf("%s-%d.log", name, e.started)),
		done: make(chan struct{}),
	}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own copy
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() // its log says more than its status
		close(p.done)
	}()
	return p, nil
}

// stop ends the process and its children, and returns once they are gone.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopGrace):
	}
	// Also when the leader is gone: a child may have outlived it.
	syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

// printed returns the end of the process's log, to quote in an error.
func (p *process) printed() string {
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

// ended returns the error that the process is no longer there.
func (p *process) ended() error {
	return fmt.Errorf("%s ended; it printed:\n%s", p.name, p.printed())
}

// awaitReady waits until a GET through the port is answered with 200.
func (p *process) awaitReady(ctx context.Context, port int) error {
	const limit = 20 * time.Second
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	url := fmt.Sprintf("http://127.0.0.1:%d/predict", port)
	for {
		last := get(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%s does not answer GET %s within %v: %w; it printed:\n%s", p.name, url, limit, last, p.printed())
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
