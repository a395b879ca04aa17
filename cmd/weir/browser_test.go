package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserTab starts a headless Chromium, or skips the test where there is none.
func browserTab(t *testing.T) (tab context.Context) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium here; make deps installs it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
	t.Cleanup(cancel)
	tab, closeAllocator := chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(closeAllocator)
	tab, closeTab := chromedp.NewContext(tab)
	t.Cleanup(closeTab)
	return tab
}

// TestTheDashboardShowsARunningWeir opens the page of a real Weir in a real browser while a stream runs through it.
func TestTheDashboardShowsARunningWeir(t *testing.T) {
	tab := browserTab(t)
	w := prepare(t, chatPool+"    scale: {min: 1, max: 2}\n")
	w.start()
	w.ready(1)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	streams := make(chan error, 1)
	go func() {
		var err error
		for ctx.Err() == nil && err == nil {
			_, err = stream(ctx, w.url, 20, nil)
		}
		streams <- err
	}()

	if err := chromedp.Do(tab, chromedp.Navigate("http://"+w.admin+"/")); err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(w.pool().Instances[0].ID, "-")
	var text string
	var err error
	until(t, "the page shows the pool, its instance and the decision", func() bool {
		text, err = chromedp.Run(tab, chromedp.Evaluate[string]("document.body.innerText"))
		return err == nil && strings.Contains(text, "api") && strings.Contains(text, id) && strings.Contains(text, "Live")
	})
	charts, err := chromedp.Run(tab, chromedp.Evaluate[int]("document.querySelectorAll('canvas').length"))
	if err != nil {
		t.Fatal(err)
	}
	if charts == 0 && !strings.Contains(text, "uPlot") {
		t.Errorf("neither charts nor a word on why there are none:\n%s", text)
	}
	cancel()
	if err := <-streams; err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}
