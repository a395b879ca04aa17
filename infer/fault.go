package infer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fault is what a server was told to do wrong. The zero value does nothing wrong. Tokens stand for whatever the model
// makes: tokens of a chat, steps of an image, predictions.
type fault struct {
	DieAfterTokens   *int               `json:"die_after_tokens,omitempty"`   // the process exits once this many were made
	Stall            bool               `json:"stall,omitempty"`              // the device stops; /health does not
	StallAfterTokens int                `json:"stall_after_tokens,omitempty"` // but first makes this many
	Reset            bool               `json:"reset,omitempty"`              // answers are cut by a TCP reset
	ResetAfterTokens int                `json:"reset_after_tokens,omitempty"` // a streamed one after this many tokens
	Refuse           string             `json:"refuse,omitempty"`             // "503", or "close" for a closed port
	FailRate         float64            `json:"fail_rate,omitempty"`          // share of requests that get 500, 0 to 1
	Unready          []string           `json:"unready,omitempty"`            // readiness checks that fail
	Gauges           map[string]float64 `json:"gauges,omitempty"`             // gauges that show a fixed value
	MissingGauges    []string           `json:"missing_gauges,omitempty"`     // gauges that are not shown; "*" is all
	SlowLoad         span               `json:"slow_load,omitzero"`           // how long the next loads take
	Reload           bool               `json:"reload,omitempty"`             // load the models again, now
	For              span               `json:"for,omitzero"`                 // every fault is cleared after this time
}

// The values of fault.Refuse.
const (
	refuse503   = "503"
	refuseClose = "close"
)

// defaultClosed is how long a closed port stays closed when the fault does not say: nobody can reach it to clear it.
const defaultClosed = 10 * time.Second

// span is a duration that is written as text, such as "5s".
type span time.Duration

func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil || d < 0 || d > maxDuration {
		return fmt.Errorf("%q is not a duration from 0s to %v; write for example 5s or 300ms", b, maxDuration)
	}
	*s = span(d)
	return nil
}

// decodeFault changes f by a JSON object, when there is one, and then by query parameters of the same names. Lists
// are separated by commas in a query; gauges are written name=value.
func decodeFault(f fault, body []byte, query url.Values) (fault, error) {
	f.Gauges = maps.Clone(f.Gauges)
	if len(bytes.TrimSpace(body)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields() // a fault that is misspelt would go unnoticed
		if err := dec.Decode(&f); err != nil {
			return f, fmt.Errorf("reading the fault: %w; see GET /fault and docs/infer.md for the fields", err)
		}
	}
	for name := range query {
		if err := f.set(name, query.Get(name)); err != nil {
			return f, fmt.Errorf("fault parameter %s: %w", name, err)
		}
	}
	if f.Refuse == refuseClose && f.For == 0 {
		f.For = span(defaultClosed)
	}
	return f, f.validate()
}

// set changes one field by its name.
func (f *fault) set(name, value string) error {
	var err error
	number := func(n *int) { *n, err = strconv.Atoi(value) }
	truth := func(b *bool) { *b, err = strconv.ParseBool(cmp.Or(value, "true")) }
	switch name {
	case "die_after_tokens":
		f.DieAfterTokens = new(int)
		number(f.DieAfterTokens)
	case "stall":
		truth(&f.Stall)
	case "stall_after_tokens":
		number(&f.StallAfterTokens)
	case "reset":
		truth(&f.Reset)
	case "reset_after_tokens":
		number(&f.ResetAfterTokens)
	case "refuse":
		f.Refuse = value
	case "fail_rate":
		f.FailRate, err = strconv.ParseFloat(value, 64)
	case "unready":
		f.Unready = splitList(value)
	case "missing_gauges":
		f.MissingGauges = splitList(value)
	case "gauges":
		f.Gauges, err = parseGauges(value)
	case "slow_load":
		err = f.SlowLoad.UnmarshalText([]byte(value))
	case "reload":
		truth(&f.Reload)
	case "for":
		err = f.For.UnmarshalText([]byte(value))
	default:
		return errors.New("is not a fault; see GET /fault and docs/infer.md for the names")
	}
	return err
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func parseGauges(s string) (map[string]float64, error) {
	out := map[string]float64{}
	for _, pair := range splitList(s) {
		name, text, ok := strings.Cut(pair, "=")
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not name=value", pair)
		}
		out[name] = v
	}
	return out, nil
}

