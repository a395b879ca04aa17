package load

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// plainEvery is how many seconds pass between two lines of progress where lines stay.
const plainEvery = 5

// NewProgress returns a function for Options.Progress that writes one line to w: one that rewrites itself when w is a terminal, and
// otherwise a new one every five seconds, and at once when requests begin to fail or to be dropped.
func NewProgress(w io.Writer) func(Snapshot) {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return func(s Snapshot) {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width < 20 {
				width = 80
			}
			line := cut(bar(s.Elapsed, s.Length)+progressLine(s), width-1)
			fmt.Fprintf(w, "\r\x1b[K%s", line)
			if s.Final {
				fmt.Fprintln(w)
			}
		}
	}
	var lines, failed, dropped int64
	return func(s Snapshot) {
		due := s.Final || lines%plainEvery == 0 || failed == 0 && s.Failed > 0 || dropped == 0 && s.Dropped > 0
		lines, failed, dropped = lines+1, s.Failed, s.Dropped
		if due {
			fmt.Fprintln(w, progressLine(s))
		}
	}
}

// bar shows how much of a run is over; it is empty when nobody knows.
func bar(elapsed, length time.Duration) string {
	const cells = 16
	if length <= 0 {
		return ""
	}
	full := int(cells * min(1, elapsed.Seconds()/length.Seconds()))
	return strings.Repeat("━", full) + strings.Repeat("╌", cells-full) + " "
}

// progressLine puts first what may go wrong, because a narrow terminal cuts the rest.
func progressLine(s Snapshot) string {
	var b strings.Builder
	if s.Length > 0 {
		fmt.Fprintf(&b, "%s/%s", minutes(s.Elapsed), minutes(s.Length))
	} else {
		b.WriteString(minutes(s.Elapsed))
	}
	fmt.Fprintf(&b, "  sent %s  done %s  failed %s", count(s.Sent), count(s.Done), count(s.Failed))
	if s.Dropped > 0 {
		fmt.Fprintf(&b, "  DROPPED %s", count(s.Dropped))
	}
	fmt.Fprintf(&b, "  open %s  %s/s", count(s.Outstanding), count(int64(s.SentRate)))
	if s.P50 > 0 {
		fmt.Fprintf(&b, "  p50 %s  p95 %s  p99 %s", short(s.P50), short(s.P95), short(s.P99))
	}
	if len(s.Kinds) > 1 {
		for _, k := range s.Kinds {
			fmt.Fprintf(&b, " | %s %s/s", k.Name, count(int64(k.SentRate)))
			if k.P95 > 0 {
				fmt.Fprintf(&b, " p95 %s", short(k.P95))
			}
		}
	}
	return b.String()
}

// cut shortens a line to so many characters.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}

// minutes is a time as minutes and seconds.
func minutes(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// count is a number with commas between its thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short is a time to about three digits, with its unit.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
