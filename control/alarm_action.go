package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/weirlb/weir/alarm"
)

// AlarmAction is what to do when an alarm changes to one of some states: send a POST to URL, or run Command.
type AlarmAction struct {
	On      []alarm.State
	URL     string
	Headers map[string]string
	Command []string
	Timeout time.Duration // of one attempt
	Retries int           // attempts after the first one failed, with pauses of 1 s, 2 s, 4 s and so on
}

// AlarmRun is what came of an action.
type AlarmRun struct {
	Time     time.Time   `json:"time"` // of the change
	State    alarm.State `json:"state"`
	Action   string      `json:"action"` // the URL or the program
	Attempts int         `json:"attempts"`
	Error    string      `json:"error,omitempty"` // of the last attempt; absent when it succeeded
}

// run tries until it succeeds, its attempts are used up or ctx ends.
func (a AlarmAction) run(ctx context.Context, c AlarmChange) AlarmRun {
	r := AlarmRun{Time: c.Time, State: c.State, Action: a.URL}
	if len(a.Command) > 0 {
		r.Action = a.Command[0]
	}
	body, err := json.Marshal(c)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	for pause := time.Second; ; pause *= 2 {
		r.Attempts++
		attempt, cancel := context.WithTimeout(ctx, a.Timeout)
		if err = a.attempt(attempt, c, body); err != nil && attempt.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("it took longer than %v: %w", a.Timeout, err)
		}
		cancel()
		if err == nil {
			return r
		}
		if r.Attempts > a.Retries {
			break
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		}
		break
	}
	r.Error = err.Error()
	return r
}

func (a AlarmAction) attempt(ctx context.Context, c AlarmChange, body []byte) error {
	if len(a.Command) > 0 {
		return a.exec(ctx, c, body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "weir")
	for name, value := range a.Headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s: %s", resp.Status, strings.ToValidUTF8(string(text), "?"))
	}
	return nil
}

func (a AlarmAction) exec(ctx context.Context, c AlarmChange, body []byte) error {
	cmd := exec.CommandContext(ctx, a.Command[0], a.Command[1:]...)
	cmd.Stdin = bytes.NewReader(body)
	cmd.Env = append(os.Environ(), "WEIR_ALARM="+c.Alarm, "WEIR_STATE="+string(c.State), "WEIR_REASON="+c.Reason)
	cmd.WaitDelay = time.Second // for what it left running with its output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		said := strings.TrimSpace(strings.ToValidUTF8(string(out[max(0, len(out)-200):]), "?"))
		return fmt.Errorf("%w: %s", err, cmp.Or(said, "it said nothing"))
	}
	return nil
}
