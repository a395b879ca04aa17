package control

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

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

func TestEventsOfAFrequentKindPushOutNoOther(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "weir.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	j, err := NewJournal(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.KeepEvents(map[string][][]byte{"spot": {[]byte("taken back")}}); err != nil {
		t.Fatal(err)
	}
	var many [][]byte
	for i := range 3*eventsKept + 7 {
		many = append(many, fmt.Append(nil, i))
	}
	for _, part := range [][][]byte{many[:10], many[10 : eventsKept+3], many[eventsKept+3:]} {
		if err := j.KeepEvents(map[string][][]byte{"instance": part}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(wanted []string, most int) (out []string) {
		n := map[string]int{}
		if err := j.Events(wanted, func(kind string, text []byte) (bool, error) {
			out = append(out, kind+" "+string(text))
			n[kind]++
			return n[kind] < most, nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := read(nil, 2); !slices.Equal(got, []string{"instance 3006", "instance 3005", "spot taken back"}) {
		t.Errorf("the newest two of each kind are %q", got)
	}
	if got := read([]string{"spot", "nothing"}, 5); !slices.Equal(got, []string{"spot taken back"}) {
		t.Errorf("of two kinds there are %q", got)
	}
	if got := read([]string{"instance"}, 1<<20); len(got) != eventsKept {
		t.Errorf("%d are kept, want %d", len(got), eventsKept)
	}
}
