package plan

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata/*.txt")

// TestScenarios replays testdata/*.txt. A file is input lines, with the plan (lines that begin with "=>") after each "plan".
//
//	i-1 ready in_flight=3 version=2 cost=0.5 protected dead unhealthy
//	                           one instance as it is now; @-30s or @10s: it came into that state then
//	at 10s                     the time
//	plan 3 waiting=5 max_launching=2 backoff=20s start_timeout=60s drain_timeout=300s
//	                           the desired number, and what else is known
//	apply                      do what the last plan said: launched ones are pending, drained ones draining
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(golden))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, golden) {
				t.Errorf("plans differ from %s (rewrite it with -update and look at the difference); now:\n%s", file, got)
			}
		})
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func replay(t *testing.T, text string) []byte {
	var out bytes.Buffer
	f := fleet{now: epoch}
	var last []Action
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "=>") {
			continue
		}
		out.WriteString(line)
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		switch fields[0] {
		case "at":
			f.now = epoch.Add(span(t, fields[1]))
		case "avoid": // a zone whose machines are taken back
			f.refused.Avoid(Placement{"small", Spot, fields[1]}, f.now.Add(5*time.Minute))
		case "plan":
			last = Plan(f.input(t, fields[1:]))
			for _, a := range last {
				fmt.Fprintf(&out, "=> %v\n", a)
			}
			if len(last) == 0 {
				out.WriteString("=> nothing\n")
			}
		case "apply":
			f.apply(last)
		default:
			f.set(t, fields)
		}
	}
	return out.Bytes()
}

// fleet does what plans say, and nothing else: an instance changes its state otherwise only when a test says so.
type fleet struct {
	now       time.Time
	instances []Instance
	made      int
	refused   Refusals
}

func (f *fleet) apply(actions []Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case Launch:
			for range a.N {
				f.made++
				f.instances = append(f.instances, Instance{ID: "new-" + strconv.Itoa(f.made), State: "pending", Started: f.now, Since: f.now, Placement: a.As})
			}
		case Prepare:
			for range a.N {
				f.made++
				f.instances = append(f.instances, Instance{ID: "new-" + strconv.Itoa(f.made), State: "pending", Started: f.now, Since: f.now, Spare: true})
			}
		case Wake:
			f.find(a.ID).Spare = false
		case Park:
			f.move(a.ID, "draining")
			f.find(a.ID).Spare = true
		case Undrain:
			f.move(a.ID, "ready")
			f.find(a.ID).Spare = false
		case Drain:
			f.move(a.ID, "draining")
		case Stop:
			f.move(a.ID, "stopping")
		}
	}
}

func (f *fleet) move(id, state string) {
	one := f.find(id)
	one.State, one.Since = state, f.now
}

func (f *fleet) find(id string) *Instance {
	i := slices.IndexFunc(f.instances, func(one Instance) bool { return one.ID == id })
	if i < 0 {
		f.instances = append(f.instances, Instance{ID: id, Started: f.now})
		i = len(f.instances) - 1
	}
	return &f.instances[i]
}

func (f *fleet) set(t *testing.T, fields []string) {
	one := f.find(fields[0])
	*one = Instance{ID: one.ID, Started: one.Started, Healthy: true}
	state, since, dated := strings.Cut(fields[1], "@")
	one.State, one.Since = state, f.now
	if dated {
		one.Since = epoch.Add(span(t, since))
		if one.onItsWay() {
			one.Started = one.Since
		}
	}
	if state == "unhealthy" {
		one.Healthy = false
	}
	for _, field := range fields[2:] {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "in_flight":
			one.InFlight = number(t, value)
		case "version":
			one.Version = number(t, value)
		case "cost":
			one.Cost = float64(number(t, value))
		case "protected":
			one.Protected = true
		case "spare":
			one.Spare = true
		case "taken": // back, at that time
			one.Notice = Notice{Interruption, epoch.Add(span(t, value))}
		case "at_risk":
			one.Notice = Notice{Kind: Rebalance}
		case "zone":
			one.Placement = Placement{Type: "small", Market: Spot, Zone: value}
		case "remedy":
			one.Remedy, one.Check = Remedy(value), "timeout"
		case "dead":
			one.Dead = true
		case "unhealthy":
			one.Healthy = false
		default:
			t.Fatalf("unknown word %q", field)
		}
	}
}

func (f *fleet) input(t *testing.T, fields []string) Input {
	in := Input{Now: f.now, Desired: number(t, fields[0]), Instances: f.instances}
	for _, field := range fields[1:] {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "waiting":
			in.Waiting = number(t, value)
		case "max_launching":
			in.MaxLaunching = number(t, value)
		case "backoff":
			in.Backoff = epoch.Add(span(t, value))
		case "start_timeout":
			in.StartTimeout = span(t, value)
		case "drain_timeout":
			in.DrainTimeout = span(t, value)
		case "drain_need":
			in.DrainNeed = span(t, value)
		case "mix": // of spot machines in three zones
			in.Mix = &Mix{Types: []MachineType{{Name: "small", OnDemand: 1, Spot: 0.3}}, Zones: []string{"a", "b", "c"}, Fallback: true}
			in.Refused = &f.refused
		case "warm_min":
			in.Warm.On, in.Warm.Min = true, number(t, value)
		case "max_prepared":
			in.Warm.On, in.Warm.Most = true, number(t, value)
		case "termination":
			in.Termination = append(in.Termination, Termination(value))
		case "reuse":
			in.Warm.Reuse = true
		default:
			t.Fatalf("unknown word %q", field)
		}
	}
	return in
}

func number(t *testing.T, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func span(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
