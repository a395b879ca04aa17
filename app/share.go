package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/session"
	"github.com/weirlb/weir/telemetry"
)

// shared is what the sites of all listeners have in common. A reload makes a new one, which takes over from the old what did not change.
type shared struct {
	c         *config.Config
	sessions  *session.Ring
	log       *telemetry.AccessLog
	tracer    *telemetry.Tracer
	meters    *telemetry.RouteMeters
	written   *written // what logs and tracers that are closed have counted
	limits    *limiters
	challenge func(host, path string) ([]byte, bool) // of ACME
}

// share makes what a config's sites have in common. Old is that of the config before, or nil.
func (a *App) share(c *config.Config, old *shared) (_ *shared, err error) {
	s := &shared{c: c, meters: &telemetry.RouteMeters{}, written: &written{}}
	if old != nil {
		s.meters, s.written = old.meters, old.written
	}
	if hasACME(c) {
		s.challenge = a.challenge
	}
	if s.sessions, err = sessionsOf(c); err != nil {
		return nil, err
	}
	if s.limits, err = newLimiters(c, old); err != nil {
		return nil, err
	}
	switch {
	case old != nil && reflect.DeepEqual(old.c.AccessLog, c.AccessLog):
		s.log = old.log
	case c.AccessLog != nil:
		if s.log, err = telemetry.NewAccessLog(accessLogOf(c.AccessLog, a.log)); err != nil {
			return nil, fmt.Errorf("access_log: %w", err)
		}
	}
	switch {
	case old != nil && reflect.DeepEqual(old.c.Tracing, c.Tracing):
		s.tracer = old.tracer
	case c.Tracing != nil:
		if s.tracer, err = telemetry.NewTracer(tracingOf(c.Tracing, a.o.Version, a.log)); err != nil {
			s.release(old)
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	return s, nil
}

// release closes what s has and other, which may be nil, has not.
func (s *shared) release(other *shared) {
	if other == nil {
		other = &shared{}
	}
	if s.log != other.log {
		s.log.Close()
	}
	if s.tracer != other.tracer {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		s.tracer.Close(ctx)
	}
}

// written remembers the logs and tracers that were replaced: what they counted goes into the sums for ever.
type written struct {
	mu      sync.Mutex
	logs    []*telemetry.AccessLog // open still
	tracers []*telemetry.Tracer
	lines   telemetry.AccessCounts // of those that are closed
	spans   telemetry.SpanCounts
}

// replaced notes that s gives way to next.
func (w *written) replaced(s, next *shared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.log != next.log && s.log != nil {
		w.logs = append(w.logs, s.log)
	}
	if s.tracer != next.tracer && s.tracer != nil {
		w.tracers = append(w.tracers, s.tracer)
	}
}

// closed notes that s was released.
func (w *written) closed(s *shared) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.logs, s.log); i >= 0 {
		w.logs = slices.Delete(w.logs, i, i+1)
		w.lines = sumLines(w.lines, s.log.Counts())
	}
	if i := slices.Index(w.tracers, s.tracer); i >= 0 {
		w.tracers = slices.Delete(w.tracers, i, i+1)
		w.spans = sumSpans(w.spans, s.tracer.Counts())
	}
}

// counts sums up all lines and spans since the start; nil where there is neither a log nor was one.
func (s *shared) counts() (*telemetry.AccessCounts, *telemetry.SpanCounts) {
	w := s.written
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, spans := w.lines, w.spans
	for _, l := range append(slices.Clone(w.logs), s.log) {
		lines = sumLines(lines, l.Counts())
	}
	for _, t := range append(slices.Clone(w.tracers), s.tracer) {
		spans = sumSpans(spans, t.Counts())
	}
	var ls *telemetry.AccessCounts
	var ss *telemetry.SpanCounts
	if s.log != nil || lines != (telemetry.AccessCounts{}) {
		ls = &lines
	}
	if s.tracer != nil || spans != (telemetry.SpanCounts{}) {
		ss = &spans
	}
	return ls, ss
}

func sumLines(a, b telemetry.AccessCounts) telemetry.AccessCounts {
	return telemetry.AccessCounts{Written: a.Written + b.Written, Dropped: a.Dropped + b.Dropped, Failed: a.Failed + b.Failed}
}

func sumSpans(a, b telemetry.SpanCounts) telemetry.SpanCounts {
	return telemetry.SpanCounts{Exported: a.Exported + b.Exported, Dropped: a.Dropped + b.Dropped, Failed: a.Failed + b.Failed}
}

// retire releases s some time after a reload: requests that came before still tell their end to it.
func (s *shared) retire(ctx context.Context, next *shared) {
	select {
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
	}
	s.release(next)
	s.written.closed(s)
}

// routeNames are the names of all routes, for their meters.
func routeNames(c *config.Config) []string {
	var names []string
	for _, l := range c.Listen {
		for _, r := range l.Routes {
			names = append(names, r.Name)
		}
	}
	return names
}

