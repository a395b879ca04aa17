package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/admin"
)

type forecastCmd struct {
	remote
	Pool    string        `arg:"" help:"The pool; it needs a predict policy."`
	Horizon time.Duration `help:"How far ahead." default:"24h"`
	JSON    bool          `help:"Print JSON."`
}

func (forecastCmd) Help() string {
	return `For example:

  weir forecast images
  weir forecast images --horizon 2h --json | jq '.steps[] | [.time, .point]'`
}

func (r *forecastCmd) Run(o *output) error {
	if r.Horizon <= 0 {
		return usageError{fmt.Errorf("--horizon %v is not above 0; write one such as 24h", r.Horizon)}
	}
	b, err := r.do("GET", "/v1/pools/"+url.PathEscape(r.Pool)+"/forecast?horizon="+r.Horizon.String(), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if r.JSON {
		_, err = io.Copy(o.out, b)
		return err
	}
	var f admin.Forecast
	if err := json.NewDecoder(b).Decode(&f); err != nil {
		return fmt.Errorf("reading the forecast: %w", err)
	}
	printForecast(o.out, &f)
	return nil
}

const (
	forecastRows  = 24
	forecastWidth = 48
)

// printForecast draws one row per stretch of the forecast: its band as dots, what is expected as a bar's end.
func printForecast(w io.Writer, f *admin.Forecast) {
	if f.Why != "" {
		fmt.Fprintf(w, "no newer forecast: %s\n", f.Why)
	}
	if len(f.Steps) == 0 {
		return
	}
	fmt.Fprintf(w, "%s of pool %s, forecast %s\n", f.Metric, f.Pool, f.Made.Local().Format(time.DateTime))
	if a := f.Accuracy; a != nil && a.Tried > 0 {
		lead := time.Duration(f.LeadSeconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "%v ahead it was off by %.1f %% over %d forecasts of the last two seasons; reacting by %.1f %%\n", lead, 100*a.WAPE, a.Tried, 100*a.Reactive)
		verdict := "as good as reacting, or better"
		if a.Loss > a.ReactiveLoss {
			verdict = "worse than reacting, which demotes it"
		}
		fmt.Fprintf(w, "being ready for its quantile would have cost %.3g; reacting %.3g: %s\n", a.Loss, a.ReactiveLoss, verdict)
	}
	if a := f.Accuracy; a != nil && a.LiveTried > 0 {
		fmt.Fprintf(w, "what it has said since this Weir started was off by %.1f %% over %d steps\n", 100*a.LiveWAPE, a.LiveTried)
	}
	if p := f.Policy; p != nil {
		fmt.Fprintf(w, "%s: %s\n", p.Mode, p.Why)
	}
	top := 0.0
	for _, s := range f.Steps {
		top = max(top, slices.Max(append(slices.Clone(s.Values), s.Point)))
	}
	if !(top > 0) {
		top = 1
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := len(f.Quantiles) - 1
	fmt.Fprintf(t, "FROM\tEXPECTED\t%g to %g\t\n", f.Quantiles[0], f.Quantiles[last])
	for i := 0; i < len(f.Steps); i += max(1, (len(f.Steps)+forecastRows-1)/forecastRows) {
		s := f.Steps[i]
		fmt.Fprintf(t, "%s\t%.4g\t%.4g to %.4g\t%s\n", s.Time.Local().Format("Mon 15:04:05"), s.Point, s.Values[0], s.Values[last], bandOf(s, top))
	}
	t.Flush()
	var parts []string
	for _, m := range f.Models {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", m.Name, 100*m.Weight))
	}
	fmt.Fprintf(w, "made of %s\n", strings.Join(parts, ", "))
}

func bandOf(s admin.ForecastStep, top float64) string {
	place := func(v float64) int { return min(max(0, int(v/top*forecastWidth)), forecastWidth) }
	line := []byte(strings.Repeat(" ", forecastWidth+1))
	for i := place(s.Values[0]); i <= place(s.Values[len(s.Values)-1]); i++ {
		line[i] = '.'
	}
	line[place(s.Point)] = '#'
	return strings.TrimRight(string(line), " ")
}
