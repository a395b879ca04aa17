package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/weirlb/weir/measure"
)

const (
	// lookback is for how long a value holds when nothing says that its series has ended, as in Prometheus.
	lookback = 5 * time.Minute
	// A query that needs more values at a time than this, or more time, is refused: Weir has other work.
	mostValues = 5_000_000
	mostTime   = 30 * time.Second
)

var language = parser.NewParser(parser.Options{})

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: mostValues, Timeout: mostTime, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
		NoStepSubqueryIntervalFn: func(int64) int64 { return step.Milliseconds() },
	})
}

// Check reports what is wrong with a PromQL expression, with the place of the mistake.
func Check(promql string) error {
	_, err := language.ParseExpr(promql)
	return err
}

// Querier reads both parts as one: what is older than the fine part comes from the coarse one. It implements storage.Queryable.
func (db *DB) Querier(mint, maxt int64) (storage.Querier, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	from := start(db.fine)
	if db.coarse == nil || mint >= from {
		return db.fine.Querier(mint, maxt)
	}
	old, err := db.coarse.Querier(mint, min(maxt, from-1))
	if err != nil || maxt < from {
		return old, err
	}
	fine, err := db.fine.Querier(from, maxt)
	if err != nil {
		old.Close()
		return nil, err
	}
	return storage.NewMergeQuerier([]storage.Querier{old, fine}, nil, storage.ChainedSeriesMerge), nil
}

// instant evaluates an expression at one moment. close gives its memory back.
func (db *DB) instant(ctx context.Context, text string, at time.Time) (r *promql.Result, done func(), err error) {
	q, err := db.engine.NewInstantQuery(ctx, db, nil, text, at)
	if err != nil {
		return nil, nil, err
	}
	r = q.Exec(ctx)
	return r, q.Close, r.Err
}

// between evaluates an expression at every step of a span.
func (db *DB) between(ctx context.Context, text string, from, to time.Time, step time.Duration) (r *promql.Result, done func(), err error) {
	q, err := db.engine.NewRangeQuery(ctx, db, nil, text, from, to, step)
	if err != nil {
		return nil, nil, err
	}
	r = q.Exec(ctx)
	return r, q.Close, r.Err
}

// Query evaluates an expression that gives one number. It implements measure.Source.
func (db *DB) Query(ctx context.Context, text string, at time.Time) (v float64, known bool, err error) {
	r, done, err := db.instant(ctx, text, at)
	if done != nil {
		defer done()
	}
	if err != nil {
		return 0, false, fmt.Errorf("evaluating %s: %w", text, err)
	}
	return One(r.Value)
}

// One is the number that a result is. None, and one that is not a number, is unknown; several are an error.
func One(result parser.Value) (v float64, known bool, err error) {
	switch x := result.(type) {
	case promql.Scalar:
		v = x.V
	case promql.Vector:
		switch {
		case len(x) == 0:
			return 0, false, nil
		case len(x) > 1:
			return 0, false, fmt.Errorf("the query gives %d series, and a policy needs one number; put sum(...), max(...) or avg(...) around it, or select one by its labels", len(x))
		case x[0].H != nil:
			return 0, false, errors.New("the query gives a histogram, and a policy needs one number; put histogram_quantile(0.95, ...) around it")
		}
		v = x[0].F
	default:
		return 0, false, fmt.Errorf("the query gives a %s, and a policy needs one number", result.Type())
	}
	return v, !math.IsNaN(v), nil
}

// Range evaluates an expression that gives at most one series, at every step from from to to. Moments without a value are left out.
func (db *DB) Range(ctx context.Context, text string, from, to time.Time, step time.Duration) ([]measure.Point, error) {
	r, done, err := db.between(ctx, text, from, to, step)
	if done != nil {
		defer done()
	}
	if err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", text, err)
	}
	m, err := r.Matrix()
	if err != nil {
		return nil, fmt.Errorf("evaluating %s: %w", text, err)
	}
	if len(m) > 1 {
		return nil, fmt.Errorf("evaluating %s: it gives %d series, and one is needed; put sum(...) around it", text, len(m))
	}
	var out []measure.Point
	for _, s := range m {
		for _, p := range s.Floats {
			if !math.IsNaN(p.F) {
				out = append(out, measure.Point{Time: time.UnixMilli(p.T), Value: p.F})
			}
		}
	}
	return out, nil
}
