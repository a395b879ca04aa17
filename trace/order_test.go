package trace

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// rowsAt is a source of rows at given times.
type rowsAt struct {
	times []int64
	n     int
}

func (r *rowsAt) next(it *item) error {
	if r.n == len(r.times) {
		return io.EOF
	}
	*it = item{Request: Request{Line: int32(r.n + 1)}, at: r.times[r.n]}
	r.n++
	return nil
}

// TestSorter compares with a stable sort of the rows before the first that comes too late.
func TestSorter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.Int64Range(0, 20).Draw(t, "window")
		steps := rapid.SliceOfN(rapid.Int64Range(-12, 15), 0, 2000).Draw(t, "steps")
		src := &rowsAt{}
		var want []item
		at, latest, broken := int64(1000), int64(0), 0
		for i, s := range steps {
			at += s
			src.times = append(src.times, at)
			if latest = max(latest, at); broken == 0 && latest-at > window {
				broken = i + 1
			}
			if broken == 0 {
				want = append(want, item{Request: Request{Line: int32(i + 1)}, at: at})
			}
		}
		slices.SortStableFunc(want, func(a, b item) int { return cmp.Compare(a.at, b.at) })
		s := sorter{src: src, name: "t", window: window}
		var it item
		for i := 0; ; i++ {
			err := s.next(&it)
			if err != nil {
				if errors.Is(err, io.EOF) != (broken == 0) || i != len(want) {
					t.Fatalf("after %d of %d rows: %v, want broken at %d", i, len(want), err, broken)
				}
				break
			}
			if i >= len(want) || it.at != want[i].at || it.Line != want[i].Line {
				t.Fatalf("row %d is line %d at %d", i, it.Line, it.at)
			}
		}
	})
}
