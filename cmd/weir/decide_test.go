package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/scale"
)

var updateStories = flag.Bool("update-decide", false, "rewrite the decisions in testdata/decide/*.txt")

// TestDecideStories replays testdata/decide/*.txt: observations, each followed by what a pool of the YAML of that name decides. A story
// is decided twice, in one process and in one for each line that goes on from --state.
func TestDecideStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		name := strings.TrimSuffix(filepath.Base(story), ".txt")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(story)
			if err != nil {
				t.Fatal(err)
			}
			config := strings.TrimSuffix(story, ".txt") + ".yaml"
			state := filepath.Join(t.TempDir(), "state")
			var got, whole bytes.Buffer
			for line := range strings.Lines(string(want)) {
				if strings.HasPrefix(line, "=>") {
					continue
				}
				got.WriteString(line)
				if strings.HasPrefix(line, "#") {
					continue
				}
				whole.WriteString(line)
				for decision := range strings.Lines(decide(t, line, "-c", config, "--text", "--state", state)) {
					got.WriteString("=> " + decision)
				}
			}
			if *updateStories {
				if err := os.WriteFile(story, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("decisions differ from %s (rewrite it with -update-decide and look at the difference); now:\n%s", story, got.String())
			}
			var each strings.Builder
			for line := range strings.Lines(got.String()) {
				if decision, ok := strings.CutPrefix(line, "=> "); ok {
					each.WriteString(decision)
				}
			}
			if together := decide(t, whole.String(), "-c", config, "--text"); together != each.String() {
				t.Errorf("in one go:\n%s\nline by line:\n%s", together, each.String())
			}
		})
	}
}

// decide runs weir decide on observations.
func decide(t *testing.T, observations string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "observations.jsonl")
	if err := os.WriteFile(file, []byte(observations), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(append([]string{"decide", file}, args...), &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	return out.String()
}

func TestDecidePrintsJSON(t *testing.T) {
	out := decide(t, `{"time":"2026-01-03T09:00:00Z","desired":10,"metrics":{"cpu_utilization":60}}`, "-c", "testdata/decide/step_example.yaml", "--pool", "api")
	var d scale.Decision
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Desired != 11 || d.Previous != 10 || d.Why == "" || len(d.Proposals) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDecideRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`{"tim":1}`:                       `:2: there is no field "tim"`,
		`{"time":"2026-01-05T08:00:00Z"}`: ":2: the time 2026-01-05T08:00:00Z is before",
		`[]`:                              ":2: the line is array",
		`{}`:                              `:2: there is no "time"`,
		`{"time":"2026-01-06T00:00:00Z","desired":-1}`:                       `"desired" is -1`,
		`{"time":"2026-01-06T00:00:00Z","instances":[{"state":"dead"}]}`:     `instances[0] has the state "dead"`,
		`{"time":"2026-01-06T00:00:00Z","instances":[{"stat":"ready"}]}`:     `there is no field "stat"`,
		`{"time":"2026-01-06T00:00:00Z","instances":[{"count":-1}]}`:         `instances[0] has the "count" -1`,
		`{"time":"2026-01-06T00:00:00Z"} {}`:                                 "write one per line",
		`{"time":`:                                                           "ends in the middle",
		`{"time":"2026-01-06T00:00:00Z","metrics":{"cpu_utilization":"80"}}`: `"metrics`,
	} {
		file := filepath.Join(t.TempDir(), "o.jsonl")
		if err := os.WriteFile(file, []byte(`{"time":"2026-01-05T09:00:00Z"}`+"\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := run([]string{"decide", "-c", "testdata/decide/step_example.yaml", file}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %s; want %s", line, code, errs.String(), want)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"decide", "-c", "testdata/decide/step_example.yaml", "--pool", "other"}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "api") {
		t.Errorf("an unknown pool: exit %d, %s", code, errs.String())
	}
}

// FuzzDecide has any line decided after a good one: it is refused, or there is a decision within the bounds.
func FuzzDecide(f *testing.F) {
	stories, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, story := range stories {
		text, err := os.ReadFile(story)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "{") {
				f.Add([]byte(line))
			}
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		d := decisions{
			decider: scale.New(scale.Options{Min: 1, Max: 50, Policies: []scale.Policy{scale.Queue{WaitP95: time.Second}, scale.Target{Metric: scale.CPUUtilization, Value: 60}}}),
			slots:   2, state: decideState{Desired: 3}, out: io.Discard, text: len(line)%2 == 0,
		}
		if err := d.line([]byte(`{"time":"2025-01-05T09:00:00Z"}`)); err != nil {
			t.Fatal(err)
		}
		before := d.state
		if err := d.line(line); err != nil {
			if d.state.Desired != before.Desired || !d.state.Time.Equal(before.Time) {
				t.Errorf("%v, and yet it was decided", err)
			}
			return
		}
		if d.state.Desired < 1 || d.state.Desired > 50 {
			t.Errorf("%d, which is not within min and max", d.state.Desired)
		}
	})
}
