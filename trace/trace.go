// Package trace reads recorded traffic: who asked for what, and when.
//
// It tells formats apart by their content and reads them as a stream, in the order of time. It guesses nothing silently: what it had to
// assume is a [Warning], and what cannot be right is an error that names the file, the line, what is wrong and what to do about it.
package trace

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"time"
)

// Request is one that was recorded. What a trace does not say stays zero.
type Request struct {
	// At is when it came, from [Reader.Start].
	At time.Duration

	// Service is how long it was worked on, without Wait. 0 means unknown.
	Service time.Duration

	// Wait is how long it was held before that, where the trace says so.
	Wait time.Duration

	// Prefix holds the hashes of the leading blocks of its prompt: two requests whose first n are equal share so much of it.
	Prefix []uint64

	Model  string // it asked for
	Tenant string // it counts for
	Method string // of HTTP
	Path   string // of HTTP, with the query where there was one

	Bytes   int64 // of the answer's body
	In, Out int32 // tokens of its prompt and of its answer
	Line    int32 // of the file, from 1

	Steps  int16 // of an image's sampler
	Images int16 // it asked for
	Loras  int16 // adapters to load beside the model
	Status int16 // of the answer, from 100 to 599
}

// Options say how to read a trace and which part of it to take.
type Options struct {
	// Columns names the column (CSV) or key (JSON) for what [Roles] lists, where its own name does not tell: {"time": "seen_at"}.
	Columns map[string]string

	// Zone is where the clock stood that wrote times without a zone. Nil assumes UTC, with a warning.
	Zone *time.Location

	// Unit is what a time written as a number counts: a second, millisecond, microsecond or nanosecond. 0 means to tell it from the
	// column's name and the first row, which fails where they leave a doubt.
	Unit time.Duration

	// ServiceUnit is what a service time or wait counts that has no unit in its column's name. 0 assumes seconds, with a warning.
	ServiceUnit time.Duration

	// From and To cut a part out: From <= t < To. At counts from From then. Zero ones are the trace's begin and end.
	From, To Moment

	// Scale multiplies the load, and keeps its shape: of 0.1, each request is taken with that chance, and what one scale takes a larger
	// one takes too. Of 3, each request is followed by two copies, each at a random distance up to the mean between requests around it.
	// Counts are multiplied. 0 means 1; at most 10,000.
	Scale float64

	// Seed draws all that is drawn. The same seed gives the same requests.
	Seed uint64

	// Pool takes only the requests of one pool out of Weir's own access log. Other formats know no pools.
	Pool string

	// Max ends the trace after so many requests. 0 means no limit.
	Max int

	// Even spaces the requests of a trace of counts evenly. Otherwise they lie at random within their period, as users come.
	Even bool

	// Period is how long a row of a trace of counts lasts. 0 assumes the distance of its first two rows, with a warning.
	Period time.Duration

	// Disorder is how far before another one's time a row may stand that follows it. Such rows are put in order and counted in a
	// warning, others are an error. 0 means ten seconds, and ten minutes for logs, which are written in the order in which requests end.
	// It costs the memory of the requests of so long a time. Negative means none.
	Disorder time.Duration

	// Once drops a row that equals another one of the same time. They are kept otherwise, with a warning.
	Once bool

	// Spread draws a moment within the second for each time that is a whole second, as logs write them, so that what came within one
	// does not come at once. It does not go together with Once.
	Spread bool
}

// Moment is a point of a trace: an offset from its first request, or a date.
type Moment struct {
	Offset time.Duration
	Time   time.Time // counts when not zero
}

// IsZero says that m is not set.
func (m Moment) IsZero() bool { return m == Moment{} }

// String shows the moment as ParseMoment reads it.
func (m Moment) String() string {
	if m.Time.IsZero() {
		return m.Offset.String()
	}
	return m.Time.Format(time.RFC3339Nano)
}

// ParseMoment reads "90m", "2024-11-20", "2024-11-20 08:30", "2024-11-20T08:30:00" or RFC 3339. A date without a zone is in that of
// zone; nil means UTC.
func ParseMoment(s string, zone *time.Location) (Moment, error) {
	if zone == nil {
		zone = time.UTC
	}
	if s == "" {
		return Moment{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			return Moment{}, fmt.Errorf("%q lies before the trace's first request; give an offset from 0 up, such as 90m", clip(s))
		}
		return Moment{Offset: d}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return Moment{Time: t}, nil
		}
	}
	return Moment{}, fmt.Errorf("%q is no moment; write an offset such as 90m, or a date such as 2024-11-20, 2024-11-20 08:30 or 2024-11-20T08:30:00Z", clip(s))
}

// What disorder is allowed unless Options.Disorder says it.
const (
	disorder    = 10 * time.Second
	logDisorder = 10 * time.Minute
)

