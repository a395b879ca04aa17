package load

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// maxLine bounds one line of JSON; Mooncake's rows with all their block hashes stay far below.
const maxLine = 16 << 20

func (t *trace) readCSV(r io.Reader) error {
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	header, err := cr.Read()
	if err != nil {
		return t.brokenCSV(err)
	}
	header = slices.Clone(header)
	if err := t.choose(1, header); err != nil {
		return err
	}
	index := func(column string) int { return slices.Index(header, column) }
	at, input, output := index(t.at), -1, -1
	if t.input != "" {
		input = index(t.input)
	}
	if t.output != "" {
		output = index(t.output)
	}
	for {
		row, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return t.brokenCSV(err)
		}
		field := func(i int) string {
			if i < 0 {
				return ""
			}
			return row[i]
		}
		line, _ := cr.FieldPos(0)
		if err := t.add(line, field(at), field(input), field(output)); err != nil {
			return err
		}
	}
}

// brokenCSV gives the line of an error in the grammar of CSV or in the reading.
func (t *trace) brokenCSV(err error) error {
	if bad, ok := errors.AsType[*csv.ParseError](err); ok {
		if errors.Is(bad, csv.ErrFieldCount) {
			return t.errorf(bad.Line, "this row has another number of fields than the header; mend or remove it")
		}
		return t.errorf(bad.Line, "not CSV at column %d: %w", bad.Column, bad.Err)
	}
	// The reader broke below the grammar, in what would have been the next row.
	return t.broken(t.line+1, err)
}

func (t *trace) readJSON(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 1<<16), maxLine)
	line := 0
	for sc.Scan() {
		line++
		text := bytes.TrimSpace(sc.Bytes())
		if len(text) == 0 {
			continue
		}
		var row map[string]json.RawMessage
		if err := json.Unmarshal(text, &row); err != nil {
			return t.errorf(line, "not one JSON object on a line: %w", err)
		}
		if t.at == "" {
			if err := t.choose(line, slices.Sorted(maps.Keys(row))); err != nil {
				return err
			}
		}
		at, err := t.field(line, row, t.at)
		if err != nil {
			return err
		}
		input, err := t.field(line, row, t.input)
		if err != nil {
			return err
		}
		output, err := t.field(line, row, t.output)
		if err != nil {
			return err
		}
		if err := t.add(line, at, input, output); err != nil {
			return err
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return t.errorf(line+1, "the line is longer than %d MiB; write one JSON object a line", maxLine>>20)
	} else if err != nil {
		return t.broken(line+1, err)
	}
	return nil
}

// field is what a row holds under a key, as text.
func (t *trace) field(line int, row map[string]json.RawMessage, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	raw, ok := row[key]
	if !ok {
		return "", t.errorf(line, "no field %q, which the rows above have", key)
	}
	if raw[0] != '"' {
		return string(raw), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", t.errorf(line, "%s: %w", key, err)
	}
	return s, nil
}

// clock reads the times of a trace. The first row settles how they are written, and every further row has to keep to it.
type clock struct {
	layout string        // of times written as dates
	unit   time.Duration // of times written as numbers
	set    bool
	zero   time.Time // of the first row, for dates
	zeroN  float64   // of the first row, for numbers
}

// layouts are what dates may look like. The second is Azure's, in UTC. Both take a fraction of a second.
var layouts = []string{time.RFC3339, time.DateTime}

// read is the time of a row from the first row's.
func (c *clock) read(s string, unit time.Duration, mooncake bool) (time.Duration, error) {
	if !c.set {
		if err := c.settle(s, unit, mooncake); err != nil {
			return 0, err
		}
	}
	if c.layout != "" {
		at, err := time.Parse(c.layout, s)
		if err != nil {
			return 0, fmt.Errorf("%q is not written as the first row's time, like %s", clip(s), c.layout)
		}
		d := at.Sub(c.zero)
		if d == math.MaxInt64 || d == math.MinInt64 {
			return 0, fmt.Errorf("%q is more than 290 years from the first row's", clip(s))
		}
		return d, nil
	}
	n, err := number(s)
	if err != nil {
		return 0, err
	}
	d := (n - c.zeroN) * float64(c.unit)
	if math.Abs(d) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is more than 290 years from the first row's", clip(s))
	}
	// Floats hold a Unix time to a fraction of a microsecond: finer digits are noise.
	return time.Duration(math.Round(d/1e3)) * time.Microsecond, nil
}

// settle decides by the first row how times are written.
func (c *clock) settle(s string, unit time.Duration, mooncake bool) error {
	c.set = true
	for _, layout := range layouts {
		if at, err := time.Parse(layout, s); err == nil {
			c.layout, c.zero = layout, at
			return nil
		}
	}
	n, err := number(s)
	if err != nil {
		return err
	}
	c.zeroN, c.unit = n, unit
	switch {
	case unit != 0:
	case n >= 1e8 && n < 1e11: // Unix seconds from 1973 to 5138
		c.unit = time.Second
	case n >= 1e11 && n < 1e14: // Unix milliseconds of the same years
		c.unit = time.Millisecond
	case mooncake && n < 1e8: // Mooncake counts milliseconds from its start
		c.unit = time.Millisecond
	case n >= 1e14:
		return fmt.Errorf("%q counts something finer than milliseconds; convert the trace's times to milliseconds", clip(s))
	default:
		return fmt.Errorf("%q could count seconds or milliseconds; say which unit the trace's times have, s or ms", clip(s))
	}
	return nil
}

// number reads a time written as one.
func number(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a time; write 2026-01-31T08:00:00Z, 2026-01-31 08:00:00, or Unix seconds or milliseconds", clip(s))
	case math.IsNaN(n) || math.IsInf(n, 0):
		return 0, fmt.Errorf("%q is not a moment; write a number", clip(s))
	case n < 0:
		return 0, fmt.Errorf("%q is negative; write a time from 0 up", clip(s))
	}
	return n, nil
}
