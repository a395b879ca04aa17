package scale

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/alarm"
)

// symmetric are the steps of the example of "Step and simple scaling policies" in the Auto Scaling guide.
func symmetric() *StepScaling {
	return NewStep(StepOptions{
		Signal: Signal{Metric: CPUUtilization}, Rule: alarm.Rule{Threshold: 50, Points: 1}, Type: PercentChangeInCapacity,
		Steps: []Step{
			{new(0.0), new(10.0), 0}, {new(10.0), new(20.0), 10}, {new(20.0), nil, 30},
			{new(-10.0), new(0.0), 0}, {new(-20.0), new(-10.0), -10}, {nil, new(-20.0), -30},
		},
	})
}

// at asks a policy about a pool-wide value of cpu_utilization at that many seconds.
func at(p Policy, seconds, desired int, cpu float64, instances ...Instance) Proposal {
	obs := &Observation{Time: epoch.Add(time.Duration(seconds) * time.Second), Desired: desired, Instances: instances}
	if cpu >= 0 {
		obs.Metrics = map[string]float64{CPUUtilization: cpu}
	}
	return p.Propose(obs)
}

// The Auto Scaling guide: capacity 10, at 60 % to 11, at 70 % to 14, at 40 % to 13, at 30 % to 10.
func TestStepExample(t *testing.T) {
	p := symmetric()
	desired := 10
	for i, step := range []struct {
		cpu  float64
		want int
	}{{60, 11}, {70, 14}, {40, 13}, {30, 10}, {50, 10}, {59.9, 10}, {40.1, 10}} {
		got := at(p, 60*i, desired, step.cpu)
		if got.Desired != step.want || got.Abstain {
			t.Errorf("at %g %%: from %d to %d, want %d: %s", step.cpu, desired, got.Desired, step.want, got.Why)
		}
		desired = got.Desired
	}
	if got := at(p, 600, desired, -1); !got.Neutral && !got.Abstain {
		t.Errorf("without data: %+v", got)
	}
}

// The guide, "Instance warmup": at 60 % one is added; at 62 % while it warms up none; at 70 % while it still does, 30 % of 10 are 3, of
// which one is there: 13.
func TestStepWhileWarming(t *testing.T) {
	p := symmetric()
	pool := func(ready, warming int) (is []Instance) {
		for range ready {
			is = append(is, Instance{State: "ready"})
		}
		for range warming {
			is = append(is, Instance{State: "warming"})
		}
		return is
	}
	for i, step := range []struct {
		cpu            float64
		ready, warming int
		want           int
	}{{60, 10, 0, 11}, {62, 10, 1, 11}, {70, 10, 1, 13}, {30, 10, 3, 13}} {
		if got := at(p, 60*i, step.ready+step.warming, step.cpu, pool(step.ready, step.warming)...); got.Desired != step.want {
			t.Errorf("at %g %% with %d warming: %d, want %d: %s", step.cpu, step.warming, got.Desired, step.want, got.Why)
		}
	}
}

// semantics of PercentChangeInCapacity, from the Auto Scaling guide.
func TestAdjustments(t *testing.T) {
	for _, tt := range []struct {
		a    Adjustment
		base int
		want int
	}{
		{Adjustment{PercentChangeInCapacity, 12.7, 0}, 100, 12},
		{Adjustment{PercentChangeInCapacity, 67, 0}, 1, 1},
		{Adjustment{PercentChangeInCapacity, -66.7, 0}, 10, -6},
		{Adjustment{PercentChangeInCapacity, -58, 0}, 1, -1},
		{Adjustment{PercentChangeInCapacity, 25, 2}, 4, 2},
		{Adjustment{PercentChangeInCapacity, -25, 2}, 4, -2},
		{Adjustment{PercentChangeInCapacity, 100, 2}, 4, 4},
		{Adjustment{PercentChangeInCapacity, 0, 2}, 4, 0},
		{Adjustment{PercentChangeInCapacity, 10, 0}, 0, 0},
		{Adjustment{PercentChangeInCapacity, 29, 0}, 100, 29},
		{Adjustment{ChangeInCapacity, -3, 0}, 10, -3},
		{Adjustment{"", 3, 0}, 10, 3},
		{Adjustment{ExactCapacity, 5, 0}, 10, -5},
	} {
		if got := tt.a.change(tt.base); got != tt.want {
			t.Errorf("%+v of %d: %d, want %d", tt.a, tt.base, got, tt.want)
		}
	}
}

