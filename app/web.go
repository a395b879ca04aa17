package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/provider/process"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// web is the admin server and its socket.
type web struct {
	*admin.Server
	http   *http.Server
	ln     net.Listener
	cancel context.CancelFunc
	done   chan struct{}
}

func newWeb(a *App, token string) *web {
	s := admin.New(admin.Options{Source: a, Operator: a, Logs: a.readLog, Token: token, Version: a.version, Log: a.log})
	return &web{Server: s, http: &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
}

// serve begins to answer on ln.
func (w *web) serve(ln net.Listener) {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.ln = ln
	go func() {
		defer close(w.done)
		w.Run(ctx)
	}()
	go w.http.Serve(ln)
}

func (w *web) address() string { return w.ln.Addr().String() }

// close ends the streams first: a page that listens must not hold up the end.
func (w *web) close() {
	w.cancel()
	<-w.done
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.http.Shutdown(ctx) != nil {
		w.http.Close()
	}
}

// decided tells the page of a decision that changed a pool's capacity.
func (a *App) decided(d scale.Decision) {
	a.web.Publish(admin.Event{
		Type: "decision", Time: d.Time, Pool: d.Pool, Text: fmt.Sprintf("%d to %d instances: %s", d.Previous, d.Desired, d.Why), Data: d,
	})
}

// instanceChanged tells the page of an instance's change of state.
func (a *App) instanceChanged(e fleet.Event) {
	text := "is " + string(e.State)
	if e.Why != "" {
		text += ": " + e.Why
	}
	a.web.Publish(admin.Event{Type: "instance", Time: e.Time, Pool: e.Pool, Subject: e.Instance, Text: text, Data: map[string]any{"state": e.State}})
}

// Drain gives a target nothing new, or takes that back. It implements admin.Operator.
func (a *App) Drain(pool, id string, on bool) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	t, ok := lp.pool.Member(id)
	if !ok {
		return fmt.Errorf("pool %s has no target %s that takes traffic: %w", pool, id, admin.ErrNotFound)
	}
	lp.pool.Drain(t, on, time.Now())
	text := "drains: it gets nothing new, what is in flight finishes"
	if !on {
		text = "takes requests again"
	}
	a.log.Info("target", "pool", pool, "target", id, "why", "by hand: "+text)
	a.web.Publish(admin.Event{Type: "target", Time: time.Now(), Pool: pool, Subject: id, Text: "by hand: " + text})
	return nil
}

// Scale sets a pool's capacity by hand, or gives it back to the policies. It implements admin.Operator.
func (a *App) Scale(pool string, desired int, forTime time.Duration) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	if lp.loop == nil {
		return fmt.Errorf("pool %s has fixed targets and does not scale; give it a template to scale it", pool)
	}
	if desired < 0 {
		lp.loop.Auto()
		a.web.Publish(admin.Event{Type: "notice", Pool: pool, Text: "scaled by its policies again"})
		return nil
	}
	var until time.Time
	if forTime > 0 {
		until = time.Now().Add(forTime)
	}
	if err := lp.loop.Manual(desired, until); err != nil {
		return err
	}
	a.log.Info("capacity set by hand", "pool", pool, "desired", desired, "until", until)
	a.web.Publish(admin.Event{Type: "notice", Pool: pool, Text: fmt.Sprintf("set to %d by hand", desired)})
	return nil
}

// Reload reads the config file again. It implements admin.Operator.
func (a *App) Reload() error {
	if a.path == "" {
		return fmt.Errorf("this Weir was not started from a file")
	}
	c, err := config.Load(a.path)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		a.log.Warn(w.Error())
	}
	if err := a.Apply(c); err != nil {
		return err
	}
	a.web.Publish(admin.Event{Type: "notice", Text: "the config was loaded again"})
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
