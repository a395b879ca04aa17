package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/planner"
)

type planCmd struct {
	Trace    string  `help:"Plan for recorded requests instead, in any format of docs/traces.md: then only --budget is needed." type:"existingfile" placeholder:"FILE"`
	Users    float64 `help:"Users that wait for an answer at the same time, at the highest of a spike."`
	Duration string  `help:"What a request takes on an idle machine, from the shortest to the longest." placeholder:"10s..30s"`
	Spike    string  `help:"The highest in terms of a usual day's highest; 1x: there are no spikes." placeholder:"100x"`
	Budget   string  `help:"What may be spent in a month." placeholder:"8000/month"`

	GPUTypes   string        `name:"gpu-types" help:"Machines: CSV with the columns name, on_demand, spot, slots, boot, and perhaps wake. Without it two examples, whose prices are to be replaced." type:"existingfile" placeholder:"FILE" group:"Assumptions"`
	Wait       time.Duration `help:"Wait that 95 of 100 are promised on a usual day; without it half a request, at most 10s." group:"Assumptions"`
	Patience   time.Duration `help:"After which users leave." default:"1m" group:"Assumptions"`
	SpikeHours float64       `help:"That spikes last in a month, together." default:"4" group:"Assumptions"`
	Seed       uint64        `help:"Seed of the simulated traffic: the same seed gives the same plan." default:"1" group:"Assumptions"`

	Service time.Duration `help:"Service time of requests for which the trace gives neither that nor tokens." default:"1s" group:"Trace"`
	Prefill time.Duration `help:"Time that a token of a prompt takes." default:"200us" group:"Trace"`
	Decode  time.Duration `help:"Time that a token of an answer takes." default:"20ms" group:"Trace"`
	To      string        `help:"End there: an offset or a date." group:"Trace"`
	Spot    []string      `help:"Recorded spot markets, played beside the trace: what they had to give, by zone." placeholder:"[TYPE/]ZONE=FILE" group:"Trace"`
	traceFlags

	Out  string `short:"o" help:"Write the config to this file; without it it is printed." type:"path" placeholder:"FILE"`
	JSON bool   `help:"Print all plans as JSON instead."`
}

func (planCmd) Help() string {
	return `Finds a config for what you know. Each candidate is a whole config that the simulator runs, with the code that production runs, through a usual day and a spike;
the best is written with a reason for each number, and the others are shown beside it.

  weir plan --users 5000 --duration 10s..30s --spike 100x --budget 8000/month -o weir.yaml
  weir plan --users 200 --duration 2s..4s --spike 5x --budget 3000 --gpu-types types.csv
  weir plan --trace access.log --budget 3000/month --zone Europe/Berlin
  weir plan --trace access.log --budget 3000/month --gpu-types types.csv --spot a=us-west-2a.json,b=us-west-2c.json

  name,on_demand,spot,slots,boot,wake
  g5.xlarge,1.006,0.302,1,45s,20s

boot is the time from the launch until the model is loaded; wake, which may be left out, the same for an instance that was stopped in a warm pool.

What is missing is asked for on a terminal. With --trace what was recorded says it: candidates are tried by playing it, whole when it has up to 300,000 requests, and its
busiest time alone; where it has its load in the same hours every day, also with a schedule. The exit code is 1 when nothing keeps within the budget; the cheapest
plan is printed all the same.`
}

// exampleTypes are there when no file names any. Their prices are examples.
var exampleTypes = []planner.Type{
	{Name: "g4dn.xlarge", OnDemand: 0.526, Spot: 0.158, Slots: 1, Boot: 45 * time.Second},
	{Name: "g5.xlarge", OnDemand: 1.006, Spot: 0.302, Slots: 1, Boot: 45 * time.Second},
}

