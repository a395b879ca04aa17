package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// announcer is a target whose event streams go on until it is told to end them.
type announcer struct {
	addr string
	over chan struct{}
	end  func()
}

func newAnnouncer(t *testing.T) *announcer {
	t.Helper()
	a := &announcer{over: make(chan struct{})}
	a.end = sync.OnceFunc(func() { close(a.over) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.addr = ln.Addr().String()
	m := http.NewServeMux()
	m.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	m.HandleFunc("GET /live/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			fmt.Fprintf(w, "data: %s %d\n\n", r.PathValue("id"), n)
			http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			case <-a.over:
				fmt.Fprint(w, "data: [DONE]\n\n")
				return
			}
		}
	})
	s := &http.Server{Handler: m}
	go s.Serve(ln)
	t.Cleanup(func() {
		a.end()
		s.Close()
	})
	return a
}

func TestChaosReload(t *testing.T) {
	t.Parallel()
	_, addrs := fleetOf(t, 4, newTiny)
	stay, leave := newAnnouncer(t), newAnnouncer(t)
	third := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	extra := newTiny(t)
	const streams = 500
	// In every other config there are another listener, another route, another pool and other targets, which some of the streams use.
	configure := func(w *chaos, i int) {
		routes, more := `{path: "/live/*", pool: live}, {pool: tiny}`, ""
		tiny, live, pools := addrs, strconv.Quote(stay.addr), ""
		if i%2 == 0 {
			routes += `, {path: "/extra/*", pool: extra, rewrite: {strip_prefix: /extra}}`
			more = fmt.Sprintf("  - {address: %q, routes: [{pool: live}]}\n", third)
			tiny += fmt.Sprintf(", {address: %q, weight: %d}", extra.addr, 1+i%5)
			live += fmt.Sprintf(", %q", leave.addr)
			pools = fmt.Sprintf("  extra: {targets: [%q], balance: round_robin}\n", leave.addr)
		}
		w.configure(routes, fmt.Sprintf(`
  tiny: {targets: [%s], concurrency: %d, timeouts: {first_byte: %ds, keep_alive: 1s}, health: {path: /health, interval: %dms}}
  live: {targets: [%s], concurrency: %d, retries: {min: %d}}
%s`, tiny, 16+i%3, 10+i%3, 400+100*(i%4), live, 1000+i%2, 3+i%3, pools), more)
	}
	w := prepareChaos(t)
	configure(w, 0)
	w.start()
	w.healthy()

	var began atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, streams)
	for i := range streams {
		addr, path := w.addrs[i%2], "/live/"
		switch i % 10 {
		case 1, 2:
			path = "/extra/live/"
		case 3:
			addr = third
		}
		all.Go(func() {
			c, o, id := &caller{addr: addr}, &outcome{}, fmt.Sprintf("s%d", i)
			req, _ := http.NewRequest("GET", "http://"+addr+path+id, nil)
			r, err := c.call(req, true, func(r *http.Response) error {
				if r.StatusCode != 200 {
					return fmt.Errorf("status %d", r.StatusCode)
				}
				_, err := o.listen(r.Body, id, func() { began.Add(1) })
				return err
			})
			if o.saw(r, err); !o.ok() {
				errs <- fmt.Errorf("stream %d by %s%s: %v, cut %v", i, addr, path, err, o.cut)
			}
		})
	}
	until(t, "all streams have begun", func() bool { return began.Load() == streams || len(errs) > 0 })
	l := offer(t, chaosRate, w.addrs, tinyKinds...)
	l.more(50)
	files := w.descriptors()
	at := time.Now()
	reloads := 0
	rounds(t, 100, func(i int) {
		reloads++
		if i%10 == 9 {
			mistake(t, w)
		}
		configure(w, i+1)
		w.cli("reload")
		if i%5 == 0 {
			l.more(1)
		}
	})
	t.Logf("%d reloads took %v", reloads, time.Since(at))
	failures(t, l.stop(), nil)
	until(t, fmt.Sprintf("Weir has closed what %d reloads opened, and has no more than about %d files and sockets open", reloads, files), func() bool {
		return w.descriptors() <= files+50
	})
	stay.end()
	leave.end()
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	w.finish()
}

// mistake has Weir load a file that is wrong, which must change nothing.
func mistake(t *testing.T, w *chaos) {
	t.Helper()
	names := func() (s string) {
		for _, p := range w.status().Pools {
			s += fmt.Sprint(p.Name, p.Concurrency, len(p.Targets), p.Balance, " ")
		}
		return s
	}
	before := names()
	w.configure("{pool: nowhere}", "  tiny: {targets: [\"127.0.0.1:1\"]}\n", "")
	var out bytes.Buffer
	if code := run([]string{"reload", "--admin", w.admin}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "nowhere") {
		t.Errorf("a bad file: exit %d, %s", code, out.String())
	}
	if after := names(); after != before {
		t.Errorf("a bad file changed %s to %s", before, after)
	}
}
