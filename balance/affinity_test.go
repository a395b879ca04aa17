package balance

import (
	"testing"
	"time"

	"github.com/weirlb/weir/target"
)

func prompt(blocks ...uint64) (hashes []uint64) {
	h := uint64(1)
	for _, b := range blocks {
		h = mix(h ^ b)
		hashes = append(hashes, h)
	}
	return hashes
}

func TestTheLongestRememberedPrefixWins(t *testing.T) {
	ts := many(4, even, 0)
	p := newPool(t, Options{Name: "prefix_affinity"}, ts)
	system := p.begin(Request{Prefix: prompt(1, 2)})
	chat := p.begin(Request{Prefix: prompt(1, 2, 3, 4, 5, 6, 7, 8)})
	if system != chat {
		t.Errorf("two of eight blocks were known to %s, but %s got it", system.ID, chat.ID)
	}
	other := p.begin(Request{Prefix: prompt(9, 2, 3)})
	if other == chat {
		t.Error("a prompt that nobody knows goes by least connections")
	}
	p.begin(Request{Prefix: prompt(1, 2), Skip: []*target.Target{chat}})
	for range 3 {
		if got := p.begin(Request{Prefix: prompt(1, 2, 3, 4, 5, 6, 7, 8, 9)}); got != chat {
			t.Errorf("%s got the next turn of a chat that %s knows", got.ID, chat.ID)
		}
	}
}

// A favourite yields as SGLang's does, over 64 more than the least and 1.5 times it, when it knows the whole prompt.
func TestAFavouriteYields(t *testing.T) {
	whole, quarter := prompt(1, 2, 3, 4, 5, 6, 7, 8), prompt(1, 2, 13, 14, 15, 16, 17, 18)
	ts := many(3, even, 0)
	p := newPool(t, Options{Name: "prefix_affinity"}, ts)
	favourite := p.begin(Request{Prefix: whole})
	for i := range 64 {
		if got := p.begin(Request{Prefix: whole}); got != favourite {
			t.Fatalf("yielded with %d in flight", i+1)
		}
	}
	if got := p.begin(Request{Prefix: whole}); got == favourite {
		t.Error("did not yield with 65 more in flight")
	}

	p = newPool(t, Options{Name: "prefix_affinity"}, many(3, even, 0))
	favourite = p.begin(Request{Prefix: whole})
	for range 15 {
		p.count(favourite)
	}
	if got := p.Pick(&Request{Prefix: quarter}); got != favourite {
		t.Error("yielded although knowing a quarter is worth 16")
	}
	p.Pick(&Request{})
	p.count(favourite)
	if got := p.Pick(&Request{Prefix: quarter}); got == favourite {
		t.Error("did not yield although knowing a quarter is worth no more than 16")
	}
}

func TestAFullFavouriteIsPassedOver(t *testing.T) {
	ts := many(3, even, 1)
	p := newPool(t, Options{Name: "prefix_affinity"}, ts)
	a := p.begin(Request{Prefix: prompt(1, 2, 3)})
	if b := p.begin(Request{Prefix: prompt(1, 2, 3)}); b == nil || b == a {
		t.Error("a free slot was left")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(1000)
	size := len(m.sets) * ways
	if size < 1000 || size > 4096 {
		t.Errorf("room for %d", size)
	}
	for i := range uint64(100_000) {
		m.learn(i+1, 7)
		m.learn(1, 7) // in use all the time
	}
	if m.find(1) == nil || m.find(100_000) == nil || m.find(2) != nil {
		t.Error("what was used least recently is what is forgotten")
	}
	for tag := range uint32(10) {
		m.learn(1, tag+1)
	}
	m.learn(1, 8)
	if got, want := m.find(1).owners, [owners]uint32{8, 10, 9, 7, 6}; got != want {
		t.Errorf("owners %v, want the latest first: %v", got, want)
	}
}

// checkpoints runs requests for keys against targets that take 1 s, and load more when their key changes.
type checkpoints struct {
	*pool
	loaded map[*target.Target]uint64
	load   time.Duration
	loads  int
}

func (c *checkpoints) run(key uint64) *target.Target {
	return c.one(Request{Key: key}, func(t *target.Target) Outcome {
		took := time.Second
		if c.loaded[t] != key {
			c.loaded[t] = key
			c.loads++
			took += c.load
		}
		return Outcome{Took: took}
	})
}

func TestCheckpointsStayLoaded(t *testing.T) {
	c := checkpoints{newPool(t, Options{Name: "affinity"}, many(8, even, 1)), map[*target.Target]uint64{}, 20 * time.Second, 0}
	for i := range 400 {
		c.run(mix(uint64(i))%5 + 1)
	}
	if c.loads != 5 {
		t.Errorf("%d loads of 5 checkpoints on 8 targets", c.loads)
	}
}

func TestTheSwitchIsMeasured(t *testing.T) {
	c := checkpoints{newPool(t, Options{Name: "affinity", SwitchCost: time.Hour}, many(2, even, 1)), map[*target.Target]uint64{}, 23 * time.Second, 0}
	costs := &c.Picker.(*affinity).costs
	if costs.of() != time.Hour {
		t.Errorf("unmeasured: %v", costs.of())
	}
	for i := range 40 { // each key twice in a row, three keys on two targets
		c.run(uint64(i/2)%3 + 1)
	}
	if got := costs.of(); got != 23*time.Second {
		t.Errorf("measured %v, want 23s", got)
	}
	if got := costs.service(); got != time.Second {
		t.Errorf("service time %v, want 1s", got)
	}
}

// A hot key gets another target when the work ahead on its own takes longer than a switch, here 3 of 1 s.
func TestAHotKeySpreads(t *testing.T) {
	p := newPool(t, Options{Name: "affinity", SwitchCost: 3 * time.Second}, many(4, even, 0))
	p.one(Request{Key: 1}, takes(4*time.Second))
	p.one(Request{Key: 1}, takes(time.Second))
	first := p.begin(Request{Key: 1})
	for range 3 {
		if got := p.begin(Request{Key: 1}); got != first {
			t.Errorf("switched with %d in flight", first.InFlight())
		}
	}
	second := p.begin(Request{Key: 1})
	if second == first {
		t.Fatal("did not switch with 4 s of work ahead")
	}
	if got := p.begin(Request{Key: 1}); got != second {
		t.Errorf("picked %s, want the less loaded one that has the key ready now", got.ID)
	}
	if p.begin(Request{Key: 2}) == second {
		t.Error("another key goes where least is in flight")
	}
}

func TestSeveralAdaptersPerTarget(t *testing.T) {
	for _, loaded := range []int{1, 3} {
		c := checkpoints{newPool(t, Options{Name: "affinity", Loaded: loaded}, many(1, even, 0)), nil, 0, 0}
		p := c.Picker.(*affinity)
		for key := range uint64(3) {
			c.one(Request{Key: key + 1}, takes(0))
		}
		if got := len(p.homes[1]); got != loaded/3 {
			t.Errorf("keeping %d: key 1 is ready on %d targets", loaded, got)
		}
		if len(p.homes) != loaded {
			t.Errorf("keeping %d: %d keys are ready", loaded, len(p.homes))
		}
	}
}

func TestAFailedSwitchLeavesNothingReady(t *testing.T) {
	p := newPool(t, Options{Name: "affinity"}, many(2, even, 1))
	x := p.one(Request{Key: 1}, func(*target.Target) Outcome { return Outcome{Failed: true, Took: time.Second} })
	if y := p.begin(Request{Key: 1}); y == x {
		t.Error("goes back to the target that failed to load it")
	}
}
