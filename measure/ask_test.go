package measure

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// server answers as it is told.
type server struct {
	mu    sync.Mutex
	value float64
	known bool
	err   error
	hangs bool
	asked int
}

func (s *server) Query(ctx context.Context, _ string, _ time.Time) (float64, bool, error) {
	s.mu.Lock()
	s.asked++
	v, known, err, hangs := s.value, s.known, s.err, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return 0, false, ctx.Err()
	}
	return v, known, err
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func withAsker(t *testing.T, test func(a *Asker, s *server, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer
		s := &server{value: 7, known: true}
		a := NewAsker(ctx, map[string]Source{"": s}, slog.New(slog.NewTextHandler(&log, nil)))
		a.Watch("api", []Query{{Text: "up"}})
		synctest.Wait()
		test(a, s, &log)
		cancel()
		a.Wait()
	})
}

func answer(a *Asker) (float64, bool) {
	m := map[string]float64{}
	a.Into(m, "api", time.Now())
	v, ok := m["query:up"]
	return v, ok
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAnAnswerHoldsForThreeRoundsAndComesBack(t *testing.T) {
	withAsker(t, func(a *Asker, s *server, log *bytes.Buffer) {
		if v, ok := answer(a); !ok || v != 7 {
			t.Fatalf("%v %v at once, want 7", v, ok)
		}
		s.set(func(s *server) { s.err = errors.New("connection refused") })
		wait(3 * AskEvery)
		if v, ok := answer(a); !ok || v != 7 {
			t.Errorf("after three rounds: %v %v, want 7 yet", v, ok)
		}
		wait(time.Second)
		if v, ok := answer(a); ok {
			t.Errorf("after more than three rounds: %v, want unknown", v)
		}
		s.set(func(s *server) { s.err, s.value = nil, 0 })
		wait(AskEvery)
		if v, ok := answer(a); !ok || v != 0 {
			t.Errorf("%v %v, want 0, which is known", v, ok)
		}
		if n := strings.Count(log.String(), "connection refused"); n != 1 {
			t.Errorf("the failure was said %d times, want once:\n%s", n, log)
		}
		if !strings.Contains(log.String(), "has an answer again") {
			t.Errorf("the recovery was not said:\n%s", log)
		}
	})
}

func TestWhatTheSourceDoesNotKnowIsUnknownAtOnce(t *testing.T) {
	withAsker(t, func(a *Asker, s *server, _ *bytes.Buffer) {
		s.set(func(s *server) { s.known = false })
		wait(AskEvery)
		if v, ok := answer(a); ok {
			t.Errorf("%v, want unknown", v)
		}
	})
}

func TestASourceThatHangsHoldsUpNobody(t *testing.T) {
	withAsker(t, func(a *Asker, s *server, _ *bytes.Buffer) {
		s.set(func(s *server) { s.hangs = true })
		wait(4*AskEvery + time.Second)
		before := time.Now()
		if _, ok := answer(a); ok {
			t.Error("known, while the source hangs")
		}
		if d := time.Since(before); d > 0 {
			t.Errorf("the look took %v", d)
		}
		if as := a.Answers("api", time.Now()); len(as) != 1 || as[0].Known || as[0].Why == "" {
			t.Errorf("%+v", as)
		}
	})
}

func TestAQueryIsAskedAsLongAsAPoolNeedsIt(t *testing.T) {
	withAsker(t, func(a *Asker, s *server, _ *bytes.Buffer) {
		a.Watch("other", []Query{{Text: "up"}})
		wait(AskEvery)
		s.set(func(s *server) {
			if s.asked != 2 {
				t.Errorf("asked %d times, want once a round for both pools", s.asked)
			}
		})
		a.Watch("api", nil)
		a.Watch("other", nil)
		wait(10 * AskEvery)
		s.set(func(s *server) {
			if s.asked != 2 {
				t.Errorf("asked %d times, though nobody needs it", s.asked)
			}
		})
	})
}

func TestASourceThatIsNotThereSaysSo(t *testing.T) {
	withAsker(t, func(a *Asker, _ *server, _ *bytes.Buffer) {
		a.Watch("api", []Query{{Text: "up", Source: "prometheus"}})
		synctest.Wait()
		if as := a.Answers("api", time.Now()); len(as) != 1 || !strings.Contains(as[0].Why, `"prometheus"`) {
			t.Errorf("%+v", as)
		}
	})
}

func TestNobodyToAskIsFine(t *testing.T) {
	var a *Asker
	a.Watch("api", []Query{{Text: "up"}})
	a.Into(nil, "api", time.Now())
	a.Wait()
}
