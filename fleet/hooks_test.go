package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/pool"
)

// hooked has the fleet, and those after a crash, run hooks.
func (w *world) hooked(hooks ...Hook) {
	w.hooks = hooks
	w.fleet.Configure(w.options())
}

// one is the only instance.
func (w *world) one() View {
	w.t.Helper()
	vs := w.fleet.Instances(time.Now())
	if len(vs) != 1 {
		w.t.Fatalf("%d instances", len(vs))
	}
	return vs[0]
}

func TestALaunchWaitsForItsHook(t *testing.T) {
	inWorld(t, func(w *world) {
		w.hooked(Hook{Name: "license", On: OnLaunch, Timeout: time.Minute, Default: Abandon}, Hook{Name: "bye", On: OnTerminate, Timeout: time.Minute, Default: Continue})
		w.fleet.Launch(1, plan.Placement{})
		w.after(30 * time.Second) // longer than it may take to be ready without a hook
		w.want("pending:wait")
		id, wait := w.one().ID, w.one().Waits[0]
		if wait.Hook != "license" || wait.Until.Sub(wait.Since) != time.Minute {
			t.Errorf("%+v", wait)
		}
		if until, err := w.fleet.Heartbeat(id, "", ""); err != nil || time.Until(until).Round(time.Second) != time.Minute {
			t.Errorf("%v %v", time.Until(until), err)
		}
		w.after(59 * time.Second)
		w.want("pending:wait")
		for _, c := range []struct{ hook, token, says string }{
			{"bye", "", "does not wait for hook bye"},
			{"", "stale", "of a wait that is over"},
		} {
			if err := w.fleet.Complete(id, c.hook, c.token, Continue); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if err := w.fleet.Complete(id, "", "", "maybe"); err == nil {
			t.Error("completed with maybe")
		}
		if err := w.fleet.Complete(id, "license", wait.Token, Continue); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		w.want("ready")
		if err := w.fleet.Complete(id, "", "", Continue); err == nil || !strings.Contains(err.Error(), "waits for no hook") {
			t.Errorf("%v", err)
		}
	})
}

// The default result counts when nobody completes a hook, and heartbeats help for 100 timeouts, as in EC2 Auto Scaling.
func TestAHookThatNobodyCompletes(t *testing.T) {
	for result, want := range map[Result]string{Continue: "ready", Abandon: ""} {
		t.Run(string(result), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.hooked(Hook{Name: "a", On: OnLaunch, Timeout: 10 * time.Second, Default: result})
				w.fleet.Launch(1, plan.Placement{})
				for range 200 {
					w.after(5 * time.Second)
					if w.states() != "pending:wait" {
						break
					}
					if _, err := w.fleet.Heartbeat(w.one().ID, "a", ""); err != nil {
						t.Fatal(err)
					}
				}
				if w.after(time.Second); w.states() == "pending:wait" {
					t.Error("it waits for more than 100 timeouts")
				}
				w.want(want)
				if _, why := w.fleet.Blocked(); (result == Abandon) != strings.Contains(why, "hook a abandoned it: nobody completed it") {
					t.Errorf("blocked because %q", why)
				}
				if result == Abandon && w.m.count() != 0 {
					t.Errorf("%d run", w.m.count())
				}
			})
		})
	}
}

// A terminate hook begins after the drain and cuts nothing; what it waits for survives crashes, its time goes on, and it is not asked for twice.
func TestATerminateHook(t *testing.T) {
	inWorld(t, func(w *world) {
		w.hooked(Hook{Name: "save", On: OnTerminate, Timeout: time.Hour, Default: Continue})
		id := w.serving()
		held := w.acquire()
		w.fleet.Drain(id, "scale-in")
		w.after(50 * time.Second) // of the 60 that it may drain
		w.want("draining")
		held.Release(pool.Outcome{Status: 200}, time.Now())
		w.after(time.Second)
		w.want("terminating:wait")
		wait := w.one().Waits[0]
		w.after(10 * time.Minute)
		w.fleet.Stop(id, "impatience")
		w.fleet.Keep(id, "wanted again")
		w.after(time.Second)
		w.want("terminating:wait")
		if w.m.count() != 1 {
			t.Errorf("%d run while the hook does", w.m.count())
		}
		w.crash()
		w.after(time.Second)
		w.want("terminating:wait")
		if after := w.one().Waits[0]; after.Token != wait.Token || !after.Until.Equal(wait.Until) {
			t.Errorf("waits for %+v, before the crash for %+v", after, wait)
		}
		w.m.running[id].deaf = true // so that it is seen ending
		if err := w.fleet.Complete(id, "save", wait.Token, Abandon); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		w.want("stopping")
		w.crash()
		w.after(time.Second)
		w.want("stopping")
		w.after(10 * time.Second)
		w.want("")
	})
}

