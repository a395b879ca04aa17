package main

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// report gathers what was measured.
func (b *bench) report(ctx context.Context) *report {
	r := &report{
		Date: b.began.Truncate(time.Second), Machine: thisMachine(), Versions: b.versions(ctx, b.candidates),
		Rounds: b.rounds, Counted: b.count, Candidates: b.only,
		Refused: b.refused, Noisy: b.noisy, Results: b.results,
	}
	for _, s := range b.scenarios {
		for _, m := range s.metrics {
			r.Rows = append(r.Rows, newRow(m, m.Title(b.sizes()), b.results[s.name]))
		}
		if s.name == "hold" {
			continue // a rate of held requests means nothing
		}
		for _, c := range b.candidates {
			if byRound := b.results[s.name][c.name]; len(byRound) > 0 {
				r.Ways = append(r.Ways, newWay(s.name, c.name, byRound))
			}
		}
	}
	return r
}

func thisMachine() machine {
	m := machine{Kernel: "unknown", CPU: "an unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(text) {
			if key, value, _ := bytes.Cut(line, []byte(":")); string(bytes.TrimSpace(key)) == "model name" {
				m.CPU = string(bytes.TrimSpace(value))
				break
			}
		}
	}
	return m
}
