package admit

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rates(t testing.TB, r Rate, keys int) *Rates {
	t.Helper()
	rs, err := NewRates(r, keys)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestABurstPassesAndThenTheRate(t *testing.T) {
	r := rates(t, Rate{Events: 10, Per: time.Second, Burst: 5}, 0)
	for _, c := range []struct {
		at    time.Duration
		ok    bool
		retry time.Duration
	}{
		{0, true, 0}, {0, true, 0}, {0, true, 0}, {0, true, 0}, {0, true, 0},
		{0, false, 100 * time.Millisecond},
		{40 * time.Millisecond, false, 60 * time.Millisecond},
		{100 * time.Millisecond, true, 0},
		{100 * time.Millisecond, false, 100 * time.Millisecond},
		{250 * time.Millisecond, true, 0}, // a half is left
		{299 * time.Millisecond, false, time.Millisecond},
		{300 * time.Millisecond, true, 0},
		{10 * time.Second, true, 0}, {10 * time.Second, true, 0}, {10 * time.Second, true, 0}, {10 * time.Second, true, 0}, {10 * time.Second, true, 0},
		{10 * time.Second, false, 100 * time.Millisecond},
	} {
		ok, retry := r.Allow(7, noon.Add(c.at), 1)
		if ok != c.ok || retry != c.retry {
			t.Errorf("at %v: %v %v, want %v %v", c.at, ok, retry, c.ok, c.retry)
		}
	}
}

func TestKeysDoNotShareBuckets(t *testing.T) {
	r := rates(t, Rate{Events: 1, Per: time.Minute}, 0)
	for key := range uint64(1000) {
		if ok, _ := r.Allow(key, noon, 1); !ok {
			t.Fatalf("key %d is refused its first request", key)
		}
	}
	for key := range uint64(1000) {
		if ok, retry := r.Allow(key, noon.Add(time.Second), 1); ok || retry != 59*time.Second {
			t.Fatalf("key %d: %v %v", key, ok, retry)
		}
	}
}

func TestCosts(t *testing.T) {
	r := rates(t, Rate{Events: 100, Per: time.Second, Burst: 100}, 0)
	if ok, _ := r.Allow(1, noon, 60); !ok {
		t.Error("60 of 100 are refused")
	}
	if ok, retry := r.Allow(1, noon, 60); ok || retry != 200*time.Millisecond {
		t.Errorf("60 of 40: %v %v", ok, retry)
	}
	if ok, _ := r.Allow(1, noon, 0); !ok {
		t.Error("asking costs something")
	}
	if ok, retry := r.Allow(1, noon, 1e9); ok || retry != 600*time.Millisecond {
		t.Errorf("more than the burst before the bucket is full: %v %v", ok, retry)
	}
	if ok, _ := r.Allow(1, noon.Add(600*time.Millisecond), 1e9); !ok {
		t.Error("more than the burst is refused by a full bucket")
	}
	if ok, retry := r.Allow(1, noon.Add(600*time.Millisecond), 1); ok || retry != 10*time.Millisecond {
		t.Errorf("an empty bucket: %v %v", ok, retry)
	}
}

func TestAClockThatIsSetBackLocksNobodyOut(t *testing.T) {
	r := rates(t, Rate{Events: 1, Per: time.Second, Burst: 3}, 0)
	for range 3 {
		r.Allow(1, noon, 1)
	}
	before := noon.Add(-24 * time.Hour)
	if ok, retry := r.Allow(1, before, 1); ok || retry != time.Second {
		t.Errorf("%v %v", ok, retry)
	}
}

func TestWhoUsedUpHisBucketIsForgottenLast(t *testing.T) {
	r := rates(t, Rate{Events: 1, Per: time.Second, Burst: 100}, 1024)
	const abuser = 99
	for range 100 {
		r.Allow(abuser, noon, 1)
	}
	for range 100_000 { // from as many networks as there are places, and far more
		r.Allow(rand.Uint64(), noon, 1)
	}
	if ok, _ := r.Allow(abuser, noon, 1); ok {
		t.Error("a flood of other clients gave the abuser a full bucket")
	}
}

func TestNobodyGetsMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{
			Events: rapid.Float64Range(0.1, 1e5).Draw(t, "events"),
			Per:    time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "per")),
			Burst:  rapid.Float64Range(1, 1000).Draw(t, "burst"),
		}
		r, err := NewRates(rate, 8)
		if err != nil {
			t.Skip()
		}
		at, taken := noon, 0.0
		for i := range 200 {
			cost := rapid.Float64Range(0.01, 2*rate.Burst).Draw(t, "cost")
			ok, retry := r.Allow(1, at, cost)
			if ok {
				taken += min(cost, rate.Burst)
			} else {
				if retry <= 0 {
					t.Fatalf("refused, and told to come back after %v", retry)
				}
				if rapid.Bool().Draw(t, "wait") {
					at = at.Add(retry)
					if ok, _ := r.Allow(1, at, cost); !ok {
						t.Fatalf("refused at the time that was given")
					}
					taken += min(cost, rate.Burst)
				}
			}
			// Costs are counted in whole nanoseconds of refill.
			rounding := float64(i+2) * rate.Events / float64(rate.Per)
			if most := rate.Burst + rate.Events*float64(at.Sub(noon))/float64(rate.Per); taken > most*1.000001+2*rounding {
				t.Fatalf("%v were let through in %v, at most %v may be", taken, at.Sub(noon), most)
			}
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(rate.Per)).Draw(t, "step")))
		}
	})
}