// Every way to the end leads through the hooks: a launch that was abandoned, one that never became ready, a dead one, one in standby.
func TestEveryEndWaitsForTerminateHooks(t *testing.T) {
	bye := Hook{Name: "bye", On: OnTerminate, Timeout: time.Hour}
	for name, end := range map[string]func(w *world){
		"terminated while it waits to launch": func(w *world) {
			w.hooked(bye, Hook{Name: "hello", On: OnLaunch, Timeout: time.Hour})
			w.fleet.Launch(1, plan.Placement{})
			w.after(time.Second)
			w.fleet.Send(w.one().ID, ToEnd, "by hand")
		},
		"abandoned": func(w *world) {
			w.hooked(bye, Hook{Name: "hello", On: OnLaunch, Timeout: time.Second, Default: Abandon})
			w.fleet.Launch(1, plan.Placement{})
			w.after(2 * time.Second)
		},
		"never ready": func(w *world) {
			w.m.boot = -1
			w.fleet.Launch(1, plan.Placement{})
			w.after(21 * time.Second)
		},
		"stopped": func(w *world) { w.fleet.Stop(w.serving(), "test") },
		"from standby": func(w *world) {
			id := w.serving()
			w.fleet.Send(id, ToStandby, "by hand")
			w.after(time.Second)
			w.fleet.Send(id, ToEnd, "by hand")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.hooked(bye)
				end(w)
				w.after(time.Second)
				w.want("terminating:wait")
				if err := w.fleet.Complete(w.one().ID, "", "", Continue); err != nil {
					t.Error(err)
				}
				w.after(time.Second)
				w.want("")
			})
		})
	}
}

// When a hook is taken out of the config, what waits for it goes on: as EC2 Auto Scaling has it, launches are abandoned.
func TestAHookThatIsRemoved(t *testing.T) {
	for on, want := range map[Transition]string{OnLaunch: "failed", OnTerminate: ""} {
		t.Run(string(on), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.hooked(Hook{Name: "a", On: on, Timeout: time.Hour, Default: Continue})
				w.fleet.Launch(1, plan.Placement{})
				w.after(4 * time.Second)
				if on == OnTerminate {
					w.fleet.Drain(w.one().ID, "test")
				}
				w.after(time.Second)
				w.want(string(map[Transition]State{OnLaunch: PendingWait, OnTerminate: TerminatingWait}[on]))
				w.hooked()
				w.after(time.Second)
				w.want("")
				if _, why := w.fleet.Blocked(); (want == "failed") != strings.Contains(why, "not in the config any more") {
					t.Errorf("blocked because %q", why)
				}
			})
		})
	}
}

