package sim

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/balance"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// poisson gives n requests at a rate, with exponential service times.
func poisson(seed uint64, n int, rate float64, mean time.Duration) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		rng := rand.New(rand.NewPCG(seed, 1))
		at := 0.0
		for range n {
			at += rng.ExpFloat64() / rate
			if !yield(Request{At: secs(at), Service: max(time.Duration(rng.ExpFloat64()*float64(mean)), 1)}) {
				return
			}
		}
	}
}

func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func static(n, slots int) Options {
	return Options{
		Name: "static", Desired: n, Slots: slots, Promise: time.Second, Price: 1,
		Pool:  pool.Options{Balance: "least_connections", Limits: admit.Limits{Queue: 1 << 30}},
		Scale: scale.Options{Min: n, Max: n},
	}
}

// A fixed fleet is the queue M/M/c: its mean wait is Erlang's.
func TestAFixedFleetIsTheTextbooksQueue(t *testing.T) {
	for _, c := range []struct {
		instances, slots int
		rate             float64
		want             float64 // mean wait in seconds, for a mean service of a second: C(c, a) / (c - a)
	}{
		{1, 1, 0.5, 1},         // M/M/1: rho/(1-rho)
		{2, 1, 1, 1.0 / 3},     // M/M/2: C = 1/3
		{1, 2, 1, 1.0 / 3},     // slots of one instance are slots like any others
		{3, 1, 2, 4.0 / 9},     // C = 4/9
		{4, 5, 16, 0.2561 / 4}, // C(20, 16)
	} {
		r, err := Run(t.Context(), static(c.instances, c.slots), poisson(7, 40_000, c.rate, time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests != 40_000 || r.Lost != 0 || r.InFlight() != 0 {
			t.Errorf("%d requests, %d lost, %d in flight at the end", r.Requests, r.Lost, r.InFlight())
		}
		if got := r.Wait.Mean().Seconds(); math.Abs(got-c.want) > 0.15*c.want {
			t.Errorf("%d x %d slots at %g/s: mean wait %.4f s, want %.4f", c.instances, c.slots, c.rate, got, c.want)
		}
		if hours := r.Span.Hours() * float64(c.instances); math.Abs(r.InstanceHours-hours) > 0.001*hours || math.Abs(r.Cost-hours) > 0.001*hours {
			t.Errorf("%g instance-hours for %g, over %g", r.InstanceHours, r.Cost, hours)
		}
	}
}

// scaled is a pool that scales from zero and must boot for 20 s.
func scaled() Options {
	o := static(0, 1)
	o.Scale = scale.Options{
		Max: 40, ScaleInWindow: time.Minute, ZeroAfter: 2 * time.Minute,
		Policies: []scale.Policy{scale.Queue{WaitP95: 2 * time.Second}},
	}
	o.Boot = func(r *rand.Rand) time.Duration { return secs(18 + 4*r.Float64()) }
	return o
}

func TestAPoolThatScales(t *testing.T) {
	r, err := Run(t.Context(), scaled(), poisson(3, 20_000, 2, 3*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if r.Lost != 0 || r.InFlight() != 0 {
		t.Errorf("%d lost, %d in flight", r.Lost, r.InFlight())
	}
	// Six slots are busy on average; the promise takes some more, and the first boot is waited for.
	if mean := r.InstanceHours / r.Span.Hours(); mean < 6 || mean > 12 {
		t.Errorf("%.1f instances on average", mean)
	}
	if r.Kept < 0.95 {
		t.Errorf("the promise was kept for %.3f of the requests", r.Kept)
	}
	if w := r.Wait.Max(); w < 18*time.Second || w > 60*time.Second {
		t.Errorf("the longest wait was %v, and the first boot took 18 to 22 s", w)
	}
	if r.Changes == 0 || len(r.Decisions) != r.Changes || r.Decisions[0].Previous != 0 {
		t.Errorf("%d changes, the first %+v", r.Changes, r.Decisions[:min(1, len(r.Decisions))])
	}
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	for _, name := range balance.Names() {
		t.Run(name, func(t *testing.T) {
			run := func(seed uint64) string {
				o := scaled()
				o.Pool.Balance, o.Seed, o.Slots, o.Switch, o.Keeps = name, seed, 3, 2*time.Second, 2
				o.Prefill, o.PrefixBlock, o.PrefixKeeps = time.Millisecond, 512, 100
				o.Warm, o.Batch = plan.WarmPool{On: true, Most: 5, Reuse: true}, 0.1
				r, err := Run(t.Context(), o, func(yield func(Request) bool) {
					n := uint64(0)
					for q := range poisson(5, 3_000, 2, 3*time.Second) {
						n++
						q.Model, q.Prefix, q.Input = 1+n*n%7, []uint64{n % 11, n % 3}, 1024
						if !yield(q) {
							return
						}
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprintf("%v %v %v %v %v %v %v %+v", r.Wait.sum, r.Latency.sum, r.Cost, r.Changes, r.Ticks, r.Switches, r.CachedTokens, r.Decisions)
			}
			if a, b := run(1), run(1); a != b {
				t.Errorf("two runs differ:\n%s\n%s", a, b)
			}
			if run(1) == run(2) {
				t.Error("the seed changes nothing")
			}
		})
	}
}

func TestRequestsOutOfOrderAreRefused(t *testing.T) {
	_, err := Run(t.Context(), static(1, 1), func(yield func(Request) bool) {
		_ = yield(Request{At: time.Second}) && yield(Request{At: 0})
	})
	if err == nil {
		t.Error("no error")
	}
}

func TestLostRequestsAreCounted(t *testing.T) {
	o := static(1, 1)
	o.Pool.Limits = admit.Limits{Queue: 5, Timeout: 10 * time.Second}
	r, err := Run(t.Context(), o, func(yield func(Request) bool) {
		for i := range 20 {
			if !yield(Request{At: time.Duration(i), Service: 4 * time.Second}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// One runs, five wait, fourteen find the queue full. Served at 4 s and 8 s; the other three have waited 10 s before their turn.
	if r.Requests != 20 || r.Lost != 17 || r.Latency.n != 3 {
		t.Errorf("%d of %d lost, %d answered", r.Lost, r.Requests, r.Latency.n)
	}
}

// The queue's order is the production code's: what a checkpoint switch costs is paid where the plan says.
func TestModelSwitchesCost(t *testing.T) {
	o := static(2, 1)
	o.Switch, o.Keeps = 10*time.Second, 1
	r, err := Run(t.Context(), o, func(yield func(Request) bool) {
		for i := range 10 {
			if !yield(Request{At: time.Duration(i) * time.Minute, Service: time.Second, Model: uint64(1 + i%2)}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Pool.Balance = "affinity"
	a, err := Run(t.Context(), o, func(yield func(Request) bool) {
		for i := range 10 {
			if !yield(Request{At: time.Duration(i) * time.Minute, Service: time.Second, Model: uint64(1 + i%2)}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Switches != 2 || r.Switches < 2 {
		t.Errorf("%d switches with affinity, %d without; two models on two targets need two", a.Switches, r.Switches)
	}
}

func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Options
		n    int
		rate float64
		mean time.Duration
	}{
		{"scaled", scaled(), 26_823, 26_823.0 / (23 * 86400), 23 * time.Second},
		{"1000 instances", static(1000, 1), 1_000_000, 900, time.Second},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := Run(b.Context(), c.o, poisson(1, c.n, c.rate, c.mean))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(r.Ticks), "decisions")
			}
		})
	}
}
