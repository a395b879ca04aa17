package infer

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseLoads(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name, in string
		want     []time.Duration
	}{
		{"recorded", "timestamp_anon,value,container_ip\n1662859290.0,2639.0,086b\n1662859404.0,2766.0,47d9\n", []time.Duration{2639 * ms, 2766 * ms}},
		{"bare", "2639\n900.5\n", []time.Duration{2639 * ms, 900*ms + 500*time.Microsecond}},
		{"units", "22.7s\n900ms\n1m\n", []time.Duration{22700 * ms, 900 * ms, time.Minute}},
		{"seconds by header", "load_s\n2.5\n", []time.Duration{2500 * ms}},
		{"seconds in words", "container,load (seconds)\nx,2.5\n", []time.Duration{2500 * ms}},
		{"milliseconds by header", "id,time_ms\na,40\n", []time.Duration{40 * ms}},
		{"one column with any name", "took\n40\n", []time.Duration{40 * ms}},
		{"comments and blank lines", "# recorded\n\n40\n\n", []time.Duration{40 * ms}},
		{"zero", "0\n", []time.Duration{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			z.Write([]byte(tt.in))
			z.Close()
			for _, in := range []string{tt.in, zipped.String()} {
				got, err := parseLoads(strings.NewReader(in))
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("parseLoads(%q) = %v, %v; want %v", in, got, err, tt.want)
				}
			}
		})
	}
}

func TestParseLoadsErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "no load times"},
		{"value\n", "no load times"},
		{"a,b\n1,2\n", "no column called value"},
		{"value\n-1\n", "line 2: \"-1\" is out of range"},
		{"value\nNaN\n", "out of range"},
		{"1e300\n", "out of range"},
		{"20\nsoon\n", "line 2: \"soon\" is not a load time"},
		{"a,value\n1\n", "line 2: has 1 columns"},
		{"\x1f\x8bnot gzip", "unpacking"},
	} {
		if got, err := parseLoads(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parseLoads(%q) = %v, %v; want an error with %q", tt.in, got, err, tt.want)
		}
	}
}

func TestReadLoadFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loads.csv")
	if _, err := readLoadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file gave %v", err)
	}
	if err := os.WriteFile(path, []byte("soon\nlater\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLoadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a bad file gave %v", err)
	}
}

func FuzzParseLoads(f *testing.F) {
	for _, s := range []string{"timestamp_anon,value,container_ip\n1,2639.0,x\n", "22.7s\n", "load_s\n2\n", "\x1f\x8b", "\"a\nb\",1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		loads, err := parseLoads(bytes.NewReader(b))
		if err == nil && len(loads) == 0 {
			t.Error("no error and no loads")
		}
		for _, d := range loads {
			if d < 0 || d > maxDuration {
				t.Errorf("load %v is out of range", d)
			}
		}
	})
}
