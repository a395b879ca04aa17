package procstat_test

import (
	"testing"
	"time"

	"github.com/weirlb/weir/bench/internal/procstat"
)

const stat = "4242 (a (odd) na) R 17 4242 4242 0 -1 4194304 99 0 0 0 123 45 0 0 20 0 7 0 1000 1 2\n"

func TestParseProcess(t *testing.T) {
	got, err := procstat.ParseProcess([]byte(stat))
	want := procstat.Process{
		PID: 4242, Name: "a (odd) na", State: 'R', Parent: 17,
		User: 1230 * time.Millisecond, System: 450 * time.Millisecond,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "12 x S 1", "x (y) S 1", "1 (y) S 1 2 3", "1 (y) S 1 0 0 0 0 0 0 0 0 0 -5 6"} {
		if _, err := procstat.ParseProcess([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseCore(t *testing.T) {
	text := []byte("cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 2 30 4000 5 6 7 8 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\ncpu1 1 2 3\nintr 1 2\n")
	got, err := procstat.ParseCore(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Work(true) != 1320*time.Millisecond || got.Work(false) != 1450*time.Millisecond || got.SoftIRQ != 70*time.Millisecond || got.Steal != 80*time.Millisecond || got.Idle != 40*time.Second {
		t.Errorf("got %+v", got)
	}
	if later := got; later.Since(got) != (procstat.CoreTime{}) {
		t.Errorf("nothing passed, yet %+v", later.Since(got))
	}
	if _, err := procstat.ParseCore(text, 1); err == nil {
		t.Error("a line of three fields was taken")
	}
	if _, err := procstat.ParseCore(text, 7); err == nil {
		t.Error("a core that is not there was found")
	}
}

func TestParseKB(t *testing.T) {
	text := []byte("Name:\tx\nVmRSSExtra:\t 1 kB\nVmRSS:\t   5120 kB\nPss:  77 kB\nOdd: 5 MB\nBad: -1 kB\n")
	for name, want := range map[string]int64{"VmRSS": 5120, "Pss": 77} {
		if got, err := procstat.ParseKB(text, name); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"Odd", "Bad", "Missing"} {
		if _, err := procstat.ParseKB(text, name); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(stat))
	f.Add([]byte("cpu0 100 2 30 4000 5 6 7 8 0 0\n"))
	f.Add([]byte("VmRSS:\t   5120 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := procstat.ParseProcess(text); err == nil && (p.User < 0 || p.System < 0) {
			t.Errorf("negative time in %+v", p)
		}
		if c, err := procstat.ParseCore(text, 0); err == nil && (c.User < 0 || c.Steal < 0) {
			t.Errorf("negative time in %+v", c)
		}
		if kb, err := procstat.ParseKB(text, "VmRSS"); err == nil && kb < 0 {
			t.Errorf("negative size %d", kb)
		}
	})
}
