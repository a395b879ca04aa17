package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/weirlb/weir/money"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

// house is a Weir that is not there: three pools whose numbers a test can turn.
type house struct {
	mu        sync.Mutex
	started   time.Time
	status    func(now time.Time) Status
	decisions []scale.Decision
	asked     []string // what an operator asked for
	refusal   error    // of the next requests to change something
}

func newHouse() *house {
	return &house{started: time.Now().Add(-3 * time.Hour)}
}

func (h *house) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status != nil {
		return h.status(time.Now())
	}
	return busyStatus(h.started, time.Now())
}

func (h *house) show(status func(now time.Time) Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *house) Decisions(pool string, from, to time.Time, limit int) ([]scale.Decision, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []scale.Decision
	for _, d := range h.decisions {
		if (pool == "" || d.Pool == pool) && (from.IsZero() || !d.Time.Before(from)) && (to.IsZero() || !d.Time.After(to)) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b scale.Decision) int { return b.Time.Compare(a.Time) })
	return out[:min(len(out), limit)], nil
}

func (h *house) Metrics() telemetry.Snapshot {
	return telemetry.Snapshot{Version: "1.2.3", Pools: []telemetry.Pool{{Name: "chat", Received: 7, Answers2: 5, Answers5: 2}}}
}

func (h *house) ask(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, what)
	return h.refusal
}

func (h *house) Drain(pool, target string, on bool) error {
	return h.ask(fmt.Sprintf("drain %s %s %v", pool, target, on))
}

func (h *house) Scale(pool string, desired int, forTime time.Duration) error {
	return h.ask(fmt.Sprintf("scale %s %d %v", pool, desired, forTime))
}

func (h *house) Refresh(pool string, order RefreshOrder) error {
	return h.ask(fmt.Sprintf("refresh %s %s", pool, order))
}

func (h *house) Instance(pool, id string, o InstanceOrder) error {
	return h.ask(fmt.Sprintf("instance %s %s %+v", pool, id, o))
}

func (h *house) Override(pool, target string, o pool.Override, clear bool) error {
	b, _ := json.Marshal(o)
	return h.ask(fmt.Sprintf("override %s %s %s %v", pool, target, b, clear))
}

func (h *house) Reload() error { return h.ask("reload") }

func (h *house) Upgrade(binary string) (Upgrade, error) {
	return Upgrade{PID: 4712, Generation: 3}, h.ask("upgrade " + binary)
}

