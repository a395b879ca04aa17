package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The states in which an instance waits for its hooks, as EC2 Auto Scaling names them.
const (
	PendingWait     State = "pending:wait"     // launched, and not checked yet
	TerminatingWait State = "terminating:wait" // drained, and not told to end yet
)

// Transition is what a hook belongs to.
type Transition string

// The transitions.
const (
	OnLaunch    Transition = "launch"
	OnTerminate Transition = "terminate"
)

// Result is how a hook ends.
type Result string

// The results, as EC2 Auto Scaling has them: a launch that is abandoned ends the instance, and another one is launched. An instance that
// terminates does so either way; Abandon does not wait for the other hooks.
const (
	Continue Result = "continue"
	Abandon  Result = "abandon"
)

// Place is where an instance comes from or goes to.
type Place string

// The places.
const (
	AtProvider Place = "provider"
	AtPool     Place = "pool"
	AtWarmPool Place = "warm_pool"
)

// Hook is something to be done while an instance waits: Command is run, or URL is sent a POST; with neither, somebody is to call
// [Fleet.Complete].
type Hook struct {
	Name     string
	On       Transition
	Command  []string
	URL      string
	Headers  map[string]string
	Timeout  time.Duration // without a heartbeat
	Default  Result        // after that, or when the hook fails
	Metadata string        // handed on as it is
}

// A wait ends after longestWait, or hookTimeouts timeouts of its hook, whatever heartbeats come: the limits of EC2 Auto Scaling.
const (
	longestWait  = 48 * time.Hour
	hookTimeouts = 100
)