func accessLogOf(l *config.AccessLog, log *slog.Logger) telemetry.AccessOptions {
	return telemetry.AccessOptions{
		Path: l.Path, Format: l.Format, Sample: l.Sample, KeepErrors: l.KeepErrors, Slow: time.Duration(l.Slow), Query: l.Query, Omit: l.Omit,
		Log: log,
	}
}

func tracingOf(t *config.Tracing, version string, log *slog.Logger) telemetry.TraceOptions {
	return telemetry.TraceOptions{
		Endpoint: t.Endpoint, Protocol: t.Protocol, Sample: t.Sample, Service: t.Service, Version: version, Log: log,
	}
}

// sessionsOf are the keys of sticky cookies: those of the config, or one that is kept in the state directory. It is nil when no pool is
// sticky, so that no key is made which nobody needs.
func sessionsOf(c *config.Config) (*session.Ring, error) {
	sticky := false
	for _, p := range c.Pools {
		sticky = sticky || p.Sticky != nil
	}
	if !sticky {
		return nil, nil
	}
	var secrets [][]byte
	for _, key := range c.SessionKeys {
		secrets = append(secrets, []byte(key))
	}
	if len(secrets) == 0 {
		key, err := ownKey(filepath.Join(c.State, "session.key"))
		if err != nil {
			return nil, fmt.Errorf("session_keys: %w", err)
		}
		secrets = [][]byte{key}
	}
	ring, err := session.NewRing(secrets...)
	if err != nil {
		return nil, fmt.Errorf("session_keys: %w", err)
	}
	return ring, nil
}

// ownKey reads a random key from a file, or makes one there. Of two processes that make it at the same time both get the same.
func ownKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, err
	}
	key = make([]byte, 32)
	rand.Read(key)
	fresh, err := os.CreateTemp(filepath.Dir(file), "session.key.*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(fresh.Name())
	_, err = fresh.Write(key)
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(fresh.Name(), file); errors.Is(err, fs.ErrExist) {
		return os.ReadFile(file)
	} else if err != nil {
		return nil, err
	}
	return key, nil
}

// limiters are the limits that count. Those that a reload leaves as they are go on counting.
type limiters struct {
	keys            *admit.Keys
	network         [2]int         // bits of IPv4 and IPv6 addresses that keys looks at
	conns, requests *admit.Clients // nil: no limit
	rates           map[string]*admit.Rates
	before          map[string]*admit.Rates   // of the config before
	refused         map[string]*atomic.Uint64 // requests, by the name of the rate limit
	refusedBefore   map[string]*atomic.Uint64
}

func newLimiters(c *config.Config, old *shared) (*limiters, error) {
	clients := c.Limits.Clients
	l := &limiters{network: [2]int{clients.Network4, clients.Network6}, rates: map[string]*admit.Rates{}, refused: map[string]*atomic.Uint64{}}
	if old != nil {
		l.refusedBefore = old.limits.refused
	}
	was := &limiters{}
	if old != nil && old.limits.network == l.network { // else keys differ, and all counts with them
		was = old.limits
	}
	l.before, l.keys = was.rates, was.keys
	var err error
	if l.keys == nil {
		if l.keys, err = admit.NewKeys(clients.Network4, clients.Network6); err != nil {
			return nil, fmt.Errorf("limits.clients: %w", err)
		}
	}
	if l.conns, err = clientsOf(was.conns, clients.Connections); err == nil {
		l.requests, err = clientsOf(was.requests, clients.Requests)
	}
	if err != nil {
		return nil, fmt.Errorf("limits.clients: %w", err)
	}
	return l, nil
}

// clientsOf bounds what each client may have under way; a limit that only changes goes on counting.
func clientsOf(was *admit.Clients, limit int) (*admit.Clients, error) {
	switch {
	case limit == 0:
		return nil, nil
	case was == nil:
		return admit.NewClients(limit)
	}
	return was, was.SetLimit(limit)
}

// counter counts the requests that a rate limit refuses. It outlives reloads that keep its name.
func (l *limiters) counter(name string) *atomic.Uint64 {
	n := l.refused[name]
	if n == nil {
		if n = l.refusedBefore[name]; n == nil {
			n = new(atomic.Uint64)
		}
		l.refused[name] = n
	}
	return n
}

// counts are the requests refused by each rate limit.
func (l *limiters) counts() map[string]uint64 {
	out := make(map[string]uint64, len(l.refused))
	for name, n := range l.refused {
		out[name] = n.Load()
	}
	return out
}

// rate is the limit of that name, with full buckets unless the config before had the same.
func (l *limiters) rate(name string, limit config.RateLimit) (*admit.Rates, error) {
	name = fmt.Sprintf("%s %s %s %d", name, limit.By, limit.Rate, limit.Burst)
	rates := l.before[name]
	if rates == nil {
		var err error
		rates, err = admit.NewRates(admit.Rate{Events: float64(limit.Rate), Per: time.Second, Burst: float64(limit.Burst)}, 0)
		if err != nil {
			return nil, err
		}
	}
	l.rates[name] = rates
	return rates, nil
}
