package trace

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	csv, err := io.ReadAll(generated(1e6))
	if err != nil {
		b.Fatal(err)
	}
	var lines, logs strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&lines, `{"timestamp": %d, "input_length": %d, "output_length": 500, "hash_ids": [0, %d, %d, %d, %d, %d, %d, %d, %d]}`+"\n", i*300, 100+i%9000, i, i+1, i+2, i+3, i+4, i+5, i+6, i+7)
		fmt.Fprintf(&logs, `203.0.113.%d - - [10/Oct/2023:%02d:%02d:%02d +0000] "GET /a/%d HTTP/1.1" 200 2326 "https://from" "Mozilla/5.0 (X11; Linux x86_64)" 0.%03d 0.120`+"\n",
			i%256, i/5/3600%24, i/5/60%60, i/5%60, i%500, i%1000)
	}
	for _, c := range []struct {
		name string
		text string
		rows int
	}{
		{"csv 1M", string(csv), 1e6},
		{"csv gzip 26823", zipped(b, string(csv[:2_000_000])[:bytes.LastIndexByte(csv[:2_000_000], '\n')+1]), 0},
		{"jsonl 100k", lines.String(), 100_000},
		{"combined 100k", logs.String(), 100_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.text)))
			n := 0
			for b.Loop() {
				r, err := Open("t", strings.NewReader(c.text), Options{})
				if err != nil {
					b.Fatal(err)
				}
				n = 0
				for _, err := range r.All() {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			if c.rows > 0 && n != c.rows {
				b.Fatalf("%d rows", n)
			}
			b.ReportMetric(float64(n), "rows")
		})
	}
}
