package target

import (
	"math"
	"testing"
	"time"
)

func TestAReportThatSaysNothingIsNotKnown(t *testing.T) {
	now := time.Unix(1e9, 0)
	x := New("a", "", 1, 0)
	for _, c := range []struct {
		name  string
		r     Report
		known bool
	}{
		{"none", x.Report(), false},
		{"without a time", Report{Utilization: 0.5}, false},
		{"idle", Report{At: now}, true},
		{"overloaded", Report{Utilization: 1.5, At: now}, true},
		{"as old as may be", Report{At: now.Add(-10 * time.Second)}, true},
		{"too old", Report{At: now.Add(-10*time.Second - 1)}, false},
		{"negative", Report{Utilization: -1, At: now}, false},
		{"NaN", Report{Utilization: math.NaN(), At: now}, false},
	} {
		x.SetReport(c.r)
		if got := x.Report().Known(now, 10*time.Second); got != c.known {
			t.Errorf("%s: known is %v", c.name, got)
		}
	}
}
