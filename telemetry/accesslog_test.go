package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// opened starts a log that writes to out.
func opened(t testing.TB, o AccessOptions, out io.Writer) *AccessLog {
	t.Helper()
	l, err := newAccessLog(o, out)
	if err != nil {
		t.Fatal(err)
	}
	go l.run()
	return l
}

func TestLinesAreWrittenEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := opened(t, DefaultAccess, &out)
		defer l.Close()
		l.Log(typical())
		time.Sleep(flushEvery - time.Millisecond)
		synctest.Wait()
		if c := l.Counts(); c.Written > 0 {
			t.Error("a line was written before its time")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := out.String(); got != jsonOf(typical(), false) {
			t.Errorf("after a second: %q", got)
		}
	})
}

func TestAHalfFullBufferIsWrittenSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := DefaultAccess
		o.Buffer = 1 // the least there is: 4 KiB for each shard
		var out bytes.Buffer
		l := opened(t, o, &out)
		for range len(l.shards) * 5 {
			l.Log(typical())
			synctest.Wait()
		}
		if out.Len() == 0 {
			t.Error("nothing was written")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := bytes.Count(out.Bytes(), []byte{'\n'}); n != len(l.shards)*5 || l.Counts() != (AccessCounts{Written: uint64(n)}) {
			t.Errorf("%d lines, counts %+v", n, l.Counts())
		}
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	o := DefaultAccess
	o.Path = path
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	l.Log(typical())
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	l.Log(typical())
	if got := read(t, path); got != jsonOf(typical(), false) {
		t.Errorf("%q", got)
	}
	if c := l.Counts(); c != (AccessCounts{Written: 1, Dropped: 1}) {
		t.Errorf("after a line and one too late: %+v", c)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestReopenBeginsANewFile(t *testing.T) {
	dir := t.TempDir()
	o := DefaultAccess
	o.Path = filepath.Join(dir, "access.log")
	o.Format = "combined"
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	one, two := typical(), typical()
	one.Path, two.Path = []byte("/one"), []byte("/two")
	l.Log(one)
	moved := filepath.Join(dir, "access.log.1")
	if err := os.Rename(o.Path, moved); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Log(two)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, moved); !strings.Contains(got, "/one") || strings.Contains(got, "/two") {
		t.Errorf("the old file: %q", got)
	}
	if got := read(t, o.Path); !strings.Contains(got, "/two") || strings.Contains(got, "/one") {
		t.Errorf("the new file: %q", got)
	}
}

func TestReopenKeepsTheOldFileWhenThereIsNoNewOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o := DefaultAccess
	o.Path = filepath.Join(dir, "access.log")
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	away := dir + ".old"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), "create the directory") {
		t.Errorf("reopening where there is no directory: %v", err)
	}
	l.Log(typical())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(away, "access.log")); got != jsonOf(typical(), false) {
		t.Errorf("%q", got)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		change func(*AccessOptions)
		want   string
	}{
		{func(o *AccessOptions) { o.Path = "" }, "no path"},
		{func(o *AccessOptions) { o.Path = t.TempDir() }, "is a directory"},
		{func(o *AccessOptions) { o.Format = "common" }, "write json or combined"},
		{func(o *AccessOptions) { o.Sample = 1.5 }, "from 0 (none) to 1 (all)"},
		{func(o *AccessOptions) { o.Sample = math.NaN() }, "from 0 (none) to 1 (all)"},
		{func(o *AccessOptions) { o.Omit = []string{"cookie"} }, `no field "cookie"`},
	} {
		o := DefaultAccess
		c.change(&o)
		if l, err := NewAccessLog(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
			l.Close()
		}
	}
}

