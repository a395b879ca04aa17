package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type queryCmd struct {
	remote
	PromQL string        `arg:"" name:"promql" help:"What to ask, such as 'sum(weir_queue_depth)'."`
	Range  time.Duration `help:"Show the values of this time until now, such as 1h."`
	Step   time.Duration `help:"With --range: the time between two values. Default: 30 values."`
	At     string        `help:"Ask about this time (RFC 3339) instead of now."`
	JSON   bool          `help:"Print the answer as JSON, as Prometheus has it."`
}

// queried is an answer of Prometheus's API.
type queried struct {
	Data struct {
		ResultType string
		Result     json.RawMessage
	}
}

// queriedSeries is one series of it; each value is a time in Unix seconds and a number as text.
type queriedSeries struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

func (q *queryCmd) Run(o *output) error {
	at := time.Now()
	if q.At != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, q.At); err != nil {
			return usageError{fmt.Errorf("--at %s is not a time; write it as 2026-01-31T15:04:05Z", q.At)}
		}
	}
	form := url.Values{"query": {q.PromQL}, "time": {unix(at)}}
	path := "/api/v1/query?"
	switch {
	case q.Range < 0 || q.Step < 0:
		return usageError{errors.New("--range and --step are times above 0")}
	case q.Range > 0:
		step := q.Step
		if step == 0 {
			step = max((q.Range / 30).Round(time.Second), time.Second)
		}
		path = "/api/v1/query_range?"
		form = url.Values{"query": {q.PromQL}, "start": {unix(at.Add(-q.Range))}, "end": {unix(at)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}
	case q.Step > 0:
		return usageError{errors.New("--step needs --range")}
	}
	b, err := q.do("GET", path+form.Encode(), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if q.JSON {
		_, err := io.Copy(o.out, b)
		return err
	}
	var a queried
	if err := json.NewDecoder(b).Decode(&a); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return a.print(o.out)
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// print writes a table: a line for each series, or, for a span, a line for each value.
func (a *queried) print(w io.Writer) error {
	if a.Data.ResultType == "scalar" || a.Data.ResultType == "string" {
		var v [2]any
		if err := json.Unmarshal(a.Data.Result, &v); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		_, err := fmt.Fprintln(w, v[1])
		return err
	}
	var all []queriedSeries
	if err := json.Unmarshal(a.Data.Result, &all); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing is known of that: there is no such series, or it has no value at that time")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if a.Data.ResultType == "vector" {
		fmt.Fprintln(t, "SERIES\tVALUE")
		for _, s := range all {
			fmt.Fprintf(t, "%s\t%v\n", nameOf(s.Metric), s.Value[1])
		}
		return t.Flush()
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "%s\nTIME\tVALUE\n", nameOf(s.Metric))
		for _, v := range s.Values {
			fmt.Fprintf(t, "%s\t%v\n", momentOf(v[0]), v[1])
		}
	}
	return t.Flush()
}

// nameOf writes a series as PromQL does.
func nameOf(metric map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(metric)) {
		if name != "__name__" {
			parts = append(parts, name+"="+strconv.Quote(metric[name]))
		}
	}
	if len(parts) == 0 && metric["__name__"] != "" {
		return metric["__name__"]
	}
	return metric["__name__"] + "{" + strings.Join(parts, ", ") + "}"
}

func momentOf(v any) string {
	s, ok := v.(float64)
	if !ok {
		return fmt.Sprint(v)
	}
	return time.UnixMilli(int64(s * 1000)).Format(time.DateTime)
}
