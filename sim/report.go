package sim

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"slices"
	"time"

	"github.com/weirlb/weir/scale"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// Report is what a page shows beside the runs.
type Report struct {
	Title   string
	Trace   string // what was replayed, in a line
	Start   time.Time
	Slots   int // of one instance
	Promise time.Duration
}

// reportPoints is how many points a line of the page has at most; each stands for the largest of its time.
const reportPoints = 600

// reportDecisions is how many decisions of a run the page lists at most.
const reportDecisions = 2000

type reportRun struct {
	runJSON
	Of        float64          `json:"of"` // its cost in terms of the first run's
	Curve     reportCurve      `json:"curve"`
	Decisions []reportDecision `json:"decisions"`
	More      int              `json:"more"` // decisions that are left out
}

// reportCurve is a run by steps of time, each value beside its moment.
type reportCurve struct {
	T         []float64 `json:"t"`    // seconds
	Rate      []float64 `json:"rate"` // requests per second
	Busy      []int     `json:"busy"` // slots
	Capacity  []int     `json:"capacity"`
	Waiting   []int     `json:"waiting"`
	Wait      []float64 `json:"wait"` // seconds
	Cost      []float64 `json:"cost"`
	Lost      []int     `json:"lost"`
	Instances []int     `json:"instances"`
	Spot      []int     `json:"spot,omitempty"`    // of the instances, where there are types of them
	Offered   []int     `json:"offered,omitempty"` // machines that the recorded spot markets had
}

type reportDecision struct {
	T         float64          `json:"t"`
	From      int              `json:"from"`
	To        int              `json:"to"`
	Why       string           `json:"why"`
	Bound     string           `json:"bound,omitempty"`
	Proposals []scale.Proposal `json:"proposals,omitempty"`
}

// WriteHTML writes a page that needs nothing beside itself: demand against capacity, the queue, waits and money over time, and every decision with its
// reasons.
func WriteHTML(w io.Writer, about Report, runs []*Result) error {
	out := make([]reportRun, len(runs))
	for i, r := range runs {
		out[i] = reportRun{runJSON: r.forJSON(), Curve: r.curve(about.Slots)}
		if first := runs[0].Cost; first > 0 {
			out[i].Of = r.Cost / first
		}
		ds := largest(r.Decisions)
		out[i].More = len(r.Decisions) - len(ds)
		for _, d := range ds {
			out[i].Decisions = append(out[i].Decisions, reportDecision{d.Time.Sub(about.Start).Seconds(), d.Previous, d.Desired, d.Why, d.Bound, d.Proposals})
		}
	}
	data, err := json.Marshal(out) // escapes <, > and &, so it may stand in a script
	if err != nil {
		return err
	}
	return reportTemplate.Execute(w, struct {
		Report
		Data template.JS
	}{about, template.JS(data)})
}

// largest thins decisions out: of each few that follow each other, the one that changed most.
func largest(ds []scale.Decision) []scale.Decision {
	each := (len(ds) + reportDecisions - 1) / reportDecisions
	if each <= 1 {
		return ds
	}
	var out []scale.Decision
	for few := range slices.Chunk(ds, each) {
		out = append(out, slices.MaxFunc(few, func(a, b scale.Decision) int { return cmp.Compare((&a).Change(), (&b).Change()) }))
	}
	return out
}

// curve thins the run's points out, so that no peak is lost.
func (r *Result) curve(slots int) (c reportCurve) {
	each := max(1, (len(r.Curve)+reportPoints-1)/reportPoints)
	seconds := 0.0
	last := Point{}
	for from := 0; from < len(r.Curve); from += each {
		part := r.Curve[from:min(from+each, len(r.Curve))]
		sum := Point{}
		for _, p := range part {
			last = p
			sum.Arrivals += p.Arrivals
			sum.Lost += p.Lost
			sum.Waiting, sum.Running = max(sum.Waiting, p.Waiting), max(sum.Running, p.Running)
			sum.Instances, sum.WaitMax = max(sum.Instances, p.Instances), max(sum.WaitMax, p.WaitMax)
		}
		now := last.At.Seconds()
		c.T = append(c.T, now)
		c.Rate = append(c.Rate, float64(sum.Arrivals)/max(now-seconds, 1e-3))
		c.Busy = append(c.Busy, sum.Running)
		c.Capacity = append(c.Capacity, sum.Instances*slots)
		c.Waiting = append(c.Waiting, sum.Waiting)
		c.Wait = append(c.Wait, sum.WaitMax.Seconds())
		c.Cost = append(c.Cost, last.Cost)
		if r.o.Mix != nil {
			c.Spot = append(c.Spot, last.Spot)
		}
		if len(r.o.Markets) > 0 {
			offered := 0
			for _, m := range r.o.Markets {
				offered += m.at(last.At)
			}
			c.Offered = append(c.Offered, offered)
		}
		c.Lost = append(c.Lost, sum.Lost)
		c.Instances = append(c.Instances, sum.Instances)
		seconds = now
	}
	return c
}
