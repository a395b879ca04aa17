package control

import (
	"log/slog"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/scale"
)

// A check that fails on all eight: two are told to load again, the others wait for their turn; and those that it does not help are replaced.
func TestReloadsTakeTurns(t *testing.T) {
	p, err := pool.New("api", pool.Options{Balance: "least_connections"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	l := New(Options{Pool: p, Desired: 8, Scale: scale.Options{Pool: "api", Max: 8}, Log: slog.New(slog.DiscardHandler), Remedies: Remedies{
		Rules: map[string]health.Remedy{"model": health.Reload}, Patience: map[string]time.Duration{"model": time.Minute},
		Reload: func(instance, addr, check string) { told[instance] = true },
	}})
	var views []fleet.View
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		views = append(views, fleet.View{ID: id, State: fleet.Unhealthy, Failing: []string{"model"}})
	}
	now := time.Now()
	look := func() (remedies map[plan.Remedy]int) {
		remedies = map[plan.Remedy]int{}
		for i := range views {
			one := plan.Instance{ID: views[i].ID}
			if views[i].State == fleet.Unhealthy {
				l.treat(&one, &views[i], plan.Grace{}, now)
				remedies[one.Remedy]++
			}
		}
		l.cured(views, now)
		return remedies
	}
	if got := look(); got[plan.RemedyWait] != 8 || len(told) != 2 || !told["a"] || !told["b"] {
		t.Errorf("%v, told %v", got, told)
	}
	views[0].State = fleet.Ready // it helped: it is the next one's turn
	look()
	if got := look(); got[plan.RemedyWait] != 7 || len(told) != 3 || !told["c"] {
		t.Errorf("%v, told %v", got, told)
	}
	now = now.Add(time.Minute)
	if got := look(); got[""] != 2 { // b and c are replaced
		t.Errorf("%v, told %v", got, told)
	}
	if n := l.RemedyCounts(); len(n) == 0 || n[0].N != uint64(len(told)) {
		t.Errorf("counted %v, told %v", n, told)
	}
}

// sickbay is a loop with remedies, and what a step sees of its instances.
type sickbay struct {
	*Loop
	views []fleet.View
	now   time.Time
	told  int
}

func (b *sickbay) open(t *testing.T, j *Journal, r Remedies, desired int) {
	p, err := pool.New("api", pool.Options{Balance: "least_connections"}, b.now)
	if err != nil {
		t.Fatal(err)
	}
	r.Rules, r.Patience = map[string]health.Remedy{"model": health.Reload, "gpu": health.Replace}, map[string]time.Duration{"model": time.Minute}
	r.Reload = func(string, string, string) { b.told++ }
	b.Loop = New(Options{Pool: p, Desired: desired, Scale: scale.Options{Pool: "api", Max: 100}, Log: slog.New(slog.DiscardHandler), Remedies: r, Journal: j})
}

func (b *sickbay) look(grace plan.Grace) (remedies map[plan.Remedy]int) {
	remedies = map[plan.Remedy]int{}
	for i := range b.views {
		one := plan.Instance{ID: b.views[i].ID}
		if b.views[i].State == fleet.Unhealthy {
			b.treat(&one, &b.views[i], grace, b.now)
			remedies[one.Remedy]++
		}
	}
	b.cured(b.views, b.now)
	return remedies
}

// A check that fails on every new instance: after ten remedies in an hour nothing more is replaced, until the hour is over.
func TestRemediesAreLimited(t *testing.T) {
	b := &sickbay{now: time.Now()}
	b.open(t, nil, Remedies{}, 2)
	begun := 0
	for i := range 40 {
		b.views = []fleet.View{{ID: string(rune('A' + i)), State: fleet.Unhealthy, Failing: []string{"gpu"}}}
		begun += b.look(plan.Grace{})[""]
		b.now = b.now.Add(time.Minute)
		if held := b.Treatments()[b.views[0].ID].Held; held != (i >= 10) {
			t.Fatalf("remedy %d: held %v", i, held)
		}
	}
	if begun != 10 || len(b.RemedyCounts()) != 1 || b.RemedyCounts()[0].N != 10 {
		t.Errorf("%d begun, %v", begun, b.RemedyCounts())
	}
	b.now = b.now.Add(20 * time.Minute)
	if got := b.look(plan.Grace{}); got[""] != 1 {
		t.Errorf("after an hour: %v", got)
	}
}

// A Weir that dies while an instance loads again does not tell it a second time, gives it the rest of its time, and then replaces it.
func TestARemedyOutlivesWeir(t *testing.T) {
	db, err := bolt.Open(t.TempDir()+"/weir.db", 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	j, err := NewJournal(db)
	if err != nil {
		t.Fatal(err)
	}
	b := &sickbay{now: time.Now(), views: []fleet.View{{ID: "a", State: fleet.Unhealthy, Failing: []string{"model"}}}}
	b.open(t, j, Remedies{}, 2)
	if b.look(plan.Grace{}); b.told != 1 {
		t.Fatalf("told %d times", b.told)
	}
	b.open(t, j, Remedies{}, 2)
	b.views[0].State = fleet.Ready // as far as the new Weir knows yet
	b.look(plan.Grace{})
	if n := len(b.Treatments()); n != 0 {
		t.Errorf("a ready instance has %d remedies", n)
	}
	b.views[0].State = fleet.Unhealthy
	b.now = b.now.Add(30 * time.Second)
	if got := b.look(plan.Grace{}); got[plan.RemedyWait] != 1 || b.told != 1 {
		t.Errorf("%v, told %d times", got, b.told)
	}
	b.now = b.now.Add(31 * time.Second)
	if got := b.look(plan.Grace{}); got[""] != 1 || b.told != 1 {
		t.Errorf("when its time was over: %v, told %d times", got, b.told)
	}
}

func TestNoRemedyWithinTheGrace(t *testing.T) {
	b := &sickbay{now: time.Now()}
	b.views = []fleet.View{{ID: "a", State: fleet.Unhealthy, Failing: []string{"model"}, Begun: b.now.Add(-time.Minute)}}
	b.open(t, nil, Remedies{}, 2)
	if b.look(plan.Grace{For: 2 * time.Minute}); b.told != 0 || len(b.Treatments()) != 0 {
		t.Errorf("told %d times, %v", b.told, b.Treatments())
	}
	b.now = b.now.Add(time.Minute)
	if b.look(plan.Grace{For: 2 * time.Minute}); b.told != 1 {
		t.Errorf("after it: told %d times", b.told)
	}
}
