package load

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"
	"time"
)

const azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n" +
	"2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:51.2224670,879,55"

const mooncake = `{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
`

func zipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadTrace(t *testing.T) {
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	for _, c := range []struct {
		name, text string
		o          TraceOptions
		want       []Arrival
	}{
		{"azure", azure, TraceOptions{}, []Arrival{{0, 374, 44}, {4314579 * time.Microsecond, 396, 109}, {4541877 * time.Microsecond, 879, 55}}},
		{"azure, zipped, CRLF and a byte order mark", zipped(t, "\ufeff"+strings.ReplaceAll(azure, "\n", "\r\n")), TraceOptions{To: time.Second}, []Arrival{{0, 374, 44}}},
		{"part, quicker, smaller", azure, TraceOptions{From: 4 * time.Second, To: 4500 * time.Millisecond, Speed: 10, Scale: 0.001}, []Arrival{{ms(31.4579), 1, 1}}},
		{"doubled", mooncake, TraceOptions{Multiply: 2}, []Arrival{{0, 6758, 500}, {ms(1526), 6758, 500}, {ms(3052), 7322, 490}, {ms(3052), 7322, 490}}},
		{"halved", azure, TraceOptions{Multiply: 0.5}, []Arrival{{0, 374, 44}, {4541877 * time.Microsecond, 879, 55}}},
		{"mooncake", mooncake, TraceOptions{}, []Arrival{{0, 6758, 500}, {ms(3052), 7322, 490}}},
		{"unix seconds", "timestamp\n1700000000\n1700000000.25\n", TraceOptions{}, []Arrival{{}, {At: ms(250)}}},
		{"unix milliseconds", "a,Timestamp\nx,1700000000000\ny,1700000000250\n", TraceOptions{}, []Arrival{{}, {At: ms(250)}}},
		{"RFC 3339", "timestamp\n2026-01-31T08:00:00+01:00\n2026-01-31T07:00:00.5Z\n", TraceOptions{}, []Arrival{{}, {At: ms(500)}}},
		{"JSON dates and OpenAI's names", `{"timestamp":"2026-01-31T08:00:00Z","prompt_tokens":3.0,"completion_tokens":0}`, TraceOptions{}, []Arrival{{Input: 3}}},
		{"a column and a unit said", "at,n\n5,1\n7,2\n", TraceOptions{Column: "at", Unit: time.Second}, []Arrival{{}, {At: 2 * time.Second}}},
	} {
		got, err := ReadTrace("t", strings.NewReader(c.text), c.o)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestReadTraceSaysWhereAndWhatIsWrong(t *testing.T) {
	whole := zipped(t, azure+strings.Repeat("\n2023-11-16 18:15:52.1,1,2", 50))
	for _, c := range []struct {
		name, text string
		o          TraceOptions
		want       []string
	}{
		{"empty", "", TraceOptions{}, []string{"t:", "empty"}},
		{"only a header", "timestamp\n", TraceOptions{}, []string{"no rows"}},
		{"wrong columns", "gmt_create,type\n1,2\n", TraceOptions{}, []string{"t:1:", `"timestamp"`, `"gmt_create", "type"`}},
		{"wrong fields", `{"ts": 1}`, TraceOptions{}, []string{"t:1:", `"ts"`}},
		{"two columns for one thing", "timestamp,input_tokens,prompt_tokens\n1700000000,1,1\n", TraceOptions{}, []string{"t:1:", "input_tokens", "prompt_tokens"}},
		{"unsorted", "timestamp\n1700000009\n1700000000\n", TraceOptions{}, []string{"t:3:", "9s before", "sort"}},
		{"negative", "timestamp\n-5\n", TraceOptions{}, []string{"t:2:", "negative"}},
		{"not a number", "timestamp\nNaN\n", TraceOptions{}, []string{"t:2:", "NaN"}},
		{"negative tokens", "timestamp,input_tokens\n1700000000,-1\n", TraceOptions{}, []string{"t:2:", `"-1"`, "whole number"}},
		{"half a token", "timestamp,input_tokens\n1700000000,1.5\n", TraceOptions{}, []string{"t:2:", `"1.5"`}},
		{"no token count", "timestamp,input_tokens\n1700000000,\n", TraceOptions{}, []string{"t:2:", `""`}},
		{"seconds or milliseconds", "timestamp\n12\n13\n", TraceOptions{}, []string{"t:2:", "seconds or milliseconds"}},
		{"two ways of writing", "timestamp\n2023-11-16 18:15:46\n1700000000\n", TraceOptions{}, []string{"t:3:", "first row"}},
		{"another number of fields", "timestamp,x\n1700000000,1\n1700000001\n", TraceOptions{}, []string{"t:3:", "fields"}},
		{"an open quote", "timestamp\n\"1700000000\n", TraceOptions{}, []string{"t:", "not CSV"}},
		{"not JSON", mooncake + "{\n", TraceOptions{}, []string{"t:3:", "JSON"}},
		{"a missing field", mooncake + `{"timestamp": 4000, "input_length": 1}`, TraceOptions{}, []string{"t:3:", `"output_length"`}},
		{"zipped and cut", whole[:len(whole)-12], TraceOptions{}, []string{"t:", "ends in the middle"}},
		{"zipped and damaged", whole[:len(whole)-8] + "12345678", TraceOptions{}, []string{"t:", "damaged"}},
		{"nothing in the part", azure, TraceOptions{From: time.Hour}, []string{"no request between", "4.541877s"}},
		{"an empty part", azure, TraceOptions{From: 2, To: 1}, []string{"empty"}},
		{"a bad speed", azure, TraceOptions{Speed: -1}, []string{"speed"}},
		{"a factor of nothing", azure, TraceOptions{Multiply: -1}, []string{"times -1"}},
		{"a factor too large", azure, TraceOptions{Multiply: 1e12}, []string{"t:", "lower the factor"}},
		{"an array", `[{"timestamp": 1}]`, TraceOptions{}, []string{"t:1:", "one JSON object a line"}},
		{"microseconds", "timestamp\n1700000000000000\n", TraceOptions{}, []string{"t:2:", "convert"}},
		{"too far", "timestamp\n0001-01-01 00:00:00\n9999-01-01 00:00:00\n", TraceOptions{}, []string{"t:3:", "290 years"}},
	} {
		got, err := ReadTrace("t", strings.NewReader(c.text), c.o)
		if err == nil {
			t.Errorf("%s: no error, but %v", c.name, got)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %q: %v", c.name, want, err)
			}
		}
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte(azure))
	f.Add([]byte(mooncake))
	f.Add([]byte(zipped(f, azure)))
	f.Add([]byte("timestamp\n2026-01-31T08:00:00Z\n"))
	f.Add([]byte("timestamp\n1700000000\n\"17"))
	f.Fuzz(func(t *testing.T, text []byte) {
		arrivals, err := ReadTrace("t", bytes.NewReader(text), TraceOptions{})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t:") {
				t.Errorf("the error names no file: %v", err)
			}
			return
		}
		if len(arrivals) == 0 || arrivals[0].At != 0 {
			t.Fatalf("%d arrivals; the first is not at 0", len(arrivals))
		}
		for i, a := range arrivals {
			if a.Input < 0 || a.Output < 0 || i > 0 && a.At < arrivals[i-1].At {
				t.Fatalf("arrival %d is %+v after %+v", i, a, arrivals[max(i-1, 0)])
			}
		}
	})
}
