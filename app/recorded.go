package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/telemetry"
	"github.com/weirlb/weir/trace"
)

// archive is a history to read: that of a running Weir, or one that lies there.
type archive interface {
	Values(ctx context.Context, name string, of map[string]string, from, to time.Time, f func(labels.Labels, []measure.Point)) error
}

// Recorded is what the history has of a pool between two times; zero ones are a day ago and now. It implements admin.Wonderer.
func (a *App) Recorded(ctx context.Context, pool string, from, to time.Time) (*admin.Recorded, error) {
	if _, err := a.pool(pool); err != nil {
		return nil, err
	}
	a.mu.Lock()
	t := a.tenure
	a.mu.Unlock()
	if t.history == nil {
		return nil, errors.New("there is no history of what was measured; see the log of the start")
	}
	r, err := recorded(ctx, t.history, pool, from, to)
	if err == nil {
		r.Boots = seconds(t.store.Boots(pool))
	}
	return r, err
}

// ReadRecorded does as [App.Recorded] in the state directory of a Weir that does not run, and changes nothing there.
func ReadRecorded(ctx context.Context, dir, pool string, from, to time.Time, log *slog.Logger) (*admin.Recorded, error) {
	path := filepath.Join(dir, "weir.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("another Weir is using %s; say with --admin where it answers", dir)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no history in %s: no Weir has run with this state yet", dir)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	defer db.Close() // it keeps a Weir from starting meanwhile
	h, err := history.OpenArchive(filepath.Join(dir, "metrics"), log)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no history in %s: no Weir has measured anything there yet", dir)
	}
	if err != nil {
		return nil, err
	}
	r, err := recorded(ctx, h, pool, from, to)
	if err != nil {
		return nil, err
	}
	boots, err := fleet.ReadBoots(db, pool)
	r.Boots = seconds(boots)
	return r, err
}

func seconds(ds []time.Duration) []float64 {
	out := make([]float64, len(ds))
	for i, d := range ds {
		out[i] = d.Seconds()
	}
	return out
}

// recorded reads a pool's counters. What it returns begins later than from where the history does.
func recorded(ctx context.Context, h archive, pool string, from, to time.Time) (*admin.Recorded, error) {
	if to.IsZero() {
		to = time.Now()
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	of := map[string]string{"pool": pool}
	var err error
	each := func(name string, f func(l labels.Labels, vs []trace.Value)) {
		if err != nil {
			return
		}
		err = h.Values(ctx, name, of, from, to, func(l labels.Labels, points []measure.Point) {
			vs := make([]trace.Value, len(points))
			for i, p := range points {
				vs[i] = trace.Value{At: p.Time, V: p.Value}
			}
			f(l, vs)
		})
	}
	var came []trace.Value
	each("weir_received_requests_total", func(_ labels.Labels, vs []trace.Value) { came = vs }) // there is one series of it
	if err != nil {
		return nil, err
	}
	if len(came) == 0 {
		return nil, fmt.Errorf("the history has nothing of pool %s between %s and %s; ask for a time in which Weir ran, metrics.retention says how far back it reaches: %w",
			pool, from.Local().Format(time.DateTime), to.Local().Format(time.DateTime), admin.ErrNotFound)
	}
	if begin := came[0].At; begin.Sub(from) > time.Minute && begin.Before(to) {
		from = begin // no policy is to pay for a time in which there was no Weir
	}
	k, err := trace.NewCounter(from, to, telemetry.ServiceBounds)
	if err != nil {
		return nil, admin.Mistake{Err: err}
	}
	k.Arrivals(came)
	each("weir_service_duration_seconds_bucket", func(l labels.Labels, vs []trace.Value) {
		le := l.Get("le")
		if le == "+Inf" {
			k.Service(len(telemetry.ServiceBounds), vs)
		} else if bound, err := strconv.ParseFloat(le, 64); err == nil {
			if i, ok := slices.BinarySearch(telemetry.ServiceBounds, bound); ok {
				k.Service(i, vs)
			}
		}
	})
	each("weir_service_duration_seconds_sum", func(_ labels.Labels, vs []trace.Value) { k.Sum(vs) })
	r := &admin.Recorded{Pool: pool}
	each("weir_desired_instances", func(_ labels.Labels, vs []trace.Value) {
		if len(vs) > 0 && r.Desired == nil {
			r.Desired = new(int(vs[0].V + 0.5))
		}
	})
	if err != nil {
		return nil, err
	}
	r.Counted = *k.Counted()
	if r.Arrivals() == 0 {
		return nil, fmt.Errorf("pool %s had no request between %s and %s; ask for a longer or another time: %w",
			pool, from.Local().Format(time.DateTime), to.Local().Format(time.DateTime), admin.ErrNotFound)
	}
	return r, nil
}

// Arrivals are the requests of a trace as the simulator takes them.
func Arrivals(requests iter.Seq[trace.Request]) iter.Seq[sim.Request] {
	return func(yield func(sim.Request) bool) {
		for q := range requests {
			if !yield(sim.Request{At: q.At, Service: q.Service}) {
				return
			}
		}
	}
}

// Begin has a simulation begin as the pool was when the recording began, and boot as it did lately.
func Begin(o *sim.Options, r *admin.Recorded, boots []float64) {
	o.Start = r.From
	if d := r.Desired; d != nil {
		o.Desired = min(max(*d, o.Scale.Min), o.Scale.Max)
	}
	measured := make([]time.Duration, len(boots))
	for i, s := range boots {
		measured[i] = time.Duration(s * float64(time.Second))
	}
	o.Boot = Boots(measured)
}
