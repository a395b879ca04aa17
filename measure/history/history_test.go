package history

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/measure"
)

func open(t *testing.T, o Options) *DB {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Retention == 0 {
		o.Retention, o.Detail = 15*24*time.Hour, 24*time.Hour
	}
	db, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func sample(at time.Time, v float64, l ...string) Sample {
	return Sample{Labels: labels.FromStrings(l...), Time: at, Value: v}
}

func add(t *testing.T, db *DB, batch ...Sample) {
	t.Helper()
	if err := db.Append(batch); err != nil {
		t.Fatal(err)
	}
}

// ask wants one number.
func ask(t *testing.T, db *DB, q string, at time.Time) float64 {
	t.Helper()
	v, known, err := db.Query(t.Context(), q, at)
	if err != nil || !known {
		t.Fatalf("%s: %v, known %v, error %v", q, v, known, err)
	}
	return v
}

func unknown(t *testing.T, db *DB, q string, at time.Time) {
	t.Helper()
	if v, known, err := db.Query(t.Context(), q, at); known || err != nil {
		t.Fatalf("%s: %v, known %v, error %v; want unknown", q, v, known, err)
	}
}

var t0 = time.Now().Truncate(time.Minute).Add(-30 * time.Minute)

func TestWhatWasMeasuredIsAnswered(t *testing.T) {
	db := open(t, Options{})
	for i := range 121 {
		at := t0.Add(time.Duration(i) * 5 * time.Second)
		add(t, db, sample(at, float64(i*10), "__name__", "requests_total", "pool", "api"), sample(at, float64(i%2), "__name__", "depth", "pool", "api"))
	}
	end := t0.Add(10 * time.Minute)
	// 10 every 5 seconds are 2 a second, whatever window is looked at.
	if got := ask(t, db, `rate(requests_total{pool="api"}[1m])`, end); math.Abs(got-2) > 1e-9 {
		t.Errorf("rate %v, want 2", got)
	}
	if got := ask(t, db, `sum(depth) + 1`, end.Add(-5*time.Second)); got != 2 {
		t.Errorf("depth + 1 is %v, want 2", got)
	}
	if got := ask(t, db, `vector(3)`, end); got != 3 {
		t.Errorf("vector(3) is %v", got)
	}
	unknown(t, db, `nothing_of_the_kind`, end)
	unknown(t, db, `depth / 0 * 0`, t0) // 0/0 is not a number
	points, err := db.Range(t.Context(), `depth`, t0, end, 5*time.Second)
	if err != nil || len(points) != 121 || points[1].Value != 1 || !points[1].Time.Equal(t0.Add(5*time.Second)) {
		t.Errorf("%d points, error %v", len(points), err)
	}
}

func TestSeveralSeriesAreAMistake(t *testing.T) {
	db := open(t, Options{})
	add(t, db, sample(t0, 1, "__name__", "x", "pool", "a"), sample(t0, 2, "__name__", "x", "pool", "b"))
	for _, q := range []string{`x`, `x[5m]`, `sum(`, `"text"`} {
		if _, _, err := db.Query(t.Context(), q, t0); err == nil {
			t.Errorf("%s: no error", q)
		}
	}
	if _, _, err := db.Query(t.Context(), `x`, t0); !strings.Contains(err.Error(), "2 series") {
		t.Errorf("%v does not say how many", err)
	}
}

func TestASeriesThatEndsIsUnknownAtOnce(t *testing.T) {
	db := open(t, Options{})
	add(t, db, sample(t0, 7, "__name__", "x"))
	if got := ask(t, db, `x`, t0.Add(4*time.Minute)); got != 7 {
		t.Errorf("x is %v", got)
	}
	add(t, db, sample(t0.Add(5*time.Second), Stale, "__name__", "x"))
	unknown(t, db, `x`, t0.Add(6*time.Second))
	ask(t, db, `x`, t0.Add(4*time.Second))
}

func TestOldValuesAreKeptOnceAMinute(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Options{Dir: dir})
	for i := range 120 { // ten minutes: a gauge that alternates between 0 and 10, and a counter
		at := t0.Add(time.Duration(i) * 5 * time.Second)
		add(t, db, sample(at, float64(i%2*10), "__name__", "g"), sample(at, float64(i), "__name__", "c_total"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// What has only the minutes answers as well.
	if err := os.RemoveAll(filepath.Join(dir, "fine")); err != nil {
		t.Fatal(err)
	}
	db = open(t, Options{Dir: dir})
	add(t, db, sample(t0.Add(20*time.Minute), 3, "__name__", "g"))
	if got := ask(t, db, `g`, t0.Add(5*time.Minute)); got != 5 {
		t.Errorf("the average of 0 and 10 is %v", got)
	}
	if got := ask(t, db, `count_over_time(g[10m])`, t0.Add(10*time.Minute)); got != 10 {
		t.Errorf("%v values in ten minutes, want 10", got)
	}
	if got := ask(t, db, `c_total`, t0.Add(5*time.Minute)); got != 59 {
		t.Errorf("the counter was %v at the end of the fifth minute, want 59", got)
	}
	if got := ask(t, db, `rate(c_total[5m])`, t0.Add(10*time.Minute)); math.Abs(got-0.2) > 1e-9 {
		t.Errorf("rate %v, want 0.2", got)
	}
	// Both parts are one.
	if got := ask(t, db, `count_over_time(g[20m])`, t0.Add(20*time.Minute)); got != 11 {
		t.Errorf("%v values, want ten old ones and one new", got)
	}
}

func TestWhatAnEarlierWeirMeasuredIsOld(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Options{Dir: dir})
	before := time.Now().Add(-2 * time.Second)
	add(t, db, sample(before, 1, "__name__", "x"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, Options{Dir: dir})
	unknown(t, db, `x`, time.Now().Add(time.Millisecond))
	if got := ask(t, db, `x`, before); got != 1 {
		t.Errorf("the past has changed: %v", got)
	}
}

func TestTheUncleanEndOfAnEarlierOneIsMended(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Options{Dir: dir})
	for i := range 100 {
		add(t, db, sample(t0.Add(time.Duration(i)*time.Second), float64(i), "__name__", "x"))
	}
	// As after a crash: what is on disk now, with the last record cut short.
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(crashed, "fine", "lock"))
	os.Remove(filepath.Join(crashed, "coarse", "lock"))
	wal, err := filepath.Glob(filepath.Join(crashed, "fine", "wal", "0*"))
	if err != nil || len(wal) == 0 {
		t.Fatalf("no log: %v %v", wal, err)
	}
	last := wal[len(wal)-1]
	b, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:len(b)-3]
	if err := os.WriteFile(last, b, 0o600); err != nil {
		t.Fatal(err)
	}
	db = open(t, Options{Dir: crashed})
	if got := ask(t, db, `x`, t0.Add(90*time.Second)); got != 90 {
		t.Errorf("x was %v", got)
	}
	add(t, db, sample(time.Now(), 5, "__name__", "x"))
}

func TestDamageIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	block := filepath.Join(dir, "fine", "01J00000000000000000000000")
	if err := os.MkdirAll(filepath.Join(block, "chunks"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"meta.json": `{"ulid":"01J00000000000000000000000","minTime":1,"maxTime":2,"version":1,"compaction":{"level":1}}`, "index": "no index", "chunks/000001": "no chunk",
	} {
		if err := os.WriteFile(filepath.Join(block, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	db := open(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
	add(t, db, sample(t0, 1, "__name__", "x"))
	if got := ask(t, db, `x`, t0); got != 1 {
		t.Errorf("x is %v", got)
	}
	if !strings.Contains(said.String(), "moved aside") {
		t.Errorf("nothing was said of the damage: %s", said.String())
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "*damaged*")); len(kept) != 1 {
		t.Errorf("the damage was not kept: %v", kept)
	}
}

func TestAValueThatComesTooLateDoesNotHoldUpTheOthers(t *testing.T) {
	db := open(t, Options{})
	now := time.Now()
	add(t, db, sample(now, 1, "__name__", "x"))
	add(t, db, sample(now.Add(-3*time.Hour), 1, "__name__", "x"), sample(now, 2, "__name__", "y"), sample(now, 9, "__name__", "x"))
	if got := ask(t, db, `x + on() y`, now); got != 3 {
		t.Errorf("x + y is %v", got)
	}
	if s := db.Stats(); s.Refused != 2 {
		t.Errorf("%d refused, want 2", s.Refused)
	}
}

func TestAClosedHistoryAnswersThatItIs(t *testing.T) {
	db := open(t, Options{})
	db.Close()
	if err := db.Append([]Sample{sample(t0, 1, "__name__", "x")}); err != ErrClosed {
		t.Error(err)
	}
	if _, _, err := db.Query(context.Background(), `x`, t0); err == nil {
		t.Error("no error")
	}
}

func TestRangeLeavesGaps(t *testing.T) {
	db := open(t, Options{})
	add(t, db, sample(t0, 1, "__name__", "x"), sample(t0.Add(time.Minute), Stale, "__name__", "x"), sample(t0.Add(3*time.Minute), 4, "__name__", "x"))
	got, err := db.Range(t.Context(), `x`, t0, t0.Add(3*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := []measure.Point{{Time: t0, Value: 1}, {Time: t0.Add(3 * time.Minute), Value: 4}}
	if !slices.EqualFunc(got, want, func(a, b measure.Point) bool { return a.Value == b.Value && a.Time.Equal(b.Time) }) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAPI(t *testing.T) {
	db := open(t, Options{})
	add(t, db, sample(t0, 1, "__name__", "up", "pool", "a"), sample(t0, 0, "__name__", "up", "pool", "b"), sample(t0.Add(time.Minute), 1, "__name__", "up", "pool", "b"))
	server := httptest.NewServer(Handler(func() *DB { return db }))
	defer server.Close()
	at := strconv.FormatInt(t0.Unix(), 10)
	later := strconv.FormatInt(t0.Unix()+60, 10)
	for _, x := range []struct{ path, want string }{
		{"query?query=sum(up)&time=" + at, `{"data":{"resultType":"vector","result":[{"metric":{},"value":[` + at + `,"1"]}]},"status":"success"}`},
		{"query?query=2*3&time=" + at, `{"data":{"resultType":"scalar","result":[` + at + `,"6"]},"status":"success"}`},
		{"query?query=down", `{"data":{"resultType":"vector","result":[]},"status":"success"}`},
		{`query_range?query=up{pool="b"}&start=` + at + "&end=" + later + "&step=1m", `{"data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","pool":"b"},"values":[[` + at + `,"0"],[` + later + `,"1"]]}]},"status":"success"}`},
		{"label/pool/values", `{"data":["a","b"],"status":"success"}`},
		{`label/pool/values?match[]=up{pool="a"}`, `{"data":["a"],"status":"success"}`},
		{"labels", `{"data":["__name__","pool"],"status":"success"}`},
		{`series?match[]=up{pool="a"}`, `{"data":[{"__name__":"up","pool":"a"}],"status":"success"}`},
		{"query?query=sum(", `"errorType":"bad_data"`},
		{"query_range?query=up&start=0&end=1e9&step=1", `11000 points`},
		{"query_range?query=up&start=5&end=1&step=1", `end is before start`},
		{"query_range?query=up&start=1&end=5&step=0", `step`},
		{"query?query=up&time=noon", `is not a time`},
		{"series", `match[]`},
		{"nothing", `"status":"error"`},
	} {
		u := server.URL + "/api/v1/" + strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22", "[", "%5B", "]", "%5D", "*", "%2A").Replace(x.path)
		resp, err := http.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), x.want) {
			t.Errorf("%s: %d %s, want %s", x.path, resp.StatusCode, b, x.want)
		}
		if bad := strings.Contains(string(b), `"error"`); bad != (resp.StatusCode != http.StatusOK) {
			t.Errorf("%s: %d %s", x.path, resp.StatusCode, b)
		}
	}
	db.Close()
	if resp, err := http.Get(server.URL + "/api/v1/query?query=up"); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a closed one: %v %v", resp.StatusCode, err)
	}
}
