package balance

import (
	"encoding/base64"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weirlb/weir/target"
)

// message is an OrcaLoadReport on the wire, as protoc writes it.
func message(cpu float64, named map[string]float64) string {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(cpu))
	b = protowire.AppendTag(b, 3, protowire.VarintType) // rps
	b = protowire.AppendVarint(b, 300)
	for k, v := range named {
		var e []byte
		e = protowire.AppendTag(e, 1, protowire.BytesType)
		e = protowire.AppendString(e, k)
		e = protowire.AppendTag(e, 2, protowire.Fixed64Type)
		e = protowire.AppendFixed64(e, math.Float64bits(v))
		b = protowire.AppendTag(b, 8, protowire.BytesType)
		b = protowire.AppendBytes(b, e)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestORCA(t *testing.T) {
	now := time.Unix(1e9, 0)
	report := func(u float64, running, waiting int) target.Report {
		return target.Report{Utilization: u, InFlight: running, Queue: waiting, At: now}
	}
	for _, c := range []struct {
		name, header, gauge string
		want                target.Report
	}{
		{"text", "TEXT cpu_utilization=0.3, mem_utilization=0.8, rps_fractional=10.0, named_metrics.kv_cache=0.4", "", report(0.4, 0, 0)},
		{"a gauge by its full name", "TEXT cpu_utilization=0.3, named_metrics.kv_cache=0.4", "cpu_utilization", report(0.3, 0, 0)},
		{"a gauge by its short name", "TEXT cpu_utilization=0.3,utilization.gpu=0.9", "gpu", report(0.9, 0, 0)},
		{"a gauge that is not there is not 0", "TEXT cpu_utilization=0.3", "gpu", report(-1, 0, 0)},
		{"nothing that is known is not 0", "TEXT rps_fractional=10", "", report(-1, 0, 0)},
		{"cpu", "TEXT cpu_utilization=1.3, mem_utilization=0.8", "", report(1.3, 0, 0)},
		{"idle", "TEXT cpu_utilization=0", "", report(0, 0, 0)},
		{"the application knows best", "application_utilization=0.5,cpu_utilization=0.9", "", report(0.5, 0, 0)},
		{"unless it did not set it", "application_utilization=0,cpu_utilization=0.9", "", report(0.9, 0, 0)},
		{"native HTTP", "cpu_utilization:0.3,mem_utilization: 0.8", "", report(0.3, 0, 0)},
		{"vLLM's", "TEXT named_metrics.kv_cache_usage_perc=0.32, named_metrics.num_requests_waiting=7.0, named_metrics.num_requests_running=12", "", report(0.32, 12, 7)},
		{"vLLM's in JSON", `JSON {"named_metrics": {"kv_cache_usage_perc": 0.32, "vllm:num_requests_waiting": 7.0}}`, "", report(0.32, 0, 7)},
		{"camel case", `JSON {"cpuUtilization": 0.7, "rps": "12", "namedMetrics": {"x": 1}}`, "", report(0.7, 0, 0)},
		{"binary", "BIN " + message(0.25, nil), "", report(0.25, 0, 0)},
		{"binary with a map", "BIN " + message(0.25, map[string]float64{"gpu_utilization": 0.75}), "", report(0.75, 0, 0)},
	} {
		got, err := ParseORCA(c.header, c.gauge, now)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, header := range []string{
		"", "TEXT", "TEXT x", "TEXT =1", "TEXT cpu_utilization=", "TEXT cpu_utilization=-1", "TEXT cpu_utilization=NaN", "TEXT cpu_utilization=Inf",
		"TEXT cpu_utilization=0.3,", "JSON", "JSON []", `JSON {"cpu_utilization": "much"}`, `JSON {"named_metrics": {"x": -1}}`,
		"BIN !", "BIN CQ==", "BIN " + message(-1, nil), "BIN " + message(math.NaN(), nil),
	} {
		if got, err := ParseORCA(header, "", now); err == nil {
			t.Errorf("%q is read as %+v", header, got)
		}
	}
}

func FuzzORCA(f *testing.F) {
	for _, s := range []string{"TEXT cpu_utilization=0.3, named_metrics.kv_cache=0.4", `JSON {"cpu_utilization": 0.3, "utilization": {"a": 1}}`, "a:1,b:2"} {
		f.Add(s, "")
	}
	f.Add("BIN "+message(0.5, map[string]float64{"gpu": 0.5}), "gpu")
	f.Fuzz(func(t *testing.T, header, gauge string) {
		got, err := ParseORCA(header, gauge, time.Unix(1, 0))
		if err != nil {
			if got != (target.Report{}) {
				t.Errorf("an error and %+v", got)
			}
			return
		}
		if u := got.Utilization; !(u >= 0) && u != -1 || math.IsInf(u, 0) || got.InFlight < 0 || got.Queue < 0 {
			t.Errorf("%q reads as %+v", header, got)
		}
	})
}

func BenchmarkORCA(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseORCA("TEXT named_metrics.kv_cache_usage_perc=0.32, named_metrics.num_requests_waiting=7", "", time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
