package load

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/weirlb/weir/bench/internal/poll"
	"github.com/weirlb/weir/bench/internal/procstat"
)

// maxErrors ends a run early: a proxy that refuses everything is not measured.
const maxErrors = 1000

// conn is one connection to the proxy.
type conn struct {
	fd     int
	answer answer
	events events
	since  time.Time // when its request left, or should have
}

// run is the state of one run. One goroutine owns it.
type run struct {
	Options
	poller  *poll.Poller
	conns   map[int]*conn
	request []byte
	free    []*conn // without a request, for Rate
	scratch []byte
	latency *hdrhistogram.Histogram
	result  Result
	ended   bool
}

// Run loads the proxy and returns what it measured. An error means that there
// is nothing to measure; refused requests are counted in the result.
func Run(o Options) (Result, error) {
	if err := o.validate(); err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	poller, err := poll.New()
	if err != nil {
		return Result{}, err
	}
	r := &run{
		Options: o,
		poller:  poller,
		conns:   make(map[int]*conn, o.Conns),
		request: request(o),
		scratch: make([]byte, 256<<10),
		latency: hdrhistogram.New(1, time.Minute.Microseconds(), 3),
	}
	defer r.close()
	switch o.Mode {
	case Hold:
		err = r.hold()
	case Rate:
		err = r.measure(r.paced())
	case TLS, Handshake:
		err = r.secure()
	case HTTP2:
		err = r.multiplexed()
	default:
		err = r.measure(r.closedLoop())
	}
	return r.result, err
}

