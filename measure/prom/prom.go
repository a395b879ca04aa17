// Package prom asks a Prometheus server, or what speaks its HTTP API, such as Thanos, Mimir or VictoriaMetrics.
package prom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/measure"
)

// Options are where the server is and how it is asked.
type Options struct {
	URL            string // without /api/v1
	Token          string // bearer; "" for none
	User, Password string // basic authentication; "" for none
	Headers        map[string]string
	Timeout        time.Duration // of one query
}

// Server is a Prometheus server. It implements measure.Source. All methods may be called from any goroutine.
type Server struct {
	o      Options
	base   string
	client *http.Client
}

// New returns a Server. It asks nothing yet.
func New(o Options) *Server {
	return &Server{o: o, base: strings.TrimSuffix(o.URL, "/") + "/api/v1/", client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}}}
}

// mostBytes of an answer.
const mostBytes = 16 << 20

// answer is the form of Prometheus's answers.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// series is one of a vector or a matrix.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// point is a time in Unix seconds and a value as text.
type point struct {
	at time.Time
	v  float64
}

func (p *point) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil || len(pair) != 2 {
		return errors.New("a value is not a pair of a time and a number")
	}
	var at float64
	var v string
	if err := errors.Join(json.Unmarshal(pair[0], &at), json.Unmarshal(pair[1], &v)); err != nil {
		return err
	}
	var err error
	p.at = time.UnixMilli(int64(math.Round(at * 1000)))
	p.v, err = strconv.ParseFloat(v, 64)
	return err
}

// Query evaluates an expression that gives one number.
func (s *Server) Query(ctx context.Context, promql string, at time.Time) (v float64, known bool, err error) {
	a, err := s.ask(ctx, "query", url.Values{"query": {promql}, "time": {seconds(at)}})
	if err != nil {
		return 0, false, err
	}
	var p point
	switch a.Data.Type {
	case "scalar":
		if err := json.Unmarshal(a.Data.Result, &p); err != nil {
			return 0, false, fmt.Errorf("reading the answer of Prometheus: %w", err)
		}
	case "vector":
		var all []series
		if err := json.Unmarshal(a.Data.Result, &all); err != nil {
			return 0, false, fmt.Errorf("reading the answer of Prometheus: %w", err)
		}
		if len(all) == 0 {
			return 0, false, nil
		}
		if len(all) > 1 {
			return 0, false, fmt.Errorf("the query gives %d series, and a policy needs one number; put sum(...), max(...) or avg(...) around it, or select one by its labels", len(all))
		}
		if p = all[0].Value; p.at.IsZero() {
			return 0, false, errors.New("the query gives a histogram, and a policy needs one number; put histogram_quantile(0.95, ...) around it")
		}
	default:
		return 0, false, fmt.Errorf("the query gives a %s, and a policy needs one number", a.Data.Type)
	}
	return p.v, !math.IsNaN(p.v), nil
}

// Range evaluates an expression that gives at most one series, at every step from from to to. Moments without a value are left out.
func (s *Server) Range(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]measure.Point, error) {
	a, err := s.ask(ctx, "query_range", url.Values{
		"query": {promql}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
	if err != nil {
		return nil, err
	}
	var all []series
	if err := json.Unmarshal(a.Data.Result, &all); err != nil {
		return nil, fmt.Errorf("reading the answer of Prometheus: %w", err)
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("the query gives %d series, and one is needed; put sum(...) around it", len(all))
	}
	var out []measure.Point
	for _, one := range all {
		for _, p := range one.Values {
			if !math.IsNaN(p.v) {
				out = append(out, measure.Point{Time: p.at, Value: p.v})
			}
		}
	}
	return out, nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// ask sends one query.
func (s *Server) ask(ctx context.Context, path string, form url.Values) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, v := range s.o.Headers {
		req.Header.Set(name, v)
	}
	switch {
	case s.o.Token != "":
		req.Header.Set("Authorization", "Bearer "+s.o.Token)
	case s.o.User != "":
		req.SetBasicAuth(s.o.User, s.o.Password)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the URL, which may hold a secret
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return a, fmt.Errorf("the Prometheus server has not answered within %v", s.o.Timeout)
		}
		return a, fmt.Errorf("the Prometheus server cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	switch {
	case err != nil:
		return a, fmt.Errorf("reading the answer of Prometheus: %w", err)
	case len(body) > mostBytes:
		return a, fmt.Errorf("the answer of Prometheus is longer than %d MiB", mostBytes>>20)
	}
	err = json.Unmarshal(body, &a)
	switch {
	case a.Status == "error":
		return a, fmt.Errorf("the Prometheus server refuses the query: %s", a.Error)
	case resp.StatusCode != http.StatusOK:
		return a, fmt.Errorf("the Prometheus server answered %s", resp.Status)
	case err != nil || a.Status != "success":
		return a, errors.New("what answers is no Prometheus: its answer is not in its form; see metrics.prometheus.url")
	}
	return a, nil
}
