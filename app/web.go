package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/listen/certs"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/provider/process"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// web is the admin server and its socket.
type web struct {
	*admin.Server
	http   *http.Server
	ln     net.Listener
	certs  *certs.Store // nil without tls
	cancel context.CancelFunc
	done   chan struct{}
	served chan struct{} // closed when no connection is accepted any more; nil before serve
}

// newWeb opens the socket; serve answers there.
func newWeb(a *App, c config.Admin, given *Inheritance) (*web, error) {
	w := &web{done: make(chan struct{}), cancel: func() {}}
	if c.TLS.Cert != "" {
		var err error
		if w.certs, err = certs.Open(adminCerts(c.TLS)); err != nil {
			return nil, fmt.Errorf("admin.tls: %w", err)
		}
	}
	var err error
	if w.ln, err = openAdmin(c.Address, given); err != nil {
		return nil, err
	}
	w.Server = admin.New(admin.Options{
		Source: a, Operator: a, Keeper: a, Logs: a.readLog, Pusher: a,
		Alarms: a.alarms, Costs: a.Costs, Record: a.Record, Forecast: a.Forecast, Chronicle: chronicle{a}, WhatIf: a, History: history.Handler(a.kept.Load),
		Token: c.Token, Known: c.TLS.ClientCA != "", Version: a.o.Version, Log: a.log,
	})
	w.http = &http.Server{
		Handler: w.Server, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	if w.certs != nil {
		w.http.TLSConfig = w.certs.Config()
		a.loops.Go(func() { w.certs.Watch(a.ctx, 0, a.log) })
	}
	return w, nil
}

func adminCerts(t config.AdminTLS) certs.Options {
	o := certs.Options{Files: []certs.Pair{{Cert: t.Cert, Key: t.Key}}, Protocols: []string{"h2", "http/1.1"}}
	if t.ClientCA != "" {
		o.Client = &certs.ClientAuth{CAs: []string{t.ClientCA}, Require: true}
	}
	return o
}

// serve begins to answer.
func (w *web) serve() {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(w.done)
		w.Run(ctx)
	}()
	w.served = make(chan struct{})
	go func() {
		defer close(w.served)
		if w.certs != nil {
			w.http.ServeTLS(w.ln, "", "")
		} else {
			w.http.Serve(w.ln)
		}
	}()
}

func (w *web) address() string { return w.ln.Addr().String() }

// url is where the dashboard is, for people.
func (w *web) url() string {
	scheme := "http"
	if w.certs != nil {
		scheme = "https"
	}
	return scheme + "://" + addressOf(w.ln.Addr()) + "/"
}

// abandon closes what may not be served yet.
func (w *web) abandon() {
	w.cancel()
	w.http.Close()
	w.ln.Close()
}

// close ends the streams first: a page that listens must not hold up the end.
func (w *web) close() {
	w.cancel()
	<-w.done
	w.ln.Close()
	<-w.served // Shutdown does not see a connection that was accepted a moment ago, and would return before its answer
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.http.Shutdown(ctx) != nil {
		w.http.Close()
	}
}

// decided tells the page of a decision that changed a pool's capacity.
func (a *App) decided(d scale.Decision) {
	a.web.Publish(admin.Event{
		Type: admin.EventDecision, Time: d.Time, Pool: d.Pool, Text: fmt.Sprintf("%d to %d instances: %s", d.Previous, d.Desired, d.Why), Data: d,
	})
}

// Drain gives a target nothing new, or takes that back. It implements admin.Operator.
func (a *App) Drain(name, id string, on bool) error {
	text := "takes requests again"
	if on {
		text = "drains: it gets nothing new, what is in flight finishes"
	}
	return a.override(name, id, text, func(o *pool.Override) {
		o.Drain = nil
		if on {
			o.Drain = new(true)
		}
	})
}

// Override changes what is wanted of a target. It implements admin.Operator.
func (a *App) Override(name, id string, want pool.Override, clear bool) error {
	var says []string
	if clear {
		says = append(says, "is as it is configured")
	}
	if want.Weight != nil {
		says = append(says, fmt.Sprintf("has weight %d", *want.Weight))
	}
	if want.Slots != nil {
		says = append(says, fmt.Sprintf("has %d slots", *want.Slots))
	}
	if want.Drain != nil {
		says = append(says, map[bool]string{true: "drains", false: "does not drain"}[*want.Drain])
	}
	return a.override(name, id, strings.Join(says, ", "), func(o *pool.Override) {
		if clear {
			*o = pool.Override{}
		}
		if want.Weight != nil {
			o.Weight = want.Weight
		}
		if want.Slots != nil {
			o.Slots = want.Slots
		}
		if want.Drain != nil {
			o.Drain = want.Drain
		}
	})
}

// override changes what an operator wants of a target, and tells of it.
func (a *App) override(name, id, text string, change func(*pool.Override)) error {
	lp, err := a.pool(name)
	if err != nil {
		return err
	}
	if err := lp.override(id, change); err != nil {
		return err
	}
	a.log.Info("target", "pool", name, "target", id, "why", "by hand: "+text)
	a.web.Publish(admin.Event{Type: admin.EventTarget, Time: time.Now(), Pool: name, Subject: id, Text: "by hand: " + text})
	return nil
}

// Scale sets a pool's capacity by hand, or gives it back to the policies. It implements admin.Operator.
func (a *App) Scale(pool string, desired int, forTime time.Duration) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		return fmt.Errorf("pool %s has fixed targets and does not scale; give it a template to scale it", pool)
	}
	if desired < 0 {
		scaled.loop.Auto()
		a.web.Publish(admin.Event{Type: admin.EventNotice, Pool: pool, Text: "scaled by its policies again"})
		return nil
	}
	var until time.Time
	if forTime > 0 {
		until = time.Now().Add(forTime)
	}
	if err := scaled.loop.Manual(desired, until); err != nil {
		return err
	}
	a.log.Info("capacity set by hand", "pool", pool, "desired", desired, "until", until)
	a.web.Publish(admin.Event{Type: admin.EventNotice, Pool: pool, Text: fmt.Sprintf("set to %d by hand", desired)})
	return nil
}

func (a *App) readLog(ctx context.Context, pool, instance string, lines int, follow bool, w io.Writer) error {
	if _, err := a.pool(pool); err != nil {
		return err
	}
	path := a.provider.LogPath(pool, instance)
	if !exists(path) {
		return fmt.Errorf("pool %s has no log of an instance %s: %w", pool, instance, admin.ErrNotFound)
	}
	return process.Tail(ctx, path, lines, follow, w)
}

func (a *App) pool(name string) (*livePool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lp := a.pools[name]
	if lp == nil {
		return nil, fmt.Errorf("there is no pool %s: %w", name, admin.ErrNotFound)
	}
	return lp, nil
}

// up says whether a target may be given requests.
func up(s target.State, open bool) bool { return s == target.Healthy || open && s != target.Draining }
