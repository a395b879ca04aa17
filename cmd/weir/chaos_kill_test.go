package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// deaths are those of a pool's targets.
type deaths []*death

// forgive says whether a failed request could not be saved: it was under way on a target when that died, and either was written and must
// not be sent twice, or had begun to be answered. The client must have been told.
func (ds deaths) forgive(o *outcome) bool {
	told := o.cut || o.status == 502 && (o.kind == "post" || o.kind == "chat")
	if o.err != nil || !told {
		return false
	}
	for _, d := range ds {
		if o.sent.Before(d.to) && o.done.After(d.from) {
			d.lost++
			return true
		}
	}
	return false
}

// judge complains when a death cost more requests than can have been in flight.
func (ds deaths) judge(t *testing.T, slots int) {
	t.Helper()
	for i, d := range ds {
		if d.lost > slots {
			t.Errorf("death %d of %d, at %s: %d requests were lost, but at most %d were in flight", i, len(ds), d.from.Format("05.000"), d.lost, slots)
		}
	}
}

// givenOnce complains of POSTs that came to targets more than once. It ends the targets.
func givenOnce(t *testing.T, targets []*process) {
	t.Helper()
	times := map[string]int{}
	for _, p := range targets {
		p.kill() // then all that it said was read
		for id, n := range p.begun {
			times[id] += n
		}
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("POST %s came to targets %d times", id, n)
		}
	}
}

func TestChaosTargetsAreKilled(t *testing.T) {
	t.Parallel()
	const slots = 16 // and as many requests may be tried again when a target dies
	tinies, tinyAddrs := fleetOf(t, 4, newTiny)
	infers, inferAddrs := fleetOf(t, 4, newInfer)
	w := newChaos(t, `{path: "/v1/*", pool: infer}, {pool: tiny}`, fmt.Sprintf(`
  tiny: {targets: [%s], concurrency: %d, retries: {min: %[2]d}, health: {path: /health, interval: 200ms, timeout: 1s, healthy: 1}}
  infer: {targets: [%s], concurrency: %[2]d, retries: {min: %[2]d}, health: {path: /health/ready, interval: 200ms, timeout: 1s, healthy: 1}}
`, tinyAddrs, slots, inferAddrs))
	w.healthy()
	l := offer(t, chaosRate, w.addrs, slices.Concat(tinyKinds, []kind{{"models", 2, models}, {"chat", 2, chat}})...)
	l.more(50)

	var ofTinies, ofInfers deaths
	kill := func(ds *deaths, pool string, p *process, notice bool) {
		*ds = append(*ds, p.kill())
		if notice {
			w.out(pool, p.addr)
		}
		p.start()
		w.back(pool, p.addr)
	}
	rounds(t, 4, func(i int) {
		kill(&ofTinies, "tiny", tinies[i%4], i%2 == 0)
		l.more(20)
		kill(&ofTinies, "tiny", tinies[i%4], i%2 == 1)
		if i%4 == 0 {
			kill(&ofInfers, "infer", infers[i/4%4], true)
		}
	})

	failures(t, l.stop(), func(o *outcome) bool {
		if o.kind == "chat" {
			return ofInfers.forgive(o)
		}
		return ofTinies.forgive(o)
	})
	ofTinies.judge(t, slots)
	ofInfers.judge(t, slots)
	givenOnce(t, tinies)
	w.finish()
}

// models asks for what any inference server has.
func models(c *caller, _ string, fresh bool, o *outcome) {
	req, _ := http.NewRequest("GET", "http://"+c.addr+"/v1/models", nil)
	o.exchange(c, req, fresh, "")
}

// TestChaosAllAtOnce kills, drains, removes and changes targets in no order.
func TestChaosAllAtOnce(t *testing.T) {
	if os.Getenv("WEIR_CHAOS") == "" {
		t.Skip("takes long; make chaos runs it")
	}
	t.Parallel()
	const slots = 16
	tinies, _ := fleetOf(t, 5, newTiny)
	configure := func(w *chaos, i int) {
		var addrs []string
		for n, p := range tinies {
			if n < 4 || i%2 == 0 { // the last one comes and goes
				addrs = append(addrs, fmt.Sprintf("{address: %q, weight: %d}", p.addr, 1+(n+i)%3))
			}
		}
		w.configure("{pool: tiny}", fmt.Sprintf(`
  tiny: {targets: [%s], concurrency: %d, retries: {min: %[2]d}, health: {path: /health, interval: %dms, timeout: 1s, healthy: 1}}
`, strings.Join(addrs, ", "), slots, 200+i%3*100), "")
	}
	w := prepareChaos(t)
	configure(w, 0)
	w.start()
	w.healthy()
	l := offer(t, chaosRate, w.addrs, tinyKinds...)
	l.more(50)

	var dead deaths
	var down *process
	drained := ""
	kill := func() {
		if down == nil {
			down = tinies[rand.IntN(len(tinies))]
			dead = append(dead, down.kill())
		} else {
			down.start()
			down = nil
		}
	}
	drain := func() {
		if drained == "" {
			drained = tinies[rand.IntN(4)].addr
			w.cli("drain", "tiny", drained)
		} else {
			w.cli("drain", "tiny", drained, "--undo")
			drained = ""
		}
	}
	rounds(t, 0, func(i int) {
		switch rand.IntN(5) {
		case 0:
			kill()
		case 1:
			drain()
		case 2:
			configure(w, i)
			w.cli("reload")
		default:
			l.more(10)
		}
	})
	if down != nil {
		kill()
	}
	if drained != "" {
		drain()
	}
	w.healthy()
	l.more(50)
	failures(t, l.stop(), dead.forgive)
	dead.judge(t, slots)
	givenOnce(t, tinies)
	w.finish()
}