func (o *Options) check() error {
	if o.Scale == 0 {
		o.Scale = 1
	}
	switch {
	case !(o.Scale > 0 && o.Scale <= 1e4):
		return fmt.Errorf("a load scale of %g; give a number above 0, such as 0.1 for a tenth of the requests, and at most 10000", o.Scale)
	case o.Unit != 0 && !slices.Contains(units, o.Unit):
		return fmt.Errorf("a time unit of %v; give s, ms, us or ns", o.Unit)
	case o.ServiceUnit < 0 || o.Period < 0:
		return fmt.Errorf("a service unit of %v, a period of %v; give times from 0 up", o.ServiceUnit, o.Period)
	case o.Once && o.Spread:
		return errors.New("equal rows cannot be told once their times are spread; choose one")
	case o.Max < 0:
		return fmt.Errorf("at most %d requests; give a number from 1 up, or 0 for all", o.Max)
	case o.From.Offset < 0 || o.To.Offset < 0:
		return fmt.Errorf("the part from %v to %v; give offsets from 0 up", o.From, o.To)
	case !o.To.IsZero() && o.From.Time.IsZero() == o.To.Time.IsZero() && (o.To.Offset <= o.From.Offset && o.To.Time.IsZero() || !o.To.Time.IsZero() && !o.To.Time.After(o.From.Time)):
		return fmt.Errorf("the part from %v to %v is empty; let it end after it begins", o.From, o.To)
	}
	for name := range o.Columns {
		if _, ok := roleOf(name); !ok {
			return fmt.Errorf("column for %q: there is no such role; the roles are %s", clip(name), roleList())
		}
	}
	return nil
}

// Warning is something a trace left open and how it was taken, or something odd about it.
type Warning struct {
	Line int // of the file, 0 when it is about all of it
	Text string
}

// Kind is what a trace's requests ask for, as its columns tell.
type Kind uint8

const (
	Plain Kind = iota // HTTP requests, or nothing is known of them
	Chat              // tokens in, tokens out
	Image             // steps of a sampler
)

func (k Kind) String() string { return [...]string{"requests", "chat", "image"}[k] }

// Reader reads a trace. It is for one goroutine.
type Reader struct {
	name   string
	o      Options
	format string
	kind   Kind
	used   []string // columns, as "role=name"
	src    source
	dated  bool // times are moments, not offsets

	sorted sorter
	seen   watch // what is odd
	scaled scaler
	counts *counts // of a trace of counts, else nil

	begin, from, to int64 // nanoseconds; to is MaxInt64 when there is no end
	given           int   // requests
	it              item  // the last one
	err             error
	warnings        []Warning
	told            bool
}

// source yields rows. Its times are nanoseconds since 1970, or since the trace's begin.
type source interface {
	// next fills it, or returns io.EOF at the end.
	next(it *item) error
}

// item is a row on its way.
type item struct {
	Request
	at   int64
	hash uint64 // of the row's text
}

// errPart ends the reading once the rest lies behind To.
var errPart = errors.New("behind the part asked for")

// Open recognises the format of a trace, which may be compressed with gzip, zstd or bzip2, and reads its first rows. Name stands in errors.
func Open(name string, r io.Reader, o Options) (*Reader, error) {
	t := &Reader{name: name, o: o, to: math.MaxInt64}
	if err := t.o.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := t.detect(r); err != nil {
		return nil, err
	}
	if t.counts != nil {
		return t, t.openCounts()
	}
	t.scaled = scaler{o: &t.o, in: t.take}
	t.sorted.src, t.sorted.name = t.src, t.name
	switch {
	case t.o.Disorder > 0:
		t.sorted.window = int64(t.o.Disorder)
	case t.o.Disorder == 0 && t.sorted.window == 0:
		t.sorted.window = int64(disorder)
	}
	t.sorted.window = max(t.sorted.window, 0)
	if t.o.Disorder < 0 {
		t.sorted.window = 0
	}
	if t.o.Spread {
		t.sorted.spread = int64(time.Second)
		t.sorted.window = max(t.sorted.window, t.sorted.spread)
	}
	first, err := t.sorted.peek()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: it has no requests, only what comes before them; was the file cut?", name)
	case err != nil:
		return nil, err
	}
	return t, t.start(first.at)
}

// start settles where offsets count from.
func (t *Reader) start(first int64) error {
	t.begin, t.from = first, first
	for _, m := range []struct {
		moment Moment
		dst    *int64
	}{{t.o.From, &t.from}, {t.o.To, &t.to}} {
		switch {
		case m.moment.IsZero():
		case m.moment.Time.IsZero():
			*m.dst = first + int64(m.moment.Offset)
			if *m.dst < first {
				*m.dst = math.MaxInt64
			}
		case !t.dated:
			return fmt.Errorf("%s: its times count from its begin, so %v cannot be found; give an offset such as 90m", t.name, m.moment)
		default:
			*m.dst = m.moment.Time.UnixNano()
		}
	}
	if t.to <= t.from {
		return fmt.Errorf("%s: the part from %v to %v is empty: the trace begins at %s", t.name, t.o.From, t.o.To, t.moment(first))
	}
	return nil
}

