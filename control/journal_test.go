package control

import (
	"slices"
	"testing"
	"time"

	"github.com/weirlb/weir/scale"
)

// The newest decisions are kept, also when fewer may be from one moment on because there are more pools.
func TestTheNewestDecisionsAreKept(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	for _, c := range []struct{ before, kept, after, want int }{
		{before: 3, kept: 5, after: 0, want: 3},
		{before: 5, kept: 5, after: 0, want: 5},
		{before: 12, kept: 5, after: 0, want: 5},
		{before: 12, kept: 5, after: 1, want: 3},
		{before: 13, kept: 5, after: 4, want: 3},
		{before: 4, kept: 5, after: 2, want: 3},
		{before: 2, kept: 5, after: 1, want: 3},
	} {
		r, at := new(recent), t0
		add := func(kept int) {
			at = at.Add(time.Second)
			r.add(scale.Decision{Time: at}, kept)
		}
		for range c.before {
			add(c.kept)
		}
		for range c.after {
			add(3)
		}
		got := slices.Clone(r.ring)
		newestFirst(got)
		if len(got) != c.want {
			t.Errorf("%+v: %d are kept", c, len(got))
		}
		for i, d := range got {
			if want := at.Add(-time.Duration(i) * time.Second); !d.Time.Equal(want) {
				t.Errorf("%+v: number %d is of %v, want %v", c, i, d.Time, want)
			}
		}
	}
}
