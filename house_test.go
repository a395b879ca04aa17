// Package weir holds the rules of the house as tests: which folder may import which, and that each says what it is.
package weir

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weirlb/weir/"

// table says what each folder may import of this module, directly, outside of its tests. A name stands for the folder itself,
// a floor's name for all folders of that floor. Each floor sees only what lies below it.
var table = []struct {
	floor   string
	folders map[string]string
}{
	{"values", map[string]string{
		"target": "",
		"window": "",
		"trace":  "",
	}},
	{"decisions", map[string]string{ // no I/O, no clock, no log, no goroutine
		"h1":         "",
		"route":      "",
		"admit":      "values",
		"balance":    "values",
		"health":     "values",
		"session":    "",
		"proxyproto": "",
		"scale":      "values alarm",
		"forecast":   "values",
		"alarm":      "values",
		"money":      "values",
		"fleet/plan": "values scale",
	}},
	{"live", map[string]string{
		"telemetry": "values decisions",
		"measure":   "values decisions",
		"pool":      "values decisions",

		"measure/history": "measure",
		"measure/scrape":  "measure measure/history",
		"measure/prom":    "measure measure/history",
		"measure/gpu":     "measure",

		"fleet": "values decisions measure pool",
	}},
	{"edges", map[string]string{
		"listen":           "proxyproto",
		"listen/certs":     "",
		"listen/acme":      "",
		"listen/handover":  "",
		"l7":               "values decisions live",
		"l7/xconnect":      "",
		"probe":            "values decisions",
		"provider/process": "fleet fleet/plan",
		"admin":            "values decisions live",
	}},
	{"tools", map[string]string{ // what a user runs beside Weir; they know Weir only over the network
		"infer": "",
		"load":  "",
	}},
	{"assembly", map[string]string{
		"config":  "scale alarm", // which says what steps and times are
		"control": "values decisions live",
		"sim":     "values decisions live control",
		"app":     "values decisions live edges config control sim",
		"planner": "values decisions live control sim config app", // asks the simulator what a config would do
		"demo":    "tools config app values decisions live edges control",
	}},
	{"evidence", map[string]string{ // what tests have in common; nothing but tests may import it
		"h1/corpus": "",
	}},
	{"commands", map[string]string{
		"cmd/weir": "values decisions live tools config control sim app planner demo admin listen provider/process",
	}},
}

// pure folders may not reach for the world: time is an argument there.
var pure = []string{"target", "window", "trace", "h1", "route", "admit", "balance", "health", "session", "proxyproto", "scale", "forecast", "alarm", "money", "fleet/plan"}

var impure = []string{"net", "net/http", "os", "os/exec", "log", "log/slog", "io/fs", "syscall", "context"}

func TestEachFloorImportsOnlyWhatLiesBelow(t *testing.T) {
	allowed := map[string][]string{}
	members := map[string][]string{}
	for _, f := range table {
		for folder := range f.folders {
			members[f.floor] = append(members[f.floor], folder)
		}
	}
	for _, f := range table {
		for folder, may := range f.folders {
			allowed[folder] = []string{}
			for w := range strings.FieldsSeq(may) {
				if m, ok := members[w]; ok {
					allowed[folder] = append(allowed[folder], m...)
				} else {
					allowed[folder] = append(allowed[folder], w)
				}
			}
		}
	}
	for folder, imports := range packages(t) {
		if strings.HasPrefix(folder, "bench") || folder == "." {
			continue
		}
		may, ok := allowed[folder]
		if !ok {
			t.Errorf("folder %s is not in the table: say which floor it is on and what it may import", folder)
			continue
		}
		for _, i := range imports {
			if of, ok := strings.CutPrefix(i, module); ok && !slices.Contains(may, of) && !strings.HasPrefix(of, folder+"/") {
				t.Errorf("%s imports %s, which its floor may not see", folder, of)
			}
			if slices.Contains(members["evidence"], strings.TrimPrefix(i, module)) {
				t.Errorf("%s imports %s, which is for tests", folder, i)
			}
			if slices.Contains(pure, folder) && slices.Contains(impure, i) {
				t.Errorf("%s imports %s: decisions do no I/O", folder, i)
			}
		}
	}
}

func TestDecisionsReadNoClock(t *testing.T) {
	for _, folder := range pure {
		for _, f := range sources(t, folder) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []string{"time.Now(", "time.Since(", "time.Until(", "time.Sleep(", "time.After("} {
				if strings.Contains(string(b), call) {
					t.Errorf("%s calls %s): now is an argument here", f, call)
				}
			}
		}
	}
}

func TestEveryPackageSaysOnceWhatItIs(t *testing.T) {
	for folder := range packages(t) {
		docs := 0
		for _, f := range append(sources(t, folder), tests(t, folder)...) {
			file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc == nil {
				continue
			}
			text := file.Doc.Text()
			if !strings.HasPrefix(text, "Package "+file.Name.Name+" ") && !(file.Name.Name == "main" && strings.HasPrefix(text, "Command ")) {
				if strings.HasPrefix(text, "Package ") || !strings.HasSuffix(f, "_test.go") {
					t.Errorf("%s: the doc comment does not begin with Package %s", f, file.Name.Name)
				}
				continue
			}
			docs++
		}
		if docs != 1 {
			t.Errorf("%s has %d package doc comments, want exactly one", folder, docs)
		}
	}
}

func TestNoPackageIsCalledUtil(t *testing.T) {
	for folder := range packages(t) {
		switch filepath.Base(folder) {
		case "util", "utils", "common", "helpers", "misc", "base":
			t.Errorf("%s: the name says nothing; name it after what it does", folder)
		}
	}
}

// packages returns the imports of each folder that has Go files, tests left out.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		folder := filepath.ToSlash(filepath.Dir(path))
		if _, ok := out[folder]; !ok {
			out[folder] = nil
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			out[folder] = append(out[folder], strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sources(t *testing.T, folder string) []string {
	return slices.DeleteFunc(goFiles(t, folder), func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

func tests(t *testing.T, folder string) []string {
	return slices.DeleteFunc(goFiles(t, folder), func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

func goFiles(t *testing.T, folder string) []string {
	t.Helper()
	fs, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}
