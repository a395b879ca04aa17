package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// yard is a fleet in virtual time: what is launched is ready some seconds later, what drains ends when it has nothing in flight.
type yard struct {
	in    Input
	boot  int // seconds
	n     int
	bad   int // instances of this version never become ready
	fails int // launches of it in a row
	r     *Refresh
	o     RefreshOptions
	lows  []int // how many were ready, after every second
	pause []int // percentages at which it paused
	done  []int // sizes of batches
}

func newYard(n int, o RefreshOptions) *yard {
	y := &yard{in: Input{Now: time.Unix(0, 0), Desired: n}, boot: 3, o: o, r: &Refresh{From: 1, To: 2, State: Refreshing}}
	for range n {
		y.add("ready", 1)
	}
	return y
}

func (y *yard) add(state string, version int) {
	y.n++
	y.in.Instances = append(y.in.Instances, Instance{ID: fmt.Sprint("i-", y.n), State: state, Version: version, Healthy: true, Started: y.in.Now, Since: y.in.Now})
}

// second lets a second pass: boots and drains go on, the refresh takes a step, the plan is carried out.
func (y *yard) second(h Health) {
	y.in.Now = y.in.Now.Add(time.Second)
	h.Failures += y.fails
	y.in.Instances = slices.DeleteFunc(y.in.Instances, func(i Instance) bool {
		dead := i.State == "starting" && i.Version == y.bad && y.in.Now.Sub(i.Started) >= time.Duration(y.boot)*time.Second
		if dead {
			y.fails++
		}
		return dead || i.State == "stopping"
	})
	for i := range y.in.Instances {
		if one := &y.in.Instances[i]; one.State == "starting" && y.in.Now.Sub(one.Started) >= time.Duration(y.boot)*time.Second {
			one.State, one.Since = "ready", y.in.Now
			y.fails = 0
		}
	}
	was, batch := y.r.State, y.r.Batch
	y.in.Moves = y.r.Step(y.o, &y.in, h)
	if y.r.Batch > 0 && (batch == 0 || y.r.Since.Equal(y.in.Now)) {
		y.done = append(y.done, y.r.Batch)
	}
	if y.r.State == AtCheck && was != AtCheck {
		y.pause = append(y.pause, y.r.Reached)
	}
	if y.r.State == RollingBack {
		y.fails = 0
	}
	for _, a := range Plan(y.in) {
		switch a := a.(type) {
		case Launch:
			for range a.N {
				y.add("starting", y.in.Moves.Version)
			}
		case Drain:
			y.find(a.ID).State = "draining"
		case Undrain:
			y.find(a.ID).State = "ready"
		case Stop:
			y.find(a.ID).State = "stopping"
		}
	}
	ready := 0
	for _, i := range y.in.Instances {
		if i.State == "ready" && i.Healthy {
			ready++
		}
	}
	y.lows = append(y.lows, ready)
}

func (y *yard) find(id string) *Instance {
	return &y.in.Instances[slices.IndexFunc(y.in.Instances, func(i Instance) bool { return i.ID == id })]
}

func (y *yard) run(t interface{ Fatalf(string, ...any) }, h Health) {
	for range 5000 {
		if y.second(h); !y.r.Active() {
			return
		}
	}
	t.Fatalf("it does not end: %+v, %+v", y.r, y.in.Instances)
}

func (y *yard) versions() (of [3]int) {
	for _, i := range y.in.Instances {
		if i.State == "ready" {
			of[i.Version]++
		}
	}
	return of
}

// The examples of the EC2 Auto Scaling guide: minimum healthy percentage and checkpoints.
func TestRefreshBatches(t *testing.T) {
	for _, c := range []struct {
		name    string
		n       int
		o       RefreshOptions
		batches []int
		pauses  []int
		low     int
	}{
		{"10 instances, checkpoints at 20 and 50 %, 80 % healthy: 2, 2, 1", 10, RefreshOptions{MinHealthy: 80, Checkpoints: []int{20, 50}, CheckpointDelay: 10 * time.Second}, []int{2, 2, 1, 2, 2, 1}, []int{20, 50}, 8},
		{"2 instances, checkpoints at 10, 40 and 100 %: the first pause is at 40", 2, RefreshOptions{MinHealthy: 50, Checkpoints: []int{10, 40, 100}, CheckpointDelay: 10 * time.Second}, []int{1, 1}, []int{40}, 1},
		{"the defaults: 90 % healthy", 10, RefreshOptions{}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, nil, 9},
		{"100 % healthy, one at a time", 4, RefreshOptions{MinHealthy: 100}, []int{1, 1, 1, 1}, nil, 4},
		{"a single instance is replaced before it goes", 1, RefreshOptions{}, []int{1}, nil, 1},
		{"up to 150 %: new ones first", 4, RefreshOptions{MinHealthy: 100, MaxHealthy: 150}, []int{2, 2}, nil, 4},
		{"20 instances, 90 % healthy", 20, RefreshOptions{MinHealthy: 90}, []int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, nil, 18},
	} {
		y := newYard(c.n, c.o)
		y.run(t, Health{})
		if !slices.Equal(y.done, c.batches) || !slices.Equal(y.pause, c.pauses) || slices.Min(y.lows) != c.low {
			t.Errorf("%s: batches %v, pauses %v, at least %d ready; want %v, %v, %d", c.name, y.done, y.pause, slices.Min(y.lows), c.batches, c.pauses, c.low)
		}
		if y.r.State != Succeeded || y.r.Percent != 100 || y.versions() != [3]int{0, 0, c.n} {
			t.Errorf("%s: %+v, %v", c.name, y.r, y.versions())
		}
	}
}

