package config

import (
	"regexp"
	"strings"
	"time"

	"github.com/weirlb/weir/scale"
)

func (v checker) hpaPolicy(path string, p *HPAPolicy, in *Scale) {
	for i, m := range p.Metrics {
		at := item(child(path, "metrics"), i)
		for kind, source := range m.sources() {
			key := snake(strings.ToLower(kind[:1]) + kind[1:])
			switch {
			case kind == m.Type && source == nil && !v.failed(at) && !v.failedBelow(at):
				v.fail(at, "has type %s and no %q; add it, as in %s", kind, camel(key), hpaExample(kind))
			case kind != m.Type && source != nil && m.Type != "":
				v.fail(child(at, key), "does not go with type %s; write type: %s, or remove it", m.Type, kind)
			}
		}
	}
	if v.failedBelow(path) {
		return // what follows would only be an echo
	}
	o := p.Options(in)
	_, err := scale.NewHPA(o)
	v.explain(path, err)
	if len(o.Metrics) == 0 && err == nil {
		v.warn(path, "looks at 80 percent of the requested cpu, and nothing says how much an instance requests, so it can do nothing; write metrics: [{type: Resource, resource: {name: cpu, request: 1, target: {type: Utilization, averageUtilization: 80}}}]")
	}
	for i, m := range o.Metrics {
		if m.TargetType == scale.HPAUtilization {
			v.request(item(child(path, "metrics"), i), m.Name, m.Request)
		}
	}
}

// request warns where nothing says what 100 percent are: what instances
// request no provider tells.
func (v checker) request(path, resource string, request float64) {
	if request == 0 && !strings.HasSuffix(resource, "_utilization") && !v.failed(path) {
		v.warn(path, "nothing says how much of %s an instance requests, so a utilization can never be told; add request, such as request: %s", resource, map[bool]string{true: "4Gi", false: "1"}[resource == "memory"])
	}
}

func hpaExample(kind string) string {
	switch kind {
	case scale.HPAResource:
		return "resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}"
	case scale.HPAContainerResource:
		return "containerResource: {name: cpu, container: main, target: {type: Utilization, averageUtilization: 60}}"
	}
	return strings.ToLower(kind) + ": {metric: {name: queue_depth}, target: {type: AverageValue, averageValue: 5}}"
}

func (v checker) kedaPolicy(path string, p *KEDAPolicy, in *Scale) {
	for i, t := range p.Triggers {
		if t.Type != scale.KEDACron {
			continue
		}
		at := child(item(child(path, "triggers"), i), "metadata")
		if _, err := time.LoadLocation(t.Metadata.Timezone); err != nil {
			v.fail(child(at, "timezone"), "%q is not a time zone; write one of the IANA database, such as \"Europe/Berlin\" or \"UTC\"", shorten(t.Metadata.Timezone))
		}
		for key, expr := range map[string]string{"start": t.Metadata.Start, "end": t.Metadata.End} {
			if _, err := scale.ParseCron(expr, time.UTC); err != nil && expr != "" {
				v.fail(child(at, key), "%q %v", shorten(expr), err)
			}
		}
	}
	if v.failedBelow(path) {
		return
	}
	o := p.Options(in)
	_, err := scale.NewKEDA(o)
	v.explain(path, err)
	for i, t := range o.Triggers {
		if (t.Type == scale.KEDACPU || t.Type == scale.KEDAMemory) && t.MetricType != scale.HPAAverageValue {
			v.request(child(item(child(path, "triggers"), i), "metadata"), t.Type, t.Request)
		}
	}
}

// listed is the beginning of an error about an item of a list.
var listed = regexp.MustCompile(`^((?:metrics|triggers)\[[0-9]+\]): `)

// explain records what scale says is wrong, each at its place.
func (v checker) explain(path string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		at := path
		if m := listed.FindStringSubmatch(line); m != nil {
			at, line = path+"."+m[1], line[len(m[0]):]
		}
		v.fail(at, "%s", line)
	}
}
