package telemetry

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/config"
)

// What is shown is documented, and under the name that it has.
func TestDocsNameEveryFieldAndMetric(t *testing.T) {
	guide := read(t, "../docs/observability.md")
	_, fields, _ := strings.Cut(guide, "| field |")
	fields, _, _ = strings.Cut(fields, "\n\n")
	for _, name := range AccessFields() {
		if !strings.Contains(fields, "`"+name+"`") {
			t.Errorf("docs/observability.md does not explain the field %s", name)
		}
	}
	name := regexp.MustCompile(`fqName: "(\w+)"`)
	docs := guide + read(t, "../docs/dashboard.md")
	for _, d := range descs {
		if metric := name.FindStringSubmatch(d.String()); metric == nil || !strings.Contains(docs, "`"+metric[1]+"{") {
			t.Errorf("the docs do not explain %v", d)
		}
	}
}

func TestConfigKnowsTheFields(t *testing.T) {
	if got := config.AccessFields(); !slices.Equal(got, AccessFields()) {
		t.Errorf("config lists the fields\n%q, the log has\n%q", got, AccessFields())
	}
	for _, name := range AccessFields() {
		if _, err := fieldsOf([]string{name}); err != nil {
			t.Error(err)
		}
	}
}

func TestDefaultsAreThoseOfConfig(t *testing.T) {
	c := config.DefaultAccessLog()
	if c.Path != DefaultAccess.Path || c.Format != DefaultAccess.Format || c.Sample != DefaultAccess.Sample ||
		c.KeepErrors != DefaultAccess.KeepErrors || time.Duration(c.Slow) != DefaultAccess.Slow || c.Query != DefaultAccess.Query {
		t.Errorf("config has %+v, the log %+v", c, DefaultAccess)
	}
}
