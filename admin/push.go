package admin

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/weirlb/weir/measure"
)

// mostPush is how long the body of a push may be.
const mostPush = 1 << 20

// push takes values that a user measures, as CloudWatch's PutMetricData does: all of them, or none and the error says which is wrong.
func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	if s.o.Pusher == nil {
		refuse(w, http.StatusNotImplemented, "read_only", "this Weir takes no values")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostPush))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is longer than %d KiB; send it in several parts", mostPush>>10))
		return
	}
	values, err := measure.ParsePush(body, time.Now())
	if err == nil {
		err = s.o.Pusher.Push(values)
	} else {
		err = invalid(err.Error())
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, map[string]int{"accepted": len(values)})
}
