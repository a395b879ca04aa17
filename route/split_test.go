package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func split(t testing.TB, arms ...Arm) *Split {
	t.Helper()
	s, err := NewSplit(arms)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSplitFollowsTheWeights(t *testing.T) {
	const n = 200_000
	s := split(t, Arm{"stable", 90}, Arm{"off", 0}, Arm{"canary", 9}, Arm{"tiny", 1})
	rng := rand.New(rand.NewPCG(1, 2))
	for _, sticky := range []bool{false, true} {
		var got [4]float64
		for i := range n {
			var key []byte
			if sticky {
				key = fmt.Appendf(nil, "192.0.2.%d", i)
			}
			got[s.Choose(rng.Uint64(), key)]++
		}
		for i, want := range []float64{0.90, 0, 0.09, 0.01} {
			if sd := math.Sqrt(want * (1 - want) * n); math.Abs(got[i]-want*n) > 5*sd {
				t.Errorf("sticky %v, arm %d: %v of %d, want %v", sticky, i, got[i], n, want)
			}
		}
	}
}

func TestTheSameKeyHasTheSameArm(t *testing.T) {
	a := split(t, Arm{"stable", 90}, Arm{"canary", 10})
	b := split(t, Arm{"canary", 1}, Arm{"stable", 9}) // another Weir, with its file in another order and the same shares
	for i := range 1000 {
		key := AppendKey(nil, rand.Uint64())
		if a.Choose(uint64(i), key) != a.Choose(0, key) || a.Choose(0, key) == b.Choose(0, key) {
			t.Fatalf("%s", key)
		}
	}
}

func TestChangingAWeightMovesOnlyItsShare(t *testing.T) {
	const n = 100_000
	for _, c := range []struct {
		before, after []Arm
		grows         int     // the only arm that anybody may move to
		share         float64 // who moves
	}{
		{[]Arm{{"a", 95}, {"b", 5}}, []Arm{{"a", 90}, {"b", 10}}, 1, 0.05},
		{[]Arm{{"a", 100}, {"b", 0}}, []Arm{{"a", 99}, {"b", 1}}, 1, 0.01},
		{[]Arm{{"a", 50}, {"b", 50}}, []Arm{{"a", 50}, {"b", 50}, {"c", 25}}, 2, 0.20},
		{[]Arm{{"a", 1}, {"b", 1}, {"c", 1}}, []Arm{{"a", 2}, {"b", 1}, {"c", 1}}, 0, 1.0/2 - 1.0/3},
	} {
		before, after, moved := split(t, c.before...), split(t, c.after...), 0.0
		for i := range n {
			key := fmt.Appendf(nil, "client-%d", i)
			if from, to := before.Choose(0, key), after.Choose(0, key); from != to {
				moved++
				if to != c.grows {
					t.Fatalf("%v to %v: %s moved from %d to %d", c.before, c.after, key, from, to)
				}
			}
		}
		if math.Abs(moved/n-c.share) > 0.006 {
			t.Errorf("%v to %v: %v moved, want %v", c.before, c.after, moved/n, c.share)
		}
	}
}

func TestBadSplits(t *testing.T) {
	for _, arms := range [][]Arm{nil, {{"a", 0}}, {{"a", -1}, {"b", 2}}, {{"a", 1}, {"a", 1}}, {{"a", maxWeight + 1}}} {
		if _, err := NewSplit(arms); err == nil {
			t.Errorf("%v is taken", arms)
		}
	}
}

func TestEveryChanceHasAnArm(t *testing.T) {
	s := split(t, Arm{"a", 0}, Arm{"b", 3}, Arm{"c", 0})
	for _, chance := range []uint64{0, 1, math.MaxUint64 / 2, math.MaxUint64} {
		if got := s.Choose(chance, nil); got != 1 {
			t.Errorf("%d: %d", chance, got)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	s := split(b, Arm{"stable", 90}, Arm{"canary", 10})
	key := []byte("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		s.Choose(0, key)
	}
}
