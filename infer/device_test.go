package infer

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func nothing(context.Context) {}

// Steps on the emulated device take exactly their time and wait for each other in the order they came.
func TestEmulatedDeviceIsOneTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(true)
		start := time.Now()
		var wg sync.WaitGroup
		ends := make([]time.Duration, 3)
		for i, cost := range []time.Duration{50 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond} {
			wg.Go(func() {
				if err := d.run(t.Context(), step{cost: cost, work: nothing}); err != nil {
					t.Error(err)
				}
				ends[i] = time.Since(start)
			})
			synctest.Wait()
		}
		wg.Wait()
		for i, want := range []time.Duration{50, 70, 100} {
			if ends[i] != want*time.Millisecond {
				t.Errorf("step %d ended after %v, want %vms", i, ends[i], int(want))
			}
		}
		if got := d.busyTime(); got != 100*time.Millisecond {
			t.Errorf("busy for %v, want 100ms", got)
		}
	})
}

// A kernel that was launched runs to its end, though who launched it has gone.
func TestEmulatedDeviceFinishesWhatItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(true)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := d.run(ctx, step{cost: 50 * time.Millisecond, work: nothing}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut step returned %v", err)
		}
		if got := time.Since(start); got != 10*time.Millisecond {
			t.Errorf("came back after %v, want 10ms", got)
		}
		if err := d.run(t.Context(), step{cost: 20 * time.Millisecond, work: nothing}); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != 70*time.Millisecond {
			t.Errorf("the next step ended after %v, want 70ms", got)
		}
	})
}

// A caller that was a little late between two steps of one loop had launched ahead; a new one had not.
func TestEmulatedDeviceLaunchesAhead(t *testing.T) {
	for _, follows := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d := newDevice(true)
			start := time.Now()
			for range 10 {
				if err := d.run(t.Context(), step{cost: 50 * time.Millisecond, work: nothing, follows: follows}); err != nil {
					t.Error(err)
				}
				time.Sleep(3 * time.Millisecond)
			}
			want := 503 * time.Millisecond
			if !follows {
				want = 530 * time.Millisecond
			}
			if got := time.Since(start); got != want {
				t.Errorf("follows %v: ten steps took %v, want %v", follows, got, want)
			}
		})
	}
}

func TestDeviceUtilization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(true)
		for range 10 { // a quarter of the time
			if err := d.run(t.Context(), step{cost: 50 * time.Millisecond, work: nothing}); err != nil {
				t.Error(err)
			}
			time.Sleep(150 * time.Millisecond)
		}
		if got := d.utilization(time.Now()); math.Abs(got-0.25) > 0.051 {
			t.Errorf("utilization = %g, want 0.25", got)
		}
		time.Sleep(2 * time.Second)
		if got := d.utilization(time.Now()); got != 0 {
			t.Errorf("utilization at rest = %g, want 0", got)
		}
	})
}

func TestCPUDeviceTakesTheTimeOfTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(false)
		start := time.Now()
		err := d.run(t.Context(), step{cost: time.Hour, work: func(context.Context) { time.Sleep(7 * time.Millisecond) }})
		if got := time.Since(start); err != nil || got != 7*time.Millisecond || d.busyTime() != got {
			t.Errorf("took %v (%v), busy %v; want 7ms", got, err, d.busyTime())
		}
	})
}

func TestLaneServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lane{slots: 1, limit: 4}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				release, err := l.acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				release()
				release() // more than once changes nothing
			})
			synctest.Wait()
		}
		if running, waiting := l.counts(); running != 1 || waiting != 4 {
			t.Errorf("%d running and %d waiting, want 1 and 4", running, waiting)
		}
		if _, err := l.acquire(t.Context()); !errors.Is(err, errQueueFull) {
			t.Errorf("a request beyond the limit got %v", err)
		}
		wg.Wait()
		for i, got := range order {
			if got != i {
				t.Fatalf("served in the order %v", order)
			}
		}
		if running, waiting := l.counts(); running != 0 || waiting != 0 {
			t.Errorf("%d running and %d waiting at the end", running, waiting)
		}
		// A slot is held for a second, so that is what who comes now would wait at most.
		if got := l.retryAfter(); got != 1 {
			t.Errorf("retry after %d s, want 1", got)
		}
	})
}

// A request that leaves the queue frees its place, and a slot that is granted at that moment is not lost.
func TestLaneLosesNoSlotWhenRequestsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lane{slots: 1, limit: 100}
		release, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if release, err := l.acquire(ctx); err == nil {
					release()
				}
			})
		}
		synctest.Wait()
		go release()
		cancel()
		wg.Wait()
		synctest.Wait()
		if running, waiting := l.counts(); running != 0 || waiting != 0 {
			t.Errorf("%d running and %d waiting after all have left", running, waiting)
		}
	})
}

func TestLaneRefusesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lane{slots: 1, limit: 10}
		release, _ := l.acquire(t.Context())
		got := make(chan error)
		go func() {
			_, err := l.acquire(t.Context())
			got <- err
		}()
		synctest.Wait()
		l.refuseWaiting(errUnloaded)
		if err := <-got; !errors.Is(err, errUnloaded) {
			t.Errorf("the waiting request got %v", err)
		}
		release()
		if running, waiting := l.counts(); running != 0 || waiting != 0 {
			t.Errorf("%d running and %d waiting", running, waiting)
		}
	})
}
