package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/telemetry"
)

const (
	decisionsDefault = 100
	decisionsMost    = 10000
	bodyMost         = 64 << 10 // bytes of a request to change something
)

// routes are all there is to ask for.
func (s *Server) routes(page fs.FS) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	m.Handle("GET /metrics", promhttp.HandlerFor(telemetry.Registry(s.metrics), promhttp.HandlerOpts{}))
	m.HandleFunc("GET /v1/version", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"version": s.o.Version})
	})
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { answer(w, s.o.Source.Status()) })
	m.HandleFunc("GET /v1/history", s.getHistory)
	m.HandleFunc("GET /v1/events", s.streamEvents)
	m.HandleFunc("GET /v1/decisions", s.getDecisions)
	m.HandleFunc("GET /v1/explain", s.getExplanation)
	m.HandleFunc("GET /v1/record", s.getRecord)
	m.HandleFunc("GET /v1/alarms", func(w http.ResponseWriter, r *http.Request) {
		if s.o.Alarms == nil {
			answer(w, map[string][]string{"alarms": {}})
			return
		}
		answer(w, s.o.Alarms())
	})
	m.HandleFunc("GET /v1/cost", func(w http.ResponseWriter, r *http.Request) {
		if s.o.Costs == nil {
			answer(w, Costs{Pools: []PoolCost{}})
			return
		}
		answer(w, s.o.Costs())
	})
	m.HandleFunc("GET /v1/journal", s.getJournal)
	m.HandleFunc("GET /v1/pools/{pool}/forecast", s.getForecast)
	m.HandleFunc("GET /v1/pools/{pool}/instances", s.getInstances)
	m.HandleFunc("GET /v1/pools/{pool}/instances/{id}", s.getInstances)
	m.HandleFunc("GET /v1/pools/{pool}/instances/{id}/logs", s.streamLogs)
	m.HandleFunc("POST /v1/pools/{pool}/targets/{id}/drain", s.operate(func(o Operator, r *http.Request) error {
		return o.Drain(r.PathValue("pool"), r.PathValue("id"), true)
	}))
	m.HandleFunc("DELETE /v1/pools/{pool}/targets/{id}/drain", s.operate(func(o Operator, r *http.Request) error {
		return o.Drain(r.PathValue("pool"), r.PathValue("id"), false)
	}))
	m.HandleFunc("POST /v1/pools/{pool}/scale", s.operate(setScale))
	m.HandleFunc("DELETE /v1/pools/{pool}/scale", s.operate(func(o Operator, r *http.Request) error {
		return o.Scale(r.PathValue("pool"), -1, 0)
	}))
	m.HandleFunc("POST /v1/pools/{pool}/refresh", s.operate(refresh))
	m.HandleFunc("POST /v1/pools/{pool}/instances/{id}/{verb}", s.operate(setInstance))
	m.HandleFunc("PATCH /v1/pools/{pool}/targets/{id}", s.operate(setTarget))
	m.HandleFunc("DELETE /v1/pools/{pool}/targets/{id}", s.operate(func(o Operator, r *http.Request) error {
		return o.Override(r.PathValue("pool"), r.PathValue("id"), pool.Override{}, true)
	}))
	m.HandleFunc("POST /v1/metrics", s.push)
	m.HandleFunc("GET /v1/pools/{pool}/recorded", s.getRecorded)
	m.HandleFunc("GET /v1/whatif", s.getWhatIf)
	m.HandleFunc("POST /v1/whatif", s.postWhatIf)
	if s.o.History != nil {
		m.Handle("GET /api/v1/", s.o.History)
		m.Handle("POST /api/v1/", s.o.History)
	}
	m.HandleFunc("POST /v1/reload", s.keep(func(k Keeper, r *http.Request) (any, error) { return done, k.Reload() }))
	m.HandleFunc("POST /v1/upgrade", s.keep(s.upgrade))
	m.Handle("GET /", servePage(page))
	return inJSON(m)
}

