package infer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxBody is the most bytes a request's body may have.
const maxBody = 4 << 20

// stage is how far a request has come; cancels are counted by it.
type stage string

const (
	stageQueue    stage = "queue"
	stagePrefill  stage = "prefill"
	stageGenerate stage = "generate"
)

var stages = []stage{stageQueue, stagePrefill, stageGenerate}

// outcome is how a request ended.
type outcome string

const (
	outcomeOK        outcome = "ok"
	outcomeInvalid   outcome = "invalid"   // the request could not be understood
	outcomeRefused   outcome = "refused"   // not ready, draining, or the queue is full
	outcomeFailed    outcome = "failed"    // a fault answered 500
	outcomeReset     outcome = "reset"     // a fault cut the connection
	outcomeCancelled outcome = "cancelled" // the client left
	outcomeAborted   outcome = "aborted"   // the server was stopped, or died
)

var outcomes = []outcome{
	outcomeOK, outcomeInvalid, outcomeRefused, outcomeFailed, outcomeReset, outcomeCancelled, outcomeAborted,
}

// call is one inference request.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // ends when the client leaves or the server stops
	model   string
	models  *models
	stage   stage
	start   time.Time
	release func()
	begun   bool // the answer's header has been sent
}

// apiError is an answer that is not the one that was asked for, in OpenAI's shape.
type apiError struct {
	status     int
	kind, code string
	message    string
	param      string // the field at fault, if one is
	retryAfter int    // seconds; 0 sends no Retry-After
	outcome    outcome
}

func (e *apiError) Error() string { return e.message }

// invalid is the error of a request whose field param cannot be used.
func invalid(param, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, kind: "invalid_request_error", code: "invalid_value", param: param,
		message: fmt.Sprintf(format, args...), outcome: outcomeInvalid,
	}
}

// refusal is a 503 that says when to come back.
func refusal(code string, retryAfter int, message string) *apiError {
	return &apiError{
		status: http.StatusServiceUnavailable, kind: "service_unavailable", code: code, message: message,
		retryAfter: retryAfter, outcome: outcomeRefused,
	}
}

// infer wraps what answers one model's requests: it lets a request in, gives it a context that ends when its client
// leaves, and counts how it ended.
func (s *Server) infer(model string, answer func(*call) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{s: s, w: w, r: r, model: model, stage: stageQueue, start: time.Now(), release: func() {}}
		err := s.enter(c)
		if err == nil {
			defer s.leave()
			ctx, cancel := context.WithCancelCause(r.Context())
			defer cancel(nil)
			stop := context.AfterFunc(s.ctx, func() { cancel(errStopped) })
			defer stop()
			c.ctx = ctx
			err = answer(c)
			c.release()
		}
		s.metrics.finish(c, c.finish(err))
	}
}

// enter lets a request in, or says why not.
func (s *Server) enter(c *call) error {
	if f := s.faults.get(); f.Refuse == refuse503 {
		return refusal("fault", 1, "a fault makes this server refuse requests; DELETE /fault ends it")
	}
	if s.faults.fails() {
		return &apiError{
			status: http.StatusInternalServerError, kind: "server_error", code: "fault",
			message: "a fault makes this server fail some requests; DELETE /fault ends it", outcome: outcomeFailed,
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		c.w.Header().Set("Connection", "close")
		return refusal("draining", 1, "the server is shutting down; ask another one")
	case s.phase == loading:
		left := int(math.Ceil(time.Until(s.loadEnds).Seconds()))
		return refusal("model_loading", min(max(left, 1), 300), "the model is still loading; try again later")
	case s.phase != ready:
		return refusal("model_not_loaded", 5, "no model is loaded; POST /load loads it")
	}
	c.models = s.models
	s.inFlight++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.checkDrained()
}

// acquire waits for a slot of the call's model and sets how to give it back.
func (c *call) acquire() error {
	release, err := c.s.lanes[c.model].acquire(c.ctx)
	if err != nil {
		return err
	}
	c.release, c.stage = release, stageGenerate
	return nil
}

// body reads the request's body to its end, which is also what lets net/http notice that the client has left.
func (c *call) body() ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err == nil {
		return b, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		e := invalid("", "the body is larger than %d bytes; send a shorter one", maxBody)
		e.status = http.StatusRequestEntityTooLarge
		return nil, e
	}
	return nil, fmt.Errorf("reading the request: %w", errClientLeft)
}

