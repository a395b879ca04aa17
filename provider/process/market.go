package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/fleet/plan"
)

// Market is what a market file says, by placement: type/market/zone, without the zone where there are none. What it does not name is there without
// limit, and is not taken back.
type Market map[string]Stall

// Stall is what there is of one placement.
type Stall struct {
	Capacity  *int       `json:"capacity,omitempty"`  // most instances that may run at a time; absent sets no limit
	Price     float64    `json:"price,omitempty"`     // per hour, now; 0 is that of the config
	Interrupt *Interrupt `json:"interrupt,omitempty"` // of instances that run
	Rebalance time.Time  `json:"rebalance,omitzero"`  // those launched before are at an elevated risk of being taken back
}

// Interrupt takes instances back. What was noticed once happens, even if the file says otherwise later.
type Interrupt struct {
	At     time.Time `json:"at"`              // of the notice
	Notice string    `json:"notice"`          // from the notice to the end, as in 120s; "" is the two minutes of EC2
	Count  int       `json:"count,omitempty"` // of instances, those of the lowest ids; 0 is all that ran at the time
}

// DefaultNotice is how long before its end an instance of EC2 has its notice.
const DefaultNotice = 2 * time.Minute

// notice is how long the notice is.
func (i *Interrupt) notice() (time.Duration, error) {
	if i.Notice == "" {
		return DefaultNotice, nil
	}
	d, err := time.ParseDuration(i.Notice)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("notice %q is not a duration above 0; write one such as 120s", i.Notice)
	}
	return d, nil
}

// ReadMarket reads a market file.
func ReadMarket(file string) (Market, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the market: %w", err)
	}
	return parseMarket(file, b)
}

func parseMarket(file string, b []byte) (Market, error) {
	var m Market
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("reading the market %s: %w; write {\"g4dn.xlarge/spot/a\": {\"capacity\": 3}}", file, err)
	}
	for place, one := range m {
		if _, err := placementOf(place); err != nil {
			return nil, fmt.Errorf("reading the market %s: %w", file, err)
		}
		switch {
		case one.Capacity != nil && *one.Capacity < 0:
			return nil, fmt.Errorf("reading the market %s: %s: capacity %d; write 0 or more, or leave it out for no limit", file, place, *one.Capacity)
		case one.Price < 0:
			return nil, fmt.Errorf("reading the market %s: %s: price %g; write what an hour costs", file, place, one.Price)
		case one.Interrupt == nil:
		case one.Interrupt.At.IsZero():
			return nil, fmt.Errorf("reading the market %s: %s: interrupt has no \"at\"; write when its notice is given, as in \"at\": %q", file, place, time.Now().UTC().Format(time.RFC3339))
		default:
			if _, err := one.Interrupt.notice(); err != nil {
				return nil, fmt.Errorf("reading the market %s: %s: interrupt: %w", file, place, err)
			}
		}
	}
	return m, nil
}

// placementOf reads a placement as a market file names it.
func placementOf(text string) (p plan.Placement, err error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") || parts[1] != plan.Spot && parts[1] != plan.OnDemand {
		return p, fmt.Errorf("%.80q is not a placement; write type/spot/zone or type/on_demand/zone, without the zone where there are none", text)
	}
	p.Type, p.Market = parts[0], parts[1]
	if len(parts) == 3 {
		p.Zone = parts[2]
	}
	return p, nil
}

// CheckPlacement says what is wrong with the name of a placement.
func CheckPlacement(text string) error {
	_, err := placementOf(text)
	return err
}

// placeOf is how a market file names a placement. It is empty for an instance whose placement is the provider's choice.
func placeOf(s fleet.Spec) string {
	if s.Type == "" {
		return ""
	}
	return s.Placement.String()
}

// glance is a market file as it was read last.
type glance struct {
	changed time.Time
	size    int64
	market  Market
	err     error
}

