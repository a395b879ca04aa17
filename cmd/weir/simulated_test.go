package main

import (
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
)

const simulatedPool = `  api:
    concurrency: 1
    queue: {limit: 1000, timeout: 60s}
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, predict, --predict-time, 400ms, --load-time, 1500ms]}
    scale: {min: 1, max: 12, scale_in_window: 60s, policies: [{queue: {wait_p95: 500ms}}]}
`

// The simulator and a real Weir with real processes are given the same arrivals under the same config, and have to agree: on who waits how long, and on
// how many instances were needed. What they cannot agree on to the millisecond is chance: when the loop of capacity happens to look, and how
// long this machine takes to start a process.
func TestTheSimulatorAgreesWithARealRun(t *testing.T) {
	var arrivals []time.Duration
	rng := rand.New(rand.NewPCG(4, 4))
	for at := 0.0; at < 12; at += rng.ExpFloat64() / 2 {
		arrivals = append(arrivals, time.Duration(at*float64(time.Second)))
	}
	for range 24 { // a rush
		arrivals = append(arrivals, 4*time.Second+time.Duration(rng.Float64()*float64(time.Second)))
	}
	slices.Sort(arrivals)

	w := prepare(t, simulatedPool)
	w.start()
	w.ready(1)
	waits, peak := play(t, w, arrivals)
	boot := time.Duration(w.pool().Boot.P50 * float64(time.Second))

	c, err := config.Load(w.config())
	if err != nil {
		t.Fatal(err)
	}
	o := app.Simulation("api", c.Pools["api"])
	o.Boot = app.Boots([]time.Duration{boot})
	r, err := sim.Run(t.Context(), o, func(yield func(sim.Request) bool) {
		for _, at := range arrivals {
			if !yield(sim.Request{At: at, Service: 400 * time.Millisecond}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(waits)
	at := func(q float64) time.Duration { return waits[min(int(q*float64(len(waits))), len(waits)-1)] }
	var sum time.Duration
	for _, d := range waits {
		sum += d
	}
	mean := sum / time.Duration(len(waits))
	t.Logf("boot %v; wait mean, p50, p95: real %v %v %v, simulated %v %v %v; most instances: real %d, simulated %d",
		boot, mean, at(.5), at(.95), r.Wait.Mean(), r.Wait.Quantile(.5), r.Wait.Quantile(.95), peak, r.Peak)
	if r.Requests != len(arrivals) || r.Lost != 0 {
		t.Errorf("simulated: %d requests, %d lost", r.Requests, r.Lost)
	}
	for _, b := range []struct {
		what            string
		real, simulated time.Duration
	}{{"mean", mean, r.Wait.Mean()}, {"p95", at(.95), r.Wait.Quantile(.95)}} {
		// Half of it, or one boot: a loop that looks a little sooner launches one round of instances sooner.
		if off := (b.real - b.simulated).Abs(); off > max(b.real/2, boot/2) {
			t.Errorf("the %s wait: real %v, simulated %v", b.what, b.real, b.simulated)
		}
	}
	if off := math.Abs(float64(peak - r.Peak)); off > max(2, 0.34*float64(r.Peak)) {
		t.Errorf("most instances: real %d, simulated %d", peak, r.Peak)
	}
}

const simulatedBatch = `  api:
    concurrency: 8
    queue: {limit: 1000, timeout: 60s}
    health: {path: /health/ready, interval: 100ms}
    template: {INFER, --model, chat, --device, emulated, --slots, "8", --token-time, 10ms, --prefill-time, 0s, --batch-cost, "0.25"]}
    scale: {min: 1, max: 1}
`

// Requests that share an instance slow each other down in the simulator as they do in the batch of weir infer.
func TestTheSimulatorAgreesOnABatch(t *testing.T) {
	var arrivals []time.Duration
	rng := rand.New(rand.NewPCG(5, 5))
	for at := 0.0; at < 8; at += rng.ExpFloat64() / 5 {
		arrivals = append(arrivals, time.Duration(at*float64(time.Second)))
	}
	w := prepare(t, simulatedBatch)
	w.start()
	w.ready(1)
	const alone = 400 * time.Millisecond // 40 tokens
	took := make([]time.Duration, len(arrivals))
	onTime(arrivals, func(i int) {
		due := time.Now()
		answered200(t, w.url+"/v1/chat/completions", `{"max_tokens":40,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]}`)
		took[i] = time.Since(due)
	}, nil)

	c, err := config.Load(w.config())
	if err != nil {
		t.Fatal(err)
	}
	simulated := func(batch float64) *sim.Result {
		o := app.Simulation("api", c.Pools["api"])
		o.Batch = batch
		r, err := sim.Run(t.Context(), o, func(yield func(sim.Request) bool) {
			for _, at := range arrivals {
				if !yield(sim.Request{At: at, Service: alone}) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, independent := simulated(0.25), simulated(0)
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	mean := sum / time.Duration(len(took))
	slices.Sort(took)
	p95 := took[len(took)*95/100]
	t.Logf("%d requests; latency mean and p95: real %v, %v; simulated %v, %v; if they were independent %v, %v", len(arrivals), mean, p95,
		r.Latency.Mean(), r.Latency.Quantile(.95), independent.Latency.Mean(), independent.Latency.Quantile(.95))
	for what, d := range map[string]time.Duration{"mean": mean - r.Latency.Mean(), "p95": p95 - r.Latency.Quantile(.95)} {
		if d.Abs() > mean/4 {
			t.Errorf("the %s latency: real and simulated are %v apart", what, d)
		}
	}
	if r.Latency.Mean() < independent.Latency.Mean()*3/2 {
		t.Errorf("this load says nothing of batches: %v with, %v without", r.Latency.Mean(), independent.Latency.Mean())
	}
}

// answered200 sends a request that has to be answered with 200.
func answered200(t *testing.T, url, body string) {
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 {
		t.Errorf("%d %s: %v", r.StatusCode, b, err)
	}
}

// onTime does something for each arrival when it is due, whatever the others do, and waits for all. between is called after each began.
func onTime(arrivals []time.Duration, do func(i int), between func()) {
	var all sync.WaitGroup
	defer all.Wait()
	start := time.Now()
	for i, at := range arrivals {
		time.Sleep(time.Until(start.Add(at)))
		all.Go(func() { do(i) })
		if between != nil {
			between()
		}
	}
}

// play sends the requests when they are due and returns how long each waited and how many instances there were at most.
func play(t *testing.T, w *weir, arrivals []time.Duration) (waits []time.Duration, peak int) {
	waits = make([]time.Duration, len(arrivals))
	look := func() { peak = max(peak, len(w.pool().Instances)) }
	onTime(arrivals, func(i int) {
		due := time.Now()
		answered200(t, w.url+"/predict", `{"input":[0.2,-0.4]}`)
		waits[i] = max(time.Since(due)-400*time.Millisecond, 0)
	}, look)
	look()
	return waits, peak
}
