package plan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRefreshStories replays testdata/refresh/*.txt: a deploy, second by second, with a line for every change.
//
//	fleet 6 boot=3s            instances of version 1, and how long new ones take
//	crashes                    version 2 ends while it starts
//	answers requests=500 failed=25 at 6s
//	                           what version 2 has answered since the refresh began, from then on
//	refresh min_healthy=80 max_healthy=100 failures=2 error_rate=2 bake=10s rollback
//	                           replace version 1 by version 2, until there is nothing more to do
func TestRefreshStories(t *testing.T) {
	files, err := filepath.Glob("testdata/refresh/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in testdata/refresh: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(golden))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, golden) {
				t.Errorf("the refresh differs from %s (rewrite it with -update and look at the difference); now:\n%s", file, got)
			}
		})
	}
}

// deploy is what a story says.
type deploy struct {
	n, boot int
	crashes bool
	o       RefreshOptions
	answers Answers
	from    time.Duration // that they are seen
}

func tell(t *testing.T, text string) []byte {
	var out bytes.Buffer
	d := deploy{boot: 3}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "=>") {
			continue
		}
		out.WriteString(line)
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		d.read(t, fields)
		if fields[0] == "refresh" {
			d.run(t, &out)
		}
	}
	return out.Bytes()
}

func (d *deploy) read(t *testing.T, fields []string) {
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "fleet":
			d.n = number(t, fields[1])
		case "boot":
			d.boot = int(span(t, value).Seconds())
		case "crashes":
			d.crashes = true
		case "requests":
			d.answers.Requests = uint64(number(t, value))
		case "failed":
			d.answers.Failed = uint64(number(t, value))
		case "at":
			d.from = span(t, fields[len(fields)-1])
		case "min_healthy":
			d.o.MinHealthy = number(t, value)
		case "max_healthy":
			d.o.MaxHealthy = number(t, value)
		case "failures":
			d.o.Failures = number(t, value)
		case "error_rate":
			d.o.Gate.ErrorRate = float64(number(t, value)) / 100
		case "bake":
			d.o.Bake = span(t, value)
		case "rollback":
			d.o.Rollback = true
		}
	}
}

func (d *deploy) run(t *testing.T, out *bytes.Buffer) {
	y := newYard(d.n, d.o)
	y.boot = d.boot
	if d.crashes {
		y.bad = 2
	}
	said := ""
	for s := range 600 {
		h := Health{Why: "exit status 1"}
		if at := time.Duration(s) * time.Second; d.answers.Requests > 0 && at >= d.from {
			h.New, h.Old = d.answers, Answers{Requests: 1000}
		}
		y.second(h)
		of := y.versions()
		line := fmt.Sprintf("%s, %d of version 1 and %d of version 2 ready: %s", y.r.State, of[1], of[2], y.r.Why)
		if line != said {
			said = line
			fmt.Fprintf(out, "=> %v %s\n", y.in.Now.Sub(time.Unix(0, 0)), line)
		}
		if !y.r.Active() {
			return
		}
	}
	t.Fatalf("it does not end: %s", said)
}
