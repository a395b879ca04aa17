package health

import (
	"strings"
	"testing"
)

func TestAgentWords(t *testing.T) {
	for _, c := range []struct {
		says string
		want Report
	}{
		{"", Report{}},
		{"75%\n", Report{Weighs: true, Percent: 75}},
		{"up 50% maxconn:30\r\n", Report{Weighs: true, Percent: 50, Slots: 30}},
		{"READY,UP", Report{}},
		{"drain # a deploy\nup", Report{Drain: true, Reason: "a deploy"}},
		{"maint", Report{Drain: true}},
		{"down#disk full", Report{Down: true, Reason: "disk full"}},
		{"stopped", Report{Down: true, Reason: "stopped"}},
		{"fail\t100%", Report{Weighs: true, Percent: 100, Down: true, Reason: "fail"}},
		{"0%", Report{Weighs: true, Drain: true}},
	} {
		w, err := ParseWord(c.says)
		if got := (Report{}).Next(w); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.says, got, err, c.want)
		}
	}
	for _, says := range []string{"75", "-1%", "25601%", "%", "maxconn:", "maxconn:-1", "maxconn:9999999999", "sideways", "up up% "} {
		if w, err := ParseWord(says); err == nil || w != (Word{}) {
			t.Errorf("%q: %+v without an error", says, w)
		}
	}
}

func TestWhatAnAgentDoesNotMentionStays(t *testing.T) {
	r := Report{}
	for _, c := range []struct {
		says string
		want Report
	}{
		{"50% maxconn:4", Report{Weighs: true, Percent: 50, Slots: 4}},
		{"drain", Report{Weighs: true, Percent: 50, Slots: 4, Drain: true}},
		{"80%", Report{Weighs: true, Percent: 80, Slots: 4, Drain: true}}, // only ready ends a drain
		{"ready maxconn:0", Report{Weighs: true, Percent: 80}},
		{"0%", Report{Weighs: true, Drain: true}},
		{"10%", Report{Weighs: true, Percent: 10}}, // but a weight ends what weight 0 began
		{"down", Report{Weighs: true, Percent: 10, Down: true, Reason: "down"}},
		{"ready", Report{Weighs: true, Percent: 10, Down: true}},
		{"up", Report{Weighs: true, Percent: 10}},
	} {
		w, err := ParseWord(c.says)
		if r = r.Next(w); err != nil || r != c.want {
			t.Fatalf("after %q: %+v, %v; want %+v", c.says, r, err, c.want)
		}
	}
}

func FuzzParseWord(f *testing.F) {
	for _, s := range []string{"75%", "up maxconn:30 # fine", "down,drain\n", "0%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWord(s)
		if err != nil {
			if w != (Word{}) || err.Error() == "" {
				t.Fatalf("%+v beside an error", w)
			}
			return
		}
		r := Report{}.Next(w)
		if r.Percent < 0 || r.Percent > 25600 || r.Slots < 0 || strings.Contains(r.Reason, "\n") {
			t.Fatalf("%q: %+v", s, r)
		}
		if again := r.Next(w); again.Drain != r.Drain || again.Down != r.Down || again.Slots != r.Slots {
			t.Fatalf("%q said twice: %+v, then %+v", s, r, again)
		}
	})
}
