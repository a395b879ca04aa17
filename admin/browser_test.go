package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
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
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
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
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf("%+v", *e.ExceptionDetails))
		}
	}); err != nil {
		t.Fatal(err)
	}
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
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`window.scrollTo({top: 0, behavior: 'instant'})`)); err != nil {
		t.Fatal(err)
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func dashboard(t *testing.T, h *house) (*Server, *httptest.Server) {
	t.Helper()
	s := New(Options{Source: h, Operator: h, Keeper: h, Version: "1.2.3"})
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

// until waits for a condition in the page. It asks from outside: the page's policy lets nobody make a function of a string.
func until(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			yes, err := chromedp.Evaluate[bool](js)(ctx, target)
			if err == nil && yes {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s never came true: %w", js, errors.Join(err, ctx.Err()))
			case <-tick.C:
			}
		}
	})
}

// ask evaluates an expression in the page.
func ask[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// scheme makes the browser prefer dark or light.
func scheme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return err
	})
}

func TestThePageShowsAWeirAtWork(t *testing.T) {
	h := newHouse()
	h.decisions = sampleDecisions(time.Now())
	s, srv := dashboard(t, h)
	ctx, problems := browser(t)
	s.Publish(Event{Type: "instance", Pool: "images", Subject: "images-w3ns8", Text: "<b>images-w3ns8</b> is starting"})
	for _, screen := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"desktop-light", 1280, 900, false}, {"desktop-dark", 1280, 900, true}, {"phone", 360, 740, false}} {
		colours := map[bool]string{true: "dark", false: "light"}[screen.dark]
		err := chromedp.Do(ctx,
			scheme(colours),
			chromedp.EmulateViewport(screen.width, screen.height),
			chromedp.Navigate(srv.URL),
			until(`document.querySelector('#link').dataset.state === 'live' && document.querySelectorAll('.inst').length > 0 && document.querySelectorAll('#decisions li').length > 0 && document.querySelectorAll('#log li').length > 0`),
			chromedp.Click(`.inst[data-id="images-w3ns8"]`),
			until(`!document.querySelector('[aria-labelledby="pool-images"] .detail').hidden`),
		)
		if err != nil {
			t.Fatalf("%s: %v; the page said %q", screen.name, err, problems())
		}
		wide := ask[bool](t, ctx, `document.documentElement.scrollWidth > document.documentElement.clientWidth`)
		instances := ask[int](t, ctx, `document.querySelectorAll('.inst').length`)
		targets := ask[int](t, ctx, `document.querySelectorAll('[aria-labelledby="pool-api"] .targets tbody tr').length`)
		decisions := ask[int](t, ctx, `document.querySelectorAll('#decisions li').length`)
		detail := ask[string](t, ctx, `document.querySelector('[aria-labelledby="pool-images"] .detail').innerText`)
		log := ask[string](t, ctx, `document.querySelector('#log').innerText`)
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
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL),
		until(`document.querySelector('#pools').innerText.includes('No pools') && !document.querySelector('#no-decisions').hidden && !document.querySelector('#no-log').hidden`)); err != nil {
		t.Fatal(err)
	}
	screenshot(t, ctx, "empty")
	h.show(nil)
	d := sampleDecisions(time.Now())[3]
	s.Publish(Event{Type: "decision", Pool: d.Pool, Text: d.Why, Data: d})
	before := ask[string](t, ctx, `document.documentElement.dataset.theme`)
	if err := chromedp.Do(ctx,
		until(`document.querySelectorAll('.inst').length === 11 && document.querySelectorAll('#decisions li').length === 1`),
		chromedp.Focus(`.inst[data-id="images-w3ns8"]`),
		until(`document.activeElement.dataset.id === 'images-w3ns8'`),
		chromedp.KeyEvent(kb.Enter),
		until(`document.querySelector('.inst[data-id="images-w3ns8"]').getAttribute('aria-expanded') === 'true'`),
		chromedp.Click(`#theme`),
		chromedp.Click(`#decisions summary`),
		until(`document.querySelector('#decisions details').open && document.querySelector('#decisions table').innerText.includes('queue')`),
	); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	if after := ask[string](t, ctx, `document.documentElement.dataset.theme`); after == before {
		t.Errorf("the theme stayed %s", before)
	}
}

func TestThePageComesBackAfterALostConnection(t *testing.T) {
	h := newHouse()
	s := New(Options{Source: h})
	srv := httptest.NewServer(s)
	addr := srv.Listener.Addr().String()
	ctx, problems := browser(t)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(srv.URL), until(`document.querySelector('#link').dataset.state === 'live'`)); err != nil {
		t.Fatal(err)
	}
	srv.CloseClientConnections()
	srv.Close()
	if err := chromedp.Do(ctx, until(`!document.querySelector('#banner').hidden`)); err != nil {
		t.Fatal(err)
	}
	screenshot(t, ctx, "lost")
	again := restart(t, addr, New(Options{Source: h}))
	defer again.Close()
	if err := chromedp.Do(ctx, until(`document.querySelector('#banner').hidden && document.querySelector('#link').dataset.state === 'live'`)); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	again.CloseClientConnections()
}

func TestThePageAsksNobodyElse(t *testing.T) {
	h := newHouse()
	_, srv := dashboard(t, h)
	ctx, _ := browser(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(srv.URL), until(`document.querySelectorAll('.inst').length > 0`)); err != nil {
		t.Fatal(err)
	}
	asked := ask[[]string](t, ctx, `performance.getEntriesByType('resource').map(e => e.name)`)
	if len(asked) == 0 {
		t.Error("the page loaded nothing")
	}
	for _, url := range asked {
		if !strings.HasPrefix(url, srv.URL) {
			t.Errorf("the page asked %s", url)
		}
	}
}

func TestThePageIsUsefulWithoutCharts(t *testing.T) {
	s, _ := dashboard(t, newHouse())
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
		until(`document.querySelectorAll('.inst').length === 11 && !document.querySelector('#no-charts').hidden && /requests\s+\d/.test(document.querySelector('#charts').innerText)`),
		until(`[...document.querySelectorAll('.spark')].filter(s => s.querySelector('.line').getAttribute('d')?.length > 1000).length === 4`)); err != nil {
		t.Fatalf("%v; the page said %q", err, problems())
	}
	if p := problems(); len(p) > 0 {
		t.Errorf("the page threw %q", p)
	}
	screenshot(t, ctx, "without-charts")
}
