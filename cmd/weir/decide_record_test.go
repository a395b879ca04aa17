package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADecisionIsMadeAgainFromItsRecord(t *testing.T) {
	w := prepare(t, strings.ReplaceAll(chatPool, "20ms]", "1ms]")+"    scale: {min: 0, max: 3}\n")
	w.start()
	if _, err := stream(t.Context(), w.url, 3, nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	until(t, "a record is kept", func() bool {
		out.Reset()
		return run([]string{"explain", "api", "--record", "--admin", w.admin}, &out, &out) == exitOK
	})
	record := filepath.Join(w.dir, "record.json")
	if err := os.WriteFile(record, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	decide := func(config string) (int, string) {
		var out bytes.Buffer
		code := run([]string{"decide", "-c", config, "--text", "--record", record}, &out, &out)
		return code, out.String()
	}
	if code, says := decide(w.config()); code != exitOK || !strings.Contains(says, "0 -> 1") || !strings.Contains(says, "the same as the decision that was made") {
		t.Errorf("exit %d: %s", code, says)
	}
	text, err := os.ReadFile(w.config())
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(w.dir, "other.yaml")
	if err := os.WriteFile(other, bytes.ReplaceAll(text, []byte("min: 0, max: 3"), []byte("min: 2, max: 3")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, says := decide(other); code != exitFailed || !strings.Contains(says, "desired was 1, and is 2") || !strings.Contains(says, "what bound it was nothing, and is min") {
		t.Errorf("with another min: exit %d: %s", code, says)
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	config := filepath.Join("testdata", "decide", "step_example.yaml")
	for _, c := range []struct {
		record, want string
		code         int
	}{
		{"", "it is empty", exitFailed},
		{"{}", "there are no observations in it", exitFailed},
		{"capacity: 4", "is not a record of weir explain --record", exitFailed},
		{`{"observations": [{"time": "2026-01-05T09:00:00Z"}], "decision": {"pool": "elsewhere"}}`, "the record is of pool elsewhere", exitUsage},
	} {
		file := filepath.Join(t.TempDir(), "record.json")
		if err := os.WriteFile(file, []byte(c.record), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run([]string{"decide", "-c", config, "--record", file}, &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q: exit %d: %s", c.record, code, out.String())
		}
	}
}