func (p *planCmd) Run(o *output) error {
	if err := p.ask(os.Stdin, o); err != nil {
		return err
	}
	q, err := p.question()
	if err != nil {
		return usageError{fmt.Errorf("weir plan: %w", err)}
	}
	if p.Trace != "" {
		if err = p.recorded(o.err, &q); err != nil {
			return fmt.Errorf("weir plan: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	answer, err := planner.Solve(ctx, q, func(done, of int) {
		if isTerminal(o.err) {
			fmt.Fprintf(o.err, "\rtried %d of %d plans ", done, of)
		}
	})
	if isTerminal(o.err) {
		fmt.Fprint(o.err, "\r\033[K")
	}
	if err != nil {
		return fmt.Errorf("weir plan: %w", err)
	}
	var over error
	if best := &answer.Best; !best.Fits {
		over = fmt.Errorf("weir plan: no plan keeps within %.0f a month: the cheapest comes to %.0f", q.Budget, best.Monthly+best.Spikes)
	}
	if p.JSON {
		enc := json.NewEncoder(o.out)
		enc.SetIndent("", "  ")
		return errors.Join(enc.Encode(answer), over)
	}
	config := planner.YAML(&answer.Question, &answer.Facts, &answer.Best)
	report := o.out
	if p.Out == "" {
		report = o.err // so that the config alone can be sent on
	}
	if err := writePlan(report, answer); err != nil {
		return err
	}
	if p.Out == "" {
		_, err = io.WriteString(o.out, config)
		return errors.Join(err, over)
	}
	if err := replaceFile(p.Out, []byte(config)); err != nil {
		return err
	}
	fmt.Fprintf(report, "\nwritten to %s; put your command into its template, then: weir check -c %[1]s\n", p.Out)
	return over
}

// recorded reads the trace, and the spot markets of its time.
func (p *planCmd) recorded(w io.Writer, q *planner.Question) error {
	r := replayCmd{Trace: p.Trace, To: p.To, Speed: 1, Seed: p.Seed, traceFlags: p.traceFlags, Service: p.Service, Prefill: p.Prefill, Decode: p.Decode}
	rec, err := r.read(w)
	if err != nil {
		return err
	}
	for i := range rec.requests {
		if one := &rec.requests[i]; one.Service == 0 {
			one.Service = r.service(*one)
		}
	}
	start := rec.start
	if p.Zone != "" {
		zone, err := time.LoadLocation(p.Zone)
		if err != nil {
			return err
		}
		start = start.In(zone)
	}
	q.Traffic = &planner.Traffic{About: rec.about, Start: start, Requests: rec.requests}
	if len(p.Spot) == 0 {
		return nil
	}
	mix := new(plan.Mix)
	for _, text := range p.Spot {
		place, _, named := strings.Cut(text, "=")
		if !named {
			return usageError{fmt.Errorf("--spot: %s: whose market is that? write ZONE=FILE", text)}
		}
		if zone := place[strings.LastIndexByte(place, '/')+1:]; !slices.Contains(mix.Zones, zone) {
			mix.Zones = append(mix.Zones, zone)
		}
	}
	for _, t := range q.Types {
		mix.Types = append(mix.Types, plan.MachineType{Name: t.Name, OnDemand: t.OnDemand, Spot: t.Spot})
	}
	markets, err := spotMarkets(p.Spot, mix)
	if err != nil {
		return usageError{fmt.Errorf("--spot: %w", err)}
	}
	q.Markets, err = rec.readMarkets(markets)
	q.Traffic.About += "\n" + strings.TrimSpace(rec.markets)
	return err
}

// ask asks for what is missing, on a terminal.
func (p *planCmd) ask(in *os.File, o *output) error {
	var missing []string
	lines := bufio.NewReader(in)
	recorded := p.Trace != ""
	for _, given := range []bool{p.Users != 0, p.Duration != "", p.Spike != ""} {
		if recorded && given {
			return usageError{errors.New("weir plan: --trace says what --users, --duration and --spike say; leave them out, or the trace")}
		}
	}
	for _, one := range []struct {
		flag, question string
		has            bool
		set            func(text string) error
	}{
		{"--users", "How many users wait at the same time, at the highest of a spike? ", recorded || p.Users != 0, func(s string) (err error) {
			p.Users, err = strconv.ParseFloat(s, 64)
			return err
		}},
		{"--duration", "How long does a request take, as in 10s..30s? ", recorded || p.Duration != "", func(s string) error { p.Duration = s; return nil }},
		{"--spike", "How high is a spike in terms of a usual day, as in 100x? ", recorded || p.Spike != "", func(s string) error { p.Spike = s; return nil }},
		{"--budget", "What may be spent in a month, as in 8000? ", p.Budget != "", func(s string) error { p.Budget = s; return nil }},
	} {
		if one.has {
			continue
		}
		if !isTerminal(in) {
			missing = append(missing, one.flag)
			continue
		}
		fmt.Fprint(o.err, one.question)
		text, err := lines.ReadString('\n')
		if err == nil {
			err = one.set(strings.TrimSpace(text))
		}
		if err != nil {
			return usageError{fmt.Errorf("weir plan: %s: %w", one.flag, err)}
		}
	}
	if len(missing) > 0 {
		return usageError{fmt.Errorf("weir plan: give %s; see weir plan --help", strings.Join(missing, ", "))}
	}
	return nil
}

func (p *planCmd) question() (q planner.Question, err error) {
	q = planner.Question{Users: p.Users, Wait: p.Wait, Patience: p.Patience, SpikeHours: p.SpikeHours, Seed: p.Seed, Types: exampleTypes}
	if p.Trace == "" {
		if q.Low, q.High, err = parseSpan(p.Duration); err != nil {
			return q, fmt.Errorf("--duration: %w", err)
		}
		if q.Spike, err = parseFactor(p.Spike); err != nil {
			return q, fmt.Errorf("--spike: %w", err)
		}
	}
	if q.Budget, err = parseBudget(p.Budget); err != nil {
		return q, fmt.Errorf("--budget: %w", err)
	}
	if len(p.Spot) > 0 && p.Trace == "" {
		return q, errors.New("--spot is played beside recorded requests; give --trace, too")
	}
	if p.GPUTypes == "" {
		return q, nil
	}
	f, err := os.Open(p.GPUTypes)
	if err != nil {
		return q, err
	}
	defer f.Close()
	q.Types, err = readTypes(p.GPUTypes, f)
	return q, err
}

// parseSpan reads 10s..30s, or one duration.
func parseSpan(text string) (low, high time.Duration, err error) {
	from, to, two := strings.Cut(text, "..")
	if low, err = time.ParseDuration(from); err != nil {
		return 0, 0, fmt.Errorf("%.40q is no span of durations; write one such as 10s..30s", text)
	}
	if high = low; two {
		if high, err = time.ParseDuration(to); err != nil {
			return 0, 0, fmt.Errorf("%.40q is no span of durations; write one such as 10s..30s", text)
		}
	}
	if low <= 0 || high < low {
		return 0, 0, fmt.Errorf("%.40q goes from %v to %v; write the shorter first, as in 10s..30s", text, low, high)
	}
	return low, high, nil
}

// parseFactor reads 100x, or 100.
func parseFactor(text string) (float64, error) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v >= 1 && v <= 1e4) {
		return 0, fmt.Errorf("%.40q is not 1x to 10000x", text)
	}
	return v, nil
}

