package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTheLogIsInWords(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		log := logger(&b, format, "info")
		log.Info("put off", "for", 90*time.Second, "why", "", "err", errors.New("no room"))
		log.Info("again", "why", "a boot failed", "n", 3)
		log.Debug("nobody asked")
		line := b.String()
		for _, want := range []string{"1m30s", "no room", "a boot failed", "3"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: %q lacks %q", format, line, want)
			}
		}
		if strings.Count(line, "why") != 1 || strings.Contains(line, "90000000000") || strings.Contains(line, "nobody") {
			t.Errorf("%s: %q", format, line)
		}
	}
}
