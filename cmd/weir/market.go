package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	local "github.com/weirlb/weir/provider/process"
)

type marketCmd struct {
	List      marketList      `cmd:"" default:"withargs" help:"Show what the market has."`
	Set       marketSet       `cmd:"" help:"Say how many machines of a placement there are, and what they cost."`
	Interrupt marketInterrupt `cmd:"" help:"Take running machines of a placement back, after a notice."`
	Rebalance marketRebalance `cmd:"" help:"Say that machines of a placement are at an elevated risk of being taken back."`
	Clear     marketClear     `cmd:"" help:"Forget what was said of a placement: it is there without limit again."`
}

func (marketCmd) Help() string {
	return `The process provider launches "machines" of any type; a market file (scale.cost.market) says how many there are of each placement, what they cost,
and takes them back, so that a spot market can be played on one machine. A running Weir sees a change within a second. A placement is TYPE/spot/ZONE or
TYPE/on_demand/ZONE, without the zone where there are none.

  weir market -c weir.yaml
  weir market set g4dn.xlarge/spot/a --capacity 3
  weir market interrupt g4dn.xlarge/spot/a --notice 30s       all of them, in half a minute
  weir market rebalance g4dn.xlarge/spot/a`
}

// marketFile is the market of a pool.
type marketFile struct {
	Config string `short:"c" help:"The config file." default:"weir.yaml" type:"path"`
	Pool   string `help:"The pool; needed when several have a market."`
}

func (m marketFile) find() (string, error) {
	c, err := readConfig(m.Config)
	if err != nil {
		return "", err
	}
	found := ""
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		p := c.Pools[name]
		if p.Scale == nil || p.Scale.Cost == nil || p.Scale.Cost.Market == "" || m.Pool != "" && m.Pool != name {
			continue
		}
		if found != "" && found != p.Scale.Cost.Market {
			return "", usageError{errors.New("weir market: several pools have a market of their own; name one with --pool")}
		}
		found = p.Scale.Cost.Market
	}
	if found == "" {
		return "", usageError{errors.New("weir market: no such pool has a market; add scale.cost.market: market.json to it")}
	}
	return found, nil
}

// read returns the market and where it is. One that was never written is empty.
func (m marketFile) read() (local.Market, string, error) {
	file, err := m.find()
	if err != nil {
		return nil, "", err
	}
	market, err := local.ReadMarket(file)
	if errors.Is(err, fs.ErrNotExist) {
		return local.Market{}, file, nil
	}
	return market, file, err
}

// change changes what the market says of a placement, as a whole.
func (m marketFile) change(o *output, place string, f func(s *local.Stall) (says string)) error {
	if err := local.CheckPlacement(place); err != nil {
		return usageError{fmt.Errorf("weir market: %w", err)}
	}
	market, file, err := m.read()
	if err != nil {
		return err
	}
	s := market[place]
	says := f(&s)
	if market[place] = s; s == (local.Stall{}) {
		delete(market, place)
	}
	b, err := json.MarshalIndent(market, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(file, append(b, '\n')); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.out, "%s: %s\n", place, says)
	return err
}

// replaceFile writes a file, all of it or none.
func replaceFile(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".weir-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing of that name
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

type marketList struct{ marketFile }

func (m *marketList) Run(o *output) error {
	market, file, err := m.read()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s; what it does not name is there without limit\n", file)
	if len(market) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "placement\tcapacity\tprice\t")
	for _, place := range slices.Sorted(maps.Keys(market)) {
		s := market[place]
		capacity, price, state := "no limit", "as configured", ""
		if s.Capacity != nil {
			capacity = strconv.Itoa(*s.Capacity)
		}
		if s.Price > 0 {
			price = strconv.FormatFloat(s.Price, 'g', -1, 64)
		}
		if i := s.Interrupt; i != nil {
			state = "taken back: notice of " + i.Notice + " at " + i.At.Format(time.RFC3339)
		} else if !s.Rebalance.IsZero() {
			state = "at risk: launched before " + s.Rebalance.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", place, capacity, price, state)
	}
	return w.Flush()
}

type marketSet struct {
	marketFile
	Placement string   `arg:"" help:"As TYPE/spot/ZONE."`
	Capacity  *int     `help:"Most machines that may run at a time; below 0 sets no limit."`
	Price     *float64 `help:"Of one for an hour; 0 is that of the config."`
}

func (m *marketSet) Run(o *output) error {
	if m.Capacity == nil && m.Price == nil {
		return usageError{errors.New("weir market set: say what to change: --capacity or --price")}
	}
	return m.change(o, m.Placement, func(s *local.Stall) string {
		if m.Capacity != nil {
			if s.Capacity = m.Capacity; *m.Capacity < 0 {
				s.Capacity = nil
			}
		}
		if m.Price != nil {
			s.Price = max(0, *m.Price)
		}
		return "changed"
	})
}

type marketInterrupt struct {
	marketFile
	Placement string        `arg:"" help:"As TYPE/spot/ZONE."`
	Notice    time.Duration `help:"From the notice to the end." default:"2m"`
	Count     int           `help:"How many; 0 is all that run."`
}

func (m *marketInterrupt) Run(o *output) error {
	if m.Notice <= 0 || m.Count < 0 {
		return usageError{errors.New("weir market interrupt: --notice must be above 0, and --count not below")}
	}
	return m.change(o, m.Placement, func(s *local.Stall) string {
		now := time.Now()
		s.Interrupt = &local.Interrupt{At: now, Notice: m.Notice.String(), Count: m.Count}
		return "taken back at " + now.Add(m.Notice).Format("15:04:05")
	})
}

type marketRebalance struct {
	marketFile
	Placement string `arg:"" help:"As TYPE/spot/ZONE."`
	Off       bool   `help:"The risk is over."`
}

func (m *marketRebalance) Run(o *output) error {
	return m.change(o, m.Placement, func(s *local.Stall) string {
		if m.Off {
			s.Rebalance = time.Time{}
			return "no more at risk"
		}
		s.Rebalance = time.Now()
		return "those that run now are at risk"
	})
}

type marketClear struct {
	marketFile
	Placement string `arg:"" help:"As TYPE/spot/ZONE."`
}

func (m *marketClear) Run(o *output) error {
	return m.change(o, m.Placement, func(s *local.Stall) string {
		*s = local.Stall{}
		return "there without limit"
	})
}
