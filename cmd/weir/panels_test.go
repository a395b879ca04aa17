package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/weirlb/weir/fleet/plan"
)

// The page of a real Weir tells of its warm pool, forecast, refresh and a spot notice what the API does, and of what happened also after a kill -9.
func TestTheDashboardShowsCapacityOnItsWay(t *testing.T) {
	tab := browserTab(t)
	market := filepath.Join(t.TempDir(), "market.json")
	if err := os.WriteFile(market, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	pool := func(seed int) string {
		return fmt.Sprintf(`  api:
    concurrency: 4
    drain: 60s
    health: {path: /health/ready, interval: 50ms}
    template: {INFER, --model, chat, --slots, "4", --token-time, 5ms, --load-time, 500ms, --seed, "%d"]}
    refresh: {bake_time: 20s}
    warm_pool: {state: hibernated, min: 2, max_prepared: 4, reuse: true}
    scale:
      min: 2
      max: 4
      policies:
        - queue: {wait_p95: 2s}
        - predict: {season: 8s, step: 1s, history: 10m, lead: 2s, value: 8, mode: forecast_only}
      cost:
        on_demand_base: 0
        on_demand_percent: 0
        zones: [a, b]
        types: [{name: small, on_demand: 1, spot: 0.3}]
        market: %s
metrics: {interval: 1s}
`, seed, market)
	}
	w := prepare(t, pool(1))
	w.start()
	w.ready(2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	load := make(chan struct{})
	go func() {
		defer close(load)
		for ctx.Err() == nil {
			stream(ctx, w.url, 10, nil) // what a kill -9 cuts is of no interest here
		}
	}()
	defer func() { cancel(); <-load }()

	js := func(expression string) string {
		text, err := chromedp.Run(tab, chromedp.Evaluate[string](expression))
		if err != nil {
			return "" // the page is not there yet
		}
		return strings.Join(strings.Fields(text), " ")
	}
	panel := func(name string) string {
		return js(`document.querySelector('.panel.` + name + `')?.innerText ?? ''`)
	}
	open := func() {
		t.Helper()
		if err := chromedp.Do(tab, chromedp.Navigate("http://"+w.admin+"/")); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(name string, parts ...string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			got = panel(name)
			missing := 0
			for _, p := range parts {
				if !strings.Contains(got, p) {
					missing++
				}
			}
			if missing == 0 {
				return
			}
		}
		t.Fatalf("the panel %s says %q, want %q", name, got, parts)
	}
	open()
	until(t, "two are prepared", func() bool { return w.pool().WarmPool.Prepared == 2 })
	shows("warm", "hibernated", "2 of 2 prepared", "serving 2", "prepared 2", "At least 2 at any capacity, up to 4 together")
	shows("forecast", "requests per second", "forecast only", "5 to 95 %", "Off by", "(WAPE) 2 s ahead", "Live off by", "Policy forecast_only; would be")

	w.write(pool(2))
	if out, code := w.command("reload"); code != exitOK {
		t.Fatal(out)
	}
	shows("refresh", "version 1 → 2", "bake time", "2 of 2 replaced")
	if r := w.pool().Refresh; r == nil || r.State != plan.Baking || r.Done != 2 || r.Of != 2 {
		t.Errorf("the API says %+v", r)
	}
	w.shot(tab, "real-refresh")

	var out strings.Builder
	if code := run([]string{"market", "interrupt", "small/spot/a", "--notice", "5s", "-c", w.config()}, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	events := func(kind string) string {
		return js(`[...document.querySelectorAll('#log li[data-type=` + kind + `]')].map((e) => e.innerText).join(' | ')`)
	}
	until(t, "the page tells of the notice and of its end", func() bool {
		spot := events("spot")
		return strings.Contains(spot, "it is taken back at") && strings.Contains(spot, "had drained before it was taken back")
	})
	before := events("refresh")
	if !strings.Contains(before, "instance refresh to version 2") {
		t.Errorf("of the refresh there is %q", before)
	}
	until(t, "it is written down", func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, "state", "weir.db"))
		return err == nil && strings.Contains(string(b), "had drained before it was taken back")
	})
	w.cmd.Process.Signal(syscall.SIGKILL)
	<-w.ended
	w.start()
	open()
	until(t, "the next Weir's page tells of both", func() bool {
		return strings.Contains(events("spot"), "it is taken back at") && strings.Contains(events("refresh"), "instance refresh to version 2")
	})
	shows("forecast", "Off by")
	w.shot(tab, "real-again")
}

// shot keeps what the page looks like when WEIR_SCREENSHOTS names a folder.
func (w *weir) shot(tab context.Context, name string) {
	dir := os.Getenv("WEIR_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		w.t.Error(err)
	}
}
