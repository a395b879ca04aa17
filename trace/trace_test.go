package trace

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Made-up rows in the columns of traces in the wild.
const (
	azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n" +
		"2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:51.2224670,879,55\n"

	mooncake = `{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 14]}
`

	images = `gmt_create,predict_type,predict_status,exec_time_seconds,groupId,prompt_length,negative_prompt_length,num_images_per_prompt,num_inference_steps,checkpoint_model_version_id,num_lora
2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G0000,63.0,26.0,1.0,30.0,M0000,0
2024-11-15 18:16:14,TXT_2_IMG,FAILED,0.5,G0001,93.0,,8.0,40.0,M0001,2
2024-11-15 18:17:06,TXT_2_IMG,PENDING,0.0,G0001,,,,,,0
`

	weirLog = `{"time":"2026-03-04T12:00:00.500000Z","status":200,"duration_ms":20.000,"method":"GET","host":"h","path":"/quick","bytes_in":0,"bytes_out":7,"attempts":1}
{"time":"2026-03-04T12:00:00.000000Z","status":200,"duration_ms":1250.000,"queue_ms":250.000,"first_byte_ms":230.100,"client":"203.0.113.7","method":"POST","host":"api.example.com","path":"/v1/chat","query":"a=b","protocol":"HTTP/1.1","route":"chat","pool":"gpu","target":"10.0.0.1:9000","bytes_in":512,"bytes_out":20480,"attempts":1,"tenant":"acme"}
{"time":"2026-03-04T12:00:02.000000Z","status":503,"duration_ms":100.000,"queue_ms":100.000,"method":"GET","path":"/full","bytes_in":0,"bytes_out":0,"attempts":0,"refused":"queue.timeout"}
`

	nginx = `203.0.113.7 - - [10/Oct/2023:13:55:36 +0200] "GET /a?b=c HTTP/1.1" 200 2326 "https://from" "an \"agent\"" 1.500 1.250
203.0.113.7 - bob [10/Oct/2023:13:55:37 +0200] "POST /v1 HTTP/1.1" 502 0 "-" "curl" 2.000 0.500, 1.000
203.0.113.7 - - [10/Oct/2023:13:55:40 +0200] "\x16\x03\x01" 400 150 "-" "-" 0.000 -
`

	matches = "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:31:00,0\n1998-04-30 21:32:00,5\n1998-04-30 21:35:00,3\n"
	taxi    = "timestamp,value\n2014-07-01 00:00:00,100\n2014-07-01 00:30:00,50\n"
)

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