func TestStepBounds(t *testing.T) {
	for _, tt := range []struct {
		step   Step
		offset float64
		in     bool
	}{
		{Step{new(0.0), new(10.0), 0}, 0, true}, {Step{new(0.0), new(10.0), 0}, 10, false}, {Step{new(10.0), nil, 0}, 10, true},
		{Step{new(-10.0), new(0.0), 0}, 0, true}, {Step{new(-10.0), new(0.0), 0}, -10, false}, {Step{nil, new(-10.0), 0}, -10, true},
		{Step{new(-10.0), new(10.0), 0}, -10, false}, {Step{new(-10.0), new(10.0), 0}, 10, false}, {Step{new(-10.0), new(10.0), 0}, 0, true},
	} {
		if got := tt.step.holds(tt.offset); got != tt.in {
			t.Errorf("%+v at %g: %t", tt.step, tt.offset, got)
		}
	}
	if i, err := CheckSteps(symmetric().o.Steps); err != nil {
		t.Errorf("steps of the guide: step %d %v", i, err)
	}
}

// Simple scaling: one action, then nothing until it is complete and the cooldown has passed.
func TestSimpleCooldown(t *testing.T) {
	p := NewSimple(SimpleOptions{
		Signal: Signal{Metric: CPUUtilization}, Rule: alarm.Rule{Threshold: 50, Comparison: alarm.Above, Points: 1},
		Adjustment: Adjustment{ChangeInCapacity, 1, 0}, Cooldown: 300 * time.Second,
	})
	var instances []Instance
	add := func(n int) {
		for range n {
			instances = append(instances, Instance{State: "ready"})
		}
	}
	add(4)
	desired := 4
	var acted []int
	for s := 0; s <= 1200; s += 10 {
		for i := range instances {
			if in := &instances[i]; in.State == "starting" && s >= int(in.Started.Sub(epoch).Seconds())+100 {
				in.State = "ready"
			}
		}
		if s == 600 { // the state survives
			b, err := p.SaveState()
			if err != nil {
				t.Fatal(err)
			}
			p = NewSimple(p.o)
			if err := p.RestoreState(b); err != nil {
				t.Fatal(err)
			}
		}
		got := at(p, s, desired, 90, instances...)
		if got.Desired != desired {
			acted = append(acted, s)
			desired = got.Desired
			instances = append(instances, Instance{State: "starting", Started: epoch.Add(time.Duration(s) * time.Second)})
		}
	}
	// The first at once; its instance is ready 100 s later, last seen loading at 90 s, so the next point after 390 s is at 420 s.
	if want := "[0 420 840]"; fmt.Sprint(acted) != want {
		t.Errorf("acted at %v s, want %s", acted, want)
	}
}

// 3 of 3 one-minute points above the target, 15 of 15 below 0.9 of it.
func TestTrackingPace(t *testing.T) {
	p := NewTracking(TrackingOptions{Target: Target{Metric: CPUUtilization, Value: 50}})
	desired, changes := 10, []string{}
	for s := 0; s <= 40*60; s++ {
		cpu := 50.0
		switch {
		case s > 60 && s <= 8*60:
			cpu = 75 * 10 / float64(desired) // the load of 15 instances
		case s > 8*60:
			cpu = 30 * 15 / float64(desired) // the load of 9
		}
		if got := at(p, s, desired, cpu); got.Desired != desired {
			changes = append(changes, fmt.Sprintf("%dm%02ds %d", s/60, s%60, got.Desired))
			desired = got.Desired
		}
	}
	if want := "[4m00s 15 23m00s 9]"; fmt.Sprint(changes) != want {
		t.Errorf("changed at %v, want %s", changes, want)
	}
}

