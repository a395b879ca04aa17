package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/scale"
)

type decideCmd struct {
	Config string   `short:"c" help:"The config file." default:"weir.yaml" type:"path"`
	Pool   string   `help:"The pool; needed when several scale."`
	State  string   `help:"Begin with the state in this file, where it exists, and leave there the state at the end." type:"path"`
	Text   bool     `help:"Print for people instead of JSON."`
	Record string   `help:"Make the decision of this file again (- is standard input), which weir explain --record has printed, and compare." type:"path" placeholder:"FILE"`
	Files  []string `arg:"" optional:"" help:"Files of observations; without any, standard input." type:"path"`
}

func (decideCmd) Help() string {
	return `Each line is one observation, as JSON; each gives one decision. What decisions carry over (windows, alarms, cooldowns) goes from line to
line. Times must not go back. Empty lines and those that begin with # are skipped.

  {"time": "2026-01-05T09:00:00Z", "desired": 4, "metrics": {"queue_depth": 12},
   "instances": [{"id": "i-1", "state": "ready", "started": "2026-01-05T08:00:00Z", "metrics": {"cpu_utilization": 80}}]}

Only "time" is needed. Without "desired" it is what the line before decided; without "instances", as many ready ones as desired; what
"metrics" does not name is unknown, never 0. An instance is pending, starting, warming, ready, unhealthy or draining; "count" makes so many of
it. A query of a policy is read from "metrics" under the name "query:" and its text.

  weir decide -c weir.yaml --pool images observations.jsonl
  echo '{"time":"2026-01-05T09:00:00Z","metrics":{"queue_depth":40,"in_flight":4}}' | weir decide -c weir.yaml --text
  weir decide -c weir.yaml day.jsonl | jq -r '[.time, .desired, .why] | @tsv'
  weir explain api --record --at 2026-01-05T09:00:00Z | weir decide -c weir.yaml --record -`
}

// decideState is what --state keeps.
type decideState struct {
	Pool    string      `json:"pool"`
	Time    time.Time   `json:"time"`    // of the newest observation
	Desired int         `json:"desired"` // by the newest decision
	Decider scale.State `json:"decider"`
}

// observation is a line of the input. It tells what is not given from what is 0.
type observation struct {
	scale.Observation
	Time      *time.Time          `json:"time"`
	Desired   *int                `json:"desired"`
	Instances *[]observed         `json:"instances"`
	Metrics   map[string]*float64 `json:"metrics"`
	Slots     *int                `json:"slots"`
}

type observed struct {
	scale.Instance
	Metrics map[string]*float64 `json:"metrics"`
	Count   *int                `json:"count"` // so many that are alike; without it, one
}

func (r *decideCmd) Run(o *output) error {
	c, err := readConfig(r.Config)
	if err != nil {
		return err
	}
	options, slots, desired, err := app.Scaling(c, r.Pool)
	if err != nil {
		return usageError{fmt.Errorf("weir: %w", err)}
	}
	if r.Record != "" {
		return r.again(o, options)
	}
	d := decisions{decider: scale.New(options), slots: slots, state: decideState{Pool: options.Pool, Desired: desired}, out: o.out, text: r.Text}
	if err := d.restore(r.State); err != nil {
		return err
	}
	if len(r.Files) == 0 {
		err = d.read("stdin", os.Stdin)
	}
	for _, name := range r.Files {
		if err = d.file(name); err != nil {
			break
		}
	}
	if err != nil {
		return err
	}
	return d.save(r.State)
}

// decisions decides about lines.
type decisions struct {
	decider *scale.Decider
	slots   int
	state   decideState
	out     io.Writer
	text    bool
}

func (d *decisions) file(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.read(name, f)
}

// mostInstances bounds what an observation of a few words may ask for.
const mostInstances = 100_000

// longestLine bounds an observation: tens of thousands of instances.
const longestLine = 64 << 20

