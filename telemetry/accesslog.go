package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// AccessOptions say which requests are logged, where and how.
type AccessOptions struct {
	Path   string // of a file, which is created and appended to; or stdout or stderr
	Format string // json or combined
	Sample float64
	// KeepErrors logs every request that was spoilt, and Slow, when not 0, every one that took at least as long, whatever
	// Sample says.
	KeepErrors bool
	Slow       time.Duration
	Query      bool     // log queries; they are often private
	Omit       []string // fields of a JSON line that are left out; see [AccessFields]
	Buffer     int      // bytes that may wait to be written; what comes beyond is dropped and counted; 0 means 4 MiB

	Log *slog.Logger // hears when lines cannot be written; nil: nobody does
}

// DefaultAccess logs every request as JSON to stderr.
var DefaultAccess = AccessOptions{Path: "stderr", Format: "json", Sample: 1, KeepErrors: true, Slow: 5 * time.Second, Buffer: 4 << 20}

const (
	flushEvery  = time.Second
	closeWithin = 3 * time.Second // a pipe that nobody reads must not keep Weir from ending
)

// AccessLog writes a line for each request. Requests only append to a buffer in memory; one goroutine writes it out every second
// and whenever it is half full. When the disk or the reader of a pipe is slower than that, lines are dropped and counted:
// a log must not slow down what it reports. Lines stand in about the order in which the requests ended.
//
// All methods may be called from any goroutine, and on nil, where they do nothing.
type AccessLog struct {
	o      AccessOptions
	json   bool
	always bool
	chance uint64 // of 1<<53
	room   int    // bytes that a shard may hold
	shards []shard
	wake   chan struct{}
	stop   chan struct{}
	ended  chan struct{}
	closed atomic.Bool

	dropped atomic.Uint64
	written atomic.Uint64
	failed  atomic.Uint64

	mu      sync.Mutex // held while writing
	out     io.Writer
	file    io.Closer // nil when out is not ours to close
	torn    bool      // the last write ended within a line
	failing bool
}

// shard is a part of the buffer: several, so that the cores of a machine do not wait for each other.
type shard struct {
	mu    sync.Mutex
	line  line
	lines uint64
	spare []byte // used by the writer alone
	_     [64]byte
}

// NewAccessLog opens a log; Close ends it.
func NewAccessLog(o AccessOptions) (*AccessLog, error) {
	if o.Path == "" {
		return nil, errors.New("access log: no path; write the path of a file, stderr or stdout")
	}
	out, file, err := openLog(o.Path)
	if err != nil {
		return nil, err
	}
	l, err := newAccessLog(o, out)
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	l.file = file
	go l.run()
	return l, nil
}

