package fleet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// hookGrace is how long the program of a hook that is not waited for any more has to end by itself.
const hookGrace = 5 * time.Second

// HookCall is what a hook is told: the body of a webhook and the standard input of a program.
type HookCall struct {
	Pool        string     `json:"pool"`
	Instance    string     `json:"instance"`
	Transition  Transition `json:"transition"`
	Hook        string     `json:"hook"`
	Token       string     `json:"token"`
	Attempt     int        `json:"attempt"` // above 1 after a crash or an upgrade of Weir: the hook began before
	Origin      Place      `json:"origin"`
	Destination Place      `json:"destination"`
	Address     string     `json:"address"`
	Type        string     `json:"type,omitempty"`
	Market      string     `json:"market,omitempty"`
	Zone        string     `json:"zone,omitempty"`
	Version     int        `json:"version"`            // of the template
	Why         string     `json:"why,omitempty"`      // it terminates
	Metadata    string     `json:"metadata,omitempty"` // of the hook
	Until       time.Time  `json:"until"`              // its time, without a heartbeat
}

// env is a call as a program finds it in its environment.
func (c *HookCall) env() []string {
	return []string{
		"WEIR_POOL=" + c.Pool, "WEIR_INSTANCE=" + c.Instance, "WEIR_TRANSITION=" + string(c.Transition), "WEIR_HOOK=" + c.Hook,
		"WEIR_TOKEN=" + c.Token, "WEIR_ATTEMPT=" + strconv.Itoa(c.Attempt), "WEIR_ORIGIN=" + string(c.Origin),
		"WEIR_DESTINATION=" + string(c.Destination), "WEIR_ADDRESS=" + c.Address, "WEIR_TYPE=" + c.Type, "WEIR_MARKET=" + c.Market,
		"WEIR_ZONE=" + c.Zone, "WEIR_VERSION=" + strconv.Itoa(c.Version), "WEIR_WHY=" + c.Why, "WEIR_METADATA=" + c.Metadata,
	}
}

// runHooks begins what an instance waits for, again after an earlier Weir. stop ends it, and returns when it has ended; it
// may be called again.
func (f *Fleet) runHooks(ctx context.Context, in *instance) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var runs sync.WaitGroup
	f.mu.Lock()
	waits, on := in.Waits, in.transition()
	f.mu.Unlock()
	for _, w := range waits {
		h := f.hook(w.Hook, on)
		if h == nil || w.Result != "" || w.Accepted || len(h.Command) == 0 && h.URL == "" {
			continue
		}
		f.update(in, w.Token, func(w *Wait) { w.Attempt++ })
		w.Attempt++
		f.mu.Lock()
		c := HookCall{
			Pool: in.Pool, Instance: in.ID, Transition: on, Hook: w.Hook, Token: w.Token, Attempt: w.Attempt, Origin: in.From, Destination: in.To,
			Address: in.handle.Addr(), Type: in.Type, Market: in.Market, Zone: in.Zone, Version: in.Version, Metadata: h.Metadata, Until: w.Until,
		}
		if on == OnTerminate {
			c.Why = in.why
		}
		f.mu.Unlock()
		runs.Go(func() { f.runHook(ctx, in, h, &c) })
	}
	if err := f.write(in); err != nil {
		f.log.Warn("the begin of a hook could not be recorded", "instance", in.ID, "error", err)
	}
	return func() {
		cancel()
		runs.Wait()
	}
}

// runHook runs a hook and settles what the instance waits for, unless its end is not waited for any more.
func (f *Fleet) runHook(ctx context.Context, in *instance, h *Hook, c *HookCall) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	in.running[c.Token] = cancel // see [Fleet.update]
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(in.running, c.Token)
		f.mu.Unlock()
	}()
	var result Result
	var err error
	if len(h.Command) > 0 {
		result, err = Continue, h.exec(ctx, c, f.options().HookEnv)
	} else {
		result, err = h.post(ctx, c)
	}
	switch {
	case ctx.Err() != nil: // its time is up, somebody else completed it, or Weir ends
	case err != nil:
		f.settle(in, c.Token, h.Default, err.Error())
	case result == "":
		f.update(in, c.Token, func(w *Wait) { w.Accepted = true })
		if err := f.write(in); err != nil {
			f.log.Warn("that a hook was accepted could not be recorded", "instance", in.ID, "error", err)
		}
	default:
		f.settle(in, c.Token, result, "it did what it was to do")
	}
}

// exec runs the hook's program; see [RunProgram].
func (h *Hook) exec(ctx context.Context, c *HookCall, env []string) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return RunProgram(ctx, h.Command, append(env, c.env()...), body)
}

// RunProgram runs a command with more in its environment, as NAME=value, and a text on its standard input, in a process group of its own that ends
// with ctx and with Weir. An error means that it failed, and holds the end of what it said.
func RunProgram(ctx context.Context, command, env []string, stdin []byte) error {
	var out tail
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tie(cmd.SysProcAttr)
	var forced *time.Timer
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		forced = time.AfterFunc(hookGrace, func() { syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	cmd.WaitDelay = hookGrace + time.Second // for what it left running with its output open
	runtime.LockOSThread()                  // on Linux the program ends with the thread that began it
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if forced != nil {
		forced.Stop()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", command[0], err, cmp.Or(out.String(), "it said nothing"))
	}
	return nil
}

// tail keeps the end of what a program says.
type tail struct{ last []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.last = append(t.last, b...)
	if n := len(t.last); n > 400 {
		t.last = append(t.last[:0], t.last[n-200:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(t.last[max(0, len(t.last)-200):]), "?"))
}

// post sends the call until it is answered with 2xx, with pauses of 1 s, 2 s and so on up to 30 s. 202 says that somebody will call Complete: then
// the result is "". Any other 2xx continues, unless its body says {"result": "abandon"}.
func (h *Hook) post(ctx context.Context, c *HookCall) (Result, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		result, err := h.postOnce(ctx, body)
		if err == nil || !errors.Is(err, errAgain) {
			return result, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", err
		}
	}
}

// errAgain marks a webhook that may do better the next time.
var errAgain = errors.New("tried again")

func (h *Hook) postOnce(ctx context.Context, body []byte) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	for name, value := range h.Headers {
		req.Header.Set(name, value)
	}
	client := http.Client{ // a page that one is sent to, such as a login, has done nothing
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errAgain, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return "", nil
	case resp.StatusCode/100 != 2:
		return "", fmt.Errorf("%w: it answered %s", errAgain, resp.Status)
	}
	var said struct {
		Result Result `json:"result"`
	}
	if json.Unmarshal(text, &said) != nil || said.Result == "" {
		return Continue, nil
	}
	if said.Result = Result(strings.ToLower(string(said.Result))); said.Result != Continue && said.Result != Abandon {
		return "", fmt.Errorf("it answered the result %q, which is neither continue nor abandon", said.Result)
	}
	return said.Result, nil
}