func read(t testing.TB, text string, o Options) (*Reader, []Request) {
	t.Helper()
	r, err := Open("t", strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

const ms = time.Millisecond

func TestFormats(t *testing.T) {
	date := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	azureRequests := []Request{{In: 374, Out: 44, Line: 2}, {At: 4314579 * time.Microsecond, In: 396, Out: 109, Line: 3},
		{At: 4541877 * time.Microsecond, In: 879, Out: 55, Line: 4}}
	azureStart := date("2023-11-16T18:15:46.68059Z")
	var zst bytes.Buffer
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte(azure))
	z.Close()
	for _, c := range []struct {
		name, text, format string
		kind               Kind
		o                  Options
		start              time.Time
		want               []Request
	}{
		{"azure", azure, "CSV", Chat, Options{}, azureStart, azureRequests},
		{"gzip, CRLF, a byte order mark, no end of line", zipped(t, "\ufeff"+strings.TrimSpace(strings.ReplaceAll(azure, "\n", "\r\n"))), "CSV", Chat, Options{}, azureStart, azureRequests},
		{"zstd", zst.String(), "CSV", Chat, Options{}, azureStart, azureRequests},
		{"semicolons", strings.ReplaceAll(azure, ",", ";"), "CSV", Chat, Options{}, azureStart, azureRequests},
		{"a zone given", azure, "CSV", Chat, Options{Zone: time.FixedZone("", -3600)}, azureStart.Add(time.Hour), azureRequests},
		{"a part by offset", azure, "CSV", Chat, Options{From: Moment{Offset: 4 * time.Second}, To: Moment{Offset: 4500 * ms}}, azureStart.Add(4 * time.Second),
			[]Request{{At: 314579 * time.Microsecond, In: 396, Out: 109, Line: 3}}},
		{"a part by date", azure, "CSV", Chat, Options{From: Moment{Time: date("2023-11-16T18:15:51Z")}}, date("2023-11-16T18:15:51Z"),
			[]Request{{At: 222467 * time.Microsecond, In: 879, Out: 55, Line: 4}}},
		{"at most", azure, "CSV", Chat, Options{Max: 1}, azureStart, azureRequests[:1]},
		{"mooncake", mooncake, "JSON lines", Chat, Options{}, time.Time{}, []Request{
			{In: 6758, Out: 500, Prefix: []uint64{0, 1, 2}, Line: 1}, {At: 3052 * ms, In: 7322, Out: 490, Prefix: []uint64{0, 14}, Line: 2}}},
		{"images", images, "CSV", Image, Options{}, date("2024-11-15T16:57:50Z"), []Request{
			{Service: 32 * time.Second, Model: "M0000", Tenant: "G0000", Status: 200, Steps: 30, Images: 1, Line: 2},
			{At: 78*time.Minute + 24*time.Second, Service: 500 * ms, Model: "M0001", Tenant: "G0001", Status: 500, Steps: 40, Images: 8, Loras: 2, Line: 3},
			{At: 79*time.Minute + 16*time.Second, Tenant: "G0001", Line: 4}}},
		{"Weir's access log", weirLog, "Weir's access log", Plain, Options{}, date("2026-03-04T12:00:00Z"), []Request{
			{Service: time.Second, Wait: 250 * ms, Tenant: "acme", Method: "POST", Path: "/v1/chat?a=b", Bytes: 20480, Status: 200, Line: 2},
			{At: 500 * ms, Service: 20 * ms, Method: "GET", Path: "/quick", Bytes: 7, Status: 200, Line: 1},
			{At: 2 * time.Second, Wait: 100 * ms, Method: "GET", Path: "/full", Status: 503, Line: 3}}},
		{"nginx", nginx, "nginx combined log", Plain, Options{}, date("2023-10-10T11:55:34.5Z"), []Request{
			{Service: 1250 * ms, Method: "GET", Path: "/a?b=c", Bytes: 2326, Status: 200, Line: 1},
			{At: 500 * ms, Service: 1500 * ms, Method: "POST", Path: "/v1", Status: 502, Line: 2},
			{At: 5500 * ms, Bytes: 150, Status: 400, Line: 3}}},
		{"nginx with names", `::1 - - [10/Oct/2023:13:55:36 +0000] "GET / HTTP/2.0" 200 1 "-" "a" "203.0.113.9" rt=0.250 uct="0.001" urt="0.100 : 0.050" cs=-` + "\n",
			"nginx combined log", Plain, Options{}, date("2023-10-10T13:55:35.75Z"), []Request{{Service: 150 * ms, Method: "GET", Path: "/", Bytes: 1, Status: 200, Line: 1}}},
		{"JSON of nginx", `{"time_iso8601":"2026-01-31T08:00:02+01:00","request_time":2.000,"upstream_response_time":"1.5","request_uri":"/x","status":"200"}`,
			"JSON lines", Plain, Options{}, date("2026-01-31T07:00:00Z"), []Request{{Service: 1500 * ms, Path: "/x", Status: 200, Line: 1}}},
		{"begin and end", "start_time,end_time\n2026-01-31T08:00:00Z,2026-01-31T08:00:03Z\n", "CSV", Plain, Options{}, date("2026-01-31T08:00:00Z"),
			[]Request{{Service: 3 * time.Second, Line: 2}}},
		{"Unix seconds", "timestamp\n1700000000\n1700000000.25\n", "CSV", Plain, Options{}, time.Unix(1700000000, 0), []Request{{Line: 2}, {At: 250 * ms, Line: 3}}},
		{"Unix nanoseconds", "ts\n1700000000000000001\n1700000000000000003\n", "CSV", Plain, Options{}, time.Unix(1700000000, 1), []Request{{Line: 2}, {At: 2, Line: 3}}},
		{"a unit in the name", "time_ms,latency_us\n5,1500\n7,2e3\n", "CSV", Plain, Options{}, time.Time{}, []Request{{Service: 1500 * time.Microsecond, Line: 2}, {At: 2 * ms, Service: 2 * ms, Line: 3}}},
		{"columns named", "seen,took,ts\n5,\"1.5\",a\n7,2s,b\n", "CSV", Plain, Options{Columns: map[string]string{"time": "seen", "service": "took"}, Unit: time.Second}, time.Time{},
			[]Request{{Service: 1500 * ms, Line: 2}, {At: 2 * time.Second, Service: 2 * time.Second, Line: 3}}},
		{"quotes", "timestamp,model,path\n1700000000,\"a \"\"big\"\", one\",\"/\nx\"\n", "CSV", Plain, Options{}, time.Unix(1700000000, 0), []Request{{Model: `a "big", one`, Path: "/\nx", Line: 2}}},
		{"a little unsorted", "timestamp\n1700000005\n1700000000\n1700000006\n", "CSV", Plain, Options{}, time.Unix(1700000000, 0),
			[]Request{{Line: 3}, {At: 5 * time.Second, Line: 2}, {At: 6 * time.Second, Line: 4}}},
		{"twins dropped", "timestamp\n1700000000\n1700000000\n1700000006\n", "CSV", Plain, Options{Once: true}, time.Unix(1700000000, 0), []Request{{Line: 2}, {At: 6 * time.Second, Line: 4}}},
		{"counts, evenly", matches, "CSV of counts", Plain, Options{Even: true, To: Moment{Offset: time.Minute}}, date("1998-04-30T21:30:00Z"),
			[]Request{{At: 15 * time.Second, Line: 2}, {At: 45 * time.Second, Line: 2}}},
	} {
		r, got := read(t, c.text, c.o)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
		if r.Format() != c.format || r.Kind() != c.kind {
			t.Errorf("%s: taken for %s, %v; want %s, %v", c.name, r.Format(), r.Kind(), c.format, c.kind)
		}
		if start, ok := r.Start(); ok == c.start.IsZero() || !start.Equal(c.start) {
			t.Errorf("%s: starts at %v (%v), want %v", c.name, start, ok, c.start)
		}
	}
}

func TestErrorsSayWhereAndWhatToDo(t *testing.T) {
	whole := zipped(t, azure+strings.Repeat("2023-11-16 18:15:52.1,1,2\n", 5000))
	for _, c := range []struct {
		name, text string
		o          Options
		want       []string
	}{
		{"empty", "", Options{}, []string{"t: ", "empty", "CSV"}},
		{"blank", " \n\n", Options{}, []string{"empty"}},
		{"only a header", "timestamp\n", Options{}, []string{"t: ", "no requests"}},
		{"wrong columns", "day,type\n1,2\n", Options{}, []string{"t:1:", `"day", "type"`, "timestamp", "--column time=NAME"}},
		{"wrong fields", `{"when": 1}`, Options{}, []string{"t:1:", `"when"`, "--column"}},
		{"no header", "1700000000,1,2\n", Options{}, []string{"t:1:", "header"}},
		{"two columns for one thing", "timestamp,input_tokens,prompt_tokens\n1700000000,1,1\n", Options{}, []string{"t:1:", "input_tokens", "prompt_tokens", "--column in="}},
		{"two fields for one thing", `{"timestamp":1700000000}` + "\n" + `{"timestamp":1700000000,"time":1}`, Options{}, []string{"t:2:", `"time"`}},
		{"a column that is not there", azure, Options{Columns: map[string]string{"model": "engine"}}, []string{"t:1:", `"engine"`, `"ContextTokens"`}},
		{"no such role", azure, Options{Columns: map[string]string{"engine": "x"}}, []string{"engine", "model"}},
		{"unsorted", "timestamp\n1700000019\n1700000000\n", Options{}, []string{"t:3:", "19s before", "sort", "10s"}},
		{"disorder not allowed", "timestamp\n1700000001\n1700000000\n", Options{Disorder: -1}, []string{"t:3:", "1s before", "sort"}},
		{"negative", "timestamp,x\n-5,1\n", Options{}, []string{"t:2:", "negative"}},
		{"negative later", "timestamp,x\n1700000000,1\n-5,1\n", Options{}, []string{"t:3:", "negative"}},
		{"not a number", "timestamp,x\nNaN,1\n", Options{}, []string{"t:2:", "NaN", "2026-01-31"}},
		{"no time", "timestamp,x\n1700000000,1\n,1\n", Options{}, []string{"t:3:", "empty"}},
		{"a date that is none", "timestamp\n2023-02-29 00:00:00\n", Options{}, []string{"t:2:", "2023-02-29"}},
		{"a year that is none", "timestamp\n1066-10-14 00:00:00\n", Options{}, []string{"t:2:", "1971"}},
		{"negative tokens", "timestamp,input_tokens\n1700000000,-1\n", Options{}, []string{"t:2:", `"-1"`, "whole number"}},
		{"half a token", "timestamp,input_tokens\n1700000000,1.5\n", Options{}, []string{"t:2:", `"1.5"`}},
		{"negative service", "timestamp,exec_time_seconds\n1700000000,-3\n", Options{}, []string{"t:2:", `"-3"`, "less than no time"}},
		{"service of a year", "timestamp,duration_ms\n1700000000,3e10\n", Options{}, []string{"t:2:", "seven days", "--service-unit"}},
		{"an end before the begin", "start_time,end_time\n1700000009,1700000000\n", Options{}, []string{"t:2:", "-9s after it begins"}},
		{"a status that is none", "timestamp,status\n1700000000,42\n", Options{}, []string{"t:2:", `"42"`, "100 to 599"}},
		{"seconds or milliseconds", "timestamp\n12\n13\n", Options{}, []string{"t:2:", "seconds or milliseconds", "--unit"}},
		{"two ways of writing", "timestamp\n2023-11-16 18:15:46\n1700000000\n", Options{}, []string{"t:3:", "first row"}},
		{"a zone in some rows", "timestamp\n2023-11-16 18:15:46\n2023-11-16T18:15:47Z\n", Options{}, []string{"t:3:", "has a zone", "unlike"}},
		{"another number of fields", "timestamp,x\n1700000000,1\n1700000001\n", Options{}, []string{"t:3:", "1 fields", "header has 2"}},
		{"an open quote", "timestamp,x\n1700000000,\"a\n", Options{}, []string{"t:2:", "does not close"}},
		{"a quote within", "timestamp,x\n1700000000,a\"b\n", Options{}, []string{"t:2:", "quote"}},
		{"not JSON", mooncake + "{\n", Options{}, []string{"t:3:", "JSON"}},
		{"a missing time", mooncake + `{"input_length": 1}`, Options{}, []string{"t:3:", "no time"}},
		{"a value with parts", `{"timestamp":1700000000,"model":{"name":"a"}}`, Options{}, []string{"t:1:", "model", "one value"}},
		{"an array", `[{"timestamp": 1}]`, Options{}, []string{"t:1:", "one JSON object a line", "jq"}},
		{"a log with another line", nginx + "hello\n", Options{}, []string{"t:4:", "hello"}},
		{"zipped and cut", whole[:len(whole)-12], Options{}, []string{"t:", "ends in the middle", "fetch"}},
		{"zipped and damaged", whole[:len(whole)-8] + "12345678", Options{}, []string{"t:", "damaged"}},
		{"binary", "\x7fELF\x02\x01\x00\x00", Options{}, []string{"t:1:", "binary"}},
		{"a zip archive", "PK\x03\x04....", Options{}, []string{"t:1:", "zip", "unpack"}},
		{"Parquet", "PAR1....", Options{}, []string{"t:1:", "Parquet", "CSV"}},
		{"UTF-16", "\xff\xfet\x00i\x00", Options{}, []string{"t:1:", "UTF-16", "iconv"}},
		{"a spot market", `{"metadata": {"gap_seconds": 300}, "data": [0, 1]}`, Options{}, []string{"t:1:", "--spot"}},
		{"boots", "timestamp_anon,value,container_ip\n1662859290.0,2639.0,086b\n", Options{}, []string{"t:1:", "--boot"}},
		{"nothing in the part", azure, Options{From: Moment{Offset: time.Hour}}, []string{"no request in the part", "18:15:51"}},
		{"an empty part", azure, Options{From: Moment{Offset: 2}, To: Moment{Offset: 1}}, []string{"t: ", "empty"}},
		{"a date in a trace without", mooncake, Options{From: Moment{Time: time.Unix(1, 0)}}, []string{"t: ", "offset"}},
		{"a scale of less than nothing", azure, Options{Scale: -1}, []string{"scale of -1"}},
		{"a period twice", "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:30:00,2\n", Options{}, []string{"t:3:", "same time"}},
		{"a period too short", matches + "1998-04-30 21:35:10,3\n", Options{}, []string{"t:6:", "10s after", "--period"}},
		{"one period", "period,count\n1998-04-30 21:30:00,2\n", Options{}, []string{"t:2:", "--period"}},
		{"counts less than none", "period,count\n1998-04-30 21:30:00,-2\n", Options{}, []string{"t:2:", `"-2"`}},
		{"counts and more", "period,count,model\n1998-04-30 21:30:00,2,a\n", Options{}, []string{"t:1:", `"model"`}},
	} {
		r, err := Open("t", strings.NewReader(c.text), c.o)
		if err == nil {
			_, err = r.ReadAll()
		}
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %q: %v", c.name, want, err)
			}
		}
	}
}

