package admin

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/weirlb/weir/fleet/plan"
)

// book is a chronicle in memory, which may hold what happened before.
type book struct {
	mu     sync.Mutex
	events []Event
}

func (b *book) Keep(events []Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, events...)
	return nil
}

func (b *book) Events(pool string, types []string, limit int) (out []Event, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range slices.Backward(b.events) {
		if (pool == "" || e.Pool == pool) && (len(types) == 0 || slices.Contains(types, e.Type)) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

// preparing is the busy day with a warm pool, a refresh under way and a forecast.
func preparing(started time.Time) func(now time.Time) Status {
	return func(now time.Time) Status {
		s := busyStatus(started, now)
		p := &s.Pools[slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == "images" })]
		p.Forecast, p.Version = "requests_per_second", 4
		p.WarmPool = &WarmPool{State: "hibernated", Prepared: 3, Preparing: 1, Wanted: 4, Min: 2, Most: 12, Reuse: true}
		p.Scale.Warm, p.Scale.Preparing = 3, 1
		for i, state := range []string{"warm", "warm", "warm", "starting"} {
			p.Instances = append(p.Instances, Instance{
				ID: fmt.Sprintf("images-wm%dq%d", i, i), State: state, Spare: true, Version: 4, Since: now.Add(-time.Minute), Launched: now.Add(-2 * time.Minute), Slots: 1,
			})
		}
		for i := range p.Instances[:8] {
			p.Instances[i].Version = 3 + i/5
		}
		p.Refresh = &plan.Refresh{
			From: 3, To: 4, Started: now.Add(-130 * time.Second), State: plan.Refreshing, Percent: 37, Done: 3, Of: 8, Batch: 2, Surging: true,
			Why: "37 % replaced; replaces 2 of the 5 left",
		}
		return s
	}
}

// foretold is the forecast of a day with a rush at noon, of which half has gone by.
func foretold(now time.Time) *Forecast {
	step := 5 * time.Minute
	now = now.Truncate(step)
	f := &Forecast{
		Pool: "images", Metric: "requests_per_second", Made: now, LeadSeconds: 72, Season: 86400, StepSeconds: step.Seconds(), Quantiles: []float64{.05, .5, .9, .95},
		Accuracy: &Accuracy{Tried: 184, WAPE: .083, Reactive: .214, LiveTried: 199, LiveWAPE: .072},
		Models:   []ForecastModel{{"fourier", .61}, {"holt_winters", .28}, {"seasonal_naive", .11}},
		Policy:   &ForecastPolicy{Mode: "forecast_and_scale", Desired: 8, Why: "ceil(4.1 forecast at 14:05:00 / 0.526/s each) = 8, 1m12s ahead"},
	}
	at := func(i int) (time.Time, float64) {
		x := float64(i) / 288
		return now.Add(time.Duration(i) * step), 3 + 2*math.Sin(2*math.Pi*x) + 1.6*math.Exp(-math.Pow(40*(x-math.Floor(x)-.3), 2))
	}
	band := func(v float64) []float64 { return []float64{.8 * v, v, 1.15 * v, 1.22 * v} }
	for i := -288; i < 0; i++ {
		t, v := at(i)
		f.Actual = append(f.Actual, ForecastPoint{t, v * (1 + .07*math.Sin(float64(i)*1.7)*math.Cos(float64(i)*.31))})
		if i >= -200 {
			f.Said = append(f.Said, ForecastStep{Time: t, Point: v, Values: band(v)})
		}
	}
	for i := range 288 {
		t, v := at(i)
		f.Steps = append(f.Steps, ForecastStep{Time: t, Point: v, Values: band(v)})
	}
	return f
}

// panels serves a page with all panels. forecast may be changed by the test.
func panels(t *testing.T, h *house, forecast func() *Forecast, kept *book) (*Server, *httptest.Server) {
	t.Helper()
	h.decisions = sampleDecisions(time.Now())
	s := New(Options{
		Source: h, Operator: h, Keeper: h, Version: "1.2.3", Chronicle: kept,
		Forecast: func(string, time.Duration) (*Forecast, error) { return forecast(), nil },
	})
	now := time.Now()
	for i := range 300 {
		s.history.add(busyStatus(h.started, now.Add(time.Duration(i-301)*time.Second)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.Run(ctx) })
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		cancel()
		done.Wait()
		srv.Close()
	})
	return s, srv
}

