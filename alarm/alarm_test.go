package alarm

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// points reads the guide's notation: 0 is within the threshold, X beyond it, - missing; the newest last.
func points(text string) (ps []Point) {
	for mark := range strings.FieldsSeq(text) {
		switch mark {
		case "0":
			ps = append(ps, Point{Value: 10, Known: true})
		case "X":
			ps = append(ps, Point{Value: 90, Known: true})
		default:
			ps = append(ps, Point{})
		}
	}
	return ps
}

// The two tables of "Configuring how CloudWatch alarms treat missing data" in the CloudWatch guide, all 40 cells.
func TestMissingDataTables(t *testing.T) {
	const retain = State("retain")
	for _, table := range []struct {
		m, n int
		rows []struct {
			points                                   string
			missing, ignore, breaching, notBreaching State
		}
	}{
		{3, 3, []struct {
			points                                   string
			missing, ignore, breaching, notBreaching State
		}{
			{"0 - X - X", OK, OK, OK, OK},
			{"- - - - 0", OK, OK, OK, OK},
			{"- - - - -", InsufficientData, retain, Alarm, OK},
			{"0 X X - X", Alarm, Alarm, Alarm, Alarm},
			{"- - X - -", Alarm, retain, Alarm, OK},
		}},
		{2, 3, []struct {
			points                                   string
			missing, ignore, breaching, notBreaching State
		}{
			{"0 - X - X", Alarm, Alarm, Alarm, Alarm},
			{"0 0 X 0 X", Alarm, Alarm, Alarm, Alarm},
			{"0 - X - -", OK, OK, Alarm, OK},
			{"- - - - 0", OK, OK, Alarm, OK},
			{"- - - X -", Alarm, retain, Alarm, OK},
		}},
	} {
		for _, row := range table.rows {
			for treatment, want := range map[Treatment]State{Missing: row.missing, Ignore: row.ignore, Breaching: row.breaching, NotBreaching: row.notBreaching} {
				for _, was := range []State{OK, Alarm, InsufficientData} {
					rule := Rule{Threshold: 50, Points: table.n, Breach: table.m, Missing: treatment}
					expect := want
					if want == retain {
						expect = was
					}
					if got := rule.Evaluate(points(row.points), was); got != expect {
						t.Errorf("%d of %d, %s, %s, was %s: %s, want %s", table.m, table.n, row.points, treatment, was, got, expect)
					}
				}
			}
		}
	}
}

func TestComparisons(t *testing.T) {
	for c, want := range map[Comparison][3]bool{
		"":      {false, false, true},
		Above:   {false, false, true},
		AtLeast: {false, true, true},
		Below:   {true, false, false},
		AtMost:  {true, true, false},
	} {
		for i, v := range []float64{49, 50, 51} {
			if got := (Rule{Threshold: 50, Comparison: c}).Breaches(v); got != want[i] {
				t.Errorf("%g %s 50: %t", v, c, got)
			}
		}
	}
}

// What is fully known never depends on the treatment, and more breaching points never calm an alarm.
func TestEvaluateProperties(t *testing.T) {
	treatments := []Treatment{Missing, Ignore, Breaching, NotBreaching}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		rule := Rule{Threshold: 50, Points: n, Breach: rapid.IntRange(1, n).Draw(t, "m"), Missing: rapid.SampledFrom(treatments).Draw(t, "treatment")}
		was := rapid.SampledFrom([]State{OK, Alarm, InsufficientData}).Draw(t, "was")
		ps := make([]Point, rule.Range())
		known := 0
		for i := range ps {
			ps[i] = points(rapid.SampledFrom([]string{"0", "X", "-"}).Draw(t, "point"))[0]
			if ps[i].Known {
				known++
			}
		}
		got := rule.Evaluate(ps, was)
		if known >= n {
			for _, other := range treatments {
				r := rule
				r.Missing = other
				if again := r.Evaluate(ps, was); again != got || got == InsufficientData {
					t.Fatalf("%v: %s as %s, %s as %s", ps, got, rule.Missing, again, other)
				}
			}
		}
		for i := range ps {
			if ps[i].Known && ps[i].Value < 50 {
				ps[i].Value = 90
				if after := rule.Evaluate(ps, was); got == Alarm && after != Alarm {
					t.Fatalf("one more that breaches turns ALARM into %s: %v", after, ps)
				}
				break
			}
		}
	})
}

func TestSeries(t *testing.T) {
	start := time.Date(2026, 1, 1, 9, 0, 7, 0, time.UTC)
	s := Series{Period: time.Minute, Keep: 4}
	add := func(at time.Duration, v float64, known, ended bool) {
		t.Helper()
		if got := s.Add(start.Add(at), v, known); got != ended {
			t.Errorf("at %v: ended %t, want %t", at, got, ended)
		}
	}
	add(0, 10, true, true)
	add(30*time.Second, 20, true, false)
	add(60*time.Second, 40, true, true)     // 30
	add(100*time.Second, 0, false, false)   // nothing known
	add(120*time.Second, 0, false, true)    // missing
	add(290*time.Second, 7, true, true)     // two whole periods unseen
	want := []Point{{30, true}, {}, {}, {}} // the oldest is gone
	if len(s.Points) != 4 || s.Points[0] != want[0] || s.Points[1] != want[1] || s.Points[3] != want[3] {
		t.Errorf("points %v, want %v", s.Points, want)
	}
	text, err := json.Marshal(s.SeriesState)
	if err != nil {
		t.Fatal(err)
	}
	again := Series{Period: time.Minute, Keep: 4}
	if err := json.Unmarshal(text, &again.SeriesState); err != nil {
		t.Fatal(err)
	}
	s.Add(start.Add(300*time.Second), 9, true)
	again.Add(start.Add(300*time.Second), 9, true)
	if v, known := again.Newest(); !known || v != 8 || s.Points[3] != again.Points[3] {
		t.Errorf("after JSON: %v, want %v", again.Points, s.Points)
	}
	again.Add(start.Add(1000*time.Hour), 5, true) // nothing of the old counts, and it does not take long
	if v, known := again.Newest(); known && v != 5 || len(again.Points) != 4 {
		t.Errorf("after a long pause: %v", again.Points)
	}
	again.Add(start, 6, true) // the clock was set back
	if len(again.Points) != 1 || again.Points[0].Value != 6 {
		t.Errorf("after the clock was set back: %v", again.Points)
	}
}

func TestStatistics(t *testing.T) {
	for statistic, want := range map[Statistic]float64{"": 4, Average: 4, Maximum: 9, Minimum: 1, Sum: 12} {
		s := Series{Period: time.Minute, Keep: 3, Statistic: statistic}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		s.Add(start, 100, true)
		for i, v := range []float64{1, 2, 9} {
			s.Add(start.Add(time.Duration(i+1)*20*time.Second), v, true)
		}
		if got, known := s.Newest(); !known || got != want {
			t.Errorf("%s: %g, want %g", statistic, got, want)
		}
	}
}
