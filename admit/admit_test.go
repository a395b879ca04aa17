package admit

import (
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		limit   int
		free    bool
		waiting int
		want    Verdict
	}{
		{10, true, 0, Run},
		{0, true, 0, Run},
		{10, true, 3, Queue}, // a free slot is no reason to overtake
		{10, false, 0, Queue},
		{10, false, 9, Queue},
		{10, false, 10, Refuse},
		{0, false, 0, Refuse},
	} {
		if got := (Limits{Queue: c.limit}).Decide(c.free, c.waiting); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestRetryAfterIsWhenTheQueueIsWorkedOff(t *testing.T) {
	for _, c := range []struct {
		waiting, slots int
		service        time.Duration
		want           time.Duration
	}{
		{0, 4, time.Second, time.Second},
		{100, 4, time.Second, 25 * time.Second},
		{101, 4, time.Second, 26 * time.Second},
		{10, 0, 2 * time.Second, 20 * time.Second},
		{1e6, 1, time.Minute, 5 * time.Minute},
	} {
		if got := RetryAfter(c.waiting, c.slots, c.service); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
