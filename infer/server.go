package infer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server is an inference server: an [http.Handler] that begins to load its models as soon as it is made. Make one with
// [New] and end it with [Server.Close].
type Server struct {
	o    Options
	log  *slog.Logger
	seed uint64
	mux  *http.ServeMux

	ctx    context.Context // ends with errStopped when the server is closed
	cancel context.CancelCauseFunc

	dev       *device
	faults    *faults
	engine    *engine
	lanes     map[string]*lane // one for each model that is served
	metrics   *metrics
	port      atomic.Pointer[gate] // the port the server listens on, when it opened it itself
	ids       atomic.Uint64        // numbers of answers
	processes sync.WaitGroup       // the loads under way

	recorded []time.Duration // loads to draw from

	checkpoint atomic.Pointer[string] // what the image model has in memory; only who holds its slot writes it

	mu         sync.Mutex
	rng        *rand.Rand         // guarded by mu
	phase      phase              // guarded by mu
	models     *models            // guarded by mu; not nil while the phase is ready
	loadEnds   time.Time          // guarded by mu; when the load under way is expected to end
	loadTook   time.Duration      // guarded by mu; how long the last load took
	stopLoad   context.CancelFunc // guarded by mu; ends the load under way
	draining   bool               // guarded by mu
	inFlight   int                // guarded by mu; inference requests accepted and not yet answered
	drained    chan struct{}      // guarded by mu; closed when draining and nothing is in flight
	drainedSet bool               // guarded by mu; drained is closed
}

// Reasons why a request ends before its answer does.
var (
	errStopped  = errors.New("the server has been stopped")
	errUnloaded = errors.New("the model was unloaded while the request waited")
)

// New makes a server and begins to load its models. It returns an error, and starts nothing, when an option cannot be
// used or the load file cannot be read.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var recorded []time.Duration
	if o.LoadFile != "" {
		var err error
		if recorded, err = readLoadFile(o.LoadFile); err != nil {
			return nil, err
		}
	}
	seed := o.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	s := &Server{
		o: o, seed: seed, recorded: recorded,
		log:     o.Logger.With("device", o.Device),
		dev:     newDevice(o.Device == DeviceEmulated),
		faults:  newFaults(o.Exit, seed),
		lanes:   map[string]*lane{},
		rng:     rand.New(rand.NewPCG(seed, 0x736572766572)),
		drained: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.dev.before, s.dev.after = s.faults.beforeStep, s.faults.afterStep
	for _, m := range o.Model {
		slots := 1
		if m == ModelChat {
			slots = o.Slots
		}
		s.lanes[m] = &lane{slots: slots, limit: o.QueueLimit}
	}
	s.metrics = newMetrics(s)
	s.engine = &engine{
		ctx: s.ctx, dev: s.dev, tokenTime: o.TokenTime, prefillTime: o.PrefillTime, batchCost: o.BatchCost,
		onTokens: s.metrics.addTokens,
	}
	s.mux = s.routes()
	s.log.Info(s.describe(), "models", s.modelNames(), "seed", seed, "slots", o.Slots, "queue_limit", o.QueueLimit)
	s.load(nil)
	return s, nil
}

// describe says in words what the device is.
func (s *Server) describe() string {
	if s.dev.emulated {
		return "weir infer: EMULATED device: steps, tokens and predictions take set times and are not computed at their true cost"
	}
	return "weir infer: cpu device: every step is computed on the processor"
}

// modelNames lists the models that are served, in the order image, chat, predict.
func (s *Server) modelNames() []string {
	var names []string
	for _, m := range []string{ModelImage, ModelChat, ModelPredict} {
		if s.lanes[m] != nil {
			names = append(names, s.o.modelName(m))
		}
	}
	return names
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.handleHealth)
	mux.HandleFunc("GET /health/ready", s.handleReady)
	mux.HandleFunc("GET /v1/models", s.handleModels)
	mux.Handle("GET /metrics", s.metrics.handler())
	if s.lanes[ModelImage] != nil {
		mux.HandleFunc("POST /generate", s.infer(ModelImage, s.generateRaw))
		mux.HandleFunc("POST /v1/images/generations", s.infer(ModelImage, s.generateOpenAI))
	}
	if s.lanes[ModelChat] != nil {
		mux.HandleFunc("POST /v1/chat/completions", s.infer(ModelChat, s.chatCompletions))
		mux.HandleFunc("POST /v1/completions", s.infer(ModelChat, s.completions))
	}
	if s.lanes[ModelPredict] != nil {
		mux.HandleFunc("GET /predict", s.infer(ModelPredict, s.predict))
		mux.HandleFunc("POST /predict", s.infer(ModelPredict, s.predict))
	}
	mux.HandleFunc("GET /fault", s.local(s.showFault))
	mux.HandleFunc("POST /fault", s.local(s.setFault))
	mux.HandleFunc("DELETE /fault", s.local(s.clearFault))
	mux.HandleFunc("POST /load", s.local(s.handleLoad))
	mux.HandleFunc("POST /unload", s.local(s.handleUnload))
	return mux
}

// ServeHTTP answers one request. Every answer names the device in X-Device.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Device", s.o.Device)
	h.Set("Server", "weir-infer ("+s.o.Device+")")
	s.mux.ServeHTTP(w, r)
}

// Drain refuses new inference requests with 503 from now on and returns when the accepted ones, running or waiting,
// are answered, or with ctx's error when ctx ends first.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	left := s.inFlight
	s.checkDrained()
	s.mu.Unlock()
	s.log.Info("draining", "in_flight", left)
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		left = s.inFlight
		s.mu.Unlock()
		return fmt.Errorf("draining: %d requests still in flight: %w", left, ctx.Err())
	}
}

// checkDrained closes drained when its time has come. The caller holds mu.
func (s *Server) checkDrained() {
	if s.draining && s.inFlight == 0 && !s.drainedSet {
		s.drainedSet = true
		close(s.drained)
	}
}

// Close ends every request and the load under way. The server cannot be used afterwards.
func (s *Server) Close() error {
	s.cancel(errStopped)
	s.faults.replace(fault{}, nil)
	s.processes.Wait()
	return nil
}

// handleModels answers GET /v1/models in OpenAI's format.
func (s *Server) handleModels(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
		Device  string `json:"device"`
	}
	list := []model{}
	for _, name := range s.modelNames() {
		list = append(list, model{ID: name, Object: "model", OwnedBy: "weir", Device: s.o.Device})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

// requestSeed is the seed of a request that names none.
func (s *Server) requestSeed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Uint64()
}

// serves reports whether a model is among those the server runs.
func (s *Server) serves(model string) bool { return slices.Contains(s.o.Model, model) }
