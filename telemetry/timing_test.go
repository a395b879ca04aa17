package telemetry

import (
	"testing"
	"time"
)

func TestServerTiming(t *testing.T) {
	const us = time.Microsecond
	for _, c := range []struct {
		queue, connect, firstByte time.Duration
		want                      string
	}{
		{12300 * us, 400 * us, 230100 * us, "queue;dur=12.3, connect;dur=0.4, target;dur=230.1"},
		{0, 0, 1234567 * us, "target;dur=1234.567"},
		{time.Minute, 0, 10 * time.Millisecond, "queue;dur=60000, target;dur=10"},
		{5 * us, 0, 0, "queue;dur=0.005"},
		{0, 0, 0, ""},
		{-time.Second, time.Nanosecond, time.Second, "target;dur=1000"},
	} {
		if got := string(AppendServerTiming([]byte("Server-Timing: "), c.queue, c.connect, c.firstByte)); got != "Server-Timing: "+c.want {
			t.Errorf("%v %v %v: %q, want %q", c.queue, c.connect, c.firstByte, got, c.want)
		}
	}
}

func BenchmarkServerTiming(b *testing.B) {
	out := make([]byte, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendServerTiming(out[:0], 12300*time.Microsecond, 400*time.Microsecond, 230100*time.Microsecond)
	}
}
