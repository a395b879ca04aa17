package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/weirlb/weir/admit"
)

// Less money for the queue: the least important and youngest goes at once, a more important one takes a place, what runs runs on.
func TestSqueezeShedsTheLeastImportant(t *testing.T) {
	now := time.Now()
	p := newPool(t, Options{Limits: admit.Limits{Queue: 10}})
	add(p, "a", 1)
	running := asking(Ask{})
	acquire(t, p, running, admit.Run, now)
	low1, low2, high := asking(Ask{}), asking(Ask{}), asking(Ask{Priority: 2})
	for _, l := range []*lease{low1, low2, high} {
		acquire(t, p, l, admit.Queue, now)
	}
	p.Squeeze(2, now)
	gone := func(l *lease) bool {
		var r *admit.Refusal
		return errors.As(l.Err(), &r) && r.Limit == "scale.cost.budget.shed_after"
	}
	if gone(low1) || !gone(low2) || gone(high) {
		t.Errorf("refused: %v %v %v, want the youngest of the least important", low1.Err(), low2.Err(), high.Err())
	}
	acquire(t, p, asking(Ask{}), admit.Refuse, now)
	acquire(t, p, asking(Ask{Priority: 1}), admit.Queue, now)
	if !gone(low1) {
		t.Error("a more important one did not take the place")
	}
	p.Squeeze(NoSqueeze, now)
	acquire(t, p, asking(Ask{}), admit.Queue, now)
	if s := p.Stats(now); s.InFlight != 1 || s.Waiting != 3 || s.Shed != 2 || s.Full != 1 {
		t.Errorf("%d run, %d wait, %d shed, %d refused", s.InFlight, s.Waiting, s.Shed, s.Full)
	}
}
