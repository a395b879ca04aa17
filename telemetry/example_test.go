package telemetry_test

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/telemetry"
)

func ExampleAccessLog() {
	o := telemetry.DefaultAccess
	o.Path = "stdout"
	o.Omit = []string{"bytes_in", "attempts"}
	log, err := telemetry.NewAccessLog(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()

	var a telemetry.Access // one for each connection
	a.Reset(time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC))
	a.Method, a.Path = a.Keep([]byte("GET")), a.Keep([]byte("/v1/models"))
	a.Pool, a.Status, a.BytesOut, a.Total = "gpu", 200, 512, 1500*time.Microsecond
	log.Log(&a)
	// Output: {"time":"2026-03-04T12:00:00.000000Z","status":200,"duration_ms":1.500,"method":"GET","path":"/v1/models","pool":"gpu","bytes_out":512}
}
