package trace

import (
	"fmt"
	"time"
)

// oddities are what is strange about the rows that were read.
func (t *Reader) oddities() []Warning {
	var out []Warning
	add := func(line int32, format string, args ...any) {
		out = append(out, Warning{int(line), fmt.Sprintf(format, args...)})
	}
	if c := t.counts; c != nil {
		if c.holes > 0 {
			add(c.hole.line, "%s missing in %s, the longest of %v, the first before this line; nothing comes in them",
				plural(int(c.missing), "period is", "periods are"), plural(c.holes, "hole", "holes"), time.Duration(c.longest))
		}
		return out
	}
	if s := &t.sorted; s.nLate > 0 && !t.logs() {
		add(s.firstLate, "%s before one above it, by up to %v, the first here; they were put in order", plural(s.nLate, "row stands", "rows stand"), time.Duration(s.farthest))
	}
	if w := &t.seen; w.twins > 0 {
		what := "kept, since two requests can look alike; set --once to drop them"
		if t.o.Once {
			what = "dropped"
		}
		add(w.twin, "%s another one of the same time in all they say, the first here; %s", plural(w.twins, "row equals", "rows equal"), what)
	}
	if gaps := t.seen.odd(); len(gaps) > 0 {
		g := gaps[0]
		text := fmt.Sprintf("nothing came for %v from %s on, until this line: a quiet time, or a hole in the recording?", time.Duration(g.length).Round(time.Second), t.moment(g.at))
		if len(gaps) > 1 {
			more := plural(len(gaps)-1, "more such time", "more such times")
			if len(gaps) == len(t.seen.gaps) {
				more = "at least " + more
			}
			text += " There " + map[bool]string{true: "is ", false: "are "}[len(gaps) == 2] + more + "."
		}
		add(g.line, "%s", text)
	}
	l := t.layout()
	for _, r := range []role{roleService, roleTotal, roleIn, roleOut, roleModel, roleSteps, roleImages, roleStatus} {
		if n := l.rows - l.filled[r]; l.filled[r] > 0 && n > 0 && !l.weir {
			add(l.missing[r], "%s no %s, the first here; it counts as unknown", plural(n, "row has", "rows have"), roleNames[r])
		}
	}
	if !l.fine && l.shared > l.rows/100 && !t.o.Spread {
		add(0, "its times are whole seconds, and %s that of the row above, so they come at once; --spread draws each a moment within its second", plural(l.shared, "row has", "rows have"))
	}
	if l.failed > 0 {
		add(0, "%s, which count as requests all the same", plural(l.failed, "request failed", "requests failed"))
	}
	return out
}

// logs says that the trace is written in the order in which requests end, so that disorder is no news.
func (t *Reader) logs() bool {
	if t.layout().weir {
		return true
	}
	_, combined := t.src.(*combinedSource)
	return combined
}

func (t *Reader) layout() *layout {
	switch s := t.src.(type) {
	case *csvSource:
		return s.layout
	case *jsonSource:
		return s.layout
	case *combinedSource:
		return s.layout
	}
	return &layout{}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
