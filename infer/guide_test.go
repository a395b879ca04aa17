package infer

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The guide names every flag, every field of a fault, every check and every metric there is.
func TestGuideNamesEverything(t *testing.T) {
	b, err := os.ReadFile("../docs/infer.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(b)
	want := append([]string{}, gaugeNames...)
	want = append(want, checkNames...)
	for _, o := range outcomes {
		want = append(want, string(o))
	}
	for _, s := range stages {
		want = append(want, string(s))
	}

	var o Options
	parser, err := kong.New(&o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parser.Model.Flags {
		if f.Name != "help" {
			want = append(want, "--"+f.Name)
		}
	}
	for field := range reflect.TypeFor[fault]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		want = append(want, name)
	}

	ts := serve(t, quick())
	for line := range strings.Lines(ts.get("/metrics").body) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" && !strings.HasPrefix(f[2], "go_") && !strings.HasPrefix(f[2], "process_") {
			want = append(want, f[2])
		}
	}
	for _, w := range want {
		if !strings.Contains(guide, "`"+w+"`") {
			t.Errorf("docs/infer.md does not name `%s`", w)
		}
	}
}

// The guide's faults are faults.
func TestGuidesFaultsAreAccepted(t *testing.T) {
	b, err := os.ReadFile("../docs/infer.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		_, body, ok := strings.Cut(line, "/fault -d '")
		if !ok {
			continue
		}
		n++
		body = strings.TrimSuffix(strings.TrimSpace(body), "'")
		if _, err := decodeFault(fault{}, []byte(body), nil); err != nil || !json.Valid([]byte(body)) {
			t.Errorf("%s: %v", body, err)
		}
	}
	if n == 0 {
		t.Error("the guide shows no fault")
	}
}
