package health

import "testing"

func TestRemedyOf(t *testing.T) {
	rules := map[string]Remedy{"model_loaded": Reload, "gpu_available": Replace, "memory_ok": ScaleUp, FailingTimeout: Restart}
	for _, c := range []struct {
		failing []string
		want    Remedy
		check   string
	}{
		{nil, Replace, ""},
		{[]string{FailingOther}, Replace, ""},
		{[]string{"memory_ok"}, ScaleUp, "memory_ok"},
		{[]string{"disk_ok", "memory_ok"}, ScaleUp, "memory_ok"},
		{[]string{"memory_ok", "model_loaded"}, Reload, "model_loaded"},
		{[]string{"gpu_available", "memory_ok", "model_loaded"}, Replace, "gpu_available"},
		{[]string{FailingTimeout}, Restart, FailingTimeout},
	} {
		if got, check := RemedyOf(c.failing, rules); got != c.want || check != c.check {
			t.Errorf("%v: %s for %q, want %s for %q", c.failing, got, check, c.want, c.check)
		}
	}
}
