package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/alarm"
)

// Alarm is one alarm to watch: a metric of a pool, a query, or a rule over other alarms.
type Alarm struct {
	Name   string
	Pool   string
	Metric string // or
	Query  string // or
	Over   *alarm.Composite

	Rule      alarm.Rule
	Period    time.Duration
	Statistic alarm.Statistic
	Actions   []AlarmAction
}

// what says in words what the alarm watches.
func (a *Alarm) what() string {
	switch {
	case a.Over != nil:
		return a.Over.String()
	case a.Query != "":
		return a.Query
	}
	return a.Metric
}

// AlarmChange is one change of an alarm's state. Actions are told it as JSON.
type AlarmChange struct {
	Alarm    string      `json:"alarm"`
	Pool     string      `json:"pool,omitempty"`
	Time     time.Time   `json:"time"`
	Previous alarm.State `json:"previous"`
	State    alarm.State `json:"state"`
	Reason   string      `json:"reason"`
}

// AlarmStatus is all there is to see of an alarm.
type AlarmStatus struct {
	Name    string        `json:"name"`
	Pool    string        `json:"pool,omitempty"`
	Watches string        `json:"watches"` // a metric, a query or a rule
	Rule    string        `json:"rule,omitempty"`
	State   alarm.State   `json:"state"`
	Since   time.Time     `json:"since,omitzero"`
	Reason  string        `json:"reason,omitempty"`
	Value   *float64      `json:"value,omitempty"` // newest point; absent when unknown
	History []AlarmChange `json:"history"`         // the newest first
	Actions []AlarmRun    `json:"actions"`         // the newest first
}

// alarmHistory is how many changes, and how many runs of actions, are kept of an alarm.
const alarmHistory = 100

// Alarms watches alarms: once a second it takes a sample of each, when a period ends it evaluates it, and when the state changes it runs the
// actions. What it knows survives a restart; actions that were under way do not.
type Alarms struct {
	db      *bolt.DB
	read    func(a *Alarm, now time.Time) (float64, bool)
	changed func(AlarmChange)
	log     *slog.Logger
	runs    sync.WaitGroup

	mu      sync.Mutex
	watched map[string]*watched
}

// watched is one alarm and how it stands. Guarded by the lock of Alarms.
type watched struct {
	Alarm  `json:"-"`
	series alarm.Series

	Series  alarm.SeriesState `json:"series"`
	State   alarm.State       `json:"state"`
	Since   time.Time         `json:"since"`
	Reason  string            `json:"reason"`
	History []AlarmChange     `json:"history"` // the oldest first
	Runs    []AlarmRun        `json:"runs"`    // the oldest first
	What    string            `json:"what"`    // it watches: another one begins afresh
}

var alarmsBucket = []byte("alarms")

// NewAlarms returns Alarms without any. read takes a sample; changed, which may be nil, is told every change and must not block.
func NewAlarms(db *bolt.DB, read func(a *Alarm, now time.Time) (float64, bool), changed func(AlarmChange), log *slog.Logger) (*Alarms, error) {
	err := db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(alarmsBucket)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the database of alarms: %w", err)
	}
	return &Alarms{db: db, read: read, changed: changed, log: log, watched: map[string]*watched{}}, nil
}

// Configure makes list the alarms to watch. One that watches what it did before goes on from there.
func (as *Alarms) Configure(list []Alarm) {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := map[string]*watched{}
	for _, a := range list {
		w := as.watched[a.Name]
		if w == nil {
			w = as.load(a.Name)
		}
		what := fmt.Sprint(a.Pool, " ", a.what(), " ", a.Rule, " ", a.Period, " ", a.Statistic)
		if w.What != what {
			*w = watched{State: alarm.InsufficientData, History: w.History, Runs: w.Runs, What: what, Reason: "nothing has been evaluated yet"}
		} else if w.series.Period == 0 {
			w.series.SeriesState = w.Series
		}
		w.Alarm = a
		w.series.Period, w.series.Statistic, w.series.Keep = a.Period, a.Statistic, a.Rule.Range()
		now[a.Name] = w
	}
	for name := range as.watched {
		if now[name] == nil {
			as.forget(name)
		}
	}
	as.watched = now
}

