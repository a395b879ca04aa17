package control

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/weirlb/weir/alarm"
)

func alarmDB(t *testing.T) *bolt.DB {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "weir.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// An alarm goes off, tells a webhook that fails at first and a program, comes back after a restart in the state that it had, and a rule follows it.
func TestAlarmsTellAndSurvive(t *testing.T) {
	var mu sync.Mutex
	var told []AlarmChange
	failures := 1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if failures > 0 {
			failures--
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		var c AlarmChange
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.Header.Get("X-Key") != "k" {
			t.Errorf("%v, headers %v", err, r.Header)
		}
		told = append(told, c)
	}))
	defer srv.Close()
	paged := filepath.Join(t.TempDir(), "paged")
	over, err := alarm.ParseComposite("NOT OK(waits)")
	if err != nil {
		t.Fatal(err)
	}
	list := []Alarm{
		{Name: "trouble", Over: over},
		{
			Name: "waits", Pool: "api", Metric: "oldest_wait", Period: time.Minute,
			Rule: alarm.Rule{Threshold: 2, Points: 2},
			Actions: []AlarmAction{
				{On: []alarm.State{alarm.Alarm}, URL: srv.URL, Headers: map[string]string{"X-Key": "k"}, Timeout: 10 * time.Second, Retries: 2},
				{On: []alarm.State{alarm.OK}, Command: []string{"sh", "-c", `cat > "$0"; echo "$WEIR_ALARM $WEIR_STATE" >> "$0"`, paged}, Timeout: 10 * time.Second},
				{On: []alarm.State{alarm.OK}, Command: []string{"sh", "-c", "echo no; exit 3"}, Timeout: 10 * time.Second},
			},
		},
	}
	wait := 0.0
	read := func(a *Alarm, now time.Time) (float64, bool) { return wait, wait >= 0 }
	log := slog.New(slog.DiscardHandler)
	db := alarmDB(t)
	as, err := NewAlarms(db, read, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	as.Configure(list)
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	ctx := context.Background()
	step := func(v float64, want, rule alarm.State) {
		t.Helper()
		wait = v
		as.Step(ctx, now)
		now = now.Add(time.Minute)
		s := as.Status()
		if s[1].State != want || s[0].State != rule {
			t.Errorf("at %g: %s and %s, want %s and %s: %s", v, s[1].State, s[0].State, want, rule, s[1].Reason)
		}
	}
	step(1, alarm.OK, alarm.OK)
	step(5, alarm.OK, alarm.OK)
	step(5, alarm.Alarm, alarm.Alarm)
	as.runs.Wait()
	mu.Lock()
	defer mu.Unlock()
	if s := as.Status()[1]; len(told) != 1 || told[0].State != alarm.Alarm || told[0].Alarm != "waits" || len(s.Actions) == 0 || s.Actions[0].Attempts != 2 || s.Actions[0].Error != "" {
		t.Errorf("told %v, runs %+v", told, s.Actions)
	}
	// Another process goes on from here.
	if as, err = NewAlarms(db, read, nil, log); err != nil {
		t.Fatal(err)
	}
	as.Configure(list)
	if s := as.Status()[1]; s.State != alarm.Alarm || len(s.History) != 2 || s.History[0].State != alarm.Alarm || len(s.Actions) == 0 {
		t.Errorf("after a restart: %+v", s)
	}
	step(5, alarm.Alarm, alarm.Alarm)
	step(0, alarm.OK, alarm.OK)
	as.runs.Wait()
	text, err := os.ReadFile(paged)
	if err != nil || !strings.Contains(string(text), `"previous":"ALARM"`) || !strings.HasSuffix(string(text), "waits OK\n") {
		t.Errorf("%v: %s", err, text)
	}
	var failed strings.Builder
	for _, r := range as.Status()[1].Actions {
		failed.WriteString(r.Error)
	}
	if !strings.Contains(failed.String(), "exit status 3: no") {
		t.Errorf("a program that fails: %q", failed.String())
	}
	// Another threshold is another alarm; one that is gone is forgotten.
	list[1].Rule.Threshold = 9
	as.Configure(list[1:])
	if s := as.Status(); len(s) != 1 || s[0].State != alarm.InsufficientData {
		t.Errorf("after a change: %+v", s)
	}
}

// An action that hangs is cut at its timeout, and does not hold up the watch.
func TestAlarmActionTimeout(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(hang)
	a := AlarmAction{URL: srv.URL, Timeout: 50 * time.Millisecond}
	if r := a.run(context.Background(), AlarmChange{Alarm: "a", State: alarm.Alarm}); r.Attempts != 1 || !strings.Contains(r.Error, "longer than 50ms") {
		t.Errorf("%+v", r)
	}
}