func request(o Options) []byte {
	const common = " HTTP/1.1\r\nHost: app.local\r\nUser-Agent: weir-bench\r\n"
	if o.Body == 0 {
		return []byte("GET " + o.Path + common + "Accept: */*\r\n\r\n")
	}
	return fmt.Appendf(nil, "POST %s%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		o.Path, common, o.Body, strings.Repeat("p", o.Body))
}

func (r *run) close() {
	for fd := range r.conns {
		poll.Close(fd)
	}
	r.poller.Close()
}

// driver is how a mode decides what to send.
type driver struct {
	// opened is called with every connection that was made.
	opened func(*conn)
	// answered is called after each complete answer.
	answered func(c *conn, now time.Time)
	// due sends what is due and returns how long nothing will be; nil means for ever.
	due func(now time.Time) time.Duration
}

// closedLoop sends the next request after each answer. A stream's answer ends
// only after the run, so SSE needs nothing of its own.
func (r *run) closedLoop() driver {
	return driver{
		opened: func(c *conn) { r.send(c, time.Now()) },
		answered: func(c *conn, now time.Time) {
			if r.Mode == Saturated {
				r.count(now.Sub(c.since))
			}
			r.send(c, now)
		},
	}
}

// paced sends requests at even times. One that finds no free connection leaves
// as soon as there is one, and its latency still counts from when it was due.
func (r *run) paced() driver {
	every := time.Duration(float64(time.Second) / r.Rate)
	var next time.Time
	return driver{
		opened: func(c *conn) {
			// One that was replaced while it rested is already in the list.
			if !slices.Contains(r.free, c) {
				r.free = append(r.free, c)
			}
		},
		answered: func(c *conn, now time.Time) {
			r.count(now.Sub(c.since))
			r.free = append(r.free, c)
		},
		due: func(now time.Time) time.Duration {
			if next.IsZero() {
				next = now
			}
			for !next.After(now) && len(r.free) > 0 {
				// The one that rested longest, so that all stay in use.
				c := r.free[0]
				r.free = r.free[1:]
				r.send(c, next)
				next = next.Add(every)
			}
			return max(0, next.Sub(now))
		},
	}
}

// measure opens the connections, lets the warm-up pass and counts the rest.
func (r *run) measure(d driver) error {
	if err := r.open(d.opened); err != nil {
		return err
	}
	if err := r.loop(time.Now().Add(r.WarmUp), d); err != nil {
		return err
	}
	r.result.Units = 0
	r.latency.Reset()
	before, err := r.sample()
	if err != nil {
		return err
	}
	if err := r.loop(before.at.Add(r.For), d); err != nil {
		return err
	}
	after, err := r.sample()
	if err != nil {
		return err
	}
	r.settle(before, after)
	return nil
}

// open makes the connections, a few at a time: a thousand at once would be a
// test of the listener's backlog.
func (r *run) open(opened func(*conn)) error {
	for i := range r.Conns {
		c := new(conn)
		if err := r.dial(c); err != nil {
			return err
		}
		opened(c)
		if i%50 == 49 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	return nil
}

func (r *run) dial(c *conn) error {
	fd, err := poll.Dial(r.Port)
	if err != nil {
		return err
	}
	*c = conn{fd: fd}
	r.conns[fd] = c
	return r.poller.Add(fd)
}

// loop drives until the given time.
func (r *run) loop(until time.Time, d driver) error {
	for {
		now := time.Now()
		wait := until.Sub(now)
		if wait <= 0 {
			return nil
		}
		if r.result.Errors+r.result.NotOK > maxErrors {
			return nil // the result says why it is refused
		}
		if d.due != nil {
			wait = min(wait, d.due(now))
		}
		ready, err := r.poller.Wait(wait)
		if err != nil {
			return err
		}
		for _, event := range ready {
			c := r.conns[int(event.Fd)]
			if c == nil {
				continue
			}
			if err := r.read(c, d.answered); err != nil {
				r.fail(err)
				delete(r.conns, c.fd)
				poll.Close(c.fd)
				if err := r.dial(c); err != nil {
					return err
				}
				d.opened(c)
			}
		}
	}
}

// read takes what arrived on a connection.
func (r *run) read(c *conn, answered func(*conn, time.Time)) error {
	n, errno := poll.Read(c.fd, r.scratch)
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return nil
	case errno != 0:
		return fmt.Errorf("reading an answer: %w", errno)
	case n == 0:
		return errors.New("the proxy closed a connection")
	}
	now := time.Now()
	var body func([]byte) error
	if r.Mode == SSE {
		body = func(p []byte) error {
			return c.events.feed(p, func(sent int64) { r.count(time.Duration(now.UnixNano() - sent)) })
		}
	}
	used, done, err := c.answer.feed(r.scratch[:n], body)
	switch {
	case err != nil:
		return err
	case !done:
		return nil
	case used < n:
		return fmt.Errorf("%d bytes after the answer", n-used)
	}
	if c.answer.status/100 != 2 {
		r.result.NotOK++
		r.note(fmt.Sprintf("status %d", c.answer.status))
	}
	answered(c, now)
	return nil
}

// send sends the request on c. A failure shows at the next read.
func (r *run) send(c *conn, at time.Time) {
	c.since = at
	if !poll.Write(c.fd, r.request) {
		r.fail(errors.New("sending a request: the proxy does not take it"))
	}
}

func (r *run) count(latency time.Duration) {
	r.result.Units++
	// Within the histogram's range by the clamp, so there is no error.
	_ = r.latency.RecordValue(min(max(1, latency.Microseconds()), time.Minute.Microseconds()))
}

func (r *run) fail(err error) {
	r.result.Errors++
	r.note(err.Error())
}

func (r *run) note(what string) {
	if r.result.FirstError == "" {
		r.result.FirstError = what
	}
}

// sample is what the proxy and its core had used at one moment.
type sample struct {
	at    time.Time
	cpu   time.Duration       // of the proxy
	own   time.Duration       // of load and target
	cores []procstat.CoreTime // the proxy's, and last the load's when that is none of them
}

func (r *run) sample() (s sample, err error) {
	cores := r.ProxyCores
	if !r.shared() {
		cores = append(slices.Clip(cores), r.LoadCore)
	}
	if s.cores, err = procstat.ReadCores(cores...); err != nil {
		return s, err
	}
	if s.cpu, err = procstat.CPUTime(r.PIDs); err != nil {
		return s, fmt.Errorf("the proxy ended during the run: %w", err)
	}
	if s.own, err = procstat.CPUTime(append(r.TargetPIDs, os.Getpid())); err != nil {
		return s, fmt.Errorf("the target ended during the run: %w", err)
	}
	s.at = time.Now()
	return s, nil
}

// shared reports whether load and target share a core with the proxy.
func (r *run) shared() bool { return slices.Contains(r.ProxyCores, r.LoadCore) }

func (r *run) settle(before, after sample) {
	r.result.Elapsed = after.at.Sub(before.at)
	r.result.CPU = after.cpu - before.cpu
	elapsed, apart := float64(r.result.Elapsed), procstat.InterruptsApart()
	own := after.own - before.own
	var stolen, onProxy, onLoad time.Duration
	for i := range after.cores {
		c := after.cores[i].Since(before.cores[i])
		stolen += c.Steal
		if i < len(r.ProxyCores) {
			onProxy += c.Work(apart)
		} else {
			onLoad += c.Work(apart)
		}
	}
	r.result.Steal = float64(stolen) / (float64(len(after.cores)) * elapsed)
	if r.shared() {
		onProxy, onLoad = onProxy-own, own
	}
	r.result.Foreign = float64(onProxy-r.result.CPU) / (float64(len(r.ProxyCores)) * elapsed)
	r.result.LoadForeign = float64(onLoad-own) / elapsed
	r.result.Median = time.Duration(r.latency.ValueAtQuantile(50)) * time.Microsecond
	r.result.P99 = time.Duration(r.latency.ValueAtQuantile(99)) * time.Microsecond
}