func TestHooksOfTheWarmPool(t *testing.T) {
	inWorld(t, func(w *world) {
		out := filepath.Join(t.TempDir(), "ways")
		say := []string{"sh", "-c", `echo $WEIR_TRANSITION $WEIR_ORIGIN $WEIR_DESTINATION >> ` + out}
		w.hooked(Hook{Name: "in", On: OnLaunch, Command: say, Timeout: time.Hour}, Hook{Name: "out", On: OnTerminate, Command: say, Timeout: time.Hour})
		o := w.options()
		o.Rest = RestRunning
		w.fleet.Configure(o)
		w.fleet.Prepare(1, plan.Placement{})
		w.after(5 * time.Second)
		w.want("warm")
		id := w.one().ID
		if boots, wakes := w.fleet.Boots(), w.fleet.Wakes(); boots.Count != 1 || wakes.P90 != 1 {
			t.Errorf("nothing was woken yet: boots %+v, wakings %+v", boots, wakes)
		}
		w.fleet.Wake(id, "test")
		w.after(5 * time.Second)
		w.want("ready")
		if boots, wakes := w.fleet.Boots(), w.fleet.Wakes(); boots.Count != 1 || wakes.Count != 1 || !(wakes.P50 < boots.P50) {
			t.Errorf("one boot and one waking, which is quicker: boots %+v, wakings %+v", boots, wakes)
		}
		w.fleet.Park(id, "test")
		w.after(5 * time.Second)
		w.want("warm")
		w.fleet.Drain(id, "test")
		w.after(5 * time.Second)
		w.want("")
		b, _ := os.ReadFile(out)
		if got, want := string(b), "launch provider warm_pool\nlaunch warm_pool pool\nterminate pool warm_pool\nterminate warm_pool provider\n"; got != want {
			t.Errorf("hooks were told\n%swant\n%s", got, want)
		}
	})
}

// One that is woken while it is prepared has both: those of its way to the warm pool, and those of its way to the pool.
func TestHooksOfAnInstanceWokenWhileItIsPrepared(t *testing.T) {
	inWorld(t, func(w *world) {
		w.hooked(Hook{Name: "in", On: OnLaunch, Timeout: time.Hour})
		w.fleet.Prepare(1, plan.Placement{})
		w.after(time.Second)
		id := w.one().ID
		w.fleet.Wake(id, "test")
		w.fleet.Complete(id, "", "", Continue)
		w.after(5 * time.Second)
		w.want("pending:wait")
		w.fleet.Complete(id, "", "", Continue)
		w.after(time.Second)
		w.want("ready")
	})
}

func TestAHookThatIsAProgram(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := t.TempDir()
		hook := Hook{
			Name: "register", On: OnLaunch, Timeout: time.Minute, Default: Abandon, Metadata: "eu",
			Command: []string{"sh", "-c", `env | grep '^WEIR_\|^API' | sort > "$0/env"; cat > "$0/stdin"; test -e "$0/fine" || { echo no such licence; exit 3; }`, dir},
		}
		w.hooked(hook)
		w.fleet.Launch(1, plan.Placement{Type: "g5", Market: "spot", Zone: "b"})
		w.after(time.Second)
		w.want("")
		if _, why := w.fleet.Blocked(); !strings.Contains(why, "exit status 3: no such licence") {
			t.Errorf("blocked because %q", why)
		}
		os.WriteFile(filepath.Join(dir, "fine"), nil, 0o600)
		w.fleet.Launch(1, plan.Placement{Type: "g5", Market: "spot", Zone: "b"})
		w.after(5 * time.Second)
		w.want("ready")

		stdin, _ := os.ReadFile(filepath.Join(dir, "stdin"))
		var c HookCall
		if err := json.Unmarshal(stdin, &c); err != nil || c.Token == "" || c.Until.Sub(w.one().Launched).Round(time.Second) != time.Minute {
			t.Errorf("%v in %s", err, stdin)
		}
		id := w.one().ID
		want := []string{
			"WEIR_ADDRESS=" + id, "WEIR_ATTEMPT=1", "WEIR_DESTINATION=pool", "WEIR_HOOK=register", "WEIR_INSTANCE=" + id, "WEIR_MARKET=spot",
			"WEIR_METADATA=eu", "WEIR_ORIGIN=provider", "WEIR_POOL=api", "WEIR_TOKEN=" + c.Token, "WEIR_TRANSITION=launch", "WEIR_TYPE=g5",
			"WEIR_VERSION=1", "WEIR_WHY=", "WEIR_ZONE=b",
		}
		env, _ := os.ReadFile(filepath.Join(dir, "env"))
		got := strings.Fields(string(env))
		for _, one := range append(want, "API=here") {
			if !slices.Contains(got, one) {
				t.Errorf("%s is missing from the environment:\n%s", one, env)
			}
		}
	})
}

