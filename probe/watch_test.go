package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/target"
)

// inMemory is a target without a network, so that time can be made up: ok says how it answers.
func inMemory(ok *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 4096)
			if _, err := server.Read(buf); err != nil {
				return
			}
			status := 503
			if ok.Load() {
				status = 200
			}
			fmt.Fprintf(server, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
		}()
		return client, nil
	}
}

// latest is the newest status that was reported.
type latest struct{ p atomic.Pointer[health.Status] }

func (l *latest) set(s health.Status) { l.p.Store(&s) }
func (l *latest) get() health.Status  { return *l.p.Load() }

func TestWatchKeepsItsRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		c := Check{
			Path: "/ready", Interval: 15 * time.Second, Timeout: time.Second,
			Rule: health.Rule{Healthy: 2, Unhealthy: 2}, Dial: inMemory(&ok),
		}
		began := time.Now()
		last := &latest{}
		ctx, cancel := context.WithCancel(t.Context())
		go Watch(ctx, "x", c, health.Status{}, last.set)

		synctest.Wait()
		if last.get().Failures != 1 || last.get().State != target.Initial {
			t.Fatalf("a new target is checked at once: %+v", last.get())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		ok.Store(true)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		if last.get().State != target.Healthy {
			t.Fatalf("%v after it came up: %+v, want healthy within a quarter of a second", time.Since(began), last.get())
		}
		ok.Store(false)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if last.get().State != target.Healthy || last.get().Failures != 1 {
			t.Fatalf("after one failure: %+v", last.get())
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if last.get().State != target.Unhealthy {
			t.Fatalf("after two failures: %+v", last.get())
		}
		ok.Store(true)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if last.get().State != target.Healthy {
			t.Fatalf("after two passes: %+v", last.get())
		}
		cancel()
		synctest.Wait()
	})
}

func TestWatchGoesOnFromWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		c := Check{Path: "/", Interval: 10 * time.Second, Timeout: time.Second, Rule: health.Rule{Healthy: 2, Unhealthy: 3}, Dial: inMemory(&ok)}
		last := &latest{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go Watch(ctx, "x", c, health.Status{State: target.Healthy, Passed: true, Failures: 2}, last.set)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if last.get().State != target.Unhealthy {
			t.Fatalf("the third failure after a reload: %+v", last.get())
		}
		cancel()
		synctest.Wait()
	})
}

func TestATargetThatStaysDeadIsAskedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		var checks atomic.Int64
		c := Check{Rule: health.Rule{Healthy: 2, Unhealthy: 2}, Dial: func(context.Context, string, string) (net.Conn, error) {
			checks.Add(1)
			if !ok.Load() {
				return nil, syscall.ECONNREFUSED
			}
			conn, _ := net.Pipe()
			return conn, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last := &latest{}
		go Watch(ctx, "x", c, health.Status{}, last.set)
		for _, w := range []struct {
			wait     time.Duration
			min, max int64 // checks meanwhile
		}{
			{time.Minute, 235, 245}, // four a second
			{59 * time.Minute, 1000, 2500},
			{23 * time.Hour, 5500, 6500},
			{time.Hour, 238, 242}, // every 15 s
		} {
			before := checks.Load()
			time.Sleep(w.wait)
			synctest.Wait()
			if got := checks.Load() - before; got < w.min || got > w.max {
				t.Errorf("%d checks in %v, want %d to %d", got, w.wait, w.min, w.max)
			}
		}
		ok.Store(true)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if last.get().State != target.Healthy {
			t.Errorf("one pass is enough even after a day: %+v", last.get())
		}
	})
}

func TestFastChecksDoNotHastenTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		c := Check{Path: "/", Interval: 15 * time.Second, Rule: health.Rule{Healthy: 2, Unhealthy: 3}, Dial: inMemory(&ok)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last := &latest{}
		go Watch(ctx, "x", c, health.Status{}, last.set)
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if got := last.get(); got.State != target.Initial || got.Failures < 100 {
			t.Errorf("after 29 s: %+v, want initial until the third check at 15 s each would fail", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := last.get(); got.State != target.Unhealthy {
			t.Errorf("after 30 s: %+v", got)
		}
	})
}

// stalls is a target that takes connections and requests and never answers.
func stalls(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	return client, nil
}

func TestTheRhythmIsFromBeginToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Check{Path: "/", Interval: 15 * time.Second, Timeout: 10 * time.Second, Rule: health.Rule{Healthy: 2, Unhealthy: 3}, Dial: stalls}
		began := time.Now()
		due := health.Status{State: target.Healthy, Passed: true, LastCheck: began.Add(-15 * time.Second)}
		ctx, cancel := context.WithCancel(t.Context())
		last := &latest{}
		go Watch(ctx, "x", c, due, last.set)
		time.Sleep(39 * time.Second)
		synctest.Wait()
		if got := last.get(); got.State != target.Healthy || got.Failures != 2 {
			t.Errorf("before the third check timed out: %+v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := last.get()
		// Two intervals and a timeout after the target began to stall.
		if got.State != target.Unhealthy || got.Since.Sub(began) != 40*time.Second || got.Code != health.CodeTimeout {
			t.Errorf("%+v, want unhealthy after 40 s", got)
		}
		if want := "GET /: no answer within 10s"; got.Reason != want {
			t.Errorf("%q, want %q", got.Reason, want)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAReloadDoesNotDelayChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ok atomic.Bool
		ok.Store(true)
		c := Check{Path: "/", Interval: 10 * time.Second, Dial: inMemory(&ok)}
		var checks atomic.Int64
		last := &latest{}
		last.set(health.Status{State: target.Healthy, Passed: true, LastCheck: time.Now()})
		for range 30 { // every 4 s, for two minutes
			ctx, cancel := context.WithCancel(t.Context())
			go Watch(ctx, "x", c, last.get(), func(s health.Status) {
				checks.Add(1)
				last.set(s)
			})
			time.Sleep(4 * time.Second)
			synctest.Wait()
			cancel()
			synctest.Wait()
		}
		if n := checks.Load(); n != 12 {
			t.Errorf("%d checks in two minutes, want 12", n)
		}
	})
}

func TestACheckThatIsCutIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var ended atomic.Bool
		go func() {
			Watch(ctx, "x", Check{Path: "/", Dial: stalls}, health.Status{}, func(s health.Status) { t.Errorf("reported %+v", s) })
			ended.Store(true)
		}()
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		if !ended.Load() {
			t.Error("Watch goes on after its context has ended")
		}
	})
}

func TestAConnectionThatNeverOpensTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Check{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		o := c.Once(t.Context(), "x")
		if o.Pass || o.Latency != 5*time.Second || o.Code != health.CodeTimeout || o.Reason != "connecting: no answer within 5s" {
			t.Errorf("%+v", o)
		}
	})
}
