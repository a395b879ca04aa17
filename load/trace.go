package load

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// TraceOptions say which part of a trace to take and how to change it.
type TraceOptions struct {
	// From and To cut a part out of the trace, in the trace's own time from its first row: From <= t < To. To 0 means to its end.
	From, To time.Duration

	// Speed divides the time between arrivals: 10 plays a trace in a tenth of its time. 0 means 1.
	Speed float64

	// Multiply is how many requests each of the trace's becomes: 3 sends each three times, spread over the time to the next, and 0.1
	// sends each tenth. 0 means 1.
	Multiply float64

	// Scale multiplies Input and Output; a request that had tokens keeps at least one. 0 means 1.
	Scale float64

	// Column names the column or field that holds the time. Empty means "timestamp", in any case.
	Column string

	// Unit is what a time written as a number counts: time.Second or time.Millisecond. 0 means to tell it from the first row, where
	// only a Unix time of this age and the fields of Mooncake's traces (milliseconds) leave no doubt.
	Unit time.Duration
}

// Names under which known traces hold the tokens of a prompt and of an answer, in lower case: Azure's, Mooncake's, and the OpenAI API's.
var (
	inputColumns  = []string{"contexttokens", "input_length", "input_tokens", "prompt_tokens"}
	outputColumns = []string{"generatedtokens", "output_length", "output_tokens", "completion_tokens"}
)

// maxTokens is more than any model reads or writes; a larger number is another column.
const maxTokens = 1e9

// maxArrivals bounds what Multiply may make, so that a slip of the keyboard costs a message and not all memory.
const maxArrivals = 1e8

// errFull ends the reading once the rest of a trace lies behind To.
var errFull = errors.New("behind the part asked for")

// ReadTrace reads recorded arrivals from CSV with a header or from one JSON object a line, either compressed with gzip or not. The
// first arrival is at 0 when From is 0. Name stands in errors, which give the line.
//
// A time is RFC 3339, or "2006-01-02 15:04:05.999" in UTC as in Azure's LLM traces, or a number; all rows of a trace write it the same
// way and are sorted by it. Tokens are taken from ContextTokens and GeneratedTokens, input_length and output_length, input_tokens and
// output_tokens, or prompt_tokens and completion_tokens, and are 0 without any of these.
func ReadTrace(name string, r io.Reader, o TraceOptions) ([]Arrival, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &trace{name: name, o: o}
	br := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := br.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, t.broken(1, err)
		}
		defer z.Close()
		br = bufio.NewReaderSize(z, 1<<16)
	}
	if bom, _ := br.Peek(3); string(bom) == "\ufeff" {
		br.Discard(3)
	}
	first, err := br.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the trace is empty; give CSV with a header or one JSON object a line", name)
	case err != nil:
		return nil, t.broken(1, err)
	case first[0] == '[':
		return nil, t.errorf(1, "a JSON array; write one JSON object a line, as `jq -c '.[]'` does")
	case first[0] == '{':
		err = t.readJSON(br)
	default:
		err = t.readCSV(br)
	}
	if err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	if want := float64(len(t.arrivals)) * t.o.Multiply; want > maxArrivals {
		return nil, fmt.Errorf("%s: its %d requests times %g are more than %d; lower the factor", name, len(t.arrivals), t.o.Multiply, int(maxArrivals))
	}
	if t.rows == 0 {
		return nil, fmt.Errorf("%s: the trace has a header and no rows", name)
	}
	if len(t.arrivals) == 0 {
		return nil, fmt.Errorf("%s: no request between %v and %v; the trace's last one is at %v", name, o.From, o.To, t.last)
	}
	return multiply(t.arrivals, t.o.Multiply), nil
}

// multiply repeats or thins arrivals: of the first i, ceil(i·factor) are made, so the first is always there and the shape of the load is
// kept. Repetitions lie evenly between an arrival and the next.
func multiply(arrivals []Arrival, factor float64) []Arrival {
	if factor == 1 {
		return arrivals
	}
	out := make([]Arrival, 0, int(math.Ceil(float64(len(arrivals))*factor)))
	for i, a := range arrivals {
		n := int(math.Ceil(float64(i+1)*factor)) - int(math.Ceil(float64(i)*factor))
		var gap time.Duration
		if i+1 < len(arrivals) {
			gap = arrivals[i+1].At - a.At
		}
		for k := range n {
			b := a
			b.At += time.Duration(float64(gap) * float64(k) / float64(n))
			out = append(out, b)
		}
	}
	return out
}