func TestABadVersionIsRolledBack(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  int
		h    Health
		gate Gate
		why  string
	}{
		{"never ready", 2, Health{Why: "exit status 1"}, Gate{}, "exit status 1"},
		{"errors", 0, Health{New: Answers{Requests: 50, Failed: 10}}, Gate{ErrorRate: 0.05}, "20 % of 50 requests failed"},
		{"slow", 0, Health{New: Answers{Requests: 50, Latency: 3 * time.Second}, Old: Answers{Requests: 50, Latency: time.Second}}, Gate{Latency: 2}, "3s on average"},
	} {
		y := newYard(6, RefreshOptions{MinHealthy: 80, Rollback: true, Gate: c.gate})
		y.bad = c.bad
		y.second(Health{})
		y.run(t, c.h)
		if y.r.State != RolledBack || !strings.Contains(y.r.Why, c.why) || y.versions() != [3]int{0, 6, 0} {
			t.Errorf("%s: %+v, %v", c.name, y.r, y.versions())
		}
		if low := slices.Min(y.lows); low < 5 {
			t.Errorf("%s: only %d were ready", c.name, low)
		}
	}
}

func TestARefreshWithoutRollbackStopsWhereItFailed(t *testing.T) {
	y := newYard(6, RefreshOptions{})
	y.bad = 2
	y.run(t, Health{Why: "exit status 1"})
	if y.r.State != Failed || y.versions()[1] < 5 {
		t.Errorf("%+v, %v", y.r, y.versions())
	}
}

func TestBakeWatchesBeforeItSaysDone(t *testing.T) {
	y := newYard(2, RefreshOptions{Bake: time.Minute, Rollback: true, Gate: Gate{ErrorRate: 0.1}})
	for y.r.State != Baking {
		y.second(Health{})
	}
	y.run(t, Health{New: Answers{Requests: 100, Failed: 50}})
	if y.r.State != RolledBack || y.versions() != [3]int{0, 2, 0} {
		t.Errorf("%+v, %v", y.r, y.versions())
	}
}

// However it is set: never fewer ready than promised, never more than allowed (one beyond it where there is no other way), and all replaced in the end.
func TestARefreshKeepsWhatItPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 25).Draw(t, "n")
		o := RefreshOptions{
			MinHealthy: rapid.IntRange(1, 100).Draw(t, "min"), MaxHealthy: rapid.IntRange(100, 200).Draw(t, "max"),
			Checkpoints: []int{rapid.IntRange(1, 50).Draw(t, "a"), rapid.IntRange(51, 100).Draw(t, "b")}, CheckpointDelay: time.Second,
		}
		y := newYard(n, o)
		y.boot = rapid.IntRange(1, 10).Draw(t, "boot")
		for i := range y.in.Instances {
			y.in.Instances[i].InFlight = 0
		}
		most := 0
		for range 5000 {
			y.second(Health{})
			alive := 0
			for _, i := range y.in.Instances {
				if i.State != "stopping" && i.State != "draining" {
					alive++
				}
			}
			most = max(most, alive)
			if !y.r.Active() {
				break
			}
		}
		if y.r.State != Succeeded || y.versions() != [3]int{0, 0, n} {
			t.Fatalf("%+v, %v", y.r, y.versions())
		}
		if low, want := slices.Min(y.lows), o.minHealthy(n); low < want {
			t.Fatalf("%d were ready, and %d %% of %d is %d", low, o.MinHealthy, n, want)
		}
		if limit := max(n*o.MaxHealthy/100, n+1); most > limit {
			t.Fatalf("there were %d, and %d %% of %d is %d", most, o.MaxHealthy, n, limit)
		}
	})
}
