package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout        = time.Minute
	defaultMaxOutstanding = 20_000
)

// Run sends the streams' requests, waits for their answers and says what came of them. It fails only when it cannot start. When ctx
// ends, it sends no more, gives up what is outstanding and returns what it has, with Interrupted set.
func Run(ctx context.Context, o Options) (*Result, error) {
	senders, err := prepare(o)
	if err != nil {
		return nil, err
	}
	transport := newTransport(o)
	defer transport.CloseIdleConnections()

	g := &generator{max: int64(cmp.Or(o.MaxOutstanding, defaultMaxOutstanding)), start: time.Now()}
	g.meter = newMeter(g.start, o.Streams)
	var length time.Duration
	var schedules sync.WaitGroup
	for i, s := range senders {
		s.index, s.transport, s.meter, s.start = i, transport, g.meter, g.start
		length = max(length, o.Streams[i].Length)
		schedules.Go(func() { g.follow(ctx, s, o.Streams[i]) })
	}
	ended := make(chan struct{})
	go func() {
		schedules.Wait()
		g.requests.Wait()
		close(ended)
	}()
	g.watch(ended, o.Progress, length)

	end := time.Now()
	r := &Result{Title: o.Title, Start: g.start, Elapsed: end.Sub(g.start), Seed: o.Seed}
	r.Total, r.Kinds = g.meter.result(end)
	r.Interrupted = ctx.Err() != nil && (g.cut.Load() || r.Total.Aborted > 0)
	return r, nil
}

// generator is one run.
type generator struct {
	max         int64
	start       time.Time
	meter       *meter
	requests    sync.WaitGroup
	outstanding atomic.Int64
	cut         atomic.Bool // a schedule ended with the context
}

// follow starts the requests of a stream when they are due. It never waits for an answer; when it is behind, it catches up at once.
func (g *generator) follow(ctx context.Context, s *sender, stream Stream) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	i := 0
	for a := range stream.Arrivals {
		due := g.start.Add(a.At)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			g.cut.Store(true)
			return
		}
		if g.outstanding.Add(1) > g.max {
			g.outstanding.Add(-1)
			g.meter.dropped(s.index, time.Now())
		} else {
			number := i
			g.requests.Go(func() {
				defer g.outstanding.Add(-1)
				s.send(ctx, number, a, due)
			})
		}
		i++
	}
}

// watch reports progress each second until the run ended.
func (g *generator) watch(ended <-chan struct{}, progress func(Snapshot), length time.Duration) {
	if progress == nil {
		<-ended
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			progress(g.meter.snapshot(now, length, false))
		case <-ended:
			progress(g.meter.snapshot(time.Now(), length, true))
			return
		}
	}
}

// newTransport makes HTTP/1.1 connections that are kept alive in any number, straight to the server: a proxy set in the environment
// would be measured in its place. Idle ones are closed after a time shorter than what servers allow, because a request that meets a
// closing connection counts as failed here.
func newTransport(o Options) *http.Transport {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: cmp.Or(o.MaxOutstanding, defaultMaxOutstanding),
		IdleConnTimeout:     4 * time.Second,
		DisableCompression:  true,
		Protocols:           protocols,
	}
}

// prepare checks the options and makes what the requests of each stream have in common.
func prepare(o Options) ([]*sender, error) {
	if len(o.Streams) == 0 {
		return nil, errors.New("load: nothing to send; give at least one stream")
	}
	if o.MaxOutstanding < 0 {
		return nil, fmt.Errorf("load: %d requests outstanding at most; give a number above 0", o.MaxOutstanding)
	}
	seen := map[string]bool{}
	var senders []*sender
	for _, stream := range o.Streams {
		k := stream.Kind
		fail := func(format string, args ...any) ([]*sender, error) {
			return nil, fmt.Errorf("load: %s: %w", cmp.Or(k.Name, k.URL), fmt.Errorf(format, args...))
		}
		switch {
		case seen[k.Name]:
			return fail("two streams have the name %q; give each its own", k.Name)
		case stream.Arrivals == nil:
			return fail("it has no arrivals; use Phases or a trace")
		case k.Timeout < 0:
			return fail("a timeout of %v; give a time above 0", k.Timeout)
		}
		seen[k.Name] = true
		u, err := url.Parse(k.URL)
		if err != nil {
			return fail("%w; write a URL such as http://127.0.0.1:8080/", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fail("%q is not a whole URL; write one such as http://127.0.0.1:8080/", k.URL)
		}
		method := k.Method
		if method == "" {
			method = http.MethodGet
			if k.Body != nil {
				method = http.MethodPost
			}
		}
		base, err := http.NewRequest(method, k.URL, nil)
		if err != nil {
			return fail("%w", err)
		}
		base.Header.Set("User-Agent", "weir-load")
		for name, value := range k.Headers {
			if name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n") {
				return fail("the header %q: %q cannot be sent; a name has no blanks or colons, and neither has line ends", name, value)
			}
			base.Header.Set(name, value)
			if strings.EqualFold(name, "Host") {
				base.Host = value
			}
		}
		senders = append(senders, &sender{kind: k, base: base, timeout: cmp.Or(k.Timeout, defaultTimeout)})
	}
	return senders, nil
}
