package load

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reportedWait is the time in a queue that an answer reports: the metric "queue" of Server-Timing (W3C Server Timing, 2023), whose dur
// counts milliseconds.
func reportedWait(h http.Header) (time.Duration, bool) {
	for _, value := range h["Server-Timing"] {
		for metric := range strings.SplitSeq(value, ",") {
			name, params, _ := strings.Cut(metric, ";")
			if strings.TrimSpace(name) != "queue" {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				key, text, _ := strings.Cut(param, "=")
				if !strings.EqualFold(strings.TrimSpace(key), "dur") {
					continue
				}
				dur, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(text), `"`), 64)
				if err != nil || !(dur >= 0 && dur <= float64(longest.Milliseconds())) {
					return 0, false
				}
				return time.Duration(dur * float64(time.Millisecond)), true
			}
		}
	}
	return 0, false
}