func TestRowsBeforeABrokenOneAreGiven(t *testing.T) {
	r, err := Open("t", strings.NewReader(azure+"2023-11-16 18:15:59,x,1\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err = r.Next(); err != nil {
			break
		}
		n++
	}
	if n != 3 || !strings.Contains(err.Error(), "t:5: ContextTokens") {
		t.Errorf("%d requests, then %v", n, err)
	}
	if _, again := r.Next(); again != err {
		t.Errorf("then %v", again)
	}
}

func TestWarnings(t *testing.T) {
	rows := func(every time.Duration, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d\n", 1700000000+int64(i)*int64(every/time.Second))
		}
		return b.String()
	}
	for _, c := range []struct {
		name, text string
		o          Options
		want       []string // "line: text"; all of them, in order
	}{
		{"nothing to say", "timestamp\n2026-01-31T08:00:00Z\n2026-01-31T08:00:01Z\n", Options{}, nil},
		{"no zone", azure, Options{}, []string{"2: name no zone and are taken as UTC"}},
		{"a zone given", azure, Options{Zone: time.UTC}, nil},
		{"mooncake", mooncake, Options{}, []string{"1: taken as milliseconds from the trace's begin"}},
		{"mooncake, told", mooncake, Options{Unit: ms}, nil},
		{"Weir's access log", weirLog, Options{}, []string{"0: 1 request failed"}},
		{"a combined log without times", `::1 - - [10/Oct/2023:13:55:36 +0000] "GET / HTTP/2.0" 200 1 "-" "a"`, Options{}, []string{"1: the end is taken as the begin"}},
		{"nginx", nginx, Options{}, []string{"1: 1.500 and 1.250, are taken as $request_time", "3: 1 row has no service", "0: 2 requests failed"}},
		{"images", images, Options{Zone: time.UTC}, []string{`4: "PENDING" is neither`, "4: 1 row has no model", "4: 1 row has no steps", "4: 1 row has no images", "0: 1 request failed"}},
		{"no unit", "timestamp,duration\n1700000000,1\n", Options{Unit: time.Second}, []string{"2: duration has no unit in its name and is taken as seconds"}},
		{"disorder", "timestamp\n1700000005\n1700000000\n1700000006\n1700000004\n", Options{Unit: time.Second}, []string{"3: 2 rows stand before one above it, by up to 5s"}},
		{"twins", "timestamp\n1700000000\n1700000000\n1700000000\n", Options{Unit: time.Second}, []string{"3: 2 rows equal another one", "0: whole seconds, and 2 rows have"}},
		{"twins spread", "timestamp\n1700000000\n1700000000\n1700000000\n", Options{Unit: time.Second, Spread: true, Disorder: -1}, nil},
		{"a gap", "timestamp\n" + rows(time.Second, 1000) + "1700005000\n", Options{Unit: time.Second}, []string{"1002: nothing came for 1h6m41s from 2023-11-14 22:29:59 on"}},
		{"a steady trickle", "timestamp\n" + rows(time.Hour, 100), Options{Unit: time.Second}, nil},
		{"counts", matches, Options{Zone: time.UTC}, []string{"3: requests of 1m0s", "0: at random", "5: 2 periods are missing in 1 hole, the longest of 2m0s"}},
		{"values", taxi, Options{Zone: time.UTC, Period: 30 * time.Minute, Even: true}, []string{`1: "value" is taken as the number of requests`, "0: evenly"}},
	} {
		r, _ := read(t, c.text, c.o)
		got := r.Warnings()
		ok := len(got) == len(c.want)
		for i := range c.want {
			if !ok {
				break
			}
			line, text, _ := strings.Cut(c.want[i], ": ")
			ok = fmt.Sprint(got[i].Line) == line && strings.Contains(got[i].Text, text)
		}
		if !ok {
			t.Errorf("%s: warned %+v, want %q", c.name, got, c.want)
		}
	}
}