// inRealTime gives a test a world in real time: real programs and servers are not in a bubble.
func inRealTime(t *testing.T, hooks ...Hook) *world {
	w := &world{t: t, m: &machines{running: map[string]*machine{}}, path: filepath.Join(t.TempDir(), "weir.db"), hooks: hooks}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not so after 20 s: %s; instances are %q", what, w.states())
		}
	}
}

// Whoever completes a hook ends its program with all that it began; a crash ends it too, and the next Weir runs it again and says so.
func TestAProgramThatIsNotWaitedForAnyMore(t *testing.T) {
	dir := t.TempDir()
	w := inRealTime(t, Hook{
		Name: "slow", On: OnLaunch, Timeout: time.Hour, Default: Abandon,
		Command: []string{"sh", "-c", `trap 'echo ended >> "$0/log"; exit' TERM; echo attempt $WEIR_ATTEMPT >> "$0/log"; sleep 1000 & wait`, dir},
	})
	log := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.ReplaceAll(string(b), "\n", " ")
	}
	w.fleet.Launch(1, plan.Placement{})
	w.until("it began", func() bool { return log() == "attempt 1 " })
	w.crash()
	w.until("it began again", func() bool { return log() == "attempt 1 ended attempt 2 " })
	if err := w.fleet.Complete(w.one().ID, "slow", "", Continue); err != nil {
		t.Fatal(err)
	}
	w.until("it ended", func() bool { return log() == "attempt 1 ended attempt 2 ended " && w.states() == "ready" })
}

func TestAHookThatIsAWebhook(t *testing.T) {
	var mu sync.Mutex
	var calls []HookCall
	answers := []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
		},
		func(w http.ResponseWriter) { io.WriteString(w, "fine") },
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		func(w http.ResponseWriter) { fmt.Fprint(w, `{"result": "ABANDON"}`) },
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var c HookCall
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.Header.Get("Authorization") != "Bearer x" {
			t.Errorf("%v %v", err, r.Header)
		}
		answers[len(calls)](w)
		calls = append(calls, c)
	}))
	defer s.Close()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(calls)
	}
	w := inRealTime(t, Hook{
		Name: "tell", On: OnLaunch, Timeout: time.Hour, Default: Continue, URL: s.URL, Headers: map[string]string{"Authorization": "Bearer x"},
	})
	w.fleet.Launch(1, plan.Placement{})
	w.until("it was asked twice and serves", func() bool { return count() == 2 && w.states() == "ready" })

	// One that accepts is not asked again, by the next Weir neither, and completes it by its token.
	w.fleet.Launch(1, plan.Placement{})
	accepted := func() bool {
		vs := w.fleet.Instances(time.Now())
		return len(vs) == 2 && len(vs[1].Waits) == 1 && vs[1].Waits[0].Accepted
	}
	w.until("it is accepted", accepted)
	w.crash()
	w.until("it still is", accepted)
	mu.Lock()
	c := calls[2]
	mu.Unlock()
	if err := w.fleet.Complete(c.Instance, c.Hook, c.Token, Continue); err != nil {
		t.Fatal(err)
	}
	w.until("both serve", func() bool { return w.states() == "ready ready" })

	w.fleet.Launch(1, plan.Placement{})
	w.until("it was abandoned", func() bool { return count() == 4 && w.states() == "ready ready" })
	if _, why := w.fleet.Blocked(); !strings.Contains(why, "hook tell abandoned it") {
		t.Errorf("blocked because %q", why)
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	h := &Hook{Command: []string{filepath.Join(t.TempDir(), "register")}}
	if err := h.exec(t.Context(), &HookCall{}, nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestWebhooksThatSayNonsense(t *testing.T) {
	for answer, want := range map[string]Result{"": Continue, "ok": Continue, `{"a": 1}`: Continue, `{"result": "continue"}`: Continue, `{"result": "perhaps"}`: ""} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) }))
		h := &Hook{URL: s.URL}
		if got, err := h.post(t.Context(), &HookCall{}); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q %v, want %q", answer, got, err, want)
		}
		s.Close()
	}
}