func TestTrackingWithoutDataDoesNothing(t *testing.T) {
	p := NewTracking(TrackingOptions{Target: Target{Metric: CPUUtilization, Value: 50}})
	for s := 0; s <= 1800; s += 10 {
		cpu := -1.0
		if s < 120 {
			cpu = 90
		}
		if got := at(p, s, 10, cpu); got.Desired != 10 && s > 120 {
			t.Fatalf("at %d s: %+v", s, got)
		} else if s > 600 && !got.Abstain {
			t.Fatalf("at %d s without data: %+v, want it to abstain", s, got)
		}
	}
}

// The times of cron in and around changes of the clock. What is skipped counts at the change, what comes twice counts once: cron(8).
func TestCron(t *testing.T) {
	zone := func(name string) *time.Location {
		l, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, tt := range []struct {
		expr, zone, from string
		want             []string
	}{
		{"0 9 * * 1-5", "Asia/Kolkata", "2026-01-02T03:29:59Z", []string{"2026-01-02T03:30:00Z", "2026-01-05T03:30:00Z"}},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}}, // skipped: at 03:00 summer time
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}}, // twice: the first
		{"*/30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:00:00Z"}},
		{"*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-30T00:00:00Z"}},
		{"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", []string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}},
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}}, // half an hour
		{"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
		{"0 0 13 * fri", "UTC", "2026-02-01T00:00:00Z", []string{"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"}}, // either day
		{"0 0 * * 7", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-04T00:00:00Z"}},
		{"5-10/5,0 */12 1 jan,jul *", "UTC", "2026-01-01T00:00:00Z", []string{"2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z", "2026-01-01T12:00:00Z"}},
		{"@daily", "Pacific/Apia", "2011-12-29T12:00:00Z", []string{"2011-12-30T10:00:00Z"}}, // the 30th did not exist there
	} {
		c, err := ParseCron(tt.expr, zone(tt.zone))
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		at, _ := time.Parse(time.RFC3339, tt.from)
		for _, want := range tt.want {
			next, ok := c.Next(at)
			if got := next.UTC().Format(time.RFC3339); !ok || got != want {
				t.Errorf("%s %s after %s: %s, want %s", tt.expr, tt.zone, at.UTC().Format(time.RFC3339), got, want)
			}
			if prev, ok := c.Prev(next.Add(time.Second)); !ok || !prev.Equal(next) {
				t.Errorf("%s %s: the newest at %v is %v", tt.expr, tt.zone, next.UTC(), prev.UTC())
			}
			at = next
		}
	}
}

func FuzzCron(f *testing.F) {
	for _, s := range []string{"0 9 * * 1-5", "*/5 0-23/2 1,15 jan-mar sun", "@hourly", "* * 31 2 *", "60 * * * *", "1/0 * * * *", "a b c d e"} {
		f.Add(s, int64(1767225600))
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expr string, unix int64) {
		c, err := ParseCron(expr, zone)
		if err != nil {
			return
		}
		now := time.Unix(unix%4_000_000_000, 0)
		prev, ok1 := c.Prev(now)
		next, ok2 := c.Next(now)
		if ok1 && prev.After(now) || ok2 && !next.After(now) {
			t.Fatalf("%q at %v: %v and %v", expr, now, prev, next)
		}
		if ok1 && ok2 {
			if again, ok := c.Next(prev); !ok || !again.Equal(next) {
				t.Fatalf("%q: between %v and %v there is %v", expr, prev, next, again)
			}
		}
	})
}