func TestCountsKeepTheirNumbers(t *testing.T) {
	for _, even := range []bool{false, true} {
		_, all := read(t, matches, Options{Even: even, Seed: 7})
		var in [6]int
		for i, r := range all {
			in[r.At/time.Minute]++
			if i > 0 && r.At < all[i-1].At {
				t.Fatalf("even %v: %v after %v", even, r.At, all[i-1].At)
			}
		}
		if in != [6]int{2, 0, 5, 0, 0, 3} {
			t.Errorf("even %v: %v", even, in)
		}
		_, part := read(t, matches, Options{Even: even, Seed: 7, From: Moment{Offset: 2*time.Minute + 20*time.Second}})
		var want []Request
		for _, r := range all {
			if r.At -= 2*time.Minute + 20*time.Second; r.At >= 0 {
				want = append(want, r)
			}
		}
		if !reflect.DeepEqual(part, want) {
			t.Errorf("even %v: a part has other requests than the whole: %v, want %v", even, part, want)
		}
		_, half := read(t, taxi, Options{Even: even, Scale: 0.01})
		if n := len(half); n < 1 || n > 3 {
			t.Errorf("even %v: a hundredth of 150 are %d", even, n)
		}
	}
	_, all := read(t, "timestamp,count\n1700000000,100000\n1700000060,0\n", Options{Seed: 3})
	for i, r := range all { // order statistics: the k-th of n lies at k/(n+1)
		want := time.Duration(float64(i+1) / float64(len(all)+1) * float64(time.Minute))
		if d := (r.At - want).Abs(); d > 600*ms { // six standard deviations, 60 s * 0.5 / sqrt(100000)
			t.Fatalf("request %d at %v, want about %v", i, r.At, want)
		}
	}
}

