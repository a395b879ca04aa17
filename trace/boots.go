package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Boots are recorded times that instances took to boot, or to load a model.
type Boots struct {
	// Times are those of boots that came to something, sorted, at least one.
	Times []time.Duration
	// Failed are how long those took of which nothing came, sorted.
	Failed []time.Duration

	// Warnings are what had to be assumed.
	Warnings []Warning
}

// Quantile is the time that a share q of the boots does not exceed, from 0 (the shortest) to 1 (the longest), interpolated between
// neighbours (Hyndman and Fan, The American Statistician, 1996, definition 7). Of a random q it is a draw.
func (b *Boots) Quantile(q float64) time.Duration {
	at := min(max(q, 0), 1) * float64(len(b.Times)-1)
	i := int(at)
	if i+1 >= len(b.Times) {
		return b.Times[len(b.Times)-1]
	}
	return b.Times[i] + time.Duration((at-float64(i))*float64(b.Times[i+1]-b.Times[i]))
}

// maxBoot is longer than any instance boots.
const maxBoot = 24 * time.Hour

// ReadBoots reads CSV with a header and one boot a row, compressed or not. The column is boot, boot_time, load, load_time, startup,
// cold_start, ready or seconds, any with a unit behind, as in boot_ms; or value, as in Alibaba's traces of model loads, in milliseconds.
// Unit is for a column without one; 0 assumes seconds, with a warning. A column outcome, status, result or success, where there is one, says with ok
// or failed (and words like these) which came to something.
func ReadBoots(name string, r io.Reader, unit time.Duration) (*Boots, error) {
	in, err := open(name, r)
	if err != nil {
		return nil, err
	}
	src := &csvSource{lines: in, comma: ','}
	header, err := src.row()
	if err != nil {
		return nil, err
	}
	if err := src.split(header); err != nil {
		return nil, err
	}
	b := &Boots{}
	column, outcome, width := -1, -1, len(src.fields)
	var columns []string
	for i, f := range src.fields {
		n := string(trim(f))
		columns = append(columns, n)
		if slices.Contains([]string{"outcome", "status", "result", "success"}, strings.ToLower(n)) && outcome < 0 {
			outcome = i
		}
		u, ok := bootUnit(n)
		if !ok {
			continue
		}
		if column >= 0 {
			return nil, in.errorf(in.n, "columns %q and %q could both be the time of a boot; remove one", clip(columns[column]), clip(n))
		}
		column = i
		if u != 0 {
			unit = u
		}
	}
	switch {
	case column < 0:
		return nil, in.errorf(in.n, "no column says how long a boot took. It has %s; it needs one such as boot_seconds or boot_ms", quoted(columns))
	case slices.Contains(columns, "timestamp_anon") && columns[column] == "value" && unit == 0:
		unit = time.Millisecond
		b.Warnings = append(b.Warnings, Warning{in.n, "column \"value\" is taken as milliseconds, as Alibaba's traces of model loads have it"})
	case unit == 0:
		unit = time.Second
		b.Warnings = append(b.Warnings, Warning{in.n, fmt.Sprintf("column %q has no unit in its name and is taken as seconds", clip(columns[column]))})
	}
	for {
		row, err := src.row()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := src.split(row); err != nil {
			return nil, err
		}
		if len(src.fields) != width {
			return nil, in.errorf(in.n, "%d fields, where the header has %d; mend or remove the row", len(src.fields), width)
		}
		v := string(trim(src.fields[column]))
		f, err := strconv.ParseFloat(v, 64)
		if took := f * float64(unit); err != nil || !(took > 0 && took <= float64(maxBoot)) {
			return nil, in.errorf(in.n, "%s is %q, which no boot takes in %v; write a number above 0, up to a day", columns[column], clip(v), unit)
		}
		took := time.Duration(f * float64(unit))
		if outcome >= 0 {
			word := string(trim(src.fields[outcome]))
			ok, known := succeeded(word)
			if !known {
				return nil, in.errorf(in.n, "%s is %q; write ok or failed", columns[outcome], clip(word))
			}
			if !ok {
				b.Failed = append(b.Failed, took)
				continue
			}
		}
		b.Times = append(b.Times, took)
	}
	switch {
	case len(b.Times)+len(b.Failed) == 0:
		return nil, fmt.Errorf("%s: it has a header and no rows", name)
	case len(b.Times) == 0:
		return nil, fmt.Errorf("%s: all of its %d boots failed; a replay needs one that came to something", name, len(b.Failed))
	}
	slices.Sort(b.Times)
	slices.Sort(b.Failed)
	return b, nil
}

