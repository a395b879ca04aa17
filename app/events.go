package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
)

// eventTypes are the events of a fleet as the page calls them.
var eventTypes = map[fleet.EventKind]string{
	fleet.StateChanged: admin.EventInstance, fleet.SpotNotice: admin.EventSpot,
	fleet.CapacityRefused: admin.EventCapacity, fleet.HookMoved: admin.EventHook,
}

// instanceChanged tells the page of what happened to an instance.
func (a *App) instanceChanged(e fleet.Event) {
	out := admin.Event{Type: eventTypes[e.Kind], Time: e.Time, Pool: e.Pool, Subject: e.Instance, Text: e.Why}
	if e.Kind == fleet.StateChanged {
		out.Text = "is " + string(e.State)
		if e.Why != "" {
			out.Text += ": " + e.Why
		}
		out.Data = map[string]any{"state": e.State}
	}
	a.web.Publish(out)
}

// chronicle keeps the page's events in the state directory, while this process holds it. It implements admin.Chronicle.
type chronicle struct{ app *App }

func (c chronicle) journal() *control.Journal {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if c.app.tenure == nil {
		return nil
	}
	return c.app.tenure.journal
}

func (c chronicle) Keep(events []admin.Event) error {
	j := c.journal()
	if j == nil {
		return errors.New("the state is not open")
	}
	texts := map[string][][]byte{}
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil { // its data cannot be told
			e.Data = nil
			if b, err = json.Marshal(e); err != nil {
				return err
			}
		}
		texts[e.Type] = append(texts[e.Type], b)
	}
	if err := j.KeepEvents(texts); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return err
	}
	return nil // another process holds the state by now
}

func (c chronicle) Events(pool string, types []string, limit int) ([]admin.Event, error) {
	j := c.journal()
	if j == nil {
		return nil, nil
	}
	var out []admin.Event
	found := map[string]int{}
	err := j.Events(types, func(kind string, text []byte) (bool, error) {
		var e admin.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return false, fmt.Errorf("an event of type %s: %w", kind, err)
		}
		if pool == "" || e.Pool == pool {
			out = append(out, e)
			found[kind]++
		}
		return found[kind] < limit, nil
	})
	slices.SortStableFunc(out, func(a, b admin.Event) int { return b.Time.Compare(a.Time) })
	return out[:min(limit, len(out))], err
}