func (d *decisions) read(name string, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := d.line(line); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line is longer than %d MiB; is each observation on a line of its own?", name, n+1, longestLine>>20)
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// line decides about one observation and prints the decision.
func (d *decisions) line(line []byte) error {
	var in observation
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return describeJSON(err)
	}
	if dec.More() {
		return errors.New("more follows the observation; write one per line")
	}
	obs, err := d.observation(&in)
	if err != nil {
		return err
	}
	got := d.decider.Decide(obs)
	d.state.Time, d.state.Desired = obs.Time, got.Desired
	if d.text {
		_, err = io.WriteString(d.out, inWords(&got))
		return err
	}
	enc := json.NewEncoder(d.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(got)
}

var instanceStates = []string{"pending", "starting", "warming", "ready", "unhealthy", "draining"}

// observation fills in what the line leaves out.
func (d *decisions) observation(in *observation) (*scale.Observation, error) {
	obs := &in.Observation
	switch {
	case in.Time == nil:
		return nil, errors.New(`there is no "time"; add it, as in "time": "2026-01-05T09:00:00Z"`)
	case in.Time.Before(d.state.Time):
		return nil, fmt.Errorf("the time %s is before that of the observation before, %s; put them in order", in.Time.Format(time.RFC3339), d.state.Time.Format(time.RFC3339))
	case in.Desired != nil && (*in.Desired < 0 || *in.Desired > mostInstances):
		return nil, fmt.Errorf(`"desired" is %d; write 0 to %d, or leave it out`, *in.Desired, mostInstances)
	case in.Slots != nil && *in.Slots < 0:
		return nil, fmt.Errorf(`"slots" is %d; write 0 for no limit, or more`, *in.Slots)
	}
	obs.Time, obs.Desired, obs.Slots = *in.Time, d.state.Desired, d.slots
	if in.Desired != nil {
		obs.Desired = *in.Desired
	}
	if in.Slots != nil {
		obs.Slots = *in.Slots
	}
	obs.Metrics = known(in.Metrics)
	if in.Instances == nil {
		for i := range obs.Desired {
			obs.Instances = append(obs.Instances, scale.Instance{ID: "i-" + strconv.Itoa(i+1), State: "ready"})
		}
		return obs, nil
	}
	for i, one := range *in.Instances {
		if one.State == "" {
			one.State = "ready"
		}
		if !slices.Contains(instanceStates, one.State) {
			return nil, fmt.Errorf("instances[%d] has the state %q; write one of %s", i, one.State, strings.Join(instanceStates, ", "))
		}
		one.Instance.Metrics = known(one.Metrics)
		if one.Count == nil {
			obs.Instances = append(obs.Instances, one.Instance)
			continue
		}
		if *one.Count < 0 || *one.Count > mostInstances-len(obs.Instances) {
			return nil, fmt.Errorf(`instances[%d] has the "count" %d; write 0 or more, and at most %d in all`, i, *one.Count, mostInstances)
		}
		id := cmp.Or(one.ID, "i-"+strconv.Itoa(i+1))
		for n := range *one.Count {
			one.ID = id + "-" + strconv.Itoa(n+1)
			obs.Instances = append(obs.Instances, one.Instance)
		}
	}
	return obs, nil
}

// known leaves out what is null: it is unknown.
func known(metrics map[string]*float64) map[string]float64 {
	m := make(map[string]float64, len(metrics))
	for name, v := range metrics {
		if v != nil {
			m[name] = *v
		}
	}
	return m
}

// describeJSON says what is wrong with a line that is no observation.
func describeJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field == "" {
		return fmt.Errorf("the line is %s, not an observation; see weir decide --help", e.Value)
	} else if ok {
		return fmt.Errorf("%q is %s, which does not fit there; see weir decide --help", e.Field, e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("this is not JSON, at byte %d: %w", e.Offset, err)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("there is no field %s in an observation; see weir decide --help", field)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the line ends in the middle of an observation; write each on one line")
	}
	return err
}

// inWords prints a decision for people.
func inWords(d *scale.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d -> %d", d.Time.Format(time.RFC3339), d.Previous, d.Desired)
	if d.Bound != "" {
		fmt.Fprintf(&b, "  [%s]", d.Bound)
	}
	fmt.Fprintf(&b, "  %s\n", d.Why)
	if len(d.Proposals) < 2 {
		return b.String()
	}
	for _, p := range d.Proposals {
		asks := strconv.Itoa(p.Desired)
		switch {
		case p.Abstain:
			asks = "abstains"
		case p.Neutral:
			asks = "no vote"
		}
		fmt.Fprintf(&b, "    %s: %s, %s\n", p.Policy, asks, p.Why)
	}
	return b.String()
}

// restore goes on from the state in a file, when there is one.
func (d *decisions) restore(path string) error {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s decideState
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s is not a state of weir decide: %w; remove it to begin afresh", path, err)
	}
	if s.Pool != d.state.Pool {
		return fmt.Errorf("%s is the state of pool %s, not of %s; name another file", path, s.Pool, d.state.Pool)
	}
	d.state = s
	d.decider.Restore(s.Decider)
	return nil
}

// save leaves the state in a file, all of it or none.
func (d *decisions) save(path string) error {
	if path == "" {
		return nil
	}
	d.state.Decider = d.decider.State()
	b, err := json.MarshalIndent(d.state, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".weir-decide-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing of that name
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
