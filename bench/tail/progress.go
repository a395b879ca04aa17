package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"golang.org/x/term"
)

// progress says on stderr how far it is: a line that rewrites itself on a terminal, else one every ten seconds.
func progress(ctx context.Context, start time.Time, length time.Duration, total int, all *counts) {
	every, begin, end := 10*time.Second, "", "\n"
	if term.IsTerminal(int(os.Stderr.Fd())) {
		every, begin, end = 500*time.Millisecond, "\r\x1b[K", ""
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(os.Stderr, strings.ReplaceAll(begin, "\r", "\n"))
			return
		case <-ticker.C:
		}
		const cells = 24
		elapsed := max(0, time.Since(start))
		full := int(cells * min(1, elapsed.Seconds()/length.Seconds()))
		fmt.Fprintf(os.Stderr, "%s%s%s %v of %v  sent %d of %d  answered %d  failed %d%s", begin, strings.Repeat("━", full), strings.Repeat("╌", cells-full),
			elapsed.Round(time.Second), length.Round(time.Second), all.sent.Load(), total, all.done.Load(), all.failed.Load(), end)
	}
}

// usage is what was done on the machine's cores.
type usage struct {
	Elapsed time.Duration `json:"elapsed_ns"`
	Busy    float64       `json:"busy"`  // share of all cores, everything on the machine, this run included
	Stolen  float64       `json:"steal"` // share that the hypervisor gave to others
	at      time.Time
	times   cpu.TimesStat
}

func readUsage() (usage, error) {
	times, err := cpu.Times(false)
	if err != nil || len(times) == 0 {
		return usage{}, fmt.Errorf("reading how busy the machine is: %w", err)
	}
	return usage{at: time.Now(), times: times[0]}, nil
}

func (u usage) since(earlier usage) usage {
	u.Elapsed = u.at.Sub(earlier.at)
	whole := u.Elapsed.Seconds() * float64(runtime.NumCPU())
	a, b := earlier.times, u.times
	u.Busy = (b.User + b.Nice + b.System + b.Irq + b.Softirq - a.User - a.Nice - a.System - a.Irq - a.Softirq) / whole
	u.Stolen = (b.Steal - a.Steal) / whole
	return u
}
