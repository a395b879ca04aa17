package load

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestReportedWait(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   time.Duration
		ok     bool
	}{
		{nil, 0, false},
		{[]string{"cache;dur=3"}, 0, false},
		{[]string{"queue"}, 0, false},
		{[]string{"queue;dur=12.5"}, 12500 * time.Microsecond, true},
		{[]string{"queue;dur=0"}, 0, true},
		{[]string{"db;dur=1, cache", ` app;dur=2 , queue ; desc="in line"; DUR="7"`}, 7 * time.Millisecond, true},
		{[]string{"queue;dur=-1"}, 0, false},
		{[]string{"queue;dur=NaN"}, 0, false},
		{[]string{"queue;dur=1e300"}, 0, false},
	} {
		if got, ok := reportedWait(http.Header{"Server-Timing": c.values}); got != c.want || ok != c.ok {
			t.Errorf("%q: %v, %v; want %v, %v", c.values, got, ok, c.want, c.ok)
		}
	}
}

func TestRunKeepsWhatServersReportAndChangesRequests(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server-Timing", "queue;dur="+r.Header.Get("X-Number"))
		if r.URL.Path != "/"+r.Header.Get("X-Number") {
			http.Error(w, r.URL.Path, http.StatusBadRequest)
		}
	})
	k := one(t, 4, Kind{URL: url, Change: func(r *http.Request, i int, _ Arrival) {
		r.URL.Path = fmt.Sprintf("/%d", i)
		r.Header.Set("X-Number", fmt.Sprint(i))
	}}).Total
	if k.Done != 4 || k.Wait.Count != 4 || !near(k.Wait.Max, 3*time.Millisecond) {
		t.Errorf("%+v, wait %+v, %v", k.Counts, k.Wait, k.Examples)
	}
}

func FuzzReportedWait(f *testing.F) {
	f.Add("queue;dur=12.5")
	f.Add(`cache, queue;desc="a";dur="7"`)
	f.Fuzz(func(t *testing.T, value string) {
		if d, ok := reportedWait(http.Header{"Server-Timing": {value}}); d < 0 || d > longest || !ok && d != 0 {
			t.Errorf("%q: %v, %v", value, d, ok)
		}
	})
}