// newAccessLog makes a log that nobody flushes yet.
func newAccessLog(o AccessOptions, out io.Writer) (*AccessLog, error) {
	if o.Format != "json" && o.Format != "combined" {
		return nil, fmt.Errorf("access log: %q is not a format; write json or combined", o.Format)
	}
	if !(o.Sample >= 0 && o.Sample <= 1) {
		return nil, fmt.Errorf("access log: sample is %v; write a number from 0 (none) to 1 (all)", o.Sample)
	}
	omit, err := fieldsOf(o.Omit)
	if err != nil {
		return nil, err
	}
	if o.Buffer <= 0 {
		o.Buffer = DefaultAccess.Buffer
	}
	n := runtime.GOMAXPROCS(0)
	l := &AccessLog{
		o: o, json: o.Format == "json", always: o.Sample == 1, chance: uint64(o.Sample * (1 << 53)),
		room: max(o.Buffer/n, 4<<10), shards: make([]shard, n), out: out,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for i := range l.shards {
		l.shards[i].line.omit, l.shards[i].line.query = omit, o.Query
	}
	return l, nil
}

func fieldsOf(names []string) (omit uint64, err error) {
	for _, name := range names {
		i := slices.Index(fieldNames[:], name)
		if i < 0 {
			return 0, fmt.Errorf("access log: there is no field %q to omit; the fields are %s", name, strings.Join(fieldNames[:], ", "))
		}
		omit |= 1 << i
	}
	return omit, nil
}

func openLog(path string) (io.Writer, io.Closer, error) {
	switch path {
	case "stderr":
		return os.Stderr, nil, nil
	case "stdout":
		return os.Stdout, nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, nil, fmt.Errorf("access log: %w; create the directory, or name a file that Weir may write", err)
	}
	return f, f, nil
}

// Log writes a request that has ended, if it is one of those to be logged.
func (l *AccessLog) Log(a *Access) {
	if l == nil || !l.wants(a) {
		return
	}
	s := l.lock()
	before := len(s.line.b)
	if before >= l.room || l.closed.Load() {
		s.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	if l.json {
		s.line.json(a)
	} else {
		s.line.combined(a)
	}
	s.lines++
	full := before < l.room/2 && len(s.line.b) >= l.room/2
	s.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (l *AccessLog) wants(a *Access) bool {
	return l.always || rand.Uint64()>>11 < l.chance || l.o.KeepErrors && a.Spoilt() || l.o.Slow > 0 && a.Total >= l.o.Slow
}

// lock takes any shard that is free, so that two that log at once seldom meet, and none waits while another is idle.
func (l *AccessLog) lock() *shard {
	n := uint(len(l.shards))
	first := uint(rand.Uint32()) % n
	for i := range n {
		if s := &l.shards[(first+i)%n]; s.mu.TryLock() {
			return s
		}
	}
	s := &l.shards[first]
	s.mu.Lock()
	return s
}

// run is the writer.
func (l *AccessLog) run() {
	defer close(l.ended)
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			l.flush()
			return
		case <-t.C:
		case <-l.wake:
		}
		l.flush()
	}
}

// flush writes what waits.
func (l *AccessLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		b, lines := s.line.b, s.lines
		s.line.b, s.lines = s.spare[:0], 0
		s.mu.Unlock()
		s.spare = b
		if len(b) > 0 {
			l.write(b, lines)
		}
	}
}

// write writes whole lines, l.mu held.
func (l *AccessLog) write(b []byte, lines uint64) {
	if l.torn { // end the line that a full disk left unfinished, or it would spoil the next one too
		if n, _ := l.out.Write([]byte{'\n'}); n == 1 {
			l.torn = false
		}
	}
	n, err := l.out.Write(b)
	if err == nil {
		l.written.Add(lines)
		l.failing = false
		return
	}
	done := uint64(0)
	for _, c := range b[:n] {
		if c == '\n' {
			done++
		}
	}
	l.torn = l.torn || n > 0 && b[n-1] != '\n'
	l.written.Add(done)
	l.failed.Add(lines - done)
	if !l.failing && l.o.Log != nil {
		l.o.Log.Error("access log: lines are lost until it can be written again", "path", l.o.Path, "error", err)
	}
	l.failing = true
}

// Reopen begins a new file under the log's path, for a program that has moved the old one away (logrotate). What was logged before
// goes to the old file. If the new one cannot be opened, the old one is kept.
func (l *AccessLog) Reopen() error {
	if l == nil || l.o.Path == "stderr" || l.o.Path == "stdout" {
		return nil
	}
	out, file, err := openLog(l.o.Path)
	if err != nil {
		return err
	}
	l.flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return file.Close()
	}
	old := l.file
	l.out, l.file, l.torn = out, file, false
	if err := old.Close(); err != nil {
		return fmt.Errorf("access log: close the old file: %w; its last lines may be lost", err)
	}
	return nil
}

// Close writes what waits and closes the file. It gives up after three seconds, when nobody reads what is written.
func (l *AccessLog) Close() error {
	if l == nil || l.closed.Swap(true) {
		return nil
	}
	close(l.stop)
	select {
	case <-l.ended:
	case <-time.After(closeWithin):
		return fmt.Errorf("access log: %s took nothing for %v; the last lines are lost", l.o.Path, closeWithin)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("access log: close: %w; its last lines may be lost", err)
	}
	return nil
}

// AccessCounts is how many lines a log took since it was opened.
type AccessCounts struct {
	Written uint64
	Dropped uint64 // the buffer was full
	Failed  uint64 // the file could not be written
}

// Counts says what became of the lines.
func (l *AccessLog) Counts() AccessCounts {
	if l == nil {
		return AccessCounts{}
	}
	return AccessCounts{Written: l.written.Load(), Dropped: l.dropped.Load(), Failed: l.failed.Load()}
}
