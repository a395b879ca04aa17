package measure

import (
	"testing"
	"time"
)

func TestWhatIsOldIsUnknown(t *testing.T) {
	var s Store
	t0 := time.Unix(1e9, 0)
	s.Set("i-1", "cpu_utilization", 0, t0)
	s.Set("i-1", "memory_bytes", 7, t0.Add(Fresh))
	if got := s.Of("i-1", t0.Add(Fresh), nil); len(got) != 2 {
		t.Errorf("both fresh: %v", got)
	}
	if got := s.Of("i-1", t0.Add(Fresh+1), nil); len(got) != 1 || got["memory_bytes"] != 7 {
		t.Errorf("one stale: %v", got)
	}
	if got := s.Of("i-2", t0, nil); got != nil {
		t.Errorf("never sampled: %v, want unknown", got)
	}
	s.Forget("i-1")
	if got := s.Of("i-1", t0, nil); got != nil {
		t.Errorf("forgotten: %v", got)
	}
}
