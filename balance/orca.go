package balance

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlb/weir/target"
)

// ParseORCA reads an endpoint-load-metrics header, with which a target says in each answer how loaded it is (Open Request Cost
// Aggregation; xds.data.orca.v3.OrcaLoadReport). All formats that are in use are understood:
//
//	TEXT cpu_utilization=0.3, named_metrics.kv_cache_usage_perc=0.4
//	JSON {"cpu_utilization": 0.3, "named_metrics": {"kv_cache_usage_perc": 0.4}}
//	BIN base64 of the protobuf message
//
// Without a format it is TEXT; the value of endpoint-load-metrics-bin is to be given with BIN before it.
//
// Gauge names what the utilization is, such as named_metrics.kv_cache_usage_perc or just kv_cache_usage_perc. When it is empty, it
// is application_utilization, or the largest of what is known to limit AI servers (kv_cache_usage_perc, gpu_cache_usage_perc, kv_cache,
// gpu_utilization), or cpu_utilization, the first of these that the target says and that is not 0. Requests in flight and queued are
// num_requests_running and num_requests_waiting, as vLLM names them.
//
// A report without that gauge has the utilization -1, not known. A header with anything malformed, negative or not finite in it is an
// error as a whole.
func ParseORCA(header, gauge string, now time.Time) (target.Report, error) {
	format, body, _ := strings.Cut(strings.TrimSpace(header), " ")
	o := orca{gauge: gauge}
	var err error
	switch format {
	case "TEXT":
		err = o.text(body)
	case "JSON":
		err = o.json(body)
	case "BIN":
		err = o.bin(body)
	default:
		err = o.text(header)
	}
	if err != nil {
		return target.Report{}, fmt.Errorf("reading endpoint-load-metrics: %w", err)
	}
	return target.Report{Utilization: o.utilization(), InFlight: o.running, Queue: o.waiting, At: now}, nil
}

// orca collects the metrics of one report.
type orca struct {
	gauge             string
	asked             reading // the gauge
	app, cpu, limiter reading
	running, waiting  int
}

type reading struct {
	value float64
	said  bool
}

func (o *orca) utilization() float64 {
	if o.gauge != "" {
		if o.asked.said {
			return o.asked.value
		}
		return -1
	}
	// A field of a protobuf message that was not set reads as 0, and so do those that its users copy.
	last := -1.0
	for _, r := range []reading{o.app, o.limiter, o.cpu} {
		if r.said && r.value > 0 {
			return r.value
		}
		if r.said {
			last = 0
		}
	}
	return last
}

// errORCAValue says what a metric must be.
var errORCAValue = errors.New("a metric has to be a finite number of at least 0")

// add takes one metric. Name is the field's, or that of the map and the key with a dot between.
func (o *orca) add(name string, v float64) error {
	if !(v >= 0) || math.IsInf(v, 1) {
		return fmt.Errorf("%q: %w", name, errORCAValue)
	}
	short := name
	for _, field := range []string{"named_metrics.", "utilization.", "request_cost."} {
		if s, ok := strings.CutPrefix(name, field); ok {
			short = s
		}
	}
	if name == o.gauge || short == o.gauge {
		o.asked = reading{v, true}
	}
	switch name {
	case "application_utilization":
		o.app = reading{v, true}
		return nil
	case "cpu_utilization":
		o.cpu = reading{v, true}
		return nil
	}
	if _, after, ok := strings.Cut(short, ":"); ok { // vllm:num_requests_running
		short = after
	}
	switch short {
	case "kv_cache_usage_perc", "gpu_cache_usage_perc", "kv_cache", "gpu_utilization":
		o.limiter = reading{max(v, o.limiter.value), true}
	case "num_requests_running":
		o.running = int(min(v, math.MaxInt32))
	case "num_requests_waiting":
		o.waiting = int(min(v, math.MaxInt32))
	}
	return nil
}

func (o *orca) text(s string) error {
	for pair := range strings.SplitSeq(s, ",") {
		pair = strings.TrimSpace(pair)
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			name, value, ok = strings.Cut(pair, ":")
		}
		if !ok || name == "" {
			return fmt.Errorf("%q is not name=value", pair)
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return fmt.Errorf("%q: %w", name, errORCAValue)
		}
		if err := o.add(strings.TrimSpace(name), v); err != nil {
			return err
		}
	}
	return nil
}

// orcaJSON is the message in protobuf's JSON, with its own field names or with camel-case ones.
type orcaJSON struct {
	App    *float64           `json:"application_utilization"`
	CPU    *float64           `json:"cpu_utilization"`
	Mem    *float64           `json:"mem_utilization"`
	Util   map[string]float64 `json:"utilization"`
	Cost   map[string]float64 `json:"request_cost"`
	Named  map[string]float64 `json:"named_metrics"`
	AppC   *float64           `json:"applicationUtilization"`
	CPUC   *float64           `json:"cpuUtilization"`
	MemC   *float64           `json:"memUtilization"`
	CostC  map[string]float64 `json:"requestCost"`
	NamedC map[string]float64 `json:"namedMetrics"`
}

func (o *orca) json(s string) error {
	var m orcaJSON
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return err
	}
	var first error
	add := func(name string, v float64) {
		if err := o.add(name, v); err != nil && first == nil {
			first = err
		}
	}
	for _, f := range []struct {
		name  string
		value *float64
	}{
		{"application_utilization", m.App}, {"application_utilization", m.AppC}, {"cpu_utilization", m.CPU},
		{"cpu_utilization", m.CPUC}, {"mem_utilization", m.Mem}, {"mem_utilization", m.MemC},
	} {
		if f.value != nil {
			add(f.name, *f.value)
		}
	}
	for _, f := range []struct {
		name   string
		values map[string]float64
	}{{"utilization.", m.Util}, {"request_cost.", m.Cost}, {"request_cost.", m.CostC}, {"named_metrics.", m.Named}, {"named_metrics.", m.NamedC}} {
		for k, v := range f.values {
			add(f.name+k, v)
		}
	}
	return first
}

// orcaFields names the double fields and the map<string, double> fields of the message, the latter with a dot.
var orcaFields = map[protowire.Number]string{
	1: "cpu_utilization", 2: "mem_utilization", 6: "rps_fractional", 7: "eps", 9: "application_utilization",
	4: "request_cost.", 5: "utilization.", 8: "named_metrics.",
}

func (o *orca) bin(s string) error {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return fields(b, func(n protowire.Number, kind protowire.Type, double float64, entry []byte) error {
		name := orcaFields[n]
		isMap := strings.HasSuffix(name, ".")
		switch {
		case name == "" || isMap != (kind == protowire.BytesType):
			return nil
		case !isMap:
			return o.add(name, double)
		}
		var value float64
		if err := fields(entry, func(n protowire.Number, _ protowire.Type, double float64, key []byte) error {
			switch n {
			case 1:
				name += string(key)
			case 2:
				value = double
			}
			return nil
		}); err != nil {
			return err
		}
		return o.add(name, value)
	})
}

// fields calls each with every double and every length-delimited field of a protobuf message.
func fields(b []byte, each func(n protowire.Number, kind protowire.Type, double float64, bytes []byte) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var err error
		switch kind {
		case protowire.Fixed64Type:
			var v uint64
			if v, size = protowire.ConsumeFixed64(b); size >= 0 {
				err = each(n, kind, math.Float64frombits(v), nil)
			}
		case protowire.BytesType:
			var v []byte
			if v, size = protowire.ConsumeBytes(b); size >= 0 {
				err = each(n, kind, 0, v)
			}
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