func TestManyAskAtOnce(t *testing.T) {
	r := rates(t, Rate{Events: 1, Per: time.Hour, Burst: 500}, 64)
	var passed [8]int
	var wg sync.WaitGroup
	for g := range passed {
		wg.Go(func() {
			for range 1000 {
				if ok, _ := r.Allow(5, noon, 1); ok {
					passed[g]++
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range passed {
		sum += n
	}
	if sum != 500 {
		t.Errorf("%d passed, want 500", sum)
	}
}

func TestBadRates(t *testing.T) {
	for _, r := range []Rate{
		{}, {Events: 1}, {Events: -1, Per: time.Second}, {Events: 1, Per: -time.Second}, {Events: 1, Per: time.Second, Burst: 0.5},
		{Events: 1e-9, Per: time.Hour}, {Events: 1e10, Per: time.Second}, {Events: 1, Per: time.Hour, Burst: 1e12},
	} {
		if _, err := NewRates(r, 0); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	if _, err := NewRates(Rate{Events: 1, Per: time.Second}, -1); err == nil {
		t.Error("-1 keys are taken")
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		r      *Refusal
		status int
		retry  time.Duration
	}{
		{TooFast("rate_limit", time.Millisecond), 429, time.Second},
		{TooFast("rate_limit", 1001*time.Millisecond), 429, 2 * time.Second},
		{TooMany("limits.per_client", 4, "connections"), 429, time.Second},
		{Denied("deny"), 403, 0},
	} {
		if c.r.Status != c.status || c.r.RetryAfter != c.retry || c.r.Message == "" || c.r.Limit == "" {
			t.Errorf("%+v", c.r)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	r := rates(b, Rate{Events: 1000, Per: time.Second}, 0)
	now, i := noon, uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i++
		now = now.Add(time.Microsecond)
		r.Allow(i&0xffff, now, 1)
	}
}

func BenchmarkAllowParallel(b *testing.B) {
	r := rates(b, Rate{Events: 1e9, Per: time.Second}, 0)
	b.RunParallel(func(pb *testing.PB) {
		i := rand.Uint64()
		for pb.Next() {
			i++
			r.Allow(i&0xffff, noon, 1)
		}
	})
}