// Wait is one hook that an instance waits for.
type Wait struct {
	Hook     string    `json:"hook"`
	Token    string    `json:"token"` // of this wait alone
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`              // then its default result counts
	Attempt  int       `json:"attempt,omitempty"`  // how often the hook was begun
	Accepted bool      `json:"accepted,omitempty"` // a webhook took it over, and will complete it
	Result   Result    `json:"result,omitempty"`   // "" as long as there is none
	Why      string    `json:"why,omitempty"`      // of the result
}

// greet has a launched instance wait for its launch hooks, or start without.
func (f *Fleet) greet(in *instance) {
	from, to := AtProvider, AtPool
	if in.woken {
		from = AtWarmPool
	}
	if f.isSpare(in) {
		to = AtWarmPool
	}
	if !f.hold(in, OnLaunch, from, to, "") {
		f.enter(in, Starting, "")
	}
}

// leave begins the end of an instance that nothing is to be drained from: it waits for its terminate hooks, or ends without.
func (f *Fleet) leave(in *instance, why string) {
	from := AtPool
	if f.isSpare(in) {
		from = AtWarmPool
	}
	if in.handle == nil || !f.hold(in, OnTerminate, from, AtProvider, why) {
		f.enter(in, Stopping, why)
	}
}

// hold has an instance wait for the hooks of a transition. False: there are none.
func (f *Fleet) hold(in *instance, on Transition, from, to Place, why string) bool {
	now := time.Now()
	var waits []Wait
	var names []string
	for _, h := range f.options().Hooks {
		if h.On == on {
			names = append(names, fmt.Sprintf("%s for %v at most", h.Name, h.Timeout))
			waits = append(waits, Wait{Hook: h.Name, Token: rand.Text(), Since: now, Until: now.Add(h.Timeout)})
		}
	}
	if len(waits) == 0 {
		return false
	}
	f.mu.Lock()
	in.Waits, in.From, in.To = waits, from, to
	f.mu.Unlock()
	if on == OnLaunch {
		f.enter(in, PendingWait, why)
	} else {
		f.enter(in, TerminatingWait, why)
	}
	f.happened(in, HookMoved, "", fmt.Sprintf("waits for its %s hooks: %s", on, strings.Join(names, ", ")))
	return true
}

// welcome keeps a launched instance until its hooks are done. False: it ended, or Weir ends.
func (f *Fleet) welcome(ctx context.Context, in *instance) bool {
	stop := f.runHooks(ctx, in)
	defer stop()
	for {
		result, why, next := f.standing(in)
		switch result {
		case Continue:
			f.mu.Lock()
			in.Waits, in.Greeted = nil, time.Now()
			f.mu.Unlock()
			f.enter(in, Starting, "")
			return true
		case Abandon:
			stop()
			f.failed(in, why)
			f.end(ctx, in)
			return false
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			return false
		case <-in.handle.Done():
			stop()
			f.failed(in, "it ended before its launch hooks were done: "+in.handle.Exit())
			f.bury(in)
			return false
		case od := <-in.orders:
			if od.kind == orderDrain || od.kind == orderStop {
				stop()
				f.leave(in, od.why)
				f.end(ctx, in)
				return false
			}
		case <-in.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// farewell keeps an instance until its terminate hooks are done. False: Weir ends.
func (f *Fleet) farewell(ctx context.Context, in *instance) bool {
	stop := f.runHooks(ctx, in)
	defer stop()
	for {
		result, _, next := f.standing(in)
		if result != "" {
			f.mu.Lock()
			in.Waits = nil
			f.mu.Unlock()
			return true
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			return false
		case <-in.orders: // too late for any
		case <-in.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// standing is the result of all that an instance waits for, and what abandoned it, or "" and when next to look. It ends what took too long.
func (f *Fleet) standing(in *instance) (_ Result, why string, next time.Time) {
	f.mu.Lock()
	waits, on := in.Waits, in.transition()
	f.mu.Unlock()
	now, open := time.Now(), false
	for _, w := range waits {
		if w.Result == Abandon {
			return Abandon, fmt.Sprintf("its hook %s abandoned it: %s", w.Hook, w.Why), next
		}
		if w.Result == Continue {
			continue
		}
		switch h := f.hook(w.Hook, on); {
		case h == nil: // as EC2 Auto Scaling does when a hook is deleted
			result := Continue
			if on == OnLaunch {
				result = Abandon
			}
			f.settle(in, w.Token, result, "it is not in the config any more")
			return f.standing(in)
		case !now.Before(w.Until):
			f.settle(in, w.Token, h.Default, fmt.Sprintf("nobody completed it within %v", w.Until.Sub(w.Since).Round(time.Millisecond)))
			return f.standing(in)
		case !open || w.Until.Before(next):
			next, open = w.Until, true
		}
	}
	if open {
		return "", "", next
	}
	return Continue, "", next
}

// transition is what an instance waits for hooks of. The lock is held.
func (in *instance) transition() Transition {
	if in.State == PendingWait {
		return OnLaunch
	}
	return OnTerminate
}

// hook is a hook as it is now, nil when it is not there.
func (f *Fleet) hook(name string, on Transition) *Hook {
	for _, h := range f.options().Hooks {
		if h.Name == name && h.On == on {
			return &h
		}
	}
	return nil
}

// settle gives a wait its result, unless it has one. The next Weir knows of it.
func (f *Fleet) settle(in *instance, token string, result Result, why string) {
	w := f.update(in, token, func(w *Wait) { w.Result, w.Why = result, why })
	if w == nil {
		return
	}
	f.log.Info("lifecycle hook", "pool", in.Pool, "instance", in.ID, "hook", w.Hook, "result", result, "why", why)
	f.happened(in, HookMoved, "", fmt.Sprintf("its hook %s ended with %s: %s", w.Hook, result, why))
	if err := f.write(in); err != nil {
		f.log.Warn("the result of a hook could not be recorded", "instance", in.ID, "hook", w.Hook, "error", err)
	}
}

// update changes a wait that has no result yet, and has the instance look; nil when there is none. The slice is written
// anew: others read it without the lock.
func (f *Fleet) update(in *instance, token string, change func(*Wait)) *Wait {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(in.Waits, func(w Wait) bool { return w.Token == token && w.Result == "" })
	if i < 0 {
		return nil
	}
	in.Waits = slices.Clone(in.Waits)
	change(&in.Waits[i])
	if cancel := in.running[token]; cancel != nil && in.Waits[i].Result != "" {
		cancel() // nobody waits for it any more
	}
	in.look()
	return &in.Waits[i]
}

// look has an instance that waits look how it stands.
func (in *instance) look() {
	select {
	case in.kick <- struct{}{}:
	default:
	}
}

// Complete ends a hook with a result. hook may be "" when the instance waits for one alone; token, when it is not "", is that of the wait,
// so that an answer which comes late ends no other.
func (f *Fleet) Complete(id, hook, token string, result Result) error {
	if result != Continue && result != Abandon {
		return fmt.Errorf("%q is no result of a hook; it is continue or abandon", result)
	}
	in, w, err := f.waiting(id, hook, token)
	if err != nil {
		return err
	}
	f.settle(in, w.Token, result, "it was completed by hand")
	return nil
}

// Heartbeat gives a hook its timeout once more, from now on, and returns until when it has time. hook and token are as for [Fleet.Complete].
func (f *Fleet) Heartbeat(id, hook, token string) (until time.Time, err error) {
	in, w, err := f.waiting(id, hook, token)
	if err != nil {
		return until, err
	}
	f.mu.Lock()
	on := in.transition()
	f.mu.Unlock()
	h := f.hook(w.Hook, on)
	if h == nil {
		return until, fmt.Errorf("hook %s is not in the config any more", w.Hook)
	}
	until = time.Now().Add(h.Timeout)
	if last := w.Since.Add(min(longestWait, hookTimeouts*h.Timeout)); until.After(last) {
		until = last
	}
	if f.update(in, w.Token, func(w *Wait) { w.Until = until }) == nil {
		return until, fmt.Errorf("hook %s of instance %s has just ended", w.Hook, id)
	}
	return until, f.write(in)
}

// waiting finds what a person or a hook speaks of.
func (f *Fleet) waiting(id, hook, token string) (*instance, *Wait, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.instances[id]
	if in == nil {
		return nil, nil, fmt.Errorf("pool %s has %w %s", f.pool.Name, ErrUnknown, id)
	}
	var names []string
	var found []Wait
	for _, w := range in.Waits {
		if w.Result != "" {
			continue
		}
		names = append(names, w.Hook)
		if (hook == "" || hook == w.Hook) && (token == "" || token == w.Token) {
			found = append(found, w)
		}
	}
	switch {
	case len(names) == 0:
		return nil, nil, fmt.Errorf("instance %s is %s and waits for no hook", id, in.State)
	case len(found) == 0 && token != "":
		return nil, nil, errors.New("the token is of a wait that is over")
	case len(found) == 0:
		return nil, nil, fmt.Errorf("instance %s does not wait for hook %s; it waits for %s", id, hook, strings.Join(names, ", "))
	case len(found) > 1:
		return nil, nil, fmt.Errorf("instance %s waits for %s; say for which hook", id, strings.Join(names, " and "))
	}
	return in, &found[0], nil
}
