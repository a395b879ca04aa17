package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weirlb/weir/admin"
)

// How long Weir may take to be up; to end when told to, which lets what is in flight finish; and to end when told again, which cuts it.
const (
	startPatience = 20 * time.Second
	stopPatience  = 30 * time.Second
	cutPatience   = 10 * time.Second
)

// server is the Weir that is measured, a process of its own.
type server struct {
	args  []string
	admin string // address
	log   string // file
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// decision is one change of capacity, as GET /v1/decisions gives it.
type decision struct {
	Time     time.Time `json:"time"`
	Previous int       `json:"previous"`
	Desired  int       `json:"desired"`
	Bound    string    `json:"bound,omitempty"`
	Why      string    `json:"why"`
}

// launch starts Weir by the plan, with all its files under dir, and returns once it answers.
func launch(ctx context.Context, p *plan, dir string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{admin: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "weir.log")}
	text, err := p.config(s.admin, dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "generated.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	s.args = []string{p.weir, "run", "-c", file}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// freePort finds a port that nothing listens on. Another program may take it before Weir does, which then says so and ends.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A group of its own: a Ctrl-C is for this program, which then ends Weir in its own time.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting Weir: %w; build it with `make build`, or say with --weir where it is", err)
	}
	s.ended = make(chan struct{})
	go func() {
		s.cmd.Wait() // its log says more than its status
		close(s.ended)
	}()
	if err := s.awaitUp(ctx); err != nil {
		return errors.Join(err, s.stop())
	}
	return nil
}

func (s *server) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("the Weir started does not answer within %v", startPatience))
	defer cancel()
	for {
		if _, err := s.status(ctx); err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the Weir process ended at once; it said:\n%s", s.said())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// alive says whether the process is there.
func (s *server) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// stop ends Weir, which ends its instances: first with patience for what is in flight, then without, then by force. Instances that
// a Weir that died has left behind are ended by another one, which adopts them.
func (s *server) stop() error {
	if !s.alive() {
		return nil
	}
	for _, patience := range []time.Duration{stopPatience, cutPatience} {
		s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
			return nil
		case <-time.After(patience):
		}
	}
	s.cmd.Process.Kill()
	<-s.ended
	return errors.Join(fmt.Errorf("the Weir process did not end within %v of being told to and was killed", stopPatience+cutPatience), s.sweep())
}

// sweep ends the instances of a Weir that did not end them itself.
func (s *server) sweep() error {
	if err := s.start(context.Background()); err != nil {
		return fmt.Errorf("ending the instances it left: %w; look for them with `ps` (weir infer --model chat)", err)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		return nil
	case <-time.After(stopPatience):
		s.cmd.Process.Kill()
		<-s.ended
		return errors.New("the instances it left could not be ended; look for them with `ps` (weir infer --model chat)")
	}
}

// said is the end of Weir's log.
func (s *server) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return "nothing"
	}
	const most = 3000
	return string(text[max(0, len(text)-most):])
}

func (s *server) status(ctx context.Context) (admin.Status, error) {
	var st admin.Status
	return st, s.get(ctx, "/v1/status", func(r io.Reader) error { return json.NewDecoder(r).Decode(&st) })
}

// decisions are all changes of capacity so far, oldest first.
func (s *server) decisions(ctx context.Context) ([]decision, error) {
	var got struct{ Decisions []decision }
	err := s.get(ctx, "/v1/decisions?pool=chat&changed=true&limit=10000", func(r io.Reader) error { return json.NewDecoder(r).Decode(&got) })
	if err != nil {
		return nil, err
	}
	return inOrder(got.Decisions), nil
}

// waits is how long requests waited in Weir's queue, all since it started.
func (s *server) waits(ctx context.Context) (h histogram, err error) {
	err = s.get(ctx, "/metrics", func(r io.Reader) (err error) {
		h, err = readHistogram(r, "weir_queue_wait_seconds", "chat")
		return err
	})
	return h, err
}

func (s *server) get(ctx context.Context, path string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking Weir: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking Weir for %s: %s", path, resp.Status)
	}
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("asking Weir for %s: %w", path, err)
	}
	return nil
}
