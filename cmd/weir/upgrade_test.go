package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is a load that runs until it is ended: clients that keep their connections, and clients with one for each request.
type crowd struct {
	asked, failed atomic.Int64
	first         atomic.Pointer[string] // failure
	end           func()
}

func gather(t *testing.T, url string, keeping, fresh int) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{}
	var clients sync.WaitGroup
	ask := func(client *http.Client, post bool) {
		var resp *http.Response
		var err error
		if post {
			resp, err = client.Post(url+"/v1/chat/completions", "application/json",
				strings.NewReader(`{"max_tokens":1,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}`))
		} else {
			resp, err = client.Get(url + "/health")
		}
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode != 200 {
				err = errors.New(resp.Status)
			}
		}
		c.asked.Add(1)
		if err != nil {
			c.failed.Add(1)
			c.first.CompareAndSwap(nil, new(err.Error()))
		}
	}
	for i := range keeping + fresh {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i >= keeping}, Timeout: 30 * time.Second}
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				ask(client, n%2 == 0)
			}
			client.CloseIdleConnections()
		})
	}
	c.end = sync.OnceFunc(func() {
		cancel()
		clients.Wait()
	})
	t.Cleanup(c.end)
	return c
}

// more waits until so many more requests were answered.
func (c *crowd) more(t *testing.T, n int64) {
	t.Helper()
	want := c.asked.Load() + n
	until(t, fmt.Sprintf("%d more requests are answered", n), func() bool { return c.asked.Load() >= want })
}

func (c *crowd) none(t *testing.T, what string) {
	t.Helper()
	if n := c.failed.Load(); n > 0 {
		t.Errorf("%s: %d of %d requests failed, the first with: %s", what, n, c.asked.Load(), *c.first.Load())
	}
}

