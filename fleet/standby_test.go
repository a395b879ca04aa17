package fleet

import (
	"errors"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/pool"
)

// serving launches one instance and returns its id once it is ready.
func (w *world) serving() string {
	w.t.Helper()
	w.fleet.Launch(1, plan.Placement{})
	w.after(4 * time.Second)
	w.want("ready")
	return w.fleet.Instances(time.Now())[0].ID
}

// crash ends Weir as kill -9 does, and starts the next one.
func (w *world) crash() {
	w.close()
	w.open()
}

func TestStandbyFinishesWhatItHasRunsOnAndSurvives(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.serving()
		held := w.acquire()
		if err := w.fleet.Send(id, ToStandby, "by hand"); err != nil {
			t.Fatal(err)
		}
		if err := w.fleet.Send(id, ToStandby, "by hand"); err == nil {
			t.Error("sent to standby twice")
		}
		w.after(10 * time.Second)
		w.want("draining")
		held.Release(pool.Outcome{Status: 200}, time.Now())
		w.after(time.Second)
		w.want("standby")
		if w.m.count() != 1 || w.fleet.Instances(time.Now())[0].Target != nil {
			t.Errorf("in standby: %d run, %+v", w.m.count(), w.fleet.Instances(time.Now()))
		}
		w.crash()
		w.after(time.Second)
		w.want("standby")
		if late := w.acquire(); late.granted.Load() {
			t.Error("a request went to an instance in standby")
		}
		if err := w.fleet.Resume(id, "by hand"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		w.want("ready")
		if w.m.launched != 1 {
			t.Errorf("%d launches", w.m.launched)
		}
		if err := w.fleet.Resume(id, "by hand"); err == nil {
			t.Error("resumed what serves")
		}
	})
}

// Each errand that was written down and not begun is carried out by the next Weir.
func TestAnErrandSurvivesACrash(t *testing.T) {
	for to, states := range map[Errand]string{ToStandby: "standby", ToDetach: "", ToEnd: ""} {
		t.Run(string(to), func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.serving()
				w.cancel() // its goroutine hears nothing any more
				w.fleet.Wait()
				if err := w.fleet.Send(id, to, "by hand"); err != nil {
					t.Fatal(err)
				}
				w.crash()
				w.after(time.Second)
				w.want(states)
				if n, want := w.m.count(), map[Errand]int{ToStandby: 1, ToDetach: 1, ToEnd: 0}[to]; n != want {
					t.Errorf("%d run, want %d", n, want)
				}
			})
		})
	}
}

func TestAResumeSurvivesACrash(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.serving()
		w.fleet.Send(id, ToStandby, "by hand")
		w.after(time.Second)
		w.want("standby")
		w.cancel()
		w.fleet.Wait()
		if err := w.fleet.Resume(id, "by hand"); err != nil {
			t.Fatal(err)
		}
		w.crash()
		w.after(time.Second)
		w.want("ready")
	})
}

// A detached instance runs on, and stays known for as long as it does, so that no later Weir ends it as lost.
func TestDetach(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.serving()
		if err := w.fleet.Send(id, ToDetach, "by hand"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		w.want("")
		w.crash()
		w.want("")
		if w.m.count() != 1 || !w.fleet.store.Known(id) {
			t.Errorf("%d run, known: %v", w.m.count(), w.fleet.store.Known(id))
		}
		if err := w.fleet.store.ForgetDetached(func(string) bool { return false }); err != nil || w.fleet.store.Known(id) {
			t.Errorf("known after its end, %v", err)
		}
		if err := w.fleet.Protect(id, true); !errors.Is(err, ErrUnknown) {
			t.Errorf("protected what is gone: %v", err)
		}
	})
}

func TestProtectionSurvivesACrash(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.serving()
		if err := w.fleet.Protect(id, true); err != nil {
			t.Fatal(err)
		}
		w.crash()
		if v := w.fleet.Instances(time.Now())[0]; !v.Protected {
			t.Errorf("%+v", v)
		}
		o := w.options()
		o.Protect = true
		w.fleet.Configure(o)
		w.fleet.Launch(1, plan.Placement{})
		w.after(4 * time.Second)
		for _, v := range w.fleet.Instances(time.Now()) {
			if !v.Protected {
				t.Errorf("not protected: %+v", v)
			}
		}
	})
}

func TestAnInstanceThatEndsInStandbyIsForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.serving()
		w.fleet.Send(id, ToStandby, "by hand")
		w.after(time.Second)
		w.endAll()
		w.after(time.Second)
		w.want("")
		if w.fleet.store.Known(id) {
			t.Error("its record is left")
		}
	})
}