// Name is what Open was given.
func (t *Reader) Name() string { return t.name }

// Format names what the trace was recognised as, in words.
func (t *Reader) Format() string { return t.format }

// Kind is what its requests ask for.
func (t *Reader) Kind() Kind { return t.kind }

// Columns are what the trace's columns were taken for, as "time=TIMESTAMP".
func (t *Reader) Columns() []string { return t.used }

// Start is the moment from which At counts: of the trace's first request, or From. It is false for a trace that has no dates.
func (t *Reader) Start() (time.Time, bool) {
	if !t.dated {
		return time.Time{}, false
	}
	return time.Unix(0, t.from).In(t.zone()), true
}

func (t *Reader) zone() *time.Location {
	if t.o.Zone != nil {
		return t.o.Zone
	}
	return time.UTC
}

// moment shows a time of the trace.
func (t *Reader) moment(at int64) string {
	if !t.dated {
		return time.Duration(at).String()
	}
	return time.Unix(0, at).In(t.zone()).Format("2006-01-02 15:04:05")
}

// Next is the next request, in order of At. It returns io.EOF at the end. Requests before a broken row are still given.
func (t *Reader) Next() (Request, error) {
	if t.err != nil {
		return Request{}, t.err
	}
	if t.o.Max > 0 && t.given >= t.o.Max {
		t.err = io.EOF
		return Request{}, t.err
	}
	it := &t.it
	var err error
	if t.counts != nil {
		err = t.nextCounted(it)
	} else {
		for err = t.scaled.next(it); err == nil && it.at >= t.to; { // a copy
			err = t.scaled.next(it)
		}
	}
	if errors.Is(err, errPart) {
		err = io.EOF
	}
	if errors.Is(err, io.EOF) && t.given == 0 {
		err = t.nothing()
	}
	if err != nil {
		t.err = err
		return Request{}, err
	}
	t.given++
	it.At = time.Duration(it.at - t.from)
	return it.Request, nil
}

// nothing says why a trace gave no request.
func (t *Reader) nothing() error {
	last := t.sorted.latest
	if t.counts != nil {
		last = t.counts.last
	}
	switch {
	case !t.o.From.IsZero() || !t.o.To.IsZero():
		return fmt.Errorf("%s: no request in the part asked for; the trace goes from %s to %s", t.name, t.moment(t.begin), t.moment(max(last, t.begin)))
	case t.o.Scale < 1:
		return fmt.Errorf("%s: a load scale of %g leaves no request; give a larger one", t.name, t.o.Scale)
	}
	return fmt.Errorf("%s: it counts no request at all", t.name)
}

// take is the next row within the part asked for, unscaled.
func (t *Reader) take(it *item) error {
	for {
		if err := t.sorted.next(it); err != nil {
			return err
		}
		if it.at >= t.to {
			return errPart
		}
		if it.at < t.from {
			continue
		}
		if twin := t.seen.look(it); twin && t.o.Once {
			continue
		}
		return nil
	}
}

// All ranges over the rest. An error ends it.
func (t *Reader) All() iter.Seq2[Request, error] {
	return func(yield func(Request, error) bool) {
		for {
			r, err := t.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// maxAll bounds what ReadAll holds: four gigabytes or so.
const maxAll = 30e6

// ReadAll is the rest at once, in memory: about 150 MB for a million requests without prefixes.
func (t *Reader) ReadAll() ([]Request, error) {
	var chunks [][]Request
	chunk, n := make([]Request, 0, 1<<10), 0
	for r, err := range t.All() {
		if err != nil {
			return nil, err
		}
		if len(chunk) == cap(chunk) {
			chunks = append(chunks, chunk)
			chunk = make([]Request, 0, 1<<14)
		}
		if n++; n > maxAll {
			return nil, fmt.Errorf("%s: more than %d requests; take a part, a smaller load scale, or set how many at most", t.name, int(maxAll))
		}
		chunk = append(chunk, r)
	}
	return slices.Concat(append(chunks, chunk)...), nil
}

// Warnings are what had to be assumed so far, and at the end of the trace also what was odd about its rows.
func (t *Reader) Warnings() []Warning {
	if t.err != nil && !t.told {
		t.told = true
		t.warnings = append(t.warnings, t.oddities()...)
	}
	return t.warnings
}

func (t *Reader) warn(line int, format string, args ...any) {
	t.warnings = append(t.warnings, Warning{line, fmt.Sprintf(format, args...)})
}

func (t *Reader) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", t.name, line, fmt.Errorf(format, args...))
}

// clip shortens what a message quotes from a file.
func clip[T string | []byte](s T) string {
	const most = 40
	if len(s) <= most {
		return string(s)
	}
	r := []rune(string(s[:min(len(s), 4*most)]))
	return string(r[:min(len(r), most)]) + "…"
}
