package infer_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/weirlb/weir/infer"
)

// A server is an http.Handler, so that a test can put it behind whatever it likes.
func ExampleNew() {
	o := infer.DefaultOptions()
	o.Device = infer.DeviceEmulated
	o.Model = []string{infer.ModelPredict}
	o.LoadTime = time.Hour
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := infer.New(o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	for _, path := range []string{"/health", "/health/ready", "/predict"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Println(path, w.Code, w.Header().Get("X-Device"))
	}
	// Output:
	// /health 200 emulated
	// /health/ready 503 emulated
	// /predict 503 emulated
}

// Run serves until its context ends. What cannot work is an error before anything is opened.
func ExampleRun() {
	o := infer.DefaultOptions()
	o.Slots = 0
	fmt.Println(infer.Run(context.Background(), o))
	// Output: slots: 0 is out of range; give 1 to 4096
}
