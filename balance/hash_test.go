package balance

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/target"
)

// homesOf is where each of n keys goes in an idle pool.
func homesOf(p *pool, n int) []*target.Target {
	out := make([]*target.Target, n)
	for i := range out {
		out[i] = p.Pick(&Request{Key: mix(uint64(i)) | 1})
	}
	return out
}

func TestAKeyKeepsItsTarget(t *testing.T) {
	const keys = 4000
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(rt, "targets")
		ts := many(n, func(int) int { return rapid.IntRange(1, 3).Draw(rt, "weight") }, 0)
		p := newPool(t, Options{Name: "hash"}, ts)
		before := homesOf(p, keys)
		weights := 0
		for _, x := range ts {
			weights += x.Weight()
		}
		gone := rapid.IntRange(0, n-1).Draw(rt, "gone")
		p.Set(slices.Delete(slices.Clone(ts), gone, gone+1))
		moved := 0
		for i, x := range homesOf(p, keys) {
			if x == before[i] {
				continue
			}
			moved++
			if before[i] != ts[gone] && pointsAreKept(ts, gone) {
				rt.Fatalf("key %d moved from %s to %s, although %s left", i, before[i].ID, x.ID, ts[gone].ID)
			}
		}
		if want := keys * float64(ts[gone].Weight()) / float64(weights); pointsAreKept(ts, gone) && float64(moved) > 1.5*want+20 {
			rt.Fatalf("%d of %d keys moved when 1 of %d left, want about %.0f", moved, keys, n, want)
		}
		p.Set(ts)
		if !slices.Equal(homesOf(p, keys), before) {
			rt.Fatal("keys do not come back with their target")
		}
		shuffled := slices.Clone(ts)
		slices.Reverse(shuffled)
		if !slices.Equal(homesOf(newPool(t, Options{Name: "hash"}, shuffled), keys), before) {
			rt.Fatal("two Weirs with the same targets in another order disagree")
		}
	})
}

// pointsAreKept reports whether the mean weight stays within the same power of two.
func pointsAreKept(ts []*target.Target, gone int) bool {
	rest := slices.Delete(slices.Clone(ts), gone, gone+1)
	a := pointCounts(ts)
	return slices.Equal(slices.Delete(a, gone, gone+1), pointCounts(rest))
}

func TestHashFollowsWeights(t *testing.T) {
	ts := targets(5, 1, 1)
	count := map[*target.Target]int{}
	for _, x := range homesOf(newPool(t, Options{Name: "hash"}, ts), 70_000) {
		count[x]++
	}
	for i, want := range []float64{50_000, 10_000, 10_000} {
		if got := float64(count[ts[i]]); math.Abs(got-want) > 0.25*want {
			t.Errorf("target %d has %v keys, want about %v", i, got, want)
		}
	}
}

// A target that starts slowly takes over its keys one after the other, and nobody else's move.
func TestHashRampsKeyByKey(t *testing.T) {
	ts := many(10, even, 0)
	p := newPool(t, Options{Name: "hash"}, ts)
	full := homesOf(p, 10_000)
	had := 0
	for _, part := range []float64{0.1, 0.3, 0.6, 1} {
		ts[3].SetRamp(part)
		p.Set(ts)
		has := 0
		for i, x := range homesOf(p, 10_000) {
			if full[i] != ts[3] && x != full[i] {
				t.Fatalf("at %v a key moved that was never the new target's", part)
			}
			if x == ts[3] {
				has++
			}
		}
		if has <= had {
			t.Errorf("at %v it has %d keys, before it had %d", part, has, had)
		}
		had = has
	}
	if want := slices.Index(full, ts[3]); want < 0 {
		t.Error("it has no keys at all")
	}
}

// However keys are spread, no target carries more than the bound times the mean, rounded up.
func TestBoundedLoadHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "targets")
		bound := rapid.Float64Range(1, 2).Draw(rt, "bound")
		p := newPool(t, Options{Name: "hash", BoundedLoad: bound}, many(n, even, 0))
		for k := range rapid.IntRange(1, 300).Draw(rt, "requests") {
			x := p.begin(Request{Key: rapid.Uint64Range(1, 3).Draw(rt, "key")})
			if most := math.Ceil(bound * float64(k+1) / float64(n)); float64(x.InFlight()) > most {
				rt.Fatalf("%d of %d in flight on one of %d targets, want at most %v", x.InFlight(), k+1, n, most)
			}
		}
	})
}

func TestAFullTargetsKeysSpread(t *testing.T) {
	ts := many(10, even, 1)
	p := newPool(t, Options{Name: "ip_hash"}, ts)
	before := homesOf(p, 5000)
	p.count(ts[0])
	heirs := map[*target.Target]int{}
	for i, x := range homesOf(p, 5000) {
		if before[i] == ts[0] {
			heirs[x]++
		} else if x != before[i] {
			t.Fatal("a key moved whose target is free")
		}
	}
	if len(heirs) != 9 {
		t.Errorf("the keys of a full target go to %d of the 9 others", len(heirs))
	}
}

func TestPrefixHashesAgreeOnWhatIsEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := rapid.IntRange(1, 40).Draw(t, "block")
		a := rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 400).Draw(t, "a")
		b := slices.Concat(a[:rapid.IntRange(0, len(a)).Draw(t, "common")], rapid.SliceOfN(rapid.ByteRange('a', 'b'), 0, 200).Draw(t, "tail"))
		ha, hb := PrefixHashes(nil, a, block), PrefixHashes(nil, b, block)
		if want := min(len(a)/block, MaxPrefixes); len(ha) != want {
			t.Fatalf("%d hashes of %d bytes in blocks of %d, want %d", len(ha), len(a), block, want)
		}
		for i := range min(len(ha), len(hb)) {
			if equal := slices.Equal(a[:(i+1)*block], b[:(i+1)*block]); equal != (ha[i] == hb[i]) {
				t.Fatalf("prefix %d: equal is %v, hashes %x and %x", i, equal, ha[i], hb[i])
			}
		}
	})
	dst := make([]uint64, 0, MaxPrefixes)
	prompt := make([]byte, 1<<15)
	if n := testing.AllocsPerRun(10, func() { PrefixHashes(dst, prompt, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if Hash(nil) == 0 || len(PrefixHashes(dst, prompt, 0)) != MaxPrefixes {
		t.Error("defaults")
	}
}
