package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

const (
	// mostPoints of one series in an answer, as Prometheus has it.
	mostPoints = 11_000
	// mostListed series or values in an answer.
	mostListed = 10_000
	mostForm   = 64 << 10
)

// Handler answers Prometheus's HTTP API below /api/v1, as far as it is about reading: query, query_range, series, labels, label values,
// and what Grafana asks beside. open gives the history of the moment, nil when there is none.
func Handler(open func() *DB) http.Handler {
	m := http.NewServeMux()
	for path, do := range map[string]func(context.Context, *DB, *http.Request) (any, error){
		"query": getInstant, "query_range": getRange, "series": getSeries, "labels": getLabels, "label/{name}/values": getLabelValues,
		"metadata": func(context.Context, *DB, *http.Request) (any, error) { return map[string]any{}, nil },
		"status/buildinfo": func(context.Context, *DB, *http.Request) (any, error) {
			return map[string]string{"version": "3.0.0"}, nil
		},
	} {
		serve := func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, mostForm)
			db := open()
			if db == nil {
				reply(w, nil, ErrClosed)
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), mostTime)
			defer cancel()
			v, err := do(ctx, db, r)
			reply(w, v, err)
		}
		m.HandleFunc("GET /api/v1/"+path, serve)
		m.HandleFunc("POST /api/v1/"+path, serve)
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, badRequest{fmt.Errorf("there is no %s %s here; there are query, query_range, series, labels and label/NAME/values", r.Method, r.URL.Path)})
	})
	return m
}

// badRequest is a mistake of who asks.
type badRequest struct{ error }

func (e badRequest) Unwrap() error { return e.error }

// reply writes an answer in the form of Prometheus.
func reply(w http.ResponseWriter, data any, err error) {
	out := map[string]any{"status": "success", "data": data}
	status := http.StatusOK
	if err != nil {
		kind := "execution"
		status = http.StatusUnprocessableEntity
		if _, ok := errors.AsType[badRequest](err); ok {
			kind, status = "bad_data", http.StatusBadRequest
		} else if _, ok := errors.AsType[promql.ErrQueryTimeout](err); ok || errors.Is(err, context.DeadlineExceeded) {
			kind, status = "timeout", http.StatusServiceUnavailable
		} else if errors.Is(err, ErrClosed) {
			kind, status = "unavailable", http.StatusServiceUnavailable
		}
		out = map[string]any{"status": "error", "errorType": kind, "error": err.Error()}
	}
	b, err := json.Marshal(out)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"status":"error","errorType":"internal","error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// result is what a query gives.
type result struct {
	Type  parser.ValueType `json:"resultType"`
	Value parser.Value     `json:"result"`
}

// frozen writes a result before the engine takes its memory back.
func frozen(r *promql.Result, done func(), err error) (any, error) {
	if done != nil {
		defer done()
	}
	if err != nil {
		if _, ok := errors.AsType[parser.ParseErrors](err); ok || r == nil {
			return nil, badRequest{err}
		}
		return nil, err
	}
	v := r.Value
	switch x := v.(type) { // an empty list, not null
	case promql.Vector:
		if x == nil {
			v = promql.Vector{}
		}
	case promql.Matrix:
		if x == nil {
			v = promql.Matrix{}
		}
	}
	b, err := json.Marshal(result{v.Type(), v})
	return json.RawMessage(b), err
}

func getInstant(ctx context.Context, db *DB, r *http.Request) (any, error) {
	at, err := timeOf(r, "time", time.Now())
	if err != nil {
		return nil, err
	}
	return frozen(db.instant(ctx, r.FormValue("query"), at))
}

func getRange(ctx context.Context, db *DB, r *http.Request) (any, error) {
	from, err := timeOf(r, "start", time.Time{})
	if err != nil {
		return nil, err
	}
	to, err := timeOf(r, "end", time.Time{})
	if err != nil {
		return nil, err
	}
	step, err := stepOf(r.FormValue("step"))
	switch {
	case err != nil:
		return nil, err
	case to.Before(from):
		return nil, badRequest{errors.New("end is before start")}
	case to.Sub(from)/step > mostPoints:
		return nil, badRequest{fmt.Errorf("that is more than %d points of each series; make step longer or the span shorter", mostPoints)}
	}
	return frozen(db.between(ctx, r.FormValue("query"), from, to, step))
}

func getSeries(ctx context.Context, db *DB, r *http.Request) (any, error) {
	sets, q, from, to, err := selected(db, r)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	if len(sets) == 0 {
		return nil, badRequest{errors.New("say with match[] which series")}
	}
	out, seen := []labels.Labels{}, map[string]bool{}
	for _, ms := range sets {
		set := q.Select(ctx, true, &storage.SelectHints{Start: from, End: to, Func: "series"}, ms...)
		for set.Next() && len(out) < mostListed {
			if l := set.At().Labels(); !seen[l.String()] {
				seen[l.String()] = true
				out = append(out, l)
			}
		}
		if err := set.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func getLabels(ctx context.Context, db *DB, r *http.Request) (any, error) {
	return list(ctx, db, r, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		names, _, err := q.LabelNames(ctx, nil, ms...)
		return names, err
	})
}

func getLabelValues(ctx context.Context, db *DB, r *http.Request) (any, error) {
	return list(ctx, db, r, func(q storage.Querier, ms []*labels.Matcher) ([]string, error) {
		values, _, err := q.LabelValues(ctx, r.PathValue("name"), nil, ms...)
		return values, err
	})
}

// list sums up what each selector gives.
func list(_ context.Context, db *DB, r *http.Request, get func(storage.Querier, []*labels.Matcher) ([]string, error)) (any, error) {
	sets, q, _, _, err := selected(db, r)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	out := []string{}
	for _, ms := range sets {
		some, err := get(q, ms)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), mostListed)], nil
}