// busyStatus is a Weir on a busy day: images grow while requests wait, chat is calm, a static pool has lost a target.
func busyStatus(started, now time.Time) Status {
	t := now.Sub(started).Seconds()
	wave := 1 + .35*math.Sin(t/9) + .1*math.Sin(t/2.3)
	instance := func(id, state string, age float64, inFlight, slots int, cpu float64) Instance {
		return Instance{
			ID: id, State: state, Since: now.Add(-seconds(age)), Launched: now.Add(-seconds(age + 9)), Address: "127.0.0.1:4" + id[len(id)-4:],
			Ref: "pid 4711", InFlight: inFlight, Slots: slots, CPU: cpu, Memory: 412 << 20,
		}
	}
	images := Pool{
		Name: "images", Balance: "least_connections", Concurrency: 1, Queue: Queue{Depth: int(14 * wave), Limit: 1000, OldestWait: 2.31 * wave},
		InFlight: 5, Slots: 5, Rates: Rates{3.4 * wave, 2.6}, Wait: Quantiles{.42, 2.2 * wave, 3.1}, Latency: Quantiles{1.9, 4.1 * wave, 5.6 * wave},
		Totals: Totals{Requests: 18234 + uint64(3*t), OK: 18190, ClientErrors: 3, Cancelled: 12},
		Scale:  &Scale{Min: 0, Max: 12, Desired: 8, Ready: 5, Loading: 2, Manual: nil}, Cost: &money.Report{PerHour: 2.11, Today: 31.06, Month: 702.4, MonthOnDemand: 1466.13, Saved: 763.73, Projected: 1068.92}, Boot: &Boot{P50: 9.2, P90: 11.4, Count: 31},
		LastDecision: &scale.Decision{Time: now, Previous: 8, Desired: 8, Why: "the queue policy asks for 8: 14 waiting requests at 1.9 s each fill 7.1 slots for the next 9.2 s"},
	}
	for i := range 5 {
		images.Instances = append(images.Instances, instance(fmt.Sprintf("images-k%dx2%d", i, i+1), "ready", float64(40*(i+1)), 1, 1, 92+float64(i)))
	}
	images.Instances = append(images.Instances, instance("images-p0qa7", "warming", 1, 0, 1, 60), instance("images-w3ns8", "starting", 3, 0, 1, 71),
		instance("images-zz1f9", "draining", 12, 1, 1, 88))
	images.Instances[5].ETA, images.Instances[6].ETA = 1.4, 6.2
	images.Instances[7].Why = "scale-in: the idlest of 9"
	chat := Pool{
		Name: "chat", Balance: "least_connections", Concurrency: 8, Queue: Queue{Limit: 500}, InFlight: 11, Slots: 24,
		Rates: Rates{6.1 * wave, 6}, Wait: Quantiles{.0001, .0004, .002}, Latency: Quantiles{1.2, 2.2, 2.9 * wave},
		Totals: Totals{Requests: 40211, OK: 40100, ServerErrors: 2}, Scale: &Scale{Min: 1, Max: 6, Desired: 3, Ready: 3, Manual: &Manual{Desired: 3, Until: now.Add(20 * time.Minute)}},
		LastDecision: &scale.Decision{Time: now, Previous: 3, Desired: 3, Bound: "manual", Why: "set by hand to 3"},
	}
	for i, n := range []int{3, 6, 2} {
		chat.Instances = append(chat.Instances, instance(fmt.Sprintf("chat-h%dvb%d", i, i+4), "ready", float64(500*(i+1)), n, 8, float64(20*n)))
	}
	api := Pool{
		Name: "api", Balance: "round_robin", Queue: Queue{Limit: 100}, InFlight: 4, Rates: Rates{212 * wave, 210},
		Wait: Quantiles{.00001, .00002, .00003}, Latency: Quantiles{.0031, .0094 * wave, .021 * wave}, Totals: Totals{Requests: 1_902_113, OK: 1_902_001, Broken: 1},
	}
	for i, state := range []string{"healthy", "healthy", "unhealthy"} {
		id := fmt.Sprintf("10.0.0.%d:9000", i+1)
		api.Targets = append(api.Targets, Target{ID: id, Address: id, State: state, Since: now.Add(-time.Duration(i+1) * 7 * time.Minute), Weight: 1, InFlight: 2 - i, Requests: 634_000, Failures: uint64(i)})
	}
	api.Targets[2].Reason = "3 checks failed: connection refused"
	s := Status{Version: "1.2.3", Started: started, Time: now, Listeners: []Listener{{Address: ":8080", Connections: 37}}, Pools: []Pool{api, chat, images}}
	for i := range s.Pools {
		p := &s.Pools[i]
		for _, in := range p.Instances {
			if in.State == "ready" {
				p.Targets = append(p.Targets, Target{ID: in.ID, Address: in.Address, State: "healthy", Since: in.Since, Weight: 1, Slots: in.Slots, InFlight: in.InFlight})
			}
		}
		p.Targets, p.Instances = notNil(p.Targets), notNil(p.Instances)
		slices.SortFunc(p.Targets, func(a, b Target) int { return cmp.Compare(a.ID, b.ID) })
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// sampleDecisions are the last steps of the images pool, one a minute, the last three of which changed nothing.
func sampleDecisions(now time.Time) []scale.Decision {
	var out []scale.Decision
	for i, n := range []int{0, 1, 3, 2, 5, 8, 8, 8, 8} {
		if i == 0 {
			continue
		}
		before := []int{0, 1, 3, 2, 5, 8, 8, 8, 8}[i-1]
		out = append(out, scale.Decision{
			Time: now.Add(time.Duration(i-9) * time.Minute), Pool: "images", Previous: before, Desired: n,
			Why:   fmt.Sprintf("the queue policy asks for %d: %d requests wait and each takes 1.9 s", n, 2*n),
			Bound: map[bool]string{true: "scale_in_window"}[n < before],
			Proposals: []scale.Proposal{
				{Policy: "queue", Desired: n, Why: fmt.Sprintf("%d waiting * 1.9 s / 9.2 s boot = %d", 2*n, n)},
				{Policy: "target cpu_utilization", Abstain: true, Why: "no instance has reported cpu_utilization yet"},
			},
		})
	}
	return out
}
