// Package admin is how people and programs look into a running Weir and act on it: the HTTP API, the stream of events,
// the metrics for Prometheus, and the dashboard.
package admin

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

// ErrNotFound is wrapped by an [Operator] or a [LogReader] when there is no such pool, target or instance. It answers 404.
var ErrNotFound = errors.New("not found")

// Source is what there is to see. Its methods are called from many goroutines, Status at least once a second.
type Source interface {
	Status() Status
	// Decisions returns up to limit decisions of a pool, of all pools when it is "", the newest first. A zero time leaves
	// that end of the span open.
	Decisions(pool string, from, to time.Time, limit int) ([]scale.Decision, error)
	Metrics() telemetry.Snapshot
}

// Operator is what can be done.
type Operator interface {
	// Drain gives a target no new request until it is called with on false. target may be an instance's id.
	Drain(pool, target string, on bool) error
	// Override changes what is wanted of a target, whatever the config says: nil leaves a value as it is. clear takes all that was
	// changed back first.
	Override(pool, target string, o pool.Override, clear bool) error
	// Scale sets a pool's capacity by hand, for forTime, without end when that is 0. desired < 0 gives it back to the policies.
	Scale(pool string, desired int, forTime time.Duration) error
	// Refresh begins, cancels or rolls back the replacement of a pool's instances by ones of the present template.
	Refresh(pool string, order RefreshOrder) error
	// Instance does what a person, or a hook, wants of one instance.
	Instance(pool, id string, o InstanceOrder) error
}

// RefreshOrder is what to do about a refresh.
type RefreshOrder string

// The orders.
const (
	RefreshOutdated RefreshOrder = "outdated" // replace the instances of older versions of the template
	RefreshAll      RefreshOrder = "all"      // replace all instances
	RefreshCancel   RefreshOrder = "cancel"   // stop where it stands
	RefreshRollback RefreshOrder = "rollback" // go back to the version before
)

// Keeper is what can be done with Weir itself.
type Keeper interface {
	// Reload reads the file again. When it has a mistake, nothing changes and the error says what to mend.
	Reload() error
	// Upgrade has a new process of Weir take over, of the program that binary names or, with "", of the file that this one was started
	// from. When that fails nothing changes.
	Upgrade(binary string) (Upgrade, error)
}

// Pusher takes values that users send. Its error says which item is wrong.
type Pusher interface {
	Push(values []measure.Pushed) error
}

// LogReader writes the last lines of an instance's output to w, and with follow what comes after, until ctx ends.
type LogReader func(ctx context.Context, pool, instance string, lines int, follow bool, w io.Writer) error

// Options are what a Server needs.
type Options struct {
	Source   Source
	Operator Operator     // nil: nothing can be changed
	Keeper   Keeper       // nil: neither can Weir itself
	Logs     LogReader    // nil: no logs are shown
	Pusher   Pusher       // nil: no values are taken
	Alarms   func() any   // what GET /v1/alarms answers, which must encode to JSON; nil: there are none
	Costs    func() Costs // what GET /v1/cost answers; nil: there are none
	// Record is what the newest decision up to a time that changed a pool's capacity was made from, which must encode to JSON; nil: none is
	// kept. A zero time is now.
	Record func(pool string, at time.Time) (any, error)
	// Forecast tells what a pool's load is expected to be; a horizon of 0 is a season. nil: nobody forecasts.
	Forecast  func(pool string, horizon time.Duration) (*Forecast, error)
	Chronicle Chronicle // nil: events are kept in memory alone, the newest ones
	WhatIf    Wonderer  // nil: nobody tries other policies
	// History answers Prometheus's API below /api/v1; nil: there is none.
	History http.Handler
	Token   string // what every request must present; "" admits those that reach Weir under a loopback name
	Known   bool   // clients have shown a certificate that the server verified: they need no loopback name
	Version string
	Log     *slog.Logger // nil: nothing is logged
}

// Event is something that happened.
type Event struct {
	ID      string    `json:"id,omitempty"` // of this event alone; Publish gives it
	Type    string    `json:"type"`         // see [EventSpot] and those beside it
	Time    time.Time `json:"time"`
	Pool    string    `json:"pool,omitempty"`
	Subject string    `json:"subject,omitempty"` // the id of what it happened to
	Text    string    `json:"text"`              // one sentence for people
	Data    any       `json:"data,omitempty"`    // what programs want to know; it must encode to JSON
}

// Server is the API and the dashboard. It serves while Run runs, and also without: then there is no history and no tick.
type Server struct {
	o       Options
	log     *slog.Logger
	handler http.Handler
	hub     *hub
	history *history
	tally   tally
	fresh   fresh

	unwritten bool // the last write failed; guarded by fresh.writes
}

//go:embed dashboard/*.html dashboard/*.css dashboard/*.js dashboard/*.svg dashboard/lib
var dashboardFiles embed.FS

// New returns a Server. It starts nothing; see Run.
func New(o Options) *Server {
	s := &Server{
		o: o, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		hub: newHub(), history: newHistory(),
	}
	page, err := fs.Sub(dashboardFiles, "dashboard")
	if err != nil {
		panic(err) // the name is a constant
	}
	s.handler = s.guard(s.routes(page))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Publish tells all that listen to the events. It never blocks, and may be called before Run and after.
func (s *Server) Publish(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if d, ok := e.Data.(scale.Decision); ok {
		s.tally.add(d)
	}
	e = s.hub.publish(e)
	if s.o.Chronicle != nil && e.Type != EventDecision {
		s.fresh.add(e)
	}
}

// Run keeps the history, sends the status each second and tells of targets that changed their state, until ctx ends. Then it ends all streams, so that an
// [http.Server] that shuts down need not wait for them.
func (s *Server) Run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer s.hub.close()
	var writer sync.WaitGroup
	writer.Go(func() { s.chronicle(ctx) })
	defer writer.Wait()
	var before Status
	for {
		st := s.o.Source.Status()
		for _, e := range changes(before, st) {
			s.Publish(e)
		}
		before = st
		s.history.add(st)
		s.hub.tick(st)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