// parseBudget reads 8000/month, 8000, or 11/hour.
func parseBudget(text string) (float64, error) {
	number, per, _ := strings.Cut(strings.TrimPrefix(text, "$"), "/")
	factor, known := map[string]float64{"": 1, "month": 1, "day": planner.HoursPerMonth / 24.0, "hour": planner.HoursPerMonth}[per]
	v, err := strconv.ParseFloat(strings.ReplaceAll(number, ",", ""), 64)
	if err != nil || !known || !(v > 0 && v < 1e12) {
		return 0, fmt.Errorf("%.40q is no budget; write one such as 8000/month, or 11/hour", text)
	}
	return v * factor, nil
}

// typeColumns are those of --gpu-types; the last may be missing.
var typeColumns = []string{"name", "on_demand", "spot", "slots", "boot", "wake"}

// readTypes reads types of machines. Errors name the line.
func readTypes(name string, r io.Reader) (types []planner.Type, err error) {
	rows := csv.NewReader(r) // each line has as many fields as the first
	header, err := rows.Read()
	least := len(typeColumns) - 1
	if err != nil || len(header) < least || !slices.Equal(header, typeColumns[:min(len(header), len(typeColumns))]) {
		return nil, fmt.Errorf("%s:1: the first line must be %s, and may have %s behind that", name, strings.Join(typeColumns[:least], ","), typeColumns[least])
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := rows.FieldPos(0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; write %s in each line", name, err, strings.Join(header, ","))
		}
		t := planner.Type{Name: row[0]}
		var bad error
		number := func(i int) float64 {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil || !(v >= 0 && v < 1e9) {
				bad = fmt.Errorf("%s:%d: %s %q is not a number of 0 or more", name, line, typeColumns[i], row[i])
			}
			return v
		}
		span := func(i int) time.Duration {
			d, err := time.ParseDuration(row[i])
			if err != nil || d < 0 {
				bad = fmt.Errorf("%s:%d: %s %q is not a duration; write one such as 45s", name, line, typeColumns[i], row[i])
			}
			return d
		}
		t.OnDemand, t.Spot, t.Slots, t.Boot = number(1), number(2), int(number(3)), span(4)
		if len(row) > least {
			t.Wake = span(least)
		}
		if bad == nil && (t.Name == "" || t.OnDemand == 0 || t.Slots < 1) {
			bad = fmt.Errorf("%s:%d: a type needs a name, a price on demand and one slot at least", name, line)
		}
		if bad != nil {
			return nil, bad
		}
		types = append(types, t)
	}
	if len(types) == 0 {
		return nil, fmt.Errorf("%s: there is no type in it", name)
	}
	return types, nil
}