// bootUnit says whether a column holds the time of a boot, and its unit.
func bootUnit(name string) (time.Duration, bool) {
	n := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
	if n == "value" {
		return 0, true
	}
	if n == "seconds" || n == "sec" {
		return time.Second, true
	}
	stems := []string{"boot", "boottime", "load", "loadtime", "startup", "startuptime", "coldstart", "coldstarttime", "ready", "timetoready"}
	if slices.Contains(stems, n) {
		return 0, true
	}
	for _, u := range unitNames {
		if stem, ok := strings.CutSuffix(n, u.name); ok && slices.Contains(stems, stem) {
			return u.unit, true
		}
	}
	return 0, false
}

// Spot is how many spot instances a market would give, or had left, at each tick.
type Spot struct {
	Name   string
	Gap    time.Duration // between ticks
	Counts []int         // at least one
}

// Span is how long the recording lasts.
func (s *Spot) Span() time.Duration { return s.Gap * time.Duration(len(s.Counts)) }

// At is how many there were at a time from the begin. Behind the end the recording begins anew; callers that mind look at Span.
func (s *Spot) At(d time.Duration) int {
	i := int64(max(d, 0)/s.Gap) % int64(len(s.Counts))
	return s.Counts[i]
}

// maxSpot bounds the size of a recording.
const maxSpot = 64 << 20

// ReadSpot reads {"metadata": {"gap_seconds": 195}, "data": [0, 1, …]}, as skypilot-org/spot-traces has it, compressed or not.
func ReadSpot(name string, r io.Reader) (*Spot, error) {
	in, err := open(name, r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(in.r, maxSpot+1))
	if err != nil {
		return nil, in.broken(err)
	}
	if len(text) > maxSpot {
		return nil, fmt.Errorf("%s: more than %d MiB; is this a recording of a spot market?", name, maxSpot>>20)
	}
	var file struct {
		Metadata struct {
			Gap float64 `json:"gap_seconds"`
		}
		Data []float64
	}
	const shape = `write {"metadata": {"gap_seconds": 195}, "data": [0, 1, …]}: how many spot instances there were at each tick`
	if err := json.Unmarshal(text, &file); err != nil {
		line := 1
		if at, ok := errors.AsType[*json.SyntaxError](err); ok {
			line += strings.Count(string(text[:min(max(at.Offset, 0), int64(len(text)))]), "\n")
		}
		return nil, in.errorf(line, "no recording of a spot market: %w; %s", err, shape)
	}
	gap := file.Metadata.Gap
	switch {
	case !(gap >= 1e-3 && gap <= 30*24*3600):
		return nil, in.errorf(1, "metadata.gap_seconds is %g; %s", gap, shape)
	case len(file.Data) == 0:
		return nil, in.errorf(1, "data holds no ticks; %s", shape)
	}
	s := &Spot{Name: name, Gap: time.Duration(gap * float64(time.Second)), Counts: make([]int, len(file.Data))}
	for i, n := range file.Data {
		if n < 0 || n != math.Trunc(n) || n > 1e6 {
			return nil, in.errorf(1, "data[%d] is %g; write a whole number of instances from 0 up", i, n)
		}
		s.Counts[i] = int(n)
	}
	return s, nil
}
