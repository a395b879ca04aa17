package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Pushed is a value that a user sent.
type Pushed struct {
	Name     string            `json:"name"`
	Value    *float64          `json:"value"`
	Time     time.Time         `json:"time"` // zero: when it came
	Pool     string            `json:"pool"`
	Instance string            `json:"instance"`
	Labels   map[string]string `json:"labels"`
}

// Bounds of a push.
const (
	MostPushed       = 1000
	mostPushedLabels = 30
	mostPushedText   = 256
	// PushedLate is how old a pushed value may be, PushedEarly how far ahead of Weir's clock.
	PushedLate  = time.Hour
	PushedEarly = time.Minute
	// PushedFresh is for how long a policy believes a pushed value.
	PushedFresh = 2 * time.Minute
)

var (
	pushedName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	pushedLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// reserved labels say whose a value is.
var reserved = []string{"pool", "instance", "target"}

// ParsePush reads a list of values in JSON, or a single one. All of it is right, or the error says which item is wrong, counted from 0, and
// nothing is. A time is RFC 3339, or Unix seconds.
func ParsePush(body []byte, now time.Time) ([]Pushed, error) {
	var items []json.RawMessage
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '{' {
		items = []json.RawMessage{trimmed}
	} else if err := json.Unmarshal(body, &items); err != nil {
		return nil, fmt.Errorf(`the body is not a list such as [{"name": "jobs_waiting", "value": 12}]: %w`, err)
	}
	if len(items) == 0 {
		return nil, errors.New(`the list is empty; send for example [{"name": "jobs_waiting", "value": 12}]`)
	}
	if len(items) > MostPushed {
		return nil, fmt.Errorf("there are %d items; send at most %d at a time", len(items), MostPushed)
	}
	out := make([]Pushed, len(items))
	for i, raw := range items {
		if err := out[i].parse(raw, now); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return out, nil
}

func (p *Pushed) parse(raw []byte, now time.Time) error {
	type plain Pushed
	in := struct {
		*plain
		Time any `json:"time"`
	}{plain: (*plain)(p)}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf(`it is not like {"name": "jobs_waiting", "value": 12, "time": "2026-01-31T15:04:05Z", "pool": "api"}: %w`, err)
	}
	var err error
	if p.Time, err = pushedTime(in.Time, now); err != nil {
		return err
	}
	switch {
	case !pushedName.MatchString(p.Name) || len(p.Name) > mostPushedText:
		return fmt.Errorf(`"name" is %s; use up to %d letters, digits, "_" and ":"`, brief(p.Name), mostPushedText)
	case strings.HasPrefix(p.Name, "weir_"):
		return fmt.Errorf(`"name" is %s; names that begin with weir_ are Weir's own`, brief(p.Name))
	case p.Value == nil:
		return errors.New(`"value" is missing; it is a number`)
	case math.IsNaN(*p.Value) || math.IsInf(*p.Value, 0):
		return errors.New(`"value" is no finite number`)
	case p.Instance != "" && p.Pool == "":
		return errors.New(`"instance" needs "pool", too`)
	case len(p.Labels) > mostPushedLabels:
		return fmt.Errorf(`there are %d "labels"; send at most %d`, len(p.Labels), mostPushedLabels)
	}
	for name, v := range p.Labels {
		switch {
		case !pushedLabel.MatchString(name) || len(name) > mostPushedText || strings.HasPrefix(name, "__"):
			return fmt.Errorf(`%s cannot name a label; use letters, digits and "_"`, brief(name))
		case slices.Contains(reserved, name):
			return fmt.Errorf(`the label %q says whose a value is; write "pool" and "instance" beside "name" instead`, name)
		case len(v) > mostPushedText:
			return fmt.Errorf("the label %q is longer than %d bytes", name, mostPushedText)
		}
	}
	return nil
}

func pushedTime(v any, now time.Time) (t time.Time, err error) {
	switch x := v.(type) {
	case nil:
		return now, nil
	case string:
		if t, err = time.Parse(time.RFC3339Nano, x); err != nil {
			return t, fmt.Errorf(`"time" is %s, which is neither RFC 3339 nor Unix seconds`, brief(x))
		}
	case float64:
		if math.Abs(x) > 1e12 {
			return t, fmt.Errorf(`"time" is %g; Unix seconds are meant, not milliseconds`, x)
		}
		t = time.UnixMilli(int64(x * 1000))
	default:
		return t, errors.New(`"time" is neither RFC 3339 nor Unix seconds`)
	}
	switch age := now.Sub(t); {
	case age > PushedLate:
		return t, fmt.Errorf(`"time" is %v ago; values may come up to %v late`, age.Round(time.Second), PushedLate)
	case -age > PushedEarly:
		return t, fmt.Errorf(`"time" is %v ahead of Weir's clock`, -age.Round(time.Second))
	}
	return t, nil
}

// brief shows what a stranger sent, short and harmless.
func brief(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Sprintf("%q", s)
}
