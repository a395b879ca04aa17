package admit

import (
	"testing"
	"time"
)

func TestBacklog(t *testing.T) {
	for _, c := range []struct {
		slots             int
		service, patience time.Duration
		want              int
	}{
		{4, 2 * time.Second, 10 * time.Second, 20}, // each slot ends 5 in 10 s
		{1, 3 * time.Second, 10 * time.Second, 3},  // the fourth would wait 12 s
		{1, 20 * time.Second, 10 * time.Second, 0},
		{0, time.Second, 10 * time.Second, 0},
		{4, 0, 10 * time.Second, -1},
	} {
		if got := Backlog(c.slots, c.service, c.patience); got != c.want {
			t.Errorf("%d slots, %v each, %v: %d, want %d", c.slots, c.service, c.patience, got, c.want)
		}
	}
}