func (f *fault) validate() error {
	switch {
	case f.DieAfterTokens != nil && *f.DieAfterTokens < 0, f.StallAfterTokens < 0, f.ResetAfterTokens < 0:
		return errors.New("fault: a number of tokens is negative; give 0 or more")
	case f.Refuse != "" && f.Refuse != refuse503 && f.Refuse != refuseClose:
		return fmt.Errorf("fault: refuse %q is not known; give 503 or close", f.Refuse)
	case math.IsNaN(f.FailRate) || f.FailRate < 0 || f.FailRate > 1:
		return fmt.Errorf("fault: fail_rate %g is not a share; give 0 to 1", f.FailRate)
	}
	for _, c := range f.Unready {
		if !slices.Contains(checkNames, c) {
			return fmt.Errorf("fault: unready %q is not a check; give one of %s", c, strings.Join(checkNames, ", "))
		}
	}
	for _, g := range slices.Concat(f.MissingGauges, slices.Collect(maps.Keys(f.Gauges))) {
		if g != "*" && !slices.Contains(gaugeNames, g) {
			return fmt.Errorf("fault: %q is not a gauge of this server; give one of %s", g, strings.Join(gaugeNames, ", "))
		}
	}
	return nil
}

// faults holds the fault in force and what has happened since it came.
type faults struct {
	exit func(code int)

	mu      sync.Mutex
	now     fault         // guarded by mu
	made    int           // guarded by mu; tokens made since the fault came
	changed chan struct{} // guarded by mu; closed when now is replaced
	expiry  *time.Timer   // guarded by mu; clears the fault
	rng     *rand.Rand    // guarded by mu
}

func newFaults(exit func(int), seed uint64) *faults {
	return &faults{exit: exit, changed: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, 0x6661756c74))}
}

// get returns the fault in force. Its maps and lists are not to be changed.
func (f *faults) get() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// replace puts a fault in force; what the one before it held back goes on. cleared is called when its time is over.
func (f *faults) replace(next fault, cleared func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next.Reload = false // done once, when it is asked for
	f.now, f.made = next, 0
	close(f.changed)
	f.changed = make(chan struct{})
	if f.expiry != nil {
		f.expiry.Stop()
		f.expiry = nil
	}
	if next.For == 0 {
		return
	}
	changed := f.changed
	f.expiry = time.AfterFunc(time.Duration(next.For), func() {
		select {
		case <-changed: // another fault came first
		default:
			f.replace(fault{}, nil)
			cleared()
		}
	})
}

// beforeStep is the device's hook: it ends the process or holds the device when the fault says so, the latter until
// the fault changes or ctx ends.
func (f *faults) beforeStep(ctx context.Context) error {
	for {
		f.mu.Lock()
		die := f.now.DieAfterTokens != nil && f.made >= *f.now.DieAfterTokens
		hold := die || f.now.Stall && f.made >= f.now.StallAfterTokens
		changed := f.changed
		f.mu.Unlock()
		if !hold {
			return nil
		}
		if die {
			// What was made is still on its way to the clients; "after N tokens" is to mean that they have them.
			_ = sleepUntil(ctx, time.Now().Add(dyingBreath))
			f.exit(137) // what a shell reports for SIGKILL
			return errDied
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// dyingBreath is how long a server that is to die still sends.
const dyingBreath = 20 * time.Millisecond

// errDied is what a step ends with when the process should have died and Options.Exit came back.
var errDied = errors.New("the server died because a fault told it to")

// afterStep counts what a step made.
func (f *faults) afterStep(units int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made += units
}

// fails draws whether a request is to fail.
func (f *faults) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.FailRate > 0 && f.rng.Float64() < f.now.FailRate
}

// gauge returns what to show of a gauge whose true value is given, and whether to show it at all.
func (f *fault) gauge(name string, value float64) (float64, bool) {
	if slices.Contains(f.MissingGauges, "*") || slices.Contains(f.MissingGauges, name) {
		return 0, false
	}
	if lie, ok := f.Gauges[name]; ok {
		return lie, true
	}
	return value, true
}
