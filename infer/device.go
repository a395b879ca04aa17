package infer

import (
	"context"
	"sync"
	"time"
)

// device is the one timeline that everything a server computes shares, first come first served: two models on one
// device wait for each other. On the cpu device a step takes as long as its work takes. On the emulated device it
// takes the time it is given, as a kernel on a GPU does: the host only waits, and a kernel that was launched runs to
// its end even when nobody wants its result any more.
type device struct {
	emulated bool

	// before is asked before every step and may hold it, as a device that stalled does. after is told the tokens,
	// image steps or predictions that each step made.
	before func(ctx context.Context) error
	after  func(units int)

	turn chan struct{} // holds a token while a step is on the device; waiting senders are served in order

	mu        sync.Mutex
	busyUntil time.Time // end of the last step that was launched
	busy      time.Duration
	recent    [utilBuckets]struct {
		tick int64 // number of the bucket's span since the epoch
		busy time.Duration
	}
}

const (
	utilBucket  = 100 * time.Millisecond
	utilBuckets = 11 // ten whole ones and the one being filled
)

// A step is one launch on the device.
type step struct {
	cost  time.Duration             // its time on the emulated device
	units int                       // tokens, image steps or predictions it makes
	work  func(ctx context.Context) // what is computed; ends early when ctx does
	// follows says the caller had the device's previous result in hand only to launch this: a host that decodes
	// or denoises in a loop launches ahead, so its own lateness leaves no gap on the timeline.
	follows bool
}

func newDevice(emulated bool) *device {
	return &device{
		emulated: emulated, turn: make(chan struct{}, 1),
		before: func(context.Context) error { return nil },
		after:  func(int) {},
	}
}

// run takes its turn, runs one step and returns when it has ended, or at once with ctx's error when ctx ends.
func (d *device) run(ctx context.Context, s step) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-d.turn }()
	if err := d.before(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !d.emulated {
		start := time.Now()
		s.work(ctx)
		d.account(start, time.Now())
	} else {
		end := d.launch(s)
		s.work(ctx)
		if err := sleepUntil(ctx, end); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d.after(s.units)
	return nil
}

// launch puts a step on the emulated timeline and returns when it will end.
func (d *device) launch(s step) time.Time {
	now := time.Now()
	start := now
	d.mu.Lock()
	late := now.Sub(d.busyUntil)
	if late < 0 || s.follows && late < s.cost {
		start = d.busyUntil
	}
	end := start.Add(s.cost)
	d.busyUntil = end
	d.mu.Unlock()
	d.account(start, end)
	return end
}

// account adds the time from start to end to the busy time.
func (d *device) account(start, end time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy += end.Sub(start)
	// A step longer than the whole window only needs its last part.
	if oldest := end.Add(-utilBuckets * utilBucket); start.Before(oldest) {
		start = oldest
	}
	for start.Before(end) {
		tick := start.UnixNano() / int64(utilBucket)
		next := time.Unix(0, (tick+1)*int64(utilBucket))
		part := min(end.Sub(start), next.Sub(start))
		b := &d.recent[tick%utilBuckets]
		if b.tick != tick {
			b.tick, b.busy = tick, 0
		}
		b.busy += part
		start = start.Add(part)
	}
}

// busyTime is how long the device has worked since it was made, counting steps on it to their end.
func (d *device) busyTime() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.busy
}

// utilization is the share of the last whole second, 0 to 1, in which the device worked.
func (d *device) utilization(now time.Time) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	tick := now.UnixNano() / int64(utilBucket)
	var busy time.Duration
	for i := range d.recent {
		if b := d.recent[i]; b.tick < tick && b.tick >= tick-(utilBuckets-1) {
			busy += b.busy
		}
	}
	return min(1, busy.Seconds()/((utilBuckets-1)*utilBucket).Seconds())
}

// sleepUntil waits until t, or returns ctx's cause when ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) error {
	left := time.Until(t)
	if left <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