// errClientLeft ends a request whose client went away.
var errClientLeft = errors.New("the client left")

// finish writes the answer that err calls for, when one can still be written, and returns how the request ended.
func (c *call) finish(err error) outcome {
	if err == nil {
		return outcomeOK
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		e.write(c.w)
		return e.outcome
	}
	switch {
	case errors.Is(err, errReset):
		resetConnection(c.w)
		return outcomeReset
	case errors.Is(err, errQueueFull):
		e := refusal("queue_full", c.s.lanes[c.model].retryAfter(), fmt.Sprintf(
			"the server's queue is full: %d requests wait already; try again later", c.s.o.QueueLimit))
		e.status = c.s.o.QueueStatus
		e.write(c.w)
		return outcomeRefused
	case errors.Is(err, errUnloaded):
		refusal("model_not_loaded", 5, err.Error()+"; try again later").write(c.w)
		return outcomeRefused
	case errors.Is(err, errStopped), errors.Is(err, errDied):
		if !c.begun && errors.Is(err, errStopped) {
			refusal("stopped", 1, "the server was stopped; ask another one").write(c.w)
			return outcomeAborted
		}
		resetConnection(c.w) // an answer that is cut must not look complete
		return outcomeAborted
	}
	return outcomeCancelled // the client left: nobody reads an answer
}

// write sends the error.
func (e *apiError) write(w http.ResponseWriter) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	writeJSON(w, e.status, map[string]any{"error": map[string]any{
		"message": e.message, "type": e.kind, "param": nullable(e.param), "code": e.code,
	}})
}

// nullable is nil for an empty text, as OpenAI's errors have it.
func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// writeJSON sends v. What goes wrong in sending is the client's loss, and there is nobody to tell.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // only a number that JSON cannot hold
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"the answer has no JSON form"}}`)
	}
	b = append(b, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// errReset ends a request whose connection a fault cuts.
var errReset = errors.New("a fault resets the connection")

// resetConnection ends the connection with a TCP RST, or, when it is not a TCP connection of our own, abruptly.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's word for cutting the connection
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing with unsent data dropped sends RST
	}
	_ = conn.Close()
}

// send writes a whole answer at once. The reset fault cuts it in its middle.
func (c *call) send(contentType string, body []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.loadReport()
	if f := c.s.faults.get(); f.Reset {
		if f.ResetAfterTokens > 0 {
			c.begun = true
			_, _ = c.w.Write(body[:len(body)/2])
			_ = http.NewResponseController(c.w).Flush()
		}
		return errReset
	}
	c.begun = true
	if _, err := c.w.Write(body); err != nil {
		return fmt.Errorf("sending the answer: %w", errClientLeft)
	}
	return nil
}

// sendJSON is send for a value.
func (c *call) sendJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	return c.send("application/json", append(b, '\n'))
}

// loadReport adds the load to an answer that asked for it, the way vLLM reports it (ORCA's header form).
func (c *call) loadReport() {
	format := c.r.Header.Get("endpoint-load-metrics-format")
	if format == "" {
		return
	}
	const kv, waiting = "kv_cache_usage_perc", "num_requests_waiting"
	f := c.s.faults.get()
	report := map[string]float64{}
	_, queued := c.s.lanes[c.model].counts()
	if v, ok := f.gauge(gaugeKVCache, c.s.kvCacheUsage()); ok {
		report[kv] = v
	}
	if v, ok := f.gauge(gaugeWaiting, float64(queued)); ok {
		report[waiting] = v
	}
	c.w.Header().Set("endpoint-load-metrics", formatLoadReport(format, report))
}