func TestWhichRequestsAreLogged(t *testing.T) {
	good, slow, bad := &Access{Status: 200}, &Access{Status: 200, Total: 5 * time.Second}, &Access{Status: 502}
	for _, c := range []struct {
		change          func(*AccessOptions)
		good, slow, bad bool
	}{
		{func(o *AccessOptions) {}, true, true, true},
		{func(o *AccessOptions) { o.Sample = 0 }, false, true, true},
		{func(o *AccessOptions) { o.Sample, o.KeepErrors = 0, false }, false, true, false},
		{func(o *AccessOptions) { o.Sample, o.Slow = 0, 0 }, false, false, true},
	} {
		o := DefaultAccess
		c.change(&o)
		l, err := newAccessLog(o, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if l.wants(good) != c.good || l.wants(slow) != c.slow || l.wants(bad) != c.bad {
				t.Fatalf("%+v: %v %v %v", o, l.wants(good), l.wants(slow), l.wants(bad))
			}
		}
	}
	o := DefaultAccess
	o.Sample = .25
	l, err := newAccessLog(o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 10000 {
		if l.wants(good) {
			n++
		}
	}
	if math.Abs(float64(n)-2500) > 300 { // seven standard deviations
		t.Errorf("%d of 10000 with a sample of 0.25", n)
	}
}

// A pipe that nobody reads costs lines, which are counted, and neither time nor memory.
func TestAStuckReaderDropsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, out := io.Pipe()
		o := DefaultAccess
		o.Buffer = 64 << 10
		l := opened(t, o, out)
		begin := time.Now()
		const n = 10000
		for range n {
			l.Log(typical())
		}
		if time.Since(begin) > 0 {
			t.Error("a request waited")
		}
		synctest.Wait()
		c := l.Counts()
		if c.Dropped < n/2 || c.Dropped >= n || c.Written > 0 {
			t.Errorf("%+v", c)
		}
		held := 0
		for i := range l.shards {
			held += cap(l.shards[i].line.b) + cap(l.shards[i].spare)
		}
		if held > 8*o.Buffer {
			t.Errorf("%d bytes are held", held)
		}
		if err := l.Close(); err == nil || !strings.Contains(err.Error(), "took nothing for 3s") {
			t.Errorf("close: %v", err)
		}
		out.Close() // lets the writer end
	})
}

// disk takes only so many bytes, then fails until there is room.
type disk struct {
	bytes.Buffer
	room int
}

func (d *disk) Write(b []byte) (int, error) {
	n := min(len(b), d.room)
	d.room -= n
	d.Buffer.Write(b[:n])
	if n < len(b) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestAFullDiskCostsLinesAndTearsOne(t *testing.T) {
	out := &disk{room: len(jsonOf(typical(), false)) * 3 / 2}
	var told bytes.Buffer
	o := DefaultAccess
	o.Log = slog.New(slog.NewTextHandler(&told, nil))
	l, err := newAccessLog(o, out)
	if err != nil {
		t.Fatal(err)
	}
	l.shards = l.shards[:1]
	for range 3 {
		l.Log(typical())
	}
	l.flush()
	l.Log(typical())
	l.flush()
	if c := l.Counts(); c != (AccessCounts{Written: 1, Failed: 3}) {
		t.Errorf("on a full disk: %+v", c)
	}
	if n := strings.Count(told.String(), "no space left"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &told)
	}
	out.room = math.MaxInt
	l.Log(typical())
	l.flush()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 3 || !json.Valid([]byte(lines[0])) || json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("want a whole line, a torn one and a whole one:\n%s", out)
	}
	if c := l.Counts(); c.Written != 2 {
		t.Errorf("with room again: %+v", c)
	}
}

// Every line that was logged while others logged, reopened and moved the file is in exactly one file, whole.
func TestManyLogAtOnce(t *testing.T) {
	dir := t.TempDir()
	o := DefaultAccess
	o.Path = filepath.Join(dir, "access.log")
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			a := typical()
			for range each {
				l.Log(a)
			}
		})
	}
	wg.Go(func() {
		for i := range 5 {
			if err := errors.Join(os.Rename(o.Path, filepath.Join(dir, "access.log."+string('0'+rune(i)))), l.Reopen()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%v, %v", files, err)
	}
	n := 0
	for _, f := range files {
		for line := range strings.Lines(read(t, f)) {
			if line != jsonOf(typical(), false) {
				t.Fatalf("%q", line)
			}
			n++
		}
	}
	if n != writers*each {
		t.Errorf("%d lines, want %d", n, writers*each)
	}
}

func TestNoLogTakesEverything(t *testing.T) {
	var l *AccessLog
	l.Log(typical())
	if err := errors.Join(l.Reopen(), l.Close()); err != nil || l.Counts() != (AccessCounts{}) {
		t.Error(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func BenchmarkAccessLog(b *testing.B) {
	l, err := newAccessLog(DefaultAccess, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		a := typical()
		for i := 0; pb.Next(); i++ {
			l.Log(a)
			if i%1000 == 0 { // the writer would not get its turn: real requests wait for their bytes, these do not
				l.flush()
			}
		}
	})
	if c := l.Counts(); c.Dropped > 0 {
		b.Errorf("%d of %d were dropped", c.Dropped, b.N)
	}
}