// yesterday is what an earlier Weir wrote down.
func yesterday(now time.Time) *book {
	b := new(book)
	for i, e := range []Event{
		{Type: EventSpot, Subject: "images-k0x21", Text: "it is taken back at 14:02:10 UTC"},
		{Type: EventCapacity, Subject: "images-q1x77", Text: "no machine for g5.xlarge spot in a: insufficient capacity; not asked for again before 14:03:10 UTC"},
		{Type: EventHook, Subject: "images-k0x21", Text: "waits for its launch hooks: licence for 1m0s at most"},
		{Type: EventRemedy, Subject: "images-k1x22", Text: "its check model_loaded fails (503): it is told to load again"},
		{Type: EventRefresh, Text: "instance refresh to version 4: 37 % replaced; replaces 2 of the 5 left"},
		{Type: EventSpot, Subject: "images-k0x21", Text: "had drained before it was taken back"},
		{Type: EventAlarm, Subject: "slow", Text: "alarm slow is ALARM, was OK: 3 of 3 points are above 5"},
	} {
		e.ID, e.Pool, e.Time = fmt.Sprintf("earlier-%d", i), "images", now.Add(time.Duration(i-20)*time.Minute)
		b.events = append(b.events, e)
	}
	return b
}

const card = `document.querySelector('[aria-labelledby="pool-images"]')`

// words is what stands in a part of the pool's card, in one line.
func words(t *testing.T, ctx context.Context, where string) string {
	t.Helper()
	return strings.Join(strings.Fields(ask[string](t, ctx, card+`.querySelector('`+where+`').innerText`)), " ")
}

func wants(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s: %q is not in %q", what, p, got)
		}
	}
}

func TestThePanelsShowTheRightNumbers(t *testing.T) {
	h := newHouse()
	h.show(preparing(h.started))
	_, srv := panels(t, h, func() *Forecast { return foretold(time.Now()) }, yesterday(time.Now()))
	ctx, problems := browser(t)
	for _, screen := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"panels-light", 1280, 900, "light"}, {"panels-dark", 1280, 900, "dark"}, {"panels-phone-light", 400, 800, "light"}, {"panels-phone-dark", 400, 800, "dark"}} {
		err := chromedp.Do(ctx, scheme(screen.scheme), chromedp.EmulateViewport(screen.width, screen.height), chromedp.Navigate(srv.URL),
			until(card+` && `+card+`.querySelector('.forecast .facts dd') && document.querySelectorAll('#log li[data-type=spot]').length === 2`))
		if err != nil {
			t.Fatalf("%s: %v; the page said %q", screen.name, err, problems())
		}
		f := foretold(time.Now())
		wants(t, screen.name, words(t, ctx, ".forecast"), "Forecast requests per second", "acts", "Off by 8.3 % (WAPE) 1 min 12 s ahead, over 184 forecasts; reacting is off by 21.4 %",
			"Live off by 7.2 % over 199 steps", "Made of fourier 61 %, holt winters 28 %, seasonal naive 11 %", "Policy ceil(4.1 forecast", "5 to 95 %", "measured "+short(f.Actual[287].Value))
		wants(t, screen.name, words(t, ctx, ".warm"), "Warm pool hibernated", "3 of 4 prepared", "serving 5", "loading 2", "prepared 3", "preparing 1",
			"At least 2 at any capacity, up to 12 together with those that serve. Scale-in sends instances back here.")
		if n := ask[int](t, ctx, card+`.querySelectorAll('.warm .inst').length`); n != 4 {
			t.Errorf("%s: %d boxes in the warm pool, want 4", screen.name, n)
		}
		wants(t, screen.name, words(t, ctx, ".refresh"), "Instance refresh version 3 → 4", "launching 2", "3 of 8 replaced", "2 min 10 s ago", "replaces 2 of the 5 left")
		if v := ask[string](t, ctx, card+`.querySelector('.refresh [role=progressbar]').getAttribute('aria-valuenow')`); v != "38" {
			t.Errorf("%s: the bar is at %s, want 38: 3 of 8", screen.name, v)
		}
		if ask[bool](t, ctx, `document.querySelector('[aria-labelledby="pool-chat"]').innerText.match(/Forecast|Warm pool|Instance refresh/) !== null`) {
			t.Errorf("%s: a pool without forecast, warm pool and refresh shows frames of them", screen.name)
		}
		if ask[bool](t, ctx, `document.documentElement.scrollWidth > document.documentElement.clientWidth`) {
			t.Errorf("%s: the page is wider than the screen", screen.name)
		}
		screenshot(t, ctx, screen.name)
	}
	if p := problems(); len(p) > 0 {
		t.Errorf("the page threw %q", p)
	}
}