// A state that went through JSON changes nothing, whatever the policies.
func TestPoliciesSurviveRestart(t *testing.T) {
	make := func() Options {
		return Options{Max: 40, MaxOutPerMinute: 5, Policies: []Policy{
			symmetric(), symmetric(), NewTracking(TrackingOptions{Target: Target{Metric: CPUUtilization, Value: 50}}),
			NewSimple(SimpleOptions{Signal: Signal{Metric: InFlight}, Rule: alarm.Rule{Threshold: 20, Points: 2}, Adjustment: Adjustment{By: 2}, Cooldown: time.Minute}),
		}}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(make()), New(make())
		desired := 10
		for s := range rapid.IntRange(1, 60).Draw(t, "steps") {
			obs := &Observation{Time: epoch.Add(time.Duration(s) * 20 * time.Second), Desired: desired, Metrics: map[string]float64{
				CPUUtilization: rapid.SampledFrom([]float64{20, 50, 55, 90}).Draw(t, "cpu"), InFlight: rapid.Float64Range(0, 40).Draw(t, "running"),
			}}
			if rapid.IntRange(0, 5).Draw(t, "missing") == 0 {
				delete(obs.Metrics, CPUUtilization)
			}
			got := a.Decide(obs)
			text, err := json.Marshal(b.State())
			if err != nil {
				t.Fatal(err)
			}
			var state State
			if err := json.Unmarshal(text, &state); err != nil {
				t.Fatal(err)
			}
			b = New(make())
			b.Restore(state)
			if again := b.Decide(obs); again.Why != got.Why {
				t.Fatalf("restored: %s\nwant: %s", again.Why, got.Why)
			}
			if got.Desired > desired+5 {
				t.Fatalf("max_out_per_minute: %s", got.Why)
			}
			desired = got.Desired
		}
	})
}

// The same input again and again: each policy moves the capacity in one direction at most, never beyond its bounds.
func TestPoliciesDoNotOscillate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies := map[string]Policy{
			"step":     symmetric(),
			"tracking": NewTracking(TrackingOptions{Target: Target{Metric: CPUUtilization, Value: 50}, LowRatio: 0.7}),
			"simple": NewSimple(SimpleOptions{Signal: Signal{Metric: CPUUtilization}, Rule: alarm.Rule{Threshold: 60, Comparison: alarm.Above},
				Adjustment: Adjustment{PercentChangeInCapacity, 20, 1}, Cooldown: time.Minute}),
		}
		o := Options{Min: 2, Max: 30}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"step", "tracking", "simple"}), 1, 3, rapid.ID).Draw(t, "policies") {
			o.Policies = append(o.Policies, policies[name])
		}
		d, desired, last := New(o), rapid.IntRange(2, 30).Draw(t, "desired"), 0
		cpu := rapid.Float64Range(0, 100).Draw(t, "cpu")
		for s := 0; s < 3600; s += 10 {
			got := d.Decide(&Observation{Time: epoch.Add(time.Duration(s) * time.Second), Desired: desired, Metrics: map[string]float64{CPUUtilization: cpu}})
			if got.Desired < o.Min || got.Desired > o.Max {
				t.Fatalf("out of bounds: %s", got.Why)
			}
			if by := got.Desired - desired; by != 0 {
				if by*last < 0 {
					t.Fatalf("turned at %d s: %s", s, got.Why)
				}
				last = by
			}
			desired = got.Desired
		}
	})
}

// says is a policy that proposes always the same.
type says Proposal

func (s says) Name() string { return "says" }

func (s says) Propose(*Observation) Proposal { return Proposal(s) }

// Out if any policy says so, in only if all that have a vote do; without data nobody shrinks. With CombineMax the silent vote to stay.
func TestCombinations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = 10
		o := Options{Max: 100, Combine: rapid.SampledFrom([]Combination{"", CombineAWS, CombineMax}).Draw(t, "combine")}
		most, votes, silent, missing := -1, 0, false, false
		for range rapid.IntRange(1, 5).Draw(t, "policies") {
			p := says{Desired: rapid.IntRange(0, 20).Draw(t, "asks"), Why: "so"}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				p.Abstain, missing = true, true
			case 1:
				p.Neutral, silent = true, true
			default:
				most, votes = max(most, p.Desired), votes+1
			}
			o.Policies = append(o.Policies, p)
		}
		want := now
		if votes > 0 && (most > now || most < now && !missing && !(silent && o.Combine == CombineMax)) {
			want = most
		}
		// Something runs, or min 0 has a say.
		got := New(o).Decide(&Observation{Time: epoch, Desired: now, Metrics: map[string]float64{InFlight: 1, QueueDepth: 0}})
		if got.Desired != max(want, 1) {
			t.Fatalf("%v: %d, want %d: %s", o.Policies, got.Desired, want, got.Why)
		}
	})
}