func (o *TraceOptions) check() error {
	o.Speed = cmp.Or(o.Speed, 1)
	o.Scale = cmp.Or(o.Scale, 1)
	o.Multiply = cmp.Or(o.Multiply, 1)
	o.Column = cmp.Or(o.Column, "timestamp")
	switch {
	case !(o.Speed > 0) || math.IsInf(o.Speed, 0):
		return fmt.Errorf("trace: a speed of %g; give a number above 0, such as 10 for a tenth of the time", o.Speed)
	case !(o.Scale > 0) || math.IsInf(o.Scale, 0):
		return fmt.Errorf("trace: a token scale of %g; give a number above 0, such as 0.1 for a tenth of the tokens", o.Scale)
	case !(o.Multiply > 0) || math.IsInf(o.Multiply, 0):
		return fmt.Errorf("trace: requests times %g; give a number above 0, such as 2 for twice the load", o.Multiply)
	case o.From < 0 || o.To < 0:
		return fmt.Errorf("trace: the part from %v to %v; give times from 0 up", o.From, o.To)
	case o.To != 0 && o.To <= o.From:
		return fmt.Errorf("trace: the part from %v to %v is empty; let it end after it begins", o.From, o.To)
	case o.Unit != 0 && o.Unit != time.Second && o.Unit != time.Millisecond:
		return fmt.Errorf("trace: a time unit of %v; give s or ms", o.Unit)
	}
	return nil
}

// trace is a trace being read.
type trace struct {
	name string
	o    TraceOptions
	columns
	clock clock

	arrivals []Arrival
	rows     int
	line     int           // of the row before
	last     time.Duration // of the row before, from the first row
}

// columns says where a row holds what: an index for CSV, a key for JSON.
type columns struct {
	at, input, output string // as the file writes them; "" means it has none
}

// choose finds the columns by the names a file has.
func (t *trace) choose(line int, names []string) error {
	pick := func(dst *string, want ...string) error {
		for _, n := range names {
			for _, w := range want {
				if !strings.EqualFold(strings.TrimSpace(n), w) {
					continue
				}
				if *dst != "" {
					return t.errorf(line, "columns %q and %q mean the same; remove one", *dst, n)
				}
				*dst = n
			}
		}
		return nil
	}
	err := cmp.Or(pick(&t.at, t.o.Column), pick(&t.input, inputColumns...), pick(&t.output, outputColumns...))
	if err != nil {
		return err
	}
	if t.at == "" {
		return t.errorf(line, "no column %q among %s; name the one that holds the time of a request", t.o.Column, quoted(names))
	}
	return nil
}

// quoted lists names for a message, and not more than a line holds.
func quoted(names []string) string {
	const most = 12
	q := make([]string, 0, most+1)
	for i, n := range names {
		if i == most {
			q = append(q, "…")
			break
		}
		q = append(q, strconv.Quote(clip(n)))
	}
	return strings.Join(q, ", ")
}

// clip shortens what a message quotes from a file.
func clip(s string) string { return clipTo(s, 40) }

// add takes one row.
func (t *trace) add(line int, at, input, output string) error {
	t.line = line
	when, err := t.clock.read(strings.TrimSpace(at), t.o.Unit, t.input != "" && t.output != "")
	if err != nil {
		return t.errorf(line, "%s: %w", t.at, err)
	}
	if t.rows++; t.rows > 1 && when < t.last {
		return t.errorf(line, "%s %q is %v before the row above; sort the trace by time", t.at, clip(at), t.last-when)
	}
	t.last = when
	if t.o.To > 0 && when >= t.o.To {
		return errFull
	}
	a := Arrival{}
	if a.Input, err = t.tokens(line, t.input, input); err != nil {
		return err
	}
	if a.Output, err = t.tokens(line, t.output, output); err != nil {
		return err
	}
	if when < t.o.From {
		return nil
	}
	played := float64(when-t.o.From) / t.o.Speed
	if played >= math.MaxInt64 {
		return t.errorf(line, "at a speed of %g this row comes after more than 290 years; raise the speed", t.o.Speed)
	}
	a.At = time.Duration(played)
	t.arrivals = append(t.arrivals, a)
	return nil
}

// tokens reads a count, which some tools write as "63.0".
func (t *trace) tokens(line int, column, s string) (int, error) {
	if column == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(n >= 0 && n <= maxTokens) || n != math.Trunc(n) {
		return 0, t.errorf(line, "%s %q is not a number of tokens; write a whole number from 0 to %d", column, clip(s), int(maxTokens))
	}
	if n == 0 {
		return 0, nil
	}
	return int(max(1, min(maxTokens, math.Round(n*t.o.Scale)))), nil
}

func (t *trace) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", t.name, line, fmt.Errorf(format, args...))
}

// broken wraps what a reader said.
func (t *trace) broken(line int, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return t.errorf(line, "the gzip data ends in the middle; the file was not written or copied whole, so fetch it again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return t.errorf(line, "the gzip data is damaged (%w); fetch the file again", err)
	}
	return t.errorf(line, "reading the trace: %w", err)
}
