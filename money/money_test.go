package money

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

var pair = []Instance{
	{Type: "g4dn.xlarge", Market: "on_demand", Price: 0.526, List: 0.526},
	{Type: "g4dn.xlarge", Market: "spot", Price: 0.158, List: 0.526},
}

// launched is a fleet that was launched at a time.
func launched(at time.Time, all []Instance) []Instance {
	all = slices.Clone(all)
	for i := range all {
		all[i].Since = at
	}
	return all
}

// run adds every minute from now for a while, and returns the time it ended.
func run(a *Account, now time.Time, d time.Duration, all []Instance) time.Time {
	all = launched(now, all)
	for end := now.Add(d); ; now = now.Add(time.Minute) {
		a.Add(now, all, 100)
		if !now.Before(end) {
			return now
		}
	}
}

func TestTwoHours(t *testing.T) {
	var a Account
	now := run(&a, time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), 2*time.Hour, pair)
	r := a.Report(now, pair)
	near(t, "per hour", r.PerHour, 0.684)
	near(t, "today", r.Today, 1.368)
	near(t, "month", r.Month, 1.368)
	near(t, "all on demand", r.MonthOnDemand, 2.104)
	near(t, "saved", r.Saved, 0.736)
	near(t, "per 1,000 requests", r.PerThousand, 1.368/12100*1000)
	near(t, "projected", r.Projected, 1.368+0.684*(31*24-24-11))
	if len(r.Lines) != 2 || r.Lines[1].N != 1 || r.Lines[1].PerHour != 0.158 || math.Abs(r.Lines[1].Month-0.316) > 1e-9 {
		t.Errorf("lines %v", r.Lines)
	}
}

// A day and a month begin with nothing, and are charged from their first moment. Both are those of UTC wherever Weir runs.
func TestMidnight(t *testing.T) {
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 9*3600), time.FixedZone("west", -8*3600)} {
		var a Account
		since := time.Date(2026, 3, 31, 22, 58, 0, 0, time.UTC)
		all := launched(since, pair)
		a.Add(since.Add(time.Hour).In(zone), all, 7)
		near(t, "today before", a.Day.Spent, 0.684)
		a.Add(time.Date(2026, 4, 1, 0, 1, 0, 0, time.UTC).In(zone), all, 3)
		near(t, "today", a.Day.Spent, 0.684/60)
		near(t, "month", a.Month.Spent, 0.684/60)
		near(t, "ever", a.Total.Spent, 0.684*63/60)
		near(t, "requests of the month", a.Requests, 3)
	}
}

// A restart from what was stored charges no minute twice, and the time in which Weir did not run to the instances that ran.
func TestRestart(t *testing.T) {
	var a, b Account
	start := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	now := run(&a, start, time.Hour, pair)
	all := launched(start, pair)
	stored, _ := json.Marshal(a)
	if err := json.Unmarshal(stored, &b); err != nil {
		t.Fatal(err)
	}
	b.Add(now, all, 0)
	near(t, "the same moment again", b.Month.Spent, 0.684)
	b.Add(now.Add(time.Minute), all, 0)
	near(t, "a minute later", b.Month.Spent, 0.684*61/60)
	b.Add(now.Add(2*time.Hour), all, 0)
	near(t, "after hours without Weir", b.Month.Spent, 0.684*3)
	b.Add(now, all, 0)
	b.Add(now.Add(2*time.Hour), all, 0)
	near(t, "a clock set back far, and forward again", b.Month.Spent, 0.684*5) // it said so: what it says is all there is
	b.Add(now.Add(90*time.Minute), all, 0)
	b.Add(now.Add(2*time.Hour), all, 0)
	near(t, "a clock set back a little, and forward again", b.Month.Spent, 0.684*5)
	// An instance of which one half hour of the last two is its own.
	young := launched(now.Add(3*time.Hour+30*time.Minute), pair[:1])
	b.Add(now.Add(4*time.Hour), young, 0)
	near(t, "launched in between", b.Month.Spent, 0.684*5+0.526/2)
}

// The first look at what runs already charges it from its launch, but no other month.
func TestFirst(t *testing.T) {
	var a Account
	a.Add(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), launched(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), pair[:1]), 0)
	near(t, "month", a.Month.Spent, 0.526*24)
	near(t, "ever", a.Total.Spent, 0.526*24)
	near(t, "today", a.Day.Spent, 0)
}

func TestLeftOfMonth(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	for _, c := range []struct {
		now  time.Time
		want time.Duration
	}{
		{time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC), time.Hour},
		{time.Date(2028, 2, 28, 23, 0, 0, 0, time.UTC), 25 * time.Hour}, // a leap year
		{time.Date(2100, 2, 28, 23, 0, 0, 0, time.UTC), time.Hour},      // and none
		{time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), time.Second},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 31 * 24 * time.Hour},
		{time.Date(2026, 4, 1, 8, 0, 0, 0, tokyo), time.Hour}, // still March in UTC
	} {
		if got := LeftOfMonth(c.now); got != c.want {
			t.Errorf("%v: %v, want %v", c.now, got, c.want)
		}
	}
}

func TestHourly(t *testing.T) {
	now := time.Date(2026, 4, 30, 14, 0, 0, 0, time.UTC) // 10 hours left
	for _, c := range []struct {
		b           Budget
		spent, want float64
		ok          bool
	}{
		{Budget{}, 10, 0, false},
		{Budget{PerHour: 20}, 1e6, 20, true},
		{Budget{PerMonth: 8000}, 7900, 10, true},
		{Budget{PerMonth: 8000, PerHour: 20}, 7000, 20, true},
		{Budget{PerMonth: 8000}, 9000, 0, true},
	} {
		if got, ok := c.b.Hourly(now, c.spent); math.Abs(got-c.want) > 1e-9 || ok != c.ok {
			t.Errorf("%+v after %v: %v %v, want %v %v", c.b, c.spent, got, ok, c.want, c.ok)
		}
	}
}

// Whoever spends what Hourly allows never spends more than the month's budget.
func TestMonthKeepsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{PerMonth: rapid.Float64Range(1, 10000).Draw(t, "month")}
		var spent float64
		for now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC); now.Month() == 2; now = now.Add(time.Hour) {
			perHour, _ := b.Hourly(now, spent)
			spent += perHour * rapid.Float64Range(0, 1).Draw(t, "use")
		}
		if spent > b.PerMonth*(1+1e-9) {
			t.Fatalf("spent %v of %v", spent, b.PerMonth)
		}
	})
}