// market reads a file, if it has changed since the last time. The lock is held.
func (p *Provider) market(file string) (Market, error) {
	if file == "" {
		return nil, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			delete(p.markets, file)
		}
		return nil, fmt.Errorf("reading the market: %w", err)
	}
	last, known := p.markets[file]
	if !known || !last.changed.Equal(info.ModTime()) || last.size != info.Size() || time.Since(last.changed) < time.Second {
		last = glance{changed: info.ModTime(), size: info.Size()}
		last.market, last.err = ReadMarket(file)
		p.markets[file] = last
	}
	return last.market, last.err
}

// tenant is an instance that runs.
type tenant struct {
	place  string
	since  time.Time
	h      *handle
	notice plan.Notice // of an interruption
}

// buy takes one instance of a placement, if the market file has one left. A change of the file counts from the next launch on.
func (p *Provider) buy(place, file string) error {
	if place == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	market, err := p.market(file)
	if err != nil {
		return err
	}
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

// rent notes an instance of a placement that runs, until it has ended.
func (p *Provider) rent(id, place string, h *handle, since time.Time) {
	if place == "" {
		return
	}
	p.mu.Lock()
	p.tenants[id] = &tenant{place: place, since: since, h: h}
	p.mu.Unlock()
	go func() {
		<-h.Done()
		p.mu.Lock()
		delete(p.tenants, id)
		p.mu.Unlock()
		p.giveBack(place)
	}()
}

// Notices are the instances that the market takes back, and begins to. It implements fleet.Noticer.
func (p *Provider) Notices(file string) (map[string]plan.Notice, error) {
	if file == "" {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	market, err := p.market(file)
	if err != nil {
		return nil, err
	}
	for place, one := range market {
		if one.Interrupt != nil {
			p.interrupt(place, one.Interrupt, time.Now())
		}
	}
	var out map[string]plan.Notice
	for id, t := range p.tenants {
		n := t.notice
		if n.Kind == "" && t.since.Before(market[t.place].Rebalance) {
			n.Kind = plan.Rebalance
		}
		if n.Kind != "" {
			if out == nil {
				out = map[string]plan.Notice{}
			}
			out[id] = n
		}
	}
	return out, nil
}

// interrupt gives notice to instances of a placement, once, and ends them when its time is up. The lock is held.
func (p *Provider) interrupt(place string, i *Interrupt, now time.Time) {
	length, err := i.notice()
	if err != nil || now.Before(i.At) {
		return
	}
	deadline := i.At.Add(length)
	if done := p.interrupted[place]; done.Equal(i.At) {
		return
	}
	p.interrupted[place] = i.At
	var ids []string
	for id, t := range p.tenants {
		if t.place == place && t.since.Before(i.At) && t.notice.Kind == "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if i.Count > 0 && i.Count < len(ids) {
		ids = ids[:i.Count]
	}
	for _, id := range ids {
		t := p.tenants[id]
		t.notice = plan.Notice{Kind: plan.Interruption, Deadline: deadline}
		time.AfterFunc(max(0, deadline.Sub(now)), func() {
			t.h.signal(syscall.SIGKILL) // as a machine that is gone: nobody is asked
		})
	}
}

// Offers is what the markets of a file have to give: those that it names with a capacity. It implements fleet.Offerer.
func (p *Provider) Offers(file string) (map[plan.Placement]plan.Offer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	market, err := p.market(file)
	if err != nil || market == nil {
		return nil, err
	}
	out := make(map[plan.Placement]plan.Offer, len(market))
	for place, one := range market {
		at, err := placementOf(place)
		if err != nil {
			continue
		}
		offer := plan.Offer{Price: one.Price, Free: plenty}
		if one.Capacity != nil {
			offer.Free = max(0, *one.Capacity-p.held[place])
		}
		out[at] = offer
	}
	return out, nil
}

// plenty is what a placement without a limit has free.
const plenty = 1000