// inJSON has what m itself refuses, a method that a path does not know, say so as the rest of the API does.
func inJSON(m *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusal, pattern := m.Handler(r)
		if pattern != "" {
			m.ServeHTTP(w, r)
			return
		}
		refusal.ServeHTTP(headerOnly{w.Header()}, r) // sets Allow
		refuse(w, http.StatusMethodNotAllowed, "method", quoted(r.URL.Path)+" does not know "+quoted(r.Method)+"; it knows "+w.Header().Get("Allow"))
	})
}

// headerOnly takes the headers of an answer and drops the rest.
type headerOnly struct{ header http.Header }

func (h headerOnly) Header() http.Header       { return h.header }
func (headerOnly) WriteHeader(int)             {}
func (headerOnly) Write(b []byte) (int, error) { return len(b), nil }

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) {
	span := HistorySpan
	if v := r.FormValue("for"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			refuse(w, http.StatusBadRequest, "for", fmt.Sprintf("for=%s is not a time: write 30s or 5m", quoted(v)))
			return
		}
		span = min(d, HistorySpan)
	}
	answer(w, s.history.since(time.Now().Add(-span), r.FormValue("pool")))
}

func (s *Server) getDecisions(w http.ResponseWriter, r *http.Request) {
	from, to, err := spanOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "time", err.Error())
		return
	}
	limit := decisionsDefault
	if v := r.FormValue("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > decisionsMost {
			refuse(w, http.StatusBadRequest, "limit", fmt.Sprintf("limit=%s is not a number from 1 to %d", quoted(v), decisionsMost))
			return
		}
	}
	if pool := r.FormValue("pool"); pool != "" && !s.hasPool(pool) {
		refuse(w, http.StatusNotFound, "not_found", s.noPool(pool))
		return
	}
	changed, err := strconv.ParseBool(cmp.Or(r.FormValue("changed"), "false"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "changed", fmt.Sprintf("changed=%s is neither true nor false", quoted(r.FormValue("changed"))))
		return
	}
	ask := limit
	if changed {
		ask = decisionsMost
	}
	ds, err := s.o.Source.Decisions(r.FormValue("pool"), from, to, ask)
	if err != nil {
		s.fail(w, err)
		return
	}
	if changed {
		ds = slices.DeleteFunc(ds, func(d scale.Decision) bool { return d.Desired == d.Previous })
	}
	answer(w, map[string]any{"decisions": notNil(ds[:min(len(ds), limit)])})
}

// operate answers a request to change something: 200 when it was done, 404 when there is no such thing, 409 when it
// cannot be done.
func (s *Server) operate(do func(Operator, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.o.Operator == nil {
			refuse(w, http.StatusNotImplemented, "read_only", "this Weir can only be looked at")
			return
		}
		s.change(w, r, func() (any, error) { return done, do(s.o.Operator, r) })
	}
}

// keep does as operate, with Weir itself.
func (s *Server) keep(do func(Keeper, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.o.Keeper == nil {
			refuse(w, http.StatusNotImplemented, "read_only", "this Weir cannot be changed from here")
			return
		}
		s.change(w, r, func() (any, error) { return do(s.o.Keeper, r) })
	}
}

// done is the answer to a request that has no other.
var done = map[string]bool{"ok": true}