// selected reads match[], start and end, and opens the span, in milliseconds.
func selected(db *DB, r *http.Request) (sets [][]*labels.Matcher, q storage.Querier, from, to int64, err error) {
	start, err := timeOf(r, "start", time.Unix(0, 0))
	if err != nil {
		return nil, nil, 0, 0, err
	}
	end, err := timeOf(r, "end", time.Now())
	if err != nil {
		return nil, nil, 0, 0, err
	}
	from, to = start.UnixMilli(), end.UnixMilli()
	for _, text := range r.Form["match[]"] {
		ms, err := language.ParseMetricSelector(text)
		if err != nil {
			return nil, nil, 0, 0, badRequest{err}
		}
		sets = append(sets, ms)
	}
	q, err = db.Querier(from, to)
	return sets, q, from, to, err
}

// timeOf reads a moment: RFC 3339, or Unix seconds. A zero otherwise makes it needed.
func timeOf(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	v := r.FormValue(name)
	if v == "" && !otherwise.IsZero() {
		return otherwise, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t, nil
	}
	const latest = 253402300799 // the year 9999
	if s, err := strconv.ParseFloat(v, 64); err == nil && math.Abs(s) <= latest {
		return time.UnixMilli(int64(math.Round(s * 1000))), nil
	}
	return time.Time{}, badRequest{fmt.Errorf("%s=%.64q is not a time; write 2026-01-31T15:04:05Z or Unix seconds", name, v)}
}

// stepOf reads a step: a duration as PromQL has it, or seconds.
func stepOf(v string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(v, 64); err == nil && s >= 0.001 && s < 1e9 {
		return time.Duration(s * float64(time.Second)), nil
	}
	if d, err := model.ParseDuration(v); err == nil && d > 0 {
		return time.Duration(d), nil
	}
	return 0, badRequest{fmt.Errorf("step=%.64q is not a time above 0; write 15s, or seconds", v)}
}
