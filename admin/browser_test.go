package admin

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts a headless Chromium, or skips the test where there is none. problems returns what the page complained of.
func browser(t *testing.T) (ctx context.Context, problems func() []string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium here; `make deps` installs it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("hide-scrollbars", false))
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var said []string
	chromedp.ListenTarget(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			said = append(said, e.ExceptionDetails.Error())
		}
	})
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), said...)
	}
}

// screenshot keeps what the page looks like when WEIR_SCREENSHOTS names a folder.
func screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("WEIR_SCREENSHOTS")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func dashboard(t *testing.T, h *house) (*Server, *httptest.Server) {
	t.Helper()
	s := New(Options{Source: h, Operator: h, Version: "1.2.3"})
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

// until waits for a condition in the page.
func until(js string) chromedp.Action {
	return chromedp.Poll(js, nil, chromedp.WithPollingTimeout(20*time.Second), chromedp.WithPollingInterval(50*time.Millisecond))
}

func TestThePageShowsAWeirAtWork(t *testing.T) {
	h := newHouse()
	h.decisions = sampleDecisions(time.Now())
	s, srv := dashboard(t, h)
	ctx, problems := browser(t)
	s.Publish(Event{Type: "instance", Pool: "images", Subject: "images-w3ns8", Text: "<b>images-w3ns8</b> is starting"})
	var wide bool
	var instances, targets, decisions int
	var detail, log string
	for _, screen := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"desktop-light", 1280, 900, false}, {"desktop-dark", 1280, 900, true}, {"phone", 360, 740, false}} {
		scheme := map[bool]string{true: "dark", false: "light"}[screen.dark]
		err := chromedp.Run(ctx,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.EmulateViewport(screen.width, screen.height),
			chromedp.Navigate(srv.URL),
			until(`document.querySelector('#link').dataset.state === 'live' && document.querySelectorAll('.inst').length > 0 && document.querySelectorAll('#decisions li').length > 0 && document.querySelectorAll('#log li').length > 0`),
			chromedp.Click(`.inst[data-id="images-w3ns8"]`, chromedp.ByQuery),
			until(`!document.querySelector('[aria-labelledby="pool-images"] .detail').hidden`),
			chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide),
			chromedp.Evaluate(`document.querySelectorAll('.inst').length`, &instances),
			chromedp.Evaluate(`document.querySelectorAll('[aria-labelledby="pool-api"] .targets tbody tr').length`, &targets),
			chromedp.Evaluate(`document.querySelectorAll('#decisions li').length`, &decisions),
			chromedp.Evaluate(`document.querySelector('[aria-labelledby="pool-images"] .detail').innerText`, &detail),
			chromedp.Evaluate(`document.querySelector('#log').innerText`, &log),
		)
		if err != nil {
			t.Fatalf("%s: %v; the page said %q", screen.name, err, problems())
		}
		if wide {
			t.Errorf("%s: the page is wider than the screen", screen.name)
		}
		if instances != 11 || targets != 3 || decisions != 5 {
			t.Errorf("%s: %d instances, %d targets of api, %d decisions; want 11, 3, 5", screen.name, instances, targets, decisions)
		}
		if !strings.Contains(detail, "images-w3ns8") || !strings.Contains(detail, "412 MiB") {
			t.Errorf("%s: the instance's detail is %q", screen.name, detail)
		}
		if !strings.Contains(log, "<b>images-w3ns8</b> is starting") {
			t.Errorf("%s: the event is not shown as the text it is: %q", screen.name, log)
		}
		screenshot(t, ctx, screen.name)
	}
	if p := problems(); len(p) > 0 {
		t.Errorf("the page threw %q", p)
	}
}

func TestThePageFollowsWhatChanges(t *testing.T) {
	h := newHouse()
	h.show(func(now time.Time) Status {
		return Status{Version: "1.2.3", Started: h.started, Time: now, Listeners: []Listener{}, Pools: []Pool{}}
	})
	s, srv := dashboard(t, h)
	ctx, problems := browser(t)
	if err := chromedp.Run(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL),
		until(`document.querySelector('#pools').innerText.includes('No pools') && !document.querySelector('#no-decisions').hidden && !document.querySelector('#no-log').hidden`)); err != nil {
		t.Fatal(err)
	}
	screenshot(t, ctx, "empty")
	h.show(nil)
	d := sampleDecisions(time.Now())[3]
	s.Publish(Event{Type: "decision", Pool: d.Pool, Text: d.Why, Data: d})
	var before, after string
	if err := chromedp.Run(ctx,
		until(`document.querySelectorAll('.inst').length === 11 && document.querySelectorAll('#decisions li').length === 1`),
		chromedp.Evaluate(`document.documentElement.dataset.theme`, &before),
		chromedp.Focus(`.inst[data-id="images-w3ns8"]`, chromedp.ByQuery),
		chromedp.KeyEvent("\r"),
		until(`document.querySelector('.inst[data-id="images-w3ns8"]').getAttribute('aria-expanded') === 'true'`),
		chromedp.Click(`#theme`, chromedp.ByQuery),
		chromedp.Evaluate(`document.documentElement.dataset.theme`, &after),
		chromedp.Click(`#decisions summary`, chromedp.ByQuery),
		until(`document.querySelector('#decisions details').open && document.querySelector('#decisions table').innerText.includes('queue')`),
	); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	if before == after {
		t.Errorf("the theme stayed %s", before)
	}
}

func TestThePageComesBackAfterALostConnection(t *testing.T) {
	h := newHouse()
	s := New(Options{Source: h})
	srv := httptest.NewServer(s)
	addr := srv.Listener.Addr().String()
	ctx, problems := browser(t)
	if err := chromedp.Run(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL), until(`document.querySelector('#link').dataset.state === 'live'`)); err != nil {
		t.Fatal(err)
	}
	srv.CloseClientConnections()
	srv.Close()
	if err := chromedp.Run(ctx, until(`!document.querySelector('#banner').hidden`)); err != nil {
		t.Fatal(err)
	}
	screenshot(t, ctx, "lost")
	again := restart(t, addr, New(Options{Source: h}))
	defer again.Close()
	if err := chromedp.Run(ctx, until(`document.querySelector('#banner').hidden && document.querySelector('#link').dataset.state === 'live'`)); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	again.CloseClientConnections()
}

func TestThePageAsksNobodyElse(t *testing.T) {
	h := newHouse()
	_, srv := dashboard(t, h)
	ctx, _ := browser(t)
	var raw string
	if err := chromedp.Run(ctx, chromedp.Navigate(srv.URL), until(`document.querySelectorAll('.inst').length > 0`),
		chromedp.Evaluate(`JSON.stringify(performance.getEntriesByType('resource').map(e => e.name))`, &raw)); err != nil {
		t.Fatal(err)
	}
	var asked []string
	if err := json.Unmarshal([]byte(raw), &asked); err != nil {
		t.Fatal(err)
	}
	if len(asked) == 0 {
		t.Error("the page loaded nothing")
	}
	for _, url := range asked {
		if !strings.HasPrefix(url, srv.URL) {
			t.Errorf("the page asked %s", url)
		}
	}
}
