package process

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/weirlb/weir/fleet"
)

// stall is what a market file says of one placement. What the file does not name is there without limit.
type stall struct {
	Capacity *int `json:"capacity"` // most instances that may run at a time; absent sets no limit
}

// placeOf is how a market file names a placement: type/market/zone, without the zone where there are none. It is empty for an
// instance whose placement is the provider's choice.
func placeOf(s fleet.Spec) string {
	if s.Type == "" {
		return ""
	}
	return s.Placement.String()
}

// buy takes one instance of a placement, if the market file has one left. The file is read anew each time, so that a change counts
// from the next launch on.
func (p *Provider) buy(place, file string) error {
	if place == "" {
		return nil
	}
	var market map[string]stall
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading the market: %w", err)
		}
		if err := json.Unmarshal(b, &market); err != nil {
			return fmt.Errorf("reading the market %s: %w; write {\"g4dn.xlarge/spot/a\": {\"capacity\": 3}}", file, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if most := market[place].Capacity; most != nil && p.held[place] >= *most {
		return fmt.Errorf("%w: the market has %d of %s, and they run", fleet.ErrCapacity, *most, place)
	}
	p.held[place]++
	return nil
}

func (p *Provider) giveBack(place string) {
	if place == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[place]--
}
