package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet"
)

const instancePool = `  api:
    concurrency: 4
    drain: 20s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --token-time, 5ms]}
    scale: {min: 1, max: 4, scale_in_window: 0s, policies: [{schedule: {name: never, at: "2099-01-01T00:00:00Z", desired: 1}}]}
`

// crash ends Weir without a word, whichever process of it answers, and starts the next one.
func (w *weir) crash() {
	w.t.Helper()
	syscall.Kill(w.status().PID, syscall.SIGKILL)
	until(w.t, "it is gone", func() bool {
		c, err := net.Dial("tcp", w.admin)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	<-w.ended // that one, or the one it had replaced
	w.start()
}

func (w *weir) instance(id string) *admin.Instance {
	for _, i := range w.pool().Instances {
		if i.ID == id {
			return &i
		}
	}
	return nil
}

func TestInstancesByHand(t *testing.T) {
	w := prepare(t, instancePool)
	w.start()
	w.cli("scale", "api", "3")
	w.ready(3)
	var of []string
	for _, i := range w.pool().Instances {
		of = append(of, i.ID)
	}

	w.cli("instance", "api", of[0], "protect")
	w.cli("instance", "api", of[1], "protect")
	w.crash()
	w.cli("scale", "api", "1")
	until(t, "the one that is not protected is gone", func() bool { return w.instance(of[2]) == nil })
	if p := w.pool(); p.Scale.Ready != 2 || p.Scale.Desired != 1 || !p.Instances[0].Protected {
		t.Errorf("protected instances were scaled in: %+v %+v", p.Scale, p.Instances)
	}
	if out := w.cli("status"); strings.Count(out, "protected") != 2 {
		t.Errorf("weir status:\n%s", out)
	}
	w.cli("scale", "api", "2")
	until(t, "2 are desired", func() bool { return w.pool().Scale.Desired == 2 })

	// Standby under load, with the capacity lowered: nothing is launched, no stream is cut, and kill -9 leaves it there.
	streams := under(t, w, func() {
		w.cli("instance", "api", of[0], "standby", "--decrement")
		until(t, "it is in standby", func() bool { i := w.instance(of[0]); return i != nil && i.State == "standby" })
	})
	w.crash()
	p := w.pool()
	if i := w.instance(of[0]); i == nil || i.State != "standby" || p.Scale.Standby != 1 || p.Scale.Desired != 1 || len(p.Instances) != 2 {
		t.Errorf("after %d streams and a crash: %+v %+v", streams, p.Scale, p.Instances)
	}
	if out, code := w.command("instance", "api", of[1], "terminate", "--decrement"); code != exitFailed || !strings.Contains(out, "min of 1") {
		t.Errorf("below min: %d %s", code, out)
	}
	w.cli("instance", "api", of[0], "resume")
	w.ready(2)
	if d := w.pool().Scale.Desired; d != 2 {
		t.Errorf("%d desired after the resume", d)
	}

	// Terminated without --decrement it is replaced, detached with it it is not, and the process runs on.
	w.cli("instance", "api", of[1], "terminate")
	until(t, "it is replaced", func() bool { p := w.pool(); return w.instance(of[1]) == nil && p.Scale.Ready == 2 })
	w.cli("instance", "api", of[0], "detach", "--decrement")
	until(t, "it is detached", func() bool { return len(w.pool().Instances) == 1 })
	if n := len(w.instances()); n != 2 {
		t.Errorf("%d processes run, want the detached one and the one that serves", n)
	}
	w.crash()
	w.ready(1)
	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if n := len(w.instances()); n != 1 {
		t.Errorf("%d processes are left, want the detached one", n)
	}
}

func TestInstanceMistakes(t *testing.T) {
	w := prepare(t, instancePool)
	w.start()
	w.ready(1)
	id := w.pool().Instances[0].ID
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"api nobody protect", exitFailed, "no instance nobody"},
		{"nopool x protect", exitFailed, "nopool"},
		{"api " + id + " explode", exitUsage, "explode"},
		{"api " + id + " protect --decrement", exitUsage, "no --decrement"},
		{"api " + id + " resume", exitFailed, "only what is in standby"},
		{"api " + id + " standby --decrement", exitFailed, "min of 1"},
		{"api " + id + " complete", exitFailed, "waits for no hook"},
		{"api " + id + " complete --result maybe", exitUsage, "neither continue nor abandon"},
		{"api " + id + " heartbeat --result abandon", exitUsage, "no --result"},
		{"api " + id + " protect --hook a", exitUsage, "no --hook"},
		{"api nobody", exitFailed, "no instance"},
	} {
		if out, code := w.command(append([]string{"instance"}, strings.Fields(c.args)...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("weir instance %s: %d %q", c.args, code, out)
		}
	}
	if i := w.instance(id); i == nil || i.State != "ready" || i.Protected {
		t.Errorf("a mistake changed something: %+v", i)
	}
}

// Lifecycle hooks of real processes: by hand, by a program that speaks to Weir, and by a webhook. They survive kill -9 and an upgrade, and cut
// nothing that is in flight.
func TestLifecycleHooks(t *testing.T) {
	told := make(chan fleet.HookCall, 10)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var c fleet.HookCall
		json.NewDecoder(r.Body).Decode(&c)
		told <- c
		rw.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	w := prepare(t, "")
	gate := filepath.Join(w.dir, "gate")
	w.write(strings.Replace(instancePool, "    scale:", fmt.Sprintf(`    lifecycle:
      hooks:
        - {name: licence, on: launch, timeout: 1h}
        - name: register
          on: launch
          exec: [sh, -c, '"$0" instance "$WEIR_POOL" "$WEIR_INSTANCE" heartbeat --hook "$WEIR_HOOK" --wait-token "$WEIR_TOKEN" && test -n "$WEIR_ADDRESS"', %q]
        - {name: save, on: terminate, exec: [sh, -c, 'until test -e %s; do sleep 0.02; done']}
        - {name: tell, on: terminate, webhook: {url: %q}, metadata: eu}
    scale:`, os.Args[0], gate, s.URL), 1))
	w.start()
	waits := func(id string) (open []string) {
		if i := w.instance(id); i != nil {
			for _, h := range i.Hooks {
				if h.Result == "" {
					open = append(open, h.Hook)
				}
			}
		}
		return open
	}
	until(t, "one waits for its licence alone", func() bool {
		p := w.pool()
		return len(p.Instances) == 1 && p.Instances[0].State == "pending:wait" && slices.Equal(waits(p.Instances[0].ID), []string{"licence"})
	})
	id := w.pool().Instances[0].ID
	if out := w.cli("instance", "api"); !strings.Contains(out, id+" waits for hook licence until") || !strings.Contains(out, "complete it by hand") {
		t.Errorf("weir instance api:\n%s", out)
	}
	w.crash()
	old := w.status().PID
	w.cli("upgrade")
	w.upgraded(old)
	until(t, "it waits for its licence alone after a crash and an upgrade", func() bool { // a program whose end was not written down runs again
		i := w.instance(id)
		return i != nil && i.State == "pending:wait" && slices.Equal(waits(id), []string{"licence"})
	})
	w.cli("instance", "api", id, "complete")
	w.ready(1)

	w.cli("scale", "api", "2")
	until(t, "another one waits", func() bool { return len(w.pool().Instances) == 2 && len(waits(w.pool().Instances[1].ID)) == 1 })
	other := w.pool().Instances[1].ID
	w.cli("instance", "api", other, "complete", "--hook", "licence")
	w.ready(2)

	// Terminated under load: it drains, then waits for both hooks while it runs, through a crash, and then ends.
	streams := under(t, w, func() {
		w.cli("instance", "api", id, "terminate", "--decrement")
		until(t, "it waits to end", func() bool { i := w.instance(id); return i != nil && i.State == "terminating:wait" })
	})
	if streams == 0 {
		t.Error("there was no load")
	}
	call := <-told
	if call.Instance != id || call.Metadata != "eu" || call.Transition != "terminate" || call.Why != "terminated by hand" {
		t.Errorf("the webhook was told %+v", call)
	}
	until(t, "the webhook has accepted", func() bool { i := w.instance(id); return i != nil && i.Hooks[1].Accepted })
	w.crash()
	if i := w.instance(id); i == nil || i.State != "terminating:wait" || len(waits(id)) != 2 || len(w.instances()) != 2 {
		t.Errorf("after a crash: %+v, %d processes", i, len(w.instances()))
	}
	os.WriteFile(gate, nil, 0o600)
	until(t, "it waits for the webhook alone", func() bool { return slices.Equal(waits(id), []string{"tell"}) })
	w.cli("instance", "api", id, "complete", "--wait-token", call.Token)
	until(t, "it is gone", func() bool { return w.instance(id) == nil && len(w.instances()) == 1 })
	if n := len(told); n > 1 { // once, when the crash came before it was written down that it had accepted
		t.Errorf("the webhook was told %d times more", n)
	}
}

// Whatever is under way when Weir is killed is finished by the next one: none serves before its launch hook, none ends without its terminate hook,
// none is lost or launched twice, and no hook is left running.
func TestLifecycleThroughKills(t *testing.T) {
	w := prepare(t, "")
	note := func(file string) string {
		return fmt.Sprintf(`[sh, -c, 'sleep 0.1; echo "$WEIR_INSTANCE" >> %s']`, filepath.Join(w.dir, file))
	}
	w.write(strings.Replace(instancePool, "    scale:", fmt.Sprintf(`    lifecycle:
      hooks:
        - {name: hello, on: launch, exec: %s}
        - {name: bye, on: terminate, exec: %s}
    scale:`, note("hello"), note("bye")), 1))
	said := func(file string) []string {
		b, _ := os.ReadFile(filepath.Join(w.dir, file))
		return strings.Fields(string(b))
	}
	served := map[string]bool{}
	look := func() admin.Pool {
		p := w.pool()
		for _, i := range p.Instances {
			if i.State == "ready" {
				served[i.ID] = true
				if !slices.Contains(said("hello"), i.ID) {
					t.Errorf("%s serves, and its launch hook is not done", i.ID)
				}
			}
		}
		return p
	}
	w.start()
	chance := rand.New(rand.NewPCG(1, 2))
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("WEIR_KILLS")); err == nil {
		kills = n
	}
	for range kills {
		w.command("scale", "api", strconv.Itoa(1+chance.IntN(4)))
		if p := look(); len(p.Instances) > 0 {
			one := p.Instances[chance.IntN(len(p.Instances))].ID
			verb := []string{"protect", "unprotect", "standby", "resume", "terminate"}[chance.IntN(5)]
			w.command("instance", "api", one, verb) // which may be refused
		}
		for end := time.Now().Add(time.Duration(chance.IntN(700)) * time.Millisecond); time.Now().Before(end); {
			look()
		}
		w.crash()
	}
	w.command("scale", "api", "2")
	until(t, "two serve, and nothing else is there", func() bool {
		p := look()
		for _, i := range p.Instances {
			switch {
			case i.State == "standby":
				w.command("instance", "api", i.ID, "terminate")
			case i.Protected:
				w.command("instance", "api", i.ID, "unprotect")
			}
		}
		return p.Scale.Ready == 2 && len(p.Instances) == 2 && len(w.instances()) == 2
	})
	for id := range served {
		if w.instance(id) == nil && !slices.Contains(said("bye"), id) {
			t.Errorf("%s served and ended without its terminate hook", id)
		}
	}
	launched := strings.Count(w.log(), `"state":"pending"}`)
	t.Logf("%d kills: %d launched, %d served, %d launch hooks and %d terminate hooks done", kills, launched, len(served), len(said("hello")), len(said("bye")))
}