// Run watches until ctx ends, and then waits for the actions, which end with it.
func (as *Alarms) Run(ctx context.Context) {
	t := time.NewTicker(Every)
	defer t.Stop()
	defer as.runs.Wait()
	for {
		as.Step(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Step takes one sample of each alarm. Actions that it starts end with ctx.
func (as *Alarms) Step(ctx context.Context, now time.Time) {
	samples := as.sample(now)
	as.mu.Lock()
	defer as.mu.Unlock()
	names := slices.Sorted(maps.Keys(as.watched))
	for _, name := range names {
		w := as.watched[name]
		if p, ok := samples[name]; ok && w.Over == nil {
			if w.series.Add(now, p.Value, p.Known) {
				as.turn(ctx, w, w.Rule.Evaluate(w.series.Points, w.State), w.reason(), now)
				as.save(w)
			}
		}
	}
	settled := map[string]bool{}
	for _, name := range names {
		as.settle(ctx, as.watched[name], settled, now)
	}
}

// sample reads what each alarm watches. It holds no lock meanwhile: whoever is read may be about to configure the alarms.
func (as *Alarms) sample(now time.Time) map[string]alarm.Point {
	as.mu.Lock()
	var list []Alarm
	for _, w := range as.watched {
		if w.Over == nil {
			list = append(list, w.Alarm)
		}
	}
	as.mu.Unlock()
	samples := make(map[string]alarm.Point, len(list))
	for i := range list {
		v, known := as.read(&list[i], now)
		samples[list[i].Name] = alarm.Point{Value: v, Known: known}
	}
	return samples
}

// settle evaluates a rule after those that it looks at. The config has no circles.
func (as *Alarms) settle(ctx context.Context, w *watched, settled map[string]bool, now time.Time) {
	if w.Over == nil || settled[w.Name] {
		return
	}
	settled[w.Name] = true
	for _, name := range w.Over.Names() {
		if other := as.watched[name]; other != nil {
			as.settle(ctx, other, settled, now)
		}
	}
	state := w.Over.Eval(func(name string) alarm.State {
		if other := as.watched[name]; other != nil {
			return other.State
		}
		return alarm.InsufficientData
	})
	if state != w.State {
		as.turn(ctx, w, state, w.Over.String()+map[alarm.State]string{alarm.Alarm: " holds", alarm.OK: " does not hold"}[state], now)
		as.save(w)
	}
}

// reason says what the newest points are.
func (w *watched) reason() string {
	points := w.series.Points
	points = points[max(0, len(points)-max(1, w.Rule.Points)):]
	known, beyond := 0, 0
	for _, p := range points {
		if p.Known {
			known++
			if w.Rule.Breaches(p.Value) {
				beyond++
			}
		}
	}
	newest, any := w.series.Newest()
	if !any {
		return w.what() + " is unknown"
	}
	return fmt.Sprintf("%s is %.6g; of the newest %d points %d are known and %d beyond %g (goes off when %s)", w.what(), newest, len(points), known, beyond, w.Rule.Threshold, w.Rule)
}

// turn takes over a state and starts the actions when it is a new one.
func (as *Alarms) turn(ctx context.Context, w *watched, state alarm.State, reason string, now time.Time) {
	w.Reason = reason
	if state == w.State {
		return
	}
	change := AlarmChange{Alarm: w.Name, Pool: w.Pool, Time: now, Previous: w.State, State: state, Reason: reason}
	w.State, w.Since = state, now
	w.History = append(w.History, change)
	w.History = w.History[max(0, len(w.History)-alarmHistory):]
	as.log.Info("alarm", "alarm", w.Name, "state", state, "was", change.Previous, "why", reason)
	if as.changed != nil {
		as.changed(change)
	}
	for _, action := range w.Actions {
		if slices.Contains(action.On, state) {
			as.runs.Go(func() { as.act(ctx, action, change) })
		}
	}
}

// act runs an action and notes what came of it.
func (as *Alarms) act(ctx context.Context, action AlarmAction, change AlarmChange) {
	run := action.run(ctx, change)
	if run.Error != "" {
		as.log.Warn("an action of an alarm failed", "alarm", change.Alarm, "action", run.Action, "attempts", run.Attempts, "error", run.Error)
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if w := as.watched[change.Alarm]; w != nil {
		w.Runs = append(w.Runs, run)
		w.Runs = w.Runs[max(0, len(w.Runs)-alarmHistory):]
		as.save(w)
	}
}

// Status returns all alarms by name.
func (as *Alarms) Status() []AlarmStatus {
	as.mu.Lock()
	defer as.mu.Unlock()
	out := []AlarmStatus{}
	for _, name := range slices.Sorted(maps.Keys(as.watched)) {
		w := as.watched[name]
		s := AlarmStatus{
			Name: name, Pool: w.Pool, Watches: w.what(), State: w.State, Since: w.Since, Reason: w.Reason,
			History: slices.Clone(w.History), Actions: slices.Clone(w.Runs),
		}
		slices.Reverse(s.History)
		slices.Reverse(s.Actions)
		if w.Over == nil {
			s.Rule = w.Rule.String()
			if v, known := w.series.Newest(); known && w.series.Fresh() {
				s.Value = &v
			}
		}
		out = append(out, s)
	}
	return out
}

// load returns what is known of an alarm from before.
func (as *Alarms) load(name string) *watched {
	w := new(watched)
	as.db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(alarmsBucket).Get([]byte(name)); b != nil {
			if err := json.Unmarshal(b, w); err != nil {
				as.log.Warn("what is known of an alarm from before is not readable; starting afresh", "alarm", name, "error", err)
				*w = watched{}
			}
		}
		return nil
	})
	return w
}

func (as *Alarms) save(w *watched) {
	w.Series = w.series.SeriesState
	b, err := json.Marshal(w)
	if err == nil {
		err = as.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(alarmsBucket).Put([]byte(w.Name), b) })
	}
	if err != nil {
		as.log.Warn("the state of an alarm could not be saved", "alarm", w.Name, "error", err)
	}
}

func (as *Alarms) forget(name string) {
	err := as.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(alarmsBucket).Delete([]byte(name)) })
	if err != nil {
		as.log.Warn("an alarm that is gone could not be forgotten", "alarm", name, "error", err)
	}
}