// streams begins so many streams and returns when each has its first token; wait returns what became of them.
func streams(t *testing.T, url string, n, tokens int) (wait func() []error) {
	t.Helper()
	var began, done sync.WaitGroup
	began.Add(n)
	var mu sync.Mutex
	var errs []error
	for range n {
		done.Go(func() {
			began1 := sync.OnceFunc(began.Done)
			got, err := stream(t.Context(), url, tokens, began1)
			began1()
			if err == nil && got < tokens {
				err = fmt.Errorf("%d tokens of %d", got, tokens)
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	began.Wait()
	return func() []error {
		done.Wait()
		return errs
	}
}

// upgraded notes the process that has taken over.
func (w *weir) upgraded(old int) int {
	w.t.Helper()
	var pid int
	until(w.t, "another process has taken over", func() bool {
		pid = w.status().PID
		return pid != old
	})
	w.next = append(w.next, pid)
	return pid
}

const upgradePool = `  api:
    concurrency: 100
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, chat, --slots, "100", --token-time, 20ms]}
    scale: {min: 2, max: 2}
`

func TestUpgradeUnderLoadRefusesNothing(t *testing.T) {
	w := prepare(t, upgradePool)
	w.start()
	w.ready(2)
	before := map[string]string{}
	for _, i := range w.pool().Instances {
		before[i.ID] = i.Ref
	}
	old := w.status().PID
	crowd := gather(t, w.url, 4, 2)
	crowd.more(t, 50)
	finish := streams(t, w.url, 50, 120)

	if says := w.cli("upgrade"); !strings.Contains(says, "has taken over") || !strings.Contains(says, fmt.Sprintf("process %d, which it has replaced, finishes", old)) {
		t.Errorf("weir upgrade says %q", says)
	}
	pid := w.upgraded(old)
	crowd.more(t, 50)
	s := w.status()
	if s.Generation != 1 {
		t.Errorf("generation %d", s.Generation)
	}
	if len(s.Leaving) != 1 || s.Leaving[0].PID != old || s.Leaving[0].InFlight < 50 || s.Leaving[0].Deadline.IsZero() {
		t.Errorf("the old process is not shown to finish 50 requests: %+v", s.Leaving)
	}
	for _, err := range finish() {
		t.Errorf("a stream begun before the upgrade: %v", err)
	}
	if code := w.exit(); code != exitOK {
		t.Errorf("the old process: exit %d", code)
	}
	crowd.more(t, 50)
	w.cli("upgrade") // and again, from a process that was handed its sockets
	w.upgraded(pid)
	crowd.more(t, 50)
	crowd.end()
	crowd.none(t, "two upgrades under load")
	w.ready(2)
	for _, i := range w.pool().Instances {
		if before[i.ID] != i.Ref {
			t.Errorf("instance %s (%s) was not there before", i.ID, i.Ref)
		}
	}
	until(t, "nobody is leaving any more", func() bool { return len(w.status().Leaving) == 0 })
	t.Logf("%d requests", crowd.asked.Load())
}

func TestAnUpgradeThatFailsChangesNothing(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(upgradePool, "max: 2", "max: 3"))
	w.start()
	w.ready(2)
	ids := w.pool().Instances
	crowd := gather(t, w.url, 2, 2)
	finish := streams(t, w.url, 5, 100)
	good, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(w.dir, "elsewhere")
	if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.WriteFile(filepath.Join(elsewhere, "weir.db"), bytes.Repeat([]byte("no database "), 1000), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ config, want string }{
		"a mistake in the file": {"listen: []", "listen"},
		// By then the old process has let go of its own state.
		"a state that cannot be opened": {strings.ReplaceAll(string(good), filepath.Join(w.dir, "state"), elsewhere), "state: opening the database"},
	} {
		if err := os.WriteFile(w.config(), []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run([]string{"upgrade", "--admin", w.admin}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "this one goes on") || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit %d, %s", name, code, out.String())
		}
	}
	if err := os.WriteFile(w.config(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := w.status(); s.PID != w.cmd.Process.Pid || s.Generation != 0 {
		t.Errorf("%+v", s)
	}
	for i, now := range w.pool().Instances {
		if now.ID != ids[i].ID || now.Ref != ids[i].Ref {
			t.Errorf("instance %+v was %+v", now, ids[i])
		}
	}
	w.cli("scale", "api", "3")
	w.ready(3)
	for _, err := range finish() {
		t.Error(err)
	}
	crowd.end()
	crowd.none(t, "upgrades that failed")
}

func TestAnUpgradedWeirEndsNoInstanceThatTheOldOneUses(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(upgradePool, "min: 2, max: 2", "min: 0, max: 2"))
	w.start()
	w.cli("scale", "api", "2")
	w.ready(2)
	finish := streams(t, w.url, 10, 150)
	old := w.cmd.Process.Pid
	w.cmd.Process.Signal(syscall.SIGUSR2)
	w.upgraded(old)
	w.cli("scale", "api", "0")
	until(t, "the instances drain", func() bool {
		is := w.pool().Instances
		return len(is) == 2 && is[0].State == "draining" && is[1].State == "draining" && is[0].InFlight+is[1].InFlight > 0
	})
	for _, err := range finish() {
		t.Errorf("a stream in the old process: %v", err)
	}
	w.ready(0)
	if code := w.exit(); code != exitOK {
		t.Errorf("the old process: exit %d", code)
	}
}

func TestATargetIsSetByHand(t *testing.T) {
	w := prepare(t, "  api: {targets: [{address: \"127.0.0.1:9\", weight: 2}], concurrency: 4}\n")
	w.start()
	target := func() string {
		x := w.pool().Targets[0]
		return fmt.Sprintf("%d %d %s %v", x.Weight, x.Slots, x.State, x.Overridden)
	}
	for _, c := range []struct{ args, says, want string }{
		{"--weight 5 --slots 1", "has weight 5, has 1 slots", "5 1 healthy true"},
		{"--drain", "drains", "5 1 draining true"},
		{"--undrain", "takes requests", "5 1 healthy true"},
		{"--clear", "as it is configured again", "2 4 healthy false"},
	} {
		says := w.cli(append([]string{"target", "api", "127.0.0.1:9"}, strings.Fields(c.args)...)...)
		if !strings.Contains(says, c.says) || target() != c.want {
			t.Errorf("weir target %s says %q and makes it %s, want %s", c.args, says, target(), c.want)
		}
	}
	w.cli("target", "api", "127.0.0.1:9", "--weight", "9")
	w.cli("reload")
	old := w.status().PID
	w.cli("upgrade")
	w.upgraded(old)
	if got := target(); got != "9 4 healthy true" {
		t.Errorf("after a reload and an upgrade it is %s", got)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"target", "api", "127.0.0.1:9"}, exitUsage, "say what to change"},
		{[]string{"target", "api", "127.0.0.1:9", "--drain", "--undrain"}, exitUsage, "either"},
		{[]string{"target", "api", "nobody", "--drain"}, exitFailed, "it has [127.0.0.1:9]"},
		{[]string{"target", "api", "127.0.0.1:9", "--weight", "0"}, exitFailed, "1 to 65535"},
		{[]string{"upgrade", "--binary", "/bin/true"}, exitFailed, "set admin.token"},
	} {
		var out bytes.Buffer
		if code := run(append(c.args, "--admin", w.admin), &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: exit %d, %s", c.args, code, out.String())
		}
	}
}
