package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/weirlb/weir/admin"
)

type costCmd struct {
	remote
	Pool string `arg:"" optional:"" help:"Only this pool, and what it is made of."`
	JSON bool   `help:"Print JSON."`
}

func (costCmd) Help() string {
	return `What instances cost: now, today and in this month (of UTC), what they would have cost on demand, and where the month ends
if what runs now goes on. Prices are those of scale.cost.types, so is the currency.

  weir cost
  weir cost images
  weir cost --json | jq '.total.month'`
}

func (r *costCmd) Run(o *output) error {
	b, err := r.do("GET", "/v1/cost", nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if r.JSON && r.Pool == "" {
		_, err = io.Copy(o.out, b)
		return err
	}
	var c admin.Costs
	if err := json.NewDecoder(b).Decode(&c); err != nil {
		return fmt.Errorf("reading the costs: %w", err)
	}
	if r.Pool == "" {
		printCosts(o.out, c)
		return nil
	}
	for _, one := range c.Pools {
		if one.Pool != r.Pool {
			continue
		}
		if r.JSON {
			return json.NewEncoder(o.out).Encode(one)
		}
		printCost(o.out, one)
		return nil
	}
	return fmt.Errorf("pool %s has no prices; write them under scale.cost.types", r.Pool)
}

func printCosts(w io.Writer, c admin.Costs) {
	if len(c.Pools) == 0 {
		fmt.Fprintln(w, "no pool has prices; write them under scale.cost.types")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "POOL\tPER HOUR\tTODAY\tMONTH\tON DEMAND\tSAVED\tMONTH'S END\tBUDGET\tPER 1000 REQUESTS\t")
	for _, p := range c.Pools {
		name := p.Pool
		if p.Gone {
			name += " (gone)"
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t%s\t\n",
			name, p.PerHour, p.Today, p.Month, p.MonthOnDemand, p.Saved, p.Projected, orDash(p.Budget.PerMonth), orDash(p.PerThousand))
	}
	if s := c.Total; len(c.Pools) > 1 {
		fmt.Fprintf(t, "all\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\t\t\n", s.PerHour, s.Today, s.Month, s.MonthOnDemand, s.Saved, s.Projected)
	}
	t.Flush()
}

// orDash is an amount, or a dash for one that is not known.
func orDash(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

func printCost(w io.Writer, p admin.PoolCost) {
	fmt.Fprintf(w, "%s costs %.2f an hour now; on demand it would be %.2f\n", p.Pool, p.PerHour, p.OnDemandPerHour)
	for _, l := range p.Lines {
		fmt.Fprintf(w, "  %d %s %s: %.2f an hour, %.2f this month\n", l.N, l.Type, l.Market, l.PerHour, l.Month)
	}
	fmt.Fprintf(w, "today %.2f, this month %.2f (on demand %.2f, saved %.2f), at this rate %.2f at its end\n",
		p.Today, p.Month, p.MonthOnDemand, p.Saved, p.Projected)
	if p.PerThousand > 0 {
		fmt.Fprintf(w, "%.4f for 1000 requests\n", p.PerThousand)
	}
	if b := p.Budget; b.PerMonth > 0 {
		fmt.Fprintf(w, "budget %.2f a month: %.0f %% spent\n", b.PerMonth, 100*p.Month/b.PerMonth)
	}
	if b := p.Budget; b.PerHour > 0 {
		fmt.Fprintf(w, "budget %.2f an hour\n", b.PerHour)
	}
}