func TestScale(t *testing.T) {
	var b strings.Builder
	b.WriteString("timestamp,model\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "%d,m%d\n", 1700000000+2*i, i%3)
	}
	sizes := map[float64][2]int{0.1: {850, 1150}, 0.5: {4800, 5200}, 1: {10000, 10000}, 2.5: {24800, 25200}, 3: {30000, 30000}}
	var before []int32
	for _, scale := range []float64{0.1, 0.5, 1, 2.5, 3} {
		o := Options{Scale: scale, Seed: 5}
		_, all := read(t, b.String(), o)
		if n := len(all); n < sizes[scale][0] || n > sizes[scale][1] {
			t.Errorf("scale %g: %d requests", scale, n)
		}
		var lines []int32
		for i, r := range all {
			if i > 0 && r.At < all[i-1].At {
				t.Fatalf("scale %g: %v after %v", scale, r.At, all[i-1].At)
			}
			recorded := time.Duration(r.Line-2) * 2 * time.Second
			if d := r.At - recorded; d < 0 || d > 2*time.Second {
				t.Fatalf("scale %g: a copy %v from its original", scale, d)
			}
			lines = append(lines, r.Line)
		}
		slices.Sort(lines)
		for _, l := range before { // what a scale takes, a larger one does too
			if _, ok := slices.BinarySearch(lines, l); !ok {
				t.Fatalf("scale %g lacks line %d", scale, l)
			}
		}
		before = lines
		if _, again := read(t, b.String(), o); !reflect.DeepEqual(all, again) {
			t.Errorf("scale %g: the same seed gives other requests", scale)
		}
	}
	if _, none := read(t, b.String(), Options{Scale: 3, Seed: 6}); len(none) != 30000 {
		t.Errorf("another seed: %d requests", len(none))
	}
}

