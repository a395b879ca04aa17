package balance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/target"
)

func targets(weights ...int) []*target.Target {
	var out []*target.Target
	for i, w := range weights {
		out = append(out, target.New(string(rune('a'+i)), "", w, 0))
	}
	return out
}

func pick(t testing.TB, name string, ts []*target.Target) Picker {
	t.Helper()
	p, err := New(Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	p.Set(ts)
	return p
}

// sequence picks n times without anything ever being in flight.
func sequence(p Picker, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(p.Pick(&Request{}).ID)
	}
	return b.String()
}

func TestSmoothWeightedRoundRobinIsNginxs(t *testing.T) {
	// The example in the commit that brought the algorithm to nginx (52327e0627f4): {5, 1, 1} gives a a b a c a a.
	if got := sequence(pick(t, "weighted_round_robin", targets(5, 1, 1)), 14); got != "aabacaaaabacaa" {
		t.Errorf("%s, want aabacaa twice", got)
	}
	if got := sequence(pick(t, "round_robin", targets(5, 1, 1)), 6); got != "abcabc" {
		t.Errorf("round_robin looks at weights: %s", got)
	}
}

func TestAFailureCostsWeightThatComesBack(t *testing.T) {
	ts := targets(5, 5)
	p := pick(t, "weighted_round_robin", ts)
	p.Done(ts[0], Outcome{Failed: true})
	got := sequence(p, 12)
	if got[0] != 'b' || got[1] != 'b' {
		t.Errorf("after a failure of a: %s, want b first", got)
	}
	if tail := sequence(p, 20); strings.Count(tail, "a") != 10 {
		t.Errorf("a does not get its share back: %s", tail)
	}
}

func TestLeastConnectionsComparesByWeight(t *testing.T) {
	ts := targets(1, 3)
	p := pick(t, "least_connections", ts)
	// nginx: the smallest conns/weight. With every request staying, 4 requests go 1 to 3.
	count := map[string]int{}
	for range 40 {
		x := p.Pick(&Request{})
		x.Begin()
		p.Began(x)
		count[x.ID]++
	}
	if count["a"] != 10 || count["b"] != 30 {
		t.Errorf("%v, want a 10, b 30", count)
	}
	ts[1].End(false)
	p.Done(ts[1], Outcome{})
	if got := p.Pick(&Request{}); got.ID != "b" {
		t.Errorf("picked %s, want the one with fewer per weight", got.ID)
	}
}

func TestLeastConnectionsTiesGoRound(t *testing.T) {
	ts := targets(1, 1, 1)
	p := pick(t, "least_connections", ts)
	if got := sequence(p, 6); got != "abcabc" {
		t.Errorf("idle targets: %s, want turns", got)
	}
	ts[0].Begin()
	p.Began(ts[0])
	if got := sequence(p, 4); strings.Contains(got, "a") {
		t.Errorf("a is not among the tied: %s", got)
	}
}

func TestSkipAndSlots(t *testing.T) {
	for _, name := range Names() {
		ts := targets(1, 1)
		ts[0].SetSlots(1)
		ts[0].Begin()
		p := pick(t, name, ts)
		for range 3 {
			if got := p.Pick(&Request{}); got != ts[1] {
				t.Errorf("%s picked a target without a free slot", name)
			}
		}
		if got := p.Pick(&Request{Skip: ts[1:]}); got != nil {
			t.Errorf("%s picked %s, want none", name, got.ID)
		}
		p.Set(nil)
		if got := p.Pick(&Request{}); got != nil {
			t.Errorf("%s picked %s out of nothing", name, got.ID)
		}
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	if _, err := New(Options{Name: "leastconn"}); err == nil || !strings.Contains(err.Error(), "least_connections") {
		t.Errorf("%v", err)
	}
}

func TestSharesFollowWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "weights")
		ts := targets(weights...)
		p, _ := New(Options{Name: "weighted_round_robin"})
		p.Set(ts)
		total := 0
		for _, w := range weights {
			total += w
		}
		count := map[*target.Target]int{}
		for range 3 * total {
			count[p.Pick(&Request{})]++
		}
		for i, x := range ts {
			if count[x] != 3*weights[i] {
				t.Fatalf("weights %v: target %d was picked %d times in 3 rounds of %d", weights, i, count[x], total)
			}
		}
	})
}

func TestLeastConnectionsNeverPicksMoreThanTheLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ts := targets(rapid.SliceOfN(rapid.IntRange(1, 9), 1, 8).Draw(t, "weights")...)
		p, _ := New(Options{Name: "least_connections"})
		p.Set(ts)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			x := p.Pick(&Request{})
			for _, y := range ts {
				if y.InFlight()*x.Weight() < x.InFlight()*y.Weight() {
					t.Fatalf("picked %d/%d although %d/%d was there", x.InFlight(), x.Weight(), y.InFlight(), y.Weight())
				}
			}
			x.Begin()
			p.Began(x)
			if y := ts[rapid.IntRange(0, len(ts)-1).Draw(t, "ends")]; y.InFlight() > 0 && rapid.Bool().Draw(t, "end") {
				y.End(false)
				p.Done(y, Outcome{})
			}
		}
	})
}

// With slots, weights say how fast targets are: of several idle ones the fastest is asked first, as in the ideal single queue.
func TestLeastConnectionsWithSlotsAsksTheFastestFirst(t *testing.T) {
	for _, n := range []int{1, 20} { // few targets, and many
		var ts []*target.Target
		for i := range 3 * n {
			ts = append(ts, target.New(fmt.Sprint(i), "", []int{1, 2, 4}[i%3], 1))
		}
		p, err := New(Options{Name: "least_connections"})
		if err != nil {
			t.Fatal(err)
		}
		p.Set(ts)
		var got []int
		for range ts {
			x := p.Pick(&Request{})
			x.Begin()
			p.Began(x)
			got = append(got, x.Weight())
		}
		want := slices.Concat(slices.Repeat([]int{4}, n), slices.Repeat([]int{2}, n), slices.Repeat([]int{1}, n))
		if !slices.Equal(got, want) {
			t.Errorf("weights in the order of picks: %v", got)
		}
	}
}
