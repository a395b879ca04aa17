// Package procstat reads what a benchmark needs from Linux's /proc: the CPU
// time and memory of a process and its children, and how busy a core was.
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// tick is the unit of every time in /proc/stat and /proc/PID/stat. The kernel
// reports USER_HZ there, which is 100 on every architecture Go runs on.
const tick = 10 * time.Millisecond

// Process is the part of /proc/PID/stat used here.
type Process struct {
	PID    int
	Name   string // up to 15 bytes, as the kernel cuts it
	State  byte   // R, S, D, Z, …
	Parent int
	User   time.Duration // in steps of 10 ms
	System time.Duration // in steps of 10 ms
}

// ParseProcess reads the text of /proc/PID/stat. The name may itself hold
// spaces and parentheses, so fields are counted from the last one.
func ParseProcess(text []byte) (Process, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return Process{}, errors.New("/proc/PID/stat: no name in parentheses")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
	if err != nil {
		return Process{}, fmt.Errorf("/proc/PID/stat: process id: %w", err)
	}
	// Counted as proc(5) does, the state is field 3: rest[0] here.
	rest := bytes.Fields(text[end+1:])
	if len(rest) < 13 {
		return Process{}, fmt.Errorf("/proc/PID/stat: %d fields after the name, want at least 13", len(rest))
	}
	parent, err := strconv.Atoi(string(rest[1]))
	if err != nil {
		return Process{}, fmt.Errorf("/proc/PID/stat: parent: %w", err)
	}
	user, err := ticks(rest[11])
	if err != nil {
		return Process{}, fmt.Errorf("/proc/PID/stat: user time: %w", err)
	}
	system, err := ticks(rest[12])
	if err != nil {
		return Process{}, fmt.Errorf("/proc/PID/stat: system time: %w", err)
	}
	return Process{
		PID: pid, Name: string(text[open+1 : end]), State: rest[0][0],
		Parent: parent, User: user, System: system,
	}, nil
}

// CoreTime is how one core spent its time since boot, in steps of 10 ms.
type CoreTime struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ, Steal time.Duration
}

// ParseCore reads one core's line from the text of /proc/stat.
func ParseCore(text []byte, core int) (CoreTime, error) {
	prefix := fmt.Appendf(nil, "cpu%d ", core)
	for line := range bytes.Lines(text) {
		values, found := bytes.CutPrefix(line, prefix)
		if !found {
			continue
		}
		fields := bytes.Fields(values)
		var t CoreTime
		into := []*time.Duration{&t.User, &t.Nice, &t.System, &t.Idle, &t.IOWait, &t.IRQ, &t.SoftIRQ, &t.Steal}
		if len(fields) < len(into) {
			return CoreTime{}, fmt.Errorf("/proc/stat: cpu%d has %d fields, want at least %d", core, len(fields), len(into))
		}
		for i, d := range into {
			var err error
			if *d, err = ticks(fields[i]); err != nil {
				return CoreTime{}, fmt.Errorf("/proc/stat: cpu%d: %w", core, err)
			}
		}
		return t, nil
	}
	return CoreTime{}, fmt.Errorf("/proc/stat: no line for cpu%d", core)
}

// Work is the time the core spent on processes, counted as the processes' own
// clocks count it: with the interrupts that came while they ran, unless the
// kernel keeps those apart (see InterruptsApart).
func (t CoreTime) Work(interruptsApart bool) time.Duration {
	work := t.User + t.Nice + t.System
	if !interruptsApart {
		work += t.IRQ + t.SoftIRQ
	}
	return work
}

// ParseKB finds a line such as "VmRSS:  1234 kB" in the text of
// /proc/PID/status or /proc/PID/smaps_rollup and returns its value in KB.
func ParseKB(text []byte, name string) (int64, error) {
	for line := range bytes.Lines(text) {
		value, found := bytes.CutPrefix(line, []byte(name+":"))
		if !found {
			continue
		}
		number, unit, _ := bytes.Cut(bytes.TrimSpace(value), []byte(" "))
		if string(bytes.TrimSpace(unit)) != "kB" {
			return 0, fmt.Errorf("%s: unit %q, want kB", name, unit)
		}
		kb, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil || kb < 0 {
			return 0, fmt.Errorf("%s: %q is not a size", name, number)
		}
		return kb, nil
	}
	return 0, fmt.Errorf("no line %q", name)
}

// Since returns what passed between an earlier reading and this one.
func (t CoreTime) Since(earlier CoreTime) CoreTime {
	return CoreTime{
		User: t.User - earlier.User, Nice: t.Nice - earlier.Nice, System: t.System - earlier.System,
		Idle: t.Idle - earlier.Idle, IOWait: t.IOWait - earlier.IOWait,
		IRQ: t.IRQ - earlier.IRQ, SoftIRQ: t.SoftIRQ - earlier.SoftIRQ, Steal: t.Steal - earlier.Steal,
	}
}

// Memory is resident memory in KB. PSS counts a page shared by n processes as
// 1/n, so a master and its child are not counted twice.
type Memory struct {
	RSS int64 `json:"rss_kb"`
	PSS int64 `json:"pss_kb"`
}

func ticks(field []byte) (time.Duration, error) {
	n, err := strconv.ParseUint(string(field), 10, 64)
	if err != nil {
		return 0, err
	}
	const most = uint64(1<<63-1) / uint64(tick)
	if n > most {
		return 0, fmt.Errorf("%d ticks are more than a duration holds", n)
	}
	return time.Duration(n) * tick, nil
}