// mostShown is how many of the other plans are printed.
const mostShown = 8

// writePlan says what was found, what it costs, what it does not buy, and what else there was.
func writePlan(w io.Writer, a *planner.Answer) error {
	q, f, best := &a.Question, &a.Facts, &a.Best
	if q.Traffic != nil {
		fmt.Fprintln(w, q.Traffic.About)
	}
	fmt.Fprintf(w, "A usual day's highest: %.4g requests at the same time, %.4g a second. Instances of %s that it takes: %d; at night %d, at the highest of a spike %d.\n",
		f.Base, f.Rate, f.Type.Name, f.Usual, f.Night, f.Peak)
	assumed := fmt.Sprintf("spikes of %g hours a month, users that wait %v, boots of %v", q.SpikeHours, q.Patience, f.Type.Boot)
	if q.Traffic == nil {
		assumed = "a night of 30 % of the day, " + assumed
	}
	fmt.Fprintf(w, "Assumed: %s.\n\n", assumed)
	risk := "may be taken back"
	if len(q.Markets) > 0 {
		risk = "taken back, requests cut"
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\ton demand\tmin\tmax\tusual days\tspikes\ta month\tpromise kept\tserved in a spike\tits p95 wait\t"+risk+"\t")
	row := func(label string, p *planner.Plan) {
		taken := fmt.Sprintf("%.0f %%", 100*p.Interrupt)
		if len(q.Markets) > 0 {
			taken = fmt.Sprintf("%d, %d", p.Market.TakenBack, p.Market.Cut)
		}
		share := fmt.Sprintf("%d + %d %%", p.OnDemandBase, p.OnDemandPercent)
		least := strconv.Itoa(p.Min)
		if p.DayMin > 0 {
			least = fmt.Sprintf("%d, %d by day", p.Min, p.DayMin)
		}
		over := ""
		if !p.Fits {
			over = " over"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.0f\t%.0f\t%.0f%s\t%.1f %%\t%.0f %%\t%.1f s\t%s\t\n", label, share, least, p.Max, p.Monthly, p.Spikes, p.Monthly+p.Spikes, over,
			100*p.Usual.Kept, 100*p.InSpike.Served, p.InSpike.WaitP95.Seconds(), taken)
	}
	row("this plan", best)
	others := a.Others[:min(len(a.Others), mostShown)]
	for i := range others {
		row("", &others[i])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := len(a.Others) - len(others); more > 0 {
		fmt.Fprintf(w, "and %d more, which --json has.\n", more)
	}
	fmt.Fprintln(w)
	if !best.Fits {
		fmt.Fprintf(w, "No plan keeps within %.0f a month; this is the cheapest. Its budget is held all the same: what cannot be paid for waits, and then is refused.\n", q.Budget)
	}
	if best.InSpike.Served < 0.99 {
		fmt.Fprintf(w, "What the budget does not buy: %.0f of 100 requests of a spike are refused. Serving all of them takes %d instances, %.0f an hour; this plan has %d.\n"+
			"First requests queue, up to %d; then those that would wait longer than %v are refused, the least important first, with Retry-After.\n",
			100*(1-best.InSpike.Served), f.Peak, float64(f.Peak)*cheapest(&f.Type), best.Max, best.QueueLimit, q.Patience)
	}
	return nil
}

func cheapest(t *planner.Type) float64 {
	if t.Spot > 0 {
		return t.Spot
	}
	return t.OnDemand
}