// short writes a number as the page does: up to two decimals below ten.
func short(v float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

func TestThePanelsSayWhatIsWrong(t *testing.T) {
	h := newHouse()
	h.show(func(now time.Time) Status {
		s := preparing(h.started)(now)
		p := &s.Pools[slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == "images" })]
		p.Refresh.State, p.Refresh.Cause, p.Refresh.Done = plan.RollingBack, "12 % of 40 requests failed on the new instances, and 5 % may", 6
		p.Refresh.Why = "rolls back: 75 % replaced; replaces 1 of the 2 left"
		return s
	})
	f := foretold(time.Now())
	f.Policy.Demoted, f.Policy.Desired = true, 0
	f.Policy.Why = "demoted, its error of 0.31 is not below the 0.21 of reacting; would be ceil(4.1 / 0.526) = 8"
	var mu sync.Mutex
	_, srv := panels(t, h, func() *Forecast {
		mu.Lock()
		defer mu.Unlock()
		return f
	}, yesterday(time.Now()))
	ctx, problems := browser(t)
	open := []chromedp.Action[chromedp.Void]{
		chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL), until(`Boolean(` + card + `?.querySelector('.forecast .facts dd'))`),
	}
	if err := chromedp.Do(ctx, open...); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	wants(t, "demoted", words(t, ctx, ".forecast"), "demoted: reacting does better", "its error of 0.31 is not below the 0.21")
	wants(t, "rolls back", words(t, ctx, ".refresh"), "rolling back", "6 of 8 back at version 3", "Rolls back: 12 % of 40 requests failed on the new instances, and 5 % may. 75 % replaced")
	screenshot(t, ctx, "panels-wrong")
	mu.Lock()
	f = &Forecast{Pool: "images", Metric: "requests_per_second", Season: 86400, StepSeconds: 300, Why: "the history of 3h0m0s is too short: a forecast needs 24h0m0s"}
	mu.Unlock()
	if err := chromedp.Do(ctx, open...); err != nil {
		t.Fatal(err)
	}
	wants(t, "no forecast", words(t, ctx, ".forecast"), "no forecast yet", "the history of 3h0m0s is too short")
	if !ask[bool](t, ctx, card+`.querySelector('.forecast .plot').hidden`) {
		t.Error("without a forecast and values there is an empty frame")
	}
}

func TestTheForecastIsDrawnWithoutCharts(t *testing.T) {
	h := newHouse()
	h.show(preparing(h.started))
	s, _ := panels(t, h, func() *Forecast { return foretold(time.Now()) }, new(book))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/lib/") {
			http.NotFound(w, r)
			return
		}
		s.ServeHTTP(w, r)
	}))
	ctx, problems := browser(t)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL),
		until(`[...document.querySelectorAll('.forecast .spark .line')].filter(l => l.getAttribute('d')?.length > 1000).length === 4`)); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	if now := ask[float64](t, ctx, `parseFloat(document.querySelector('.forecast .now').style.left)`); now < 45 || now > 55 {
		t.Errorf("now is at %.1f %% of the width, want the middle", now)
	}
	screenshot(t, ctx, "panels-without-charts")
}

func TestEventsAreFilteredLiveAndKept(t *testing.T) {
	h := newHouse()
	kept := yesterday(time.Now())
	s, srv := panels(t, h, func() *Forecast { return foretold(time.Now()) }, kept)
	ctx, problems := browser(t)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL), until(`document.querySelectorAll('#log li').length >= 12`)); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	s.Publish(Event{Type: EventSpot, Pool: "images", Subject: "images-k3x24", Text: "it is at an elevated risk of being taken back"})
	s.Publish(Event{Type: EventRefresh, Pool: "images", Text: "instance refresh to version 4: all 8 instances are of version 4"})
	rows := func() int { return ask[int](t, ctx, `document.querySelectorAll('#log li').length`) }
	if err := chromedp.Do(ctx, until(`document.querySelectorAll('#log li[data-type=spot]').length === 3`), chromedp.Click(`.chip[data-kind=spot]`),
		until(`document.querySelectorAll('#log li').length === 3`), chromedp.Click(`.chip[data-kind=remedy]`), until(`document.querySelectorAll('#log li').length === 4`)); err != nil {
		t.Fatalf("%v: %d rows", err, rows())
	}
	screenshot(t, ctx, "events-filtered")
	first := ask[string](t, ctx, `document.querySelector('#log li').innerText`)
	wants(t, "the newest", first, "spot", "images-k3x24", "elevated risk")
	// What was heard live is there once after a reload, with what was before.
	if err := chromedp.Do(ctx, chromedp.Navigate(srv.URL), until(`document.querySelectorAll('#log li[data-type=spot]').length === 3 && document.querySelectorAll('#log li[data-type=refresh]').length === 2`),
		chromedp.Click(`.chip[data-kind=alarm]`), until(`document.querySelectorAll('#log li').length === 1`)); err != nil {
		t.Fatalf("%v: %d rows", err, rows())
	}
	// And another Weir goes on with it.
	s2, srv2 := panels(t, h, func() *Forecast { return nil }, kept)
	s2.write()
	if err := chromedp.Do(ctx, chromedp.Navigate(srv2.URL), until(`document.querySelectorAll('#log li[data-type=spot]').length === 3`)); err != nil {
		t.Fatal(err)
	}
	if p := problems(); len(p) > 0 {
		t.Errorf("the page threw %q", p)
	}
}