func (s *Server) change(w http.ResponseWriter, r *http.Request, do func() (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyMost)
	result, err := do()
	if err != nil {
		s.fail(w, err)
		return
	}
	s.log.Info("a person or program changed something", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
	answer(w, result)
}

// upgrade has a new process take over. Who may name a program has one run as this user: that takes a token or a certificate, where others
// on this machine reach the API, too.
func (s *Server) upgrade(k Keeper, r *http.Request) (any, error) {
	var in struct {
		Binary string `json:"binary"`
	}
	if err := decode(r, &in); err != nil && !errors.Is(err, io.EOF) {
		return nil, invalid(`the body is not {"binary": "/usr/local/bin/weir"}, nor empty: ` + err.Error())
	}
	if in.Binary != "" && s.o.Token == "" && !s.o.Known {
		return nil, invalid("without a token anyone on this machine could have a program of theirs run; set admin.token, or replace the file that Weir was started from and leave the binary out")
	}
	return k.Upgrade(in.Binary)
}

func setTarget(o Operator, r *http.Request) error {
	var in struct {
		Weight *int  `json:"weight"`
		Slots  *int  `json:"slots"`
		Drain  *bool `json:"drain"`
	}
	switch err := decode(r, &in); {
	case err != nil:
		return invalid(`the body is not {"weight": 2, "slots": 4, "drain": false}, of which each may be left out: ` + err.Error())
	case in.Weight == nil && in.Slots == nil && in.Drain == nil:
		return invalid(`nothing is to be changed: write "weight", "slots" or "drain"; DELETE takes all changes back`)
	case in.Weight != nil && (*in.Weight < 1 || *in.Weight > 65535):
		return invalid(`"weight" is from 1 to 65535; to give the target nothing, write "drain": true`)
	case in.Slots != nil && *in.Slots < 0:
		return invalid(`"slots" is 0, for no limit, or more`)
	}
	return o.Override(r.PathValue("pool"), r.PathValue("id"), pool.Override{Weight: in.Weight, Slots: in.Slots, Drain: in.Drain}, false)
}

// decode reads a body strictly.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func setScale(o Operator, r *http.Request) error {
	var in struct {
		Desired *int   `json:"desired"`
		For     string `json:"for"`
	}
	if err := decode(r, &in); err != nil {
		return invalid(`the body is not {"desired": 3, "for": "30m"}: ` + err.Error())
	}
	if in.Desired == nil || *in.Desired < 0 {
		return invalid(`"desired" must say how many instances, 0 or more; DELETE gives the pool back to its policies`)
	}
	var forTime time.Duration
	if in.For != "" {
		var err error
		if forTime, err = time.ParseDuration(in.For); err != nil || forTime <= 0 {
			return invalid(fmt.Sprintf(`"for" is %s, which is not a time: write "30m" or "2h", or leave it out to set the capacity until it is taken back`, quoted(in.For)))
		}
	}
	return o.Scale(r.PathValue("pool"), *in.Desired, forTime)
}

func refresh(o Operator, r *http.Request) error {
	var in struct {
		Order RefreshOrder `json:"order"`
	}
	if err := decode(r, &in); err != nil {
		return invalid(`the body is not {"order": "outdated"}: ` + err.Error())
	}
	switch in.Order {
	case RefreshOutdated, RefreshAll, RefreshCancel, RefreshRollback:
		return o.Refresh(r.PathValue("pool"), in.Order)
	}
	return invalid(`"order" is outdated, all, cancel or rollback`)
}

// invalid is a mistake in the request itself.
type invalid string

func (e invalid) Error() string { return string(e) }

func (s *Server) fail(w http.ResponseWriter, err error) {
	if _, ok := errors.AsType[invalid](err); ok {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if errors.Is(err, ErrNotFound) {
		refuse(w, http.StatusNotFound, "not_found", err.Error())
		return
	}
	refuse(w, http.StatusConflict, "conflict", err.Error())
}

// spanOf reads from and to: RFC 3339, or Unix seconds.
func spanOf(r *http.Request) (from, to time.Time, err error) {
	if from, err = timeOf("from", r.FormValue("from")); err != nil {
		return from, to, err
	}
	to, err = timeOf("to", r.FormValue("to"))
	return from, to, err
}

func timeOf(name, v string) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
		return t, nil
	}
	const latest = 253402300799 // the year 9999
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 && n <= latest {
		return time.UnixMilli(int64(n * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%s=%s is not a time: write 2026-01-31T15:04:05Z or Unix seconds", name, quoted(v))
}

func (s *Server) hasPool(name string) bool {
	for _, p := range s.o.Source.Status().Pools {
		if p.Name == name {
			return true
		}
	}
	return false
}

func (s *Server) noPool(name string) string {
	return fmt.Sprintf("there is no pool %s; GET /v1/status lists those there are", quoted(name))
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "writing the answer: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

// refuse writes an error as every API of Weir does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // people read this
	e.Encode(map[string]any{"error": map[string]string{"message": message, "type": kind, "code": code}})
}

// quoted shows what a stranger sent, short and harmless.
func quoted(v string) string {
	if len(v) > 64 {
		v = v[:64] + "…"
	}
	return strconv.Quote(v)
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
