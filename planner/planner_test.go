package planner

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/sim"
)

func question() Question {
	return Question{
		Users: 40, Low: 2 * time.Second, High: 6 * time.Second, Spike: 5, Budget: 3000, Seed: 1, SpikeHours: 4, day: 40 * time.Minute,
		Types: []Type{{Name: "small", OnDemand: 0.5, Spot: 0.15, Slots: 1, Boot: 20 * time.Second}, {Name: "large", OnDemand: 2, Spot: 0.7, Slots: 4, Boot: 20 * time.Second}},
	}
}

// The arithmetic, by hand.
func TestFacts(t *testing.T) {
	q := question()
	if err := q.fill(); err != nil {
		t.Fatal(err)
	}
	f := facts(&q)
	// 40 / 5 = 8 at a time; Little: 8 / 4 s = 2 a second; uniform from 2 to 6: variance 16/12, by 4 squared 1/12. small: 0.15 for a slot, large 0.175.
	if f.Type.Name != "small" || f.Base != 8 || f.Rate != 2 || f.Mean != 4*time.Second || math.Abs(f.SCV-1.0/12) > 1e-12 || q.Wait != 2*time.Second {
		t.Errorf("%+v, wait %v", f, q.Wait)
	}
	if f.Night >= f.Usual || f.Usual >= f.Peak || f.Usual < 8 || f.Usual > 13 {
		t.Errorf("%d at night, %d on a usual day, %d in a spike", f.Night, f.Usual, f.Peak)
	}
}

// Erlang C: of 10 agents at a load of 8 erlangs 40.9 % wait; with exponential services 95 % wait less than 1.05 services (tables of the queueing literature).
func TestFewestSlotsByErlangC(t *testing.T) {
	for _, c := range []struct {
		load, patience float64
		want           int
	}{
		{8, 1.06, 10}, // 0.409 exp(-2 x 1.06) = 4.9 %
		{8, 1.0, 11},  // with 10: 5.5 %
		{1, 0, 4},     // 3 agents at a load of 1: 9.1 % wait; 4: 2 %
	} {
		if got := scale.FewestSlots(c.load, 1, c.patience); got != c.want {
			t.Errorf("load %g, patience %g: %d slots, want %d", c.load, c.patience, got, c.want)
		}
	}
}

func TestAPlanKeepsItsPromises(t *testing.T) {
	a, err := Solve(t.Context(), question(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := a.Best
	if !p.Fits || p.Monthly+p.Spikes > a.Question.Budget || p.Usual.Kept < 0.95 {
		t.Errorf("%+v", p)
	}
	if len(a.Others) < 3 {
		t.Errorf("only %d others", len(a.Others))
	}
	for _, one := range append([]Plan{p}, a.Others...) {
		text := YAML(&a.Question, &a.Facts, &one)
		if _, err := config.Parse("plan.yaml", []byte(text), os.LookupEnv); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "%!") {
				t.Errorf("a bad line: %s", line)
			}
		}
	}
	for _, one := range a.Others[:1] {
		again, err := try(t.Context(), &a.Question, &a.Facts, one.Shape)
		if err != nil || again != one {
			t.Errorf("another outcome of the same plan: %+v, %+v, %v", one, again, err)
		}
	}
}

// A warm pool is in a plan when what was stopped wakes much sooner than it boots, and the simulator shows that users wait less; the plan says why, either way.
func TestAPlanHasAWarmPoolWhereItHelps(t *testing.T) {
	for _, c := range []struct {
		wake time.Duration
		warm bool
		says string
	}{
		{5 * time.Second, true, "it costs no machine, and wakes in 5s where a boot takes 1m30s."},
		{85 * time.Second, false, "# No warm pool: with "},
		{0, false, "# No warm pool: nothing says"},
	} {
		q := question()
		q.Budget = 5000
		q.Types = []Type{{Name: "small", OnDemand: 0.5, Slots: 1, Boot: 90 * time.Second, Wake: c.wake}}
		a, err := Solve(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := a.Best
		if !p.Fits || (p.Warm > 0) != c.warm || c.warm && p.Warm != p.Max-a.Facts.Usual {
			t.Fatalf("wakes in %v: %+v", c.wake, p)
		}
		if c.warm && p.InSpike.WaitP95 > p.Tried.InSpike.WaitP95*4/5 {
			t.Errorf("95 of 100 wait %v with it, %v without", p.InSpike.WaitP95, p.Tried.InSpike.WaitP95)
		}
		text := YAML(&a.Question, &a.Facts, &p)
		parsed, err := config.Parse("plan.yaml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if w := parsed.Pools["api"].WarmPool; !strings.Contains(text, c.says) || (w != nil) != c.warm || c.warm && *w.MaxPrepared != p.Max {
			t.Errorf("wakes in %v: a warm pool %+v, in\n%s", c.wake, w, text)
		}
	}
}

func TestMoreMoneyServesNoLess(t *testing.T) {
	served, cost := 0.0, 0.0
	for _, budget := range []float64{800, 3000, 20000} {
		q := question()
		q.Budget, q.Types = budget, []Type{{Name: "small", OnDemand: 0.15, Slots: 1, Boot: 20 * time.Second}} // two candidates
		a, err := Solve(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := a.Best.InSpike.Served; s < served-0.02 {
			t.Errorf("a budget of %g serves %.2f of a spike, a smaller one %.2f", budget, s, served)
		} else {
			served = max(served, s)
		}
		if a.Best.Fits && a.Best.Monthly+a.Best.Spikes > budget {
			t.Errorf("%g for a budget of %g", a.Best.Monthly+a.Best.Spikes, budget)
		}
		cost = a.Best.Monthly + a.Best.Spikes
	}
	if served < 0.99 {
		t.Errorf("even with much money only %.2f are served, for %g", served, cost)
	}
}

// Any question has candidates whose numbers make sense, or an error.
func TestAnyQuestion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Question{
			Users: rapid.Float64Range(0, 1e5).Draw(t, "users"), Spike: rapid.Float64Range(0, 200).Draw(t, "spike"),
			Low: time.Duration(rapid.Int64Range(0, 1e11).Draw(t, "low")), High: time.Duration(rapid.Int64Range(0, 1e11).Draw(t, "high")),
			Budget: rapid.Float64Range(-1, 1e6).Draw(t, "budget"), Types: question().Types, Seed: 1,
		}
		if q.fill() != nil {
			return
		}
		f := facts(&q)
		for _, s := range candidates(&q, &f) {
			if s.Min < 1 || s.Max < s.Min || s.Max > max(f.Peak, f.Usual) || s.QueueLimit < 1 || s.Warm != 0 || s.OnDemandBase > s.Max && s.OnDemandBase > f.Night {
				t.Fatalf("%+v of %+v", s, f)
			}
		}
	})
}

func TestQuestionsThatCannotBeAnswered(t *testing.T) {
	for _, c := range []struct {
		change func(q *Question)
		want   string
	}{
		{func(q *Question) { q.Users = 0 }, "0 users"},
		{func(q *Question) { q.Low = 0 }, "as in 10s..30s"},
		{func(q *Question) { q.Spike = 0.5 }, "0.5x"},
		{func(q *Question) { q.Budget = 0 }, "buys nothing"},
		{func(q *Question) { q.Markets = []sim.Market{{}} }, "give that, too"},
		{func(q *Question) { q.Types = nil }, "no types"},
		{func(q *Question) { q.Types = []Type{{Name: "a"}} }, `type "a"`},
	} {
		q := question()
		c.change(&q)
		if _, err := Solve(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
