package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// phase is where the models are.
type phase uint8

const (
	loading phase = iota
	ready
	unloaded
	failed // the models loaded but did not pass their inference test
)

func (p phase) String() string { return [...]string{"loading", "ready", "unloaded", "failed"}[p] }

// models is what a load brings into memory. It does not change afterwards.
type models struct {
	chars *charModel
	mlp   *mlp
}

// load begins to load the models, ending what was loaded or loading before. Requests that run go on with the models
// they have; requests that wait are refused. It takes the time given, or, when that is nil, the fault's, the
// recording's or the option's, and never less than the training does.
func (s *Server) load(given *time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := s.loadTime(given)
	ctx := s.leaveModels(loading)
	s.loadEnds = time.Now().Add(took)
	s.log.Info("loading models", "for", took.Round(time.Millisecond))
	s.processes.Go(func() { s.loadModels(ctx, took) })
}

// loadTime chooses how long a load takes. The caller holds mu.
func (s *Server) loadTime(given *time.Duration) time.Duration {
	if given != nil {
		return *given
	}
	if slow := s.faults.get().SlowLoad; slow > 0 {
		return time.Duration(slow)
	}
	if len(s.recorded) > 0 {
		drawn := float64(s.recorded[s.rng.IntN(len(s.recorded))])
		return time.Duration(min(drawn*s.o.LoadScale, float64(maxDuration)))
	}
	return s.o.LoadTime
}

// leaveModels puts the models away and refuses who waits for them. It returns the life of the phase it begins. The
// caller holds mu.
func (s *Server) leaveModels(next phase) context.Context {
	if s.stopLoad != nil {
		s.stopLoad()
	}
	ctx, stop := context.WithCancel(s.ctx)
	s.stopLoad = stop
	s.phase, s.models = next, nil
	for _, l := range s.lanes {
		l.refuseWaiting(errUnloaded)
	}
	return ctx
}

// unload drops the models until the next load.
func (s *Server) unload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveModels(unloaded)
	s.log.Info("models unloaded")
}

// loadModels trains what is trained, waits until the load has taken its time, and tests what it has.
func (s *Server) loadModels(ctx context.Context, took time.Duration) {
	start := time.Now()
	m := &models{}
	if s.serves(ModelChat) {
		m.chars = trainChars(corpus)
	}
	if s.serves(ModelPredict) {
		m.mlp = trainMLP(s.seed)
	}
	if sleepUntil(ctx, start.Add(took)) != nil {
		return
	}
	err := m.test()

	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	s.loadTook = time.Since(start)
	if err != nil {
		s.phase = failed
		s.log.Error("models failed their inference test", "error", err)
		return
	}
	s.phase, s.models = ready, m
	s.log.Info("ready", "load_took", s.loadTook.Round(time.Millisecond))
}

// test runs each model once and checks that what comes out can be an answer.
func (m *models) test() error {
	if m.chars != nil {
		p := make([]float64, len(m.chars.alphabet))
		m.chars.distribution(charContext{}, p)
		if !sumsToOne(p) {
			return errors.New("the chat model's chances do not sum to 1")
		}
	}
	if m.mlp != nil {
		for _, in := range [][]float64{{0, 0}, {0, 0.65}, {-0.9, 0.9}} {
			if p := m.mlp.predict(in); !sumsToOne(p[:]) || p[zoneOf(in[0], in[1])] < 0.5 {
				return fmt.Errorf("the predict model has not learned its task: at %v it finds %.2f", in, p)
			}
		}
	}
	x := mixture{{1, [3]float64{0.5, 0, -0.5}, grain}}.eulerStep([3]float64{1, 1, 1}, noiseMax, 0, 3)
	if slices.ContainsFunc(x[:], func(v float64) bool { return math.IsNaN(v) }) {
		return errors.New("the image model's step is not a number")
	}
	return nil
}

func sumsToOne(p []float64) bool {
	var sum float64
	for _, v := range p {
		sum += v
	}
	return math.Abs(sum-1) < 1e-6
}
