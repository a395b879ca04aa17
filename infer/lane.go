package infer

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// errQueueFull says that a request found every slot taken and no room to wait.
var errQueueFull = errors.New("the server's queue is full")

// lane is a model's slots and the queue in front of them, first come first served.
type lane struct {
	slots int // requests that run at a time
	limit int // requests that may wait

	mu      sync.Mutex
	running int           // guarded by mu
	waiting []chan error  // guarded by mu; the head is the oldest; each is answered at most once
	held    time.Duration // guarded by mu; moving average of how long a slot is held
}

// acquire takes a slot, waiting in the queue for it. It returns errQueueFull at once when the queue is full, ctx's
// cause when ctx ends first, or the error given to refuseWaiting. The slot is held until release is called; further
// calls do nothing.
func (l *lane) acquire(ctx context.Context) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.mu.Lock()
	if l.running < l.slots && len(l.waiting) == 0 {
		l.running++
		l.mu.Unlock()
		return l.releaser(), nil
	}
	if len(l.waiting) >= l.limit {
		l.mu.Unlock()
		return nil, errQueueFull
	}
	granted := make(chan error, 1)
	l.waiting = append(l.waiting, granted)
	l.mu.Unlock()

	select {
	case err := <-granted:
		if err != nil {
			return nil, err
		}
		return l.releaser(), nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, granted); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	} else if err := <-granted; err == nil {
		l.passOn() // the slot came at the same moment: the next one has it
	}
	return nil, context.Cause(ctx)
}

func (l *lane) releaser() func() {
	start := time.Now()
	return sync.OnceFunc(func() {
		held := time.Since(start)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held == 0 {
			l.held = held
		} else {
			l.held += (held - l.held) / 8
		}
		l.passOn()
	})
}

// passOn gives a slot that came free to the oldest waiting request. The caller holds mu.
func (l *lane) passOn() {
	if len(l.waiting) == 0 {
		l.running--
		return
	}
	l.waiting[0] <- nil
	l.waiting = slices.Delete(l.waiting, 0, 1)
}

// refuseWaiting answers every waiting request with err; those that run are left alone.
func (l *lane) refuseWaiting(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiting {
		w <- err
	}
	l.waiting = nil
}

// counts returns how many requests run and how many wait.
func (l *lane) counts() (running, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running, len(l.waiting)
}

// retryAfter estimates, in whole seconds from 1 to 300, when a refused request would find room.
func (l *lane) retryAfter() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.held.Seconds() * float64(len(l.waiting)+1) / float64(l.slots)
	return int(min(300, max(1, math.Ceil(wait))))
}
