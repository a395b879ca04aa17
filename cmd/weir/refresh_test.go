package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet/plan"
)

// refreshPool has so many chat instances, which are launched with the given words.
func refreshPool(n int, words string) string {
	return fmt.Sprintf(`  api:
    concurrency: 4
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --token-time, 5ms, %s], backoff: {initial: 100ms, max: 200ms}, start_timeout: 20s}
    scale: {min: %d, max: %d}
`, words, n, n)
}

// under has streams run through Weir while something happens, and says how many ended badly.
func under(t *testing.T, w *weir, change func()) (streams int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var done atomic.Int64
	for range 6 {
		load.Go(func() {
			for ctx.Err() == nil {
				if _, err := stream(context.WithoutCancel(ctx), w.url, 30, nil); err != nil {
					t.Errorf("a stream failed: %v", err)
					return
				}
				done.Add(1)
			}
		})
	}
	change()
	cancel()
	load.Wait()
	return done.Load()
}

// versions counts the ready instances by version.
func (w *weir) versions() map[int]int {
	of := map[int]int{}
	for _, i := range w.pool().Instances {
		if i.State == "ready" {
			of[i.Version]++
		}
	}
	return of
}

func (w *weir) command(args ...string) (out string, code int) {
	var o, e bytes.Buffer
	code = run(append(args, "--admin", w.admin), &o, &e)
	return o.String() + e.String(), code
}

func (w *weir) refreshed(state string) *plan.Refresh {
	w.t.Helper()
	var r *plan.Refresh
	until(w.t, "the refresh is "+state, func() bool {
		r = w.pool().Refresh
		return r != nil && r.State == state
	})
	return r
}

func TestARefreshUnderLoadFailsNothing(t *testing.T) {
	w := prepare(t, refreshPool(6, "--seed, \"1\""))
	w.start()
	w.ready(6)
	lowest := 6
	streams := under(t, w, func() {
		w.write(refreshPool(6, "--seed, \"2\""))
		if out, code := w.command("reload"); code != exitOK {
			t.Fatal(out)
		}
		until(t, "the refresh has ended", func() bool {
			p := w.pool()
			ready := 0
			for _, i := range p.Instances {
				if i.State == "ready" {
					ready++
				}
			}
			lowest = min(lowest, ready)
			return p.Refresh != nil && !p.Refresh.Active()
		})
	})
	r := w.pool().Refresh
	t.Logf("%d streams, none cut; at least %d of 6 ready; %s", streams, lowest, r.Why)
	if r.State != plan.Succeeded || w.versions()[2] != 6 || lowest < 5 || streams < 10 {
		t.Errorf("%+v; %v; at least %d ready, %d streams", r, w.versions(), lowest, streams)
	}
	out, code := w.command("refresh", "api", "--status")
	if code != exitOK || !strings.Contains(out, "succeeded, 100 %") {
		t.Errorf("weir refresh --status: %d %s", code, out)
	}
	if out, code := w.command("refresh", "api"); code != exitFailed || !strings.Contains(out, "--force") {
		t.Errorf("a refresh of what is up to date: %d %s", code, out)
	}
}

func TestABadVersionIsRolledBackUnderLoad(t *testing.T) {
	w := prepare(t, refreshPool(3, "--seed, \"1\""))
	w.start()
	w.ready(3)
	before := ids(w.pool().Instances)
	under(t, w, func() {
		w.write(refreshPool(3, "--no-such-flag"))
		if out, code := w.command("reload"); code != exitOK {
			t.Fatal(out)
		}
		w.refreshed(plan.RolledBack)
	})
	if r := w.pool().Refresh; !strings.Contains(r.Why, "launches in a row failed") || w.versions()[1] != 3 {
		t.Errorf("%+v, %v", r, w.versions())
	}
	kept := 0
	for id := range strings.FieldsSeq(ids(w.pool().Instances)) {
		if strings.Contains(before, id) {
			kept++
		}
	}
	if kept < 2 {
		t.Errorf("%d of 3 instances are those from before; a bad version must not cost more than one", kept)
	}
}

func ids(is []admin.Instance) string {
	var all strings.Builder
	for _, i := range is {
		all.WriteString(i.ID + " ")
	}
	return all.String()
}

func TestARefreshGoesOnAfterAKill(t *testing.T) {
	w := prepare(t, refreshPool(3, "--seed, \"1\""))
	w.start()
	w.ready(3)
	w.write(refreshPool(3, "--seed, \"2\", --load-time, 300ms"))
	if out, code := w.command("reload"); code != exitOK {
		t.Fatal(out)
	}
	until(t, "the first is replaced", func() bool { return w.versions()[2] > 0 })
	w.cmd.Process.Kill()
	<-w.ended
	w.start()
	if r := w.refreshed(plan.Succeeded); w.versions()[2] != 3 {
		t.Errorf("%+v, %v", r, w.versions())
	}
	until(t, "three processes are left", func() bool { return len(w.instances()) == 3 }) // the last of the old ends after its drain
	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// A template that changes while the one before is rolled out is what the refresh goes on to.
func TestARefreshGoesOnToATemplateThatChangesMeanwhile(t *testing.T) {
	w := prepare(t, refreshPool(3, "--seed, \"1\""))
	w.start()
	w.ready(3)
	w.write(refreshPool(3, "--seed, \"2\", --load-time, 300ms"))
	w.cli("reload")
	until(t, "the first is replaced", func() bool { return w.versions()[2] > 0 })
	w.write(refreshPool(3, "--seed, \"3\""))
	w.cli("reload")
	until(t, "all are of version 3", func() bool { return w.versions()[3] == 3 })
	if r := w.refreshed(plan.Succeeded); r.From != 1 || r.To != 3 {
		t.Errorf("%+v", r)
	}
	if log := w.log(); !strings.Contains(log, "superseded by version 3 of the template") {
		t.Error(log)
	}
}
