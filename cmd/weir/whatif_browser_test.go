package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestTheWhatIfPage asks a real Weir, in a real browser, what more instances would have done.
func TestTheWhatIfPage(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no Chromium here; make deps installs it")
	}
	w := prepare(t, lastPool)
	w.start()
	w.ready(1)
	shaped(t, w)

	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	tab, closeAllocator := chromedp.NewExecAllocator(ctx, opts...)
	defer closeAllocator()
	tab, closeTab := chromedp.NewContext(tab)
	defer closeTab()
	if err := chromedp.Do(tab, chromedp.EmulateViewport(1200, 1000), chromedp.Navigate("http://"+w.admin+"/whatif.html")); err != nil {
		t.Fatal(err)
	}
	shows := func(what, js string) {
		t.Helper()
		defer func() {
			if t.Failed() {
				text, _ := chromedp.Run(tab, chromedp.Evaluate[string]("document.body.innerText"))
				t.Log(text)
			}
		}()
		until(t, what, func() bool {
			yes, err := chromedp.Run(tab, chromedp.Evaluate[bool](js))
			return err == nil && yes
		})
	}
	do := func(js string) {
		t.Helper()
		if err := chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](js)); err != nil {
			t.Fatal(err)
		}
	}
	picture := func(name string) {
		dir := os.Getenv("WEIR_SCREENSHOTS")
		if dir == "" {
			return
		}
		png, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shows("the policy as it is configured", `document.getElementById('policy').value.includes('max: 6')`)
	do(`document.getElementById('policy').value = 'min: 3\nmax: 6\nmaks: 6'; document.getElementById('run').click()`)
	shows("what is wrong, and where", `document.getElementById('wrong').textContent.includes('policy:3:1: scale.maks') && document.getElementById('policy').value.slice(document.getElementById('policy').selectionStart, document.getElementById('policy').selectionEnd) === 'maks: 6'`)
	picture("whatif-wrong")
	do(`document.getElementById('policy').value = 'min: 5\nmax: 6\nscale_in_window: 60s\n'; document.getElementById('run').click()`)
	shows("both runs", `document.querySelectorAll('#rows tr').length === 12 && document.querySelectorAll('#charts figure').length === 2 && document.getElementById('progress').hidden`)
	text, err := chromedp.Run(tab, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"as configured, at most", "alternative, at most\n5", "measured, at most", "Wait p95", "rebuilt from counts", "Promise: a wait of at most 500 ms"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	colours, err := chromedp.Run(tab, chromedp.Evaluate[string](`[...document.querySelectorAll('#rows tr')].map((r) => r.cells[0].textContent + '=' + r.cells[3].dataset.kind).join()`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Wait p95=good", "Promise kept=good", "Instance-hours=bad", "Requests=undefined"} {
		if !strings.Contains(colours, want) {
			t.Errorf("the differences are coloured %s; want %s", colours, want)
		}
	}
	picture("whatif")
	do(`document.getElementById('theme').click()`)
	if err := chromedp.Do(tab, chromedp.EmulateViewport(390, 844)); err != nil {
		t.Fatal(err)
	}
	picture("whatif-dark-phone")
}
