package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
)

// The chaos tests spoil targets under load and hold Weir to what it promises: no request is lost that could be saved. Both engines
// serve every test, each with half of the load. `make chaos` runs them for as long as one likes.

// chaos is a Weir with a listener for each engine.
type chaos struct {
	*weir
	addrs []string
}

// newChaos starts a Weir. routes and pools are YAML.
func newChaos(t *testing.T, routes, pools string) *chaos {
	t.Helper()
	w := prepareChaos(t)
	w.configure(routes, pools, "")
	w.start()
	return w
}

func prepareChaos(t *testing.T) *chaos {
	t.Helper()
	w := &chaos{weir: prepare(t, "  api: {targets: []}\n")}
	w.addrs = []string{strings.TrimPrefix(w.url, "http://"), fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	t.Logf("loops serve %s, goroutines %s", w.addrs[0], w.addrs[1])
	t.Cleanup(func() {
		if t.Failed() && w.cmd != nil && w.cmd.ProcessState == nil {
			t.Log(w.cli("status"))
		}
	})
	return w
}

// configure writes the config file; more are further listeners.
func (w *chaos) configure(routes, pools, more string) {
	w.t.Helper()
	text := fmt.Sprintf(`listen:
  - {address: %q, engine: loop, routes: [%s]}
  - {address: %q, engine: goroutine, routes: [%s]}
%sadmin: {address: %q}
state: %q
log: {level: warn}
pools:
%s`, w.addrs[0], routes, w.addrs[1], routes, more, w.admin, filepath.Join(w.dir, "state"), pools)
	if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// target is one target as the status shows it.
func (w *chaos) target(pool, addr string) admin.Target {
	w.t.Helper()
	for _, p := range w.status().Pools {
		for _, x := range p.Targets {
			if p.Name == pool && x.ID == addr {
				return x
			}
		}
	}
	w.t.Fatalf("pool %s has no target %s", pool, addr)
	return admin.Target{}
}

// out waits until a target is out of rotation.
func (w *chaos) out(pool, addr string) {
	w.t.Helper()
	until(w.t, addr+" is out of rotation", func() bool {
		s := w.target(pool, addr).State
		return s == "unhealthy" || s == "ejected"
	})
}

// back waits until a target takes requests again.
func (w *chaos) back(pool, addr string) {
	w.t.Helper()
	until(w.t, addr+" is healthy", func() bool { return w.target(pool, addr).State == "healthy" })
	had := w.target(pool, addr).Requests
	until(w.t, addr+" takes requests again", func() bool { return w.target(pool, addr).Requests > had })
}

// healthy waits until all targets are.
func (w *chaos) healthy() {
	w.t.Helper()
	until(w.t, "all targets are healthy", func() bool {
		for _, p := range w.status().Pools {
			for _, x := range p.Targets {
				if x.State != "healthy" {
					return false
				}
			}
		}
		return true
	})
}

// finish ends Weir, which must have no slot and no waiting request left, and have noticed nothing odd about itself.
func (w *chaos) finish() {
	w.t.Helper()
	until(w.t, "nothing is in flight any more", func() bool {
		for _, p := range w.status().Pools {
			if p.InFlight != 0 || p.Queue.Depth != 0 {
				return false
			}
		}
		return true
	})
	w.cmd.Process.Signal(syscall.SIGTERM)
	if code := w.exit(); code != exitOK {
		w.t.Errorf("Weir ended with %d", code)
	}
	if log := w.log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		w.t.Errorf("Weir says:\n%s", log)
	}
}

// descriptors is how many files and sockets Weir has open.
func (w *chaos) descriptors() int {
	w.t.Helper()
	ds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.cmd.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(ds)
}

// rounds calls round n times, or for as long as WEIR_CHAOS says.
func rounds(t *testing.T, n int, round func(i int)) {
	t.Helper()
	long, err := time.ParseDuration(os.Getenv("WEIR_CHAOS"))
	if err != nil && os.Getenv("WEIR_CHAOS") != "" {
		t.Fatalf("WEIR_CHAOS: %v", err)
	}
	for i, began := 0, time.Now(); (i < n || time.Since(began) < long) && !t.Failed(); i++ {
		round(i)
	}
}

// tinyKinds is what tiny targets are asked for.
var tinyKinds = []kind{
	{"get", 5, get("/get/")},
	{"post", 3, post("/post/")},
	{"events", 2, events("/events/", 10)},
}

const chaosRate = 200 // requests a second

// stall is a time in which one target did not move.
type stall struct {
	target        string
	from, out, to time.Time // it stopped, was taken out of rotation, moved on
	lost          int
}

func TestChaosATargetStalls(t *testing.T) {
	t.Parallel()
	const slots, firstByte = 8, 1500 * time.Millisecond
	tinies, addrs := fleetOf(t, 4, newTiny)
	w := newChaos(t, "{pool: tiny}", fmt.Sprintf(`
  tiny:
    targets: [%s]
    concurrency: %d
    timeouts: {first_byte: %v}
    health: {path: /health, interval: 250ms, timeout: 500ms, healthy: 1}
`, addrs, slots, firstByte))
	w.healthy()
	l := offer(t, chaosRate, w.addrs, tinyKinds...)
	direct := offer(t, 40, []string{tinies[3].addr}, kind{"get", 1, get("/get/")})
	l.more(200)
	quiet := time.Now()
	var stalls []*stall
	rounds(t, 2, func(i int) {
		p := tinies[i%3]
		s := &stall{target: p.addr, from: time.Now()}
		stalls = append(stalls, s)
		p.stop()
		w.out("tiny", p.addr)
		s.out = time.Now()
		had := w.target("tiny", p.addr).Requests
		until(t, "the requests that it holds have timed out", func() bool { return time.Since(s.out) > firstByte })
		if now := w.target("tiny", p.addr).Requests; now != had {
			t.Errorf("a stalled target out of rotation was given %d requests", now-had)
		}
		s.to = time.Now()
		p.resume()
		w.back("tiny", p.addr)
	})

	os := l.stop()
	failures(t, os, func(o *outcome) bool {
		for _, s := range stalls {
			if o.status == 504 && o.err == nil && o.done.After(s.from) && o.sent.Before(s.out) {
				s.lost++
				return true
			}
		}
		return false
	})
	judgeStalls(t, os, direct.stop(), quiet, stalls)
	for _, s := range stalls {
		if most := slots * (int(s.out.Sub(s.from)/firstByte) + 1); s.lost > most {
			t.Errorf("%d requests were lost on a stalled target that may hold %d", s.lost, most)
		}
	}
	w.finish()
}

// judgeStalls complains when requests to other targets took longer while one stalled than before, and than what was asked directly took. The
// best of the stalls counts: what else the machine does can only slow Weir down.
func judgeStalls(t *testing.T, os, direct []*outcome, quiet time.Time, stalls []*stall) {
	t.Helper()
	usual := p95(between(os, time.Time{}, quiet))
	best := time.Hour
	for _, s := range stalls {
		others := slices.DeleteFunc(between(os, s.from, s.to), func(o *outcome) bool { return o.target == s.target })
		meanwhile, machine := p95(others), p95(between(direct, s.from, s.to))
		t.Logf("95 %% of the requests to other targets took %v before and %v while one stalled; without Weir it is %v", usual, meanwhile, machine)
		best = min(best, meanwhile-4*max(usual, machine))
	}
	if best > 250*time.Millisecond {
		t.Error("a stalled target held up requests to others")
	}
}

// between are the single answers that were good, of requests that were sent from one time to another.
func between(os []*outcome, from, to time.Time) (good []*outcome) {
	for _, o := range os {
		if o.ok() && o.kind != "events" && o.sent.After(from) && o.sent.Before(to) {
			good = append(good, o)
		}
	}
	return good
}

// misdeeds are the ways of a rogue, and what clients may see of them.
var misdeeds = []struct {
	name  string
	mode  int32
	rules string // of the pool
	seen  func(*outcome) bool
}{
	{"reset", resetAll, ejects, lostPost},
	{"close", closeAll, ejects, lostPost},
	{"half", halfHead, ejects, lostPost},
	{"garbage", garbage, ejects, lostPost},
	// What has begun cannot be taken back, but it must not look whole.
	{"short", shortBody, ejects, func(o *outcome) bool { return o.status == 200 && o.err != nil || lostPost(o) }},
	// Its answers are good, but slow: only a check can tell.
	{"drip", drip, "health: {path: /get/health, interval: 100ms, timeout: 500ms, healthy: 1}", lostPost},
	// A refusal is an answer, and reaches a client that still sends.
	{"early", early, ejects, func(o *outcome) bool { return o.status == 413 && o.err == nil }},
}

const ejects = "ejection: {base: 300ms, max: 1s}"

// lostPost says that a POST was written to a target that did not answer: it cannot be given to another one, but the client is told.
func lostPost(o *outcome) bool {
	return strings.HasSuffix(o.kind, " post") && o.status == 502 && o.err == nil
}

func TestChaosTargetsMisbehave(t *testing.T) {
	t.Parallel()
	_, good := fleetOf(t, 3, newTiny)
	var routes, pools strings.Builder
	var kinds []kind
	rogues := map[string]*rogue{}
	seen := map[string]func(*outcome) bool{}
	for _, d := range misdeeds {
		r := newRogue(t)
		rogues[d.name] = r
		fmt.Fprintf(&routes, `{path: "/%s/*", pool: %[1]s, rewrite: {strip_prefix: "/%[1]s"}}, `, d.name)
		fmt.Fprintf(&pools, "  %s: {targets: [%s, %q], retries: {min: 100}, %s}\n", d.name, good, r.addr, d.rules)
		kinds = append(kinds, kind{d.name, 4, get("/" + d.name + "/get/")}, kind{d.name + " post", 1, post("/" + d.name + "/post/")})
		seen[d.name], seen[d.name+" post"] = d.seen, d.seen
	}
	w := newChaos(t, strings.TrimSuffix(routes.String(), ", "), pools.String())
	w.healthy()
	l := offer(t, chaosRate, w.addrs, kinds...)
	rounds(t, 1, func(int) {
		for _, d := range misdeeds {
			w.back(d.name, rogues[d.name].addr)
			rogues[d.name].turn(d.mode)
		}
		for _, d := range misdeeds {
			if d.mode != early {
				w.out(d.name, rogues[d.name].addr)
			}
		}
		l.more(100)
		for _, r := range rogues {
			r.turn(behave)
		}
		for name, r := range rogues {
			w.back(name, r.addr)
		}
	})
	failures(t, l.stop(), func(o *outcome) bool { return seen[o.kind](o) })
	for _, d := range misdeeds {
		if x := w.target(d.name, rogues[d.name].addr); x.Failures == 0 && d.rules == ejects && d.mode != early {
			t.Errorf("%s: the status shows no failure: %+v", d.name, x)
		}
	}
	w.finish()
}

func TestChaosDrain(t *testing.T) {
	t.Parallel()
	tinies, addrs := fleetOf(t, 4, newTiny)
	w := newChaos(t, "{pool: tiny}", fmt.Sprintf("  tiny: {targets: [%s], concurrency: 16, health: {path: /health, interval: 500ms}}\n", addrs))
	w.healthy()
	l := offer(t, chaosRate, w.addrs, tinyKinds...)
	rounds(t, 8, func(i int) {
		a, b := tinies[i%4].addr, tinies[(i+1)%4].addr
		w.cli("drain", "tiny", a)
		w.cli("drain", "tiny", b)
		had := w.target("tiny", a).Requests
		l.more(30)
		if x := w.target("tiny", a); x.State != "draining" || x.Requests != had {
			t.Errorf("a target that drains was given %d requests: %+v", x.Requests-had, x)
		}
		w.cli("drain", "tiny", a, "--undo")
		w.cli("drain", "tiny", b, "--undo")
		w.back("tiny", a)
	})
	failures(t, l.stop(), nil)
	w.finish()
}

func TestChaosAllTargetsAreDown(t *testing.T) {
	t.Parallel()
	tinies, addrs := fleetOf(t, 4, newTiny)
	w := newChaos(t, "{pool: tiny}", fmt.Sprintf(`
  tiny:
    targets: [%s]
    fail_open: 0
    queue: {limit: 100, timeout: 1s}
    health: {path: /health, interval: 100ms, timeout: 1s, healthy: 1}
`, addrs))
	w.healthy()
	l := offer(t, chaosRate, w.addrs, tinyKinds...)
	l.more(50)
	type outage struct{ begin, down, up time.Time }
	var outages []outage
	rounds(t, 1, func(int) {
		var o outage
		o.begin = time.Now()
		for _, p := range tinies {
			p.kill()
		}
		for _, p := range tinies {
			w.out("tiny", p.addr)
		}
		o.down = time.Now()
		l.more(200)
		for _, p := range tinies {
			p.start()
		}
		o.up = time.Now()
		w.healthy()
		l.more(200)
		outages = append(outages, o)
	})
	os := l.stop()
	refused, held := 0, 0
	failures(t, os, func(o *outcome) bool {
		for _, x := range outages {
			if o.sent.Before(x.down) && o.done.After(x.begin) && o.err == nil && (o.cut || o.status == 502 || o.status == 503) {
				return true // Weir had not noticed yet that all were down
			}
			if o.sent.After(x.down) && o.err == nil && o.status == 503 && o.retryAfter != "" {
				refused++
				return true
			}
		}
		return false
	})
	for _, o := range os {
		for _, x := range outages {
			if o.ok() && o.sent.After(x.down) && o.sent.Before(x.up) {
				held++
			}
		}
	}
	t.Logf("%d were refused with a Retry-After, %d waited until a target was back", refused, held)
	if held == 0 || refused == 0 {
		t.Error("that is not what an outage longer than the queue's timeout looks like")
	}
	w.finish()
}
