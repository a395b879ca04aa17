package load

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sample is a run of two kinds through the meter, without a network: 90 s at ten requests per second, of which some fail after 30 s.
func sample(t *testing.T) *Result {
	t.Helper()
	start := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	m := newMeter(start, []Stream{{Kind: Kind{Name: "chat"}}, {Kind: Kind{Name: "<predict>"}}})
	const total = 90 * time.Second
	for at := time.Duration(0); at < total; at += 100 * time.Millisecond {
		kind := int(at/(100*time.Millisecond)) % 2
		now := start.Add(at)
		m.sent(kind, now, time.Microsecond)
		o := outcome{status: 200, latency: time.Duration(1+at/time.Second) * time.Millisecond}
		if kind == 0 {
			o.latency *= 100
			o.events = 3
			m.token(kind, now, o.latency/2)
			m.gap(kind, now, time.Millisecond)
		}
		if at >= 30*time.Second && at < 31*time.Second {
			o.status, o.class, o.detail = 503, "status 503", "status 503: <script>alert(1)</script>"
		}
		m.ended(kind, now, o)
	}
	end := start.Add(total)
	r := &Result{Title: "A rush & a <spike>", Start: start, Elapsed: total, Seed: 5}
	r.Total, r.Kinds = m.result(end)
	return r
}

func TestMeterCutsSeconds(t *testing.T) {
	r := sample(t)
	if r.Total.Sent != 900 || r.Total.Failed != 10 || r.Kinds[0].Sent != 450 || r.Kinds[0].Events != 1350 {
		t.Errorf("%+v, chat %+v", r.Total.Counts, r.Kinds[0].Counts)
	}
	if n := len(r.Total.Series); n != 91 {
		t.Fatalf("%d seconds, want 90 and the one just begun", n)
	}
	for _, c := range []struct {
		second int
		want   Second
	}{
		{10, Second{Second: 10, Counts: Counts{Sent: 5, Done: 5}, P50: 11 * time.Millisecond, P95: 11 * time.Millisecond, P99: 11 * time.Millisecond}},
		{30, Second{Second: 30, Counts: Counts{Sent: 5, Failed: 5}}},
		{90, Second{Second: 90}},
	} {
		if got := r.Kinds[1].Series[c.second]; !near(got.P50, c.want.P50) || !near(got.P99, c.want.P99) || got.Counts != c.want.Counts || got.Second != c.want.Second {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	// Of 1..90 ms without the 31st, each five times: the middle of all is 46 ms.
	if got := r.Kinds[1].Latency; !near(got.P50, 46*time.Millisecond) || !near(got.Max, 90*time.Millisecond) || got.Count != 445 {
		t.Errorf("latency %+v", got)
	}
}

// near says whether two times are the same to three significant digits.
func near(a, b time.Duration) bool {
	return math.Abs(float64(a-b)) <= max(float64(time.Microsecond), float64(b)/500)
}

func TestTablePutsFailuresFirst(t *testing.T) {
	var b strings.Builder
	if err := sample(t).WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, want := range []string{"10 of 900 requests failed (1.11%)", "status 503: <script>", "SENT/S", "200: 890, 503: 10", "time to first token"} {
		at := strings.Index(b.String(), want)
		if at <= last {
			t.Errorf("%q is missing or too early in\n%s", want, b.String())
		}
		last = at
	}
}

func TestHTMLIsSafeWholeAndPutsFailuresFirst(t *testing.T) {
	var b strings.Builder
	if err := sample(t).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, never := range []string{"<script", "http://", "https://", "NaN", "<spike>", "<predict>"} {
		if strings.Contains(page, never) {
			t.Errorf("the page contains %q", never)
		}
	}
	if f, r := strings.Index(page, "<h2>Failures"), strings.Index(page, "<h2>Requests"); f < 0 || f > r {
		t.Error("the failures do not come first")
	}
	plots := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(plots) != 6 {
		t.Errorf("%d plots, want failures, rate, outstanding, two latencies, one time to first token", len(plots))
	}
	for _, p := range plots {
		d := xml.NewDecoder(strings.NewReader(p))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("a plot is not XML: %v", err)
			}
		}
	}
}

func TestReportsOfNothing(t *testing.T) {
	m := newMeter(time.Now(), []Stream{{}})
	r := &Result{}
	r.Total, r.Kinds = m.result(m.start)
	for _, write := range []func(io.Writer) error{r.WriteHTML, r.WriteTable, r.WriteJSON} {
		var b strings.Builder
		if err := write(&b); err != nil || strings.Contains(b.String(), "NaN") {
			t.Errorf("%v\n%s", err, b.String())
		}
	}
}

func TestJSONIsInMilliseconds(t *testing.T) {
	var b strings.Builder
	if err := sample(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Elapsed float64 `json:"elapsed_ms"`
		Kinds   []struct {
			Name    string
			Sent    int64
			Errors  map[string]int64
			Latency struct {
				P50 float64 `json:"p50_ms"`
			}
			Series []struct {
				Second int
				Done   int64
				P95    float64 `json:"p95_ms"`
			}
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	k := got.Kinds[1]
	if got.Elapsed != 90_000 || k.Sent != 450 || k.Errors["status 503"] != 5 || math.Abs(k.Latency.P50-46) > 0.1 || k.Series[10].Done != 5 || math.Abs(k.Series[10].P95-11) > 0.1 {
		t.Errorf("%+v", k)
	}
}

func TestProgressWhereLinesStay(t *testing.T) {
	var b strings.Builder
	p := NewProgress(&b)
	s := Snapshot{Length: time.Minute, KindSnapshot: KindSnapshot{Counts: Counts{Sent: 1234}, SentRate: 100}}
	for i := range 12 {
		s.Elapsed = time.Duration(i+1) * time.Second
		if i == 7 {
			s.Failed = 1
		}
		s.Final = i == 11
		p(s)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 5 { // the 1st, 6th, 8th (the first failure), 11th and last
		t.Errorf("%d lines:\n%s", len(lines), b.String())
	}
	if want := "0:01/1:00  sent 1,234  done 0  failed 0  open 0  100/s"; lines[0] != want {
		t.Errorf("got  %q\nwant %q", lines[0], want)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	for _, c := range []struct {
		elapsed, length time.Duration
		want            string
	}{
		{0, 0, ""},
		{0, time.Minute, "╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ "},
		{15 * time.Second, time.Minute, "━━━━╌╌╌╌╌╌╌╌╌╌╌╌ "},
		{time.Hour, time.Minute, "━━━━━━━━━━━━━━━━ "},
	} {
		if got := bar(c.elapsed, c.length); got != c.want {
			t.Errorf("%v of %v: %q, want %q", c.elapsed, c.length, got, c.want)
		}
	}
	if got := cut("━━━ sent", 5); got != "━━━ …" {
		t.Errorf("cut to five characters: %q", got)
	}
}

func TestNumbersReadWell(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0", 250 * time.Microsecond: "0.25 ms", 12 * time.Millisecond: "12 ms", 3456 * time.Millisecond: "3.46 s", 2 * time.Minute: "120 s"} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
	for _, c := range []struct {
		high  float64
		ticks int
		last  float64
	}{{1, 6, 1}, {3, 4, 3}, {100, 6, 100}, {507, 4, 600}, {0.07, 5, 0.08}} {
		got := linearTicks(c.high)
		if math.Abs(got[len(got)-1]-c.last) > 1e-9 || len(got) != c.ticks {
			t.Errorf("the ticks for %g are %v", c.high, got)
		}
	}
}
