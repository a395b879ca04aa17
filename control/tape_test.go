package control

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// What is kept of a decision is enough to make it again, in another process.
func TestADecisionCanBeMadeAgain(t *testing.T) {
	o := scale.Options{Min: 1, Max: 6, ScaleInWindow: 20 * time.Second, Policies: []scale.Policy{scale.Target{Metric: "queue_depth", Value: 2}}}
	inRig(t, o, func(r *rig) {
		var waiting []*pool.Lease
		for range 40 {
			l := &pool.Lease{Ready: func(*pool.Lease) {}}
			r.pool.Acquire(l, time.Now())
			waiting = append(waiting, l)
			r.after(700 * time.Millisecond)
		}
		for _, l := range waiting {
			if !l.Cancel(time.Now()) {
				l.Release(pool.Outcome{Status: 200}, time.Now())
			}
		}
		r.after(time.Minute)

		ds, err := r.journal.Find("api", time.Time{}, time.Time{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		out, in := 0, 0
		for _, d := range ds {
			if d.Desired == d.Previous {
				continue
			}
			rec, err := r.journal.Record("api", d.Time)
			if err != nil || rec == nil {
				t.Fatalf("the decision of %v has no record: %v", d.Time, err)
			}
			b, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			var read Record
			if err := json.Unmarshal(b, &read); err != nil {
				t.Fatal(err)
			}
			o.Pool = "api"
			again := scale.New(o)
			again.Restore(read.State)
			var got scale.Decision
			for i := range read.Observations {
				got = again.Decide(&read.Observations[i])
			}
			if !got.Time.Equal(d.Time) || got.Desired != d.Desired || got.Why != d.Why || !reflect.DeepEqual(got.Proposals, d.Proposals) {
				t.Errorf("made again:\n%+v\nwas:\n%+v", got, d)
			}
			if d.Desired > d.Previous {
				out++
			} else {
				in++
			}
		}
		if out < 2 || in < 1 {
			t.Errorf("%d times out, %d times in: too little to prove anything", out, in)
		}
	})
}
