package infer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLoadRows bounds a file of recorded loads; what follows is an error, not left out in silence.
const maxLoadRows = 1 << 20

// readLoadFile reads a file of recorded model loads.
func readLoadFile(path string) ([]time.Duration, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the load file: %w", err)
	}
	defer f.Close()
	loads, err := parseLoads(f)
	if err != nil {
		return nil, fmt.Errorf("reading the load file %s: %w", path, err)
	}
	return loads, nil
}

// parseLoads reads recorded load times: CSV, of which one value a line is the simplest, gzipped or not. A value with a
// unit ("22.7s", "900ms") is what it says. A bare number is in the unit that the column's header names (ms, seconds,
// load_ms, time_s, …), else in milliseconds. With several columns the header decides: the first one called value or
// load, or whose name ends in a unit.
func parseLoads(r io.Reader) ([]time.Duration, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		defer z.Close()
		in = bufio.NewReader(z)
	}
	rows := csv.NewReader(in)
	rows.FieldsPerRecord = -1
	rows.TrimLeadingSpace = true
	rows.ReuseRecord = true
	rows.Comment = '#'

	var loads []time.Duration
	column, unit := 0, time.Millisecond
	for first := true; ; first = false {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := rows.FieldPos(0)
		if first && isHeader(row) {
			if column, unit, err = loadColumn(row); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			continue
		}
		if column >= len(row) {
			return nil, fmt.Errorf("line %d: has %d columns, the load time is in column %d", line, len(row), column+1)
		}
		d, err := parseLoad(row[column], unit)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(loads) == maxLoadRows {
			return nil, fmt.Errorf("line %d: more than %d loads; give a shorter file", line, maxLoadRows)
		}
		loads = append(loads, d)
	}
	if len(loads) == 0 {
		return nil, errors.New("no load times in it; write one a line, for example 22.7s")
	}
	return loads, nil
}

// isHeader reports whether no cell of a row is a number or a duration, be it one that is out of range.
func isHeader(row []string) bool {
	return !slices.ContainsFunc(row, func(cell string) bool {
		cell = strings.TrimSpace(cell)
		_, notNumber := strconv.ParseFloat(cell, 64)
		_, notDuration := time.ParseDuration(cell)
		return notNumber == nil || errors.Is(notNumber, strconv.ErrRange) || notDuration == nil
	})
}

// loadColumn finds the column of load times in a header, and the unit of its bare numbers.
func loadColumn(header []string) (column int, unit time.Duration, err error) {
	for i, cell := range header {
		name := strings.ToLower(strings.TrimSpace(cell))
		u, named := headerUnit(name)
		if name == "value" || strings.HasPrefix(name, "load") || named {
			return i, u, nil
		}
	}
	if len(header) > 1 {
		return 0, 0, fmt.Errorf("the header %q has no column called value, load, ms or s; name the load times so",
			strings.Join(header, ","))
	}
	return 0, time.Millisecond, nil
}

// headerUnit is the unit a column's name ends in; without one it is milliseconds.
func headerUnit(name string) (unit time.Duration, named bool) {
	last := name
	if i := strings.LastIndexAny(name, "_ (["); i >= 0 {
		last = name[i+1:]
	}
	switch strings.Trim(last, "()[]") {
	case "ms", "msec", "millis", "milliseconds":
		return time.Millisecond, true
	case "s", "sec", "secs", "seconds":
		return time.Second, true
	}
	return time.Millisecond, false
}

// parseLoad reads one load time, 0 to maxDuration.
func parseLoad(cell string, unit time.Duration) (time.Duration, error) {
	cell = strings.TrimSpace(cell)
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		d, err := time.ParseDuration(cell)
		if err != nil {
			return 0, fmt.Errorf("%q is not a load time; write for example 22.7s or a number of milliseconds", cell)
		}
		v, unit = float64(d), 1
	}
	v *= float64(unit)
	if math.IsNaN(v) || v < 0 || v > float64(maxDuration) {
		return 0, fmt.Errorf("%q is out of range; give 0s to %v", cell, maxDuration)
	}
	return time.Duration(v), nil
}