func TestSpread(t *testing.T) {
	text := "timestamp,model\n" + strings.Repeat("1700000000,a\n", 1000) + "1700000001.25,b\n"
	_, all := read(t, text, Options{Spread: true, Seed: 2})
	if len(all) != 1001 || !slices.IsSortedFunc(all, func(a, b Request) int { return int(a.At - b.At) }) {
		t.Fatalf("%d requests, not in order", len(all))
	}
	if d := all[500].At; d < 400*ms || d > 600*ms {
		t.Errorf("the middle one comes at %v", d)
	}
	if d := all[1000].At - all[999].At; all[1000].Model != "b" || d < 250*ms || d > 350*ms {
		t.Errorf("a finer time moved: %v behind %v", d, all[999].At)
	}
	if _, again := read(t, text, Options{Spread: true, Seed: 2}); !reflect.DeepEqual(all, again) {
		t.Error("the same seed gives other times")
	}
}

func TestParseMoment(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	for s, want := range map[string]Moment{
		"":                          {},
		"90m":                       {Offset: 90 * time.Minute},
		"2024-11-20":                {Time: time.Date(2024, 11, 20, 0, 0, 0, 0, tokyo)},
		"2024-11-20 08:30":          {Time: time.Date(2024, 11, 20, 8, 30, 0, 0, tokyo)},
		"2024-11-20T08:30:00+01:00": {Time: time.Date(2024, 11, 20, 7, 30, 0, 0, time.UTC)},
	} {
		got, err := ParseMoment(s, tokyo)
		if err != nil || got.Offset != want.Offset || !got.Time.Equal(want.Time) {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"-1h", "tomorrow", "20.11.2024", "5"} {
		if got, err := ParseMoment(s, nil); err == nil || !strings.Contains(err.Error(), "90m") {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}

// TestMemory checks what the package promises: a million requests take 160 MB at most.
func TestMemory(t *testing.T) {
	const n = 100_000
	r, err := Open("t", generated(n), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all, err := r.ReadAll()
	if err != nil || len(all) != n {
		t.Fatalf("%d requests, %v", len(all), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / n; each > 160 {
		t.Errorf("a request takes %d bytes", each)
	}
	runtime.KeepAlive(all)
}

// generated is a trace of images of n rows.
func generated(n int) io.Reader {
	var b bytes.Buffer
	b.WriteString("gmt_create,predict_status,exec_time_seconds,groupId,num_inference_steps,checkpoint_model_version_id\n")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		b.Write(at.Add(time.Duration(i)*731*ms).AppendFormat(nil, "2006-01-02 15:04:05.000"))
		fmt.Fprintf(&b, ",SUCCEED,%d.%d,G%d,%d,M%04d\n", 5+i%70, i%10, i*7919%3000, 20+i%4*5, i*i%86)
	}
	return &b
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{azure, mooncake, images, weirLog, nginx, matches, taxi, zipped(f, azure), "timestamp,x\n1700000000,\"a\nb\"\"\"\n", "time,end_time\n1e9,1e9\n"} {
		f.Add([]byte(s), 1.0)
		f.Add([]byte(s), 2.5)
	}
	f.Fuzz(func(t *testing.T, text []byte, scale float64) {
		if scale > 100 {
			scale = 100
		}
		r, err := Open("t", bytes.NewReader(text), Options{Scale: scale, Max: 10_000, Spread: len(text)%2 == 0})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t:") {
				t.Errorf("the error names no file: %v", err)
			}
			return
		}
		last := time.Duration(0)
		for q, err := range r.All() {
			if err != nil {
				if !strings.HasPrefix(err.Error(), "t:") {
					t.Errorf("the error names no file: %v", err)
				}
				break
			}
			if q.At < last || q.Service < 0 || q.Service > maxService || q.Wait < 0 || q.In < 0 || q.Out < 0 || q.Line < 1 || q.Bytes < 0 || q.Steps < 0 {
				t.Fatalf("%+v after %v", q, last)
			}
			last = q.At
		}
		r.Warnings()
		if r, err = Open("t", bytes.NewReader(text), Options{Scale: scale}); err != nil {
			t.Fatalf("without a limit: %v", err)
		}
		if s, err := r.Summarize(); err == nil && s.WriteText(io.Discard) != nil {
			t.Error("a summary that cannot be written")
		}
	})
}
