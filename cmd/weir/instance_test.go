package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/weirlb/weir/admin"
)

const instancePool = `  api:
    concurrency: 4
    drain: 20s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --token-time, 5ms]}
    scale: {min: 1, max: 4, scale_in_window: 0s, policies: [{schedule: {name: never, at: "2099-01-01T00:00:00Z", desired: 1}}]}
`

// crash ends Weir without a word, and starts the next one.
func (w *weir) crash() {
	w.t.Helper()
	w.cmd.Process.Kill()
	<-w.ended
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
	} {
		if out, code := w.command(append([]string{"instance"}, strings.Fields(c.args)...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("weir instance %s: %d %q", c.args, code, out)
		}
	}
	if i := w.instance(id); i == nil || i.State != "ready" || i.Protected {
		t.Errorf("a mistake changed something: %+v", i)
	}
}
