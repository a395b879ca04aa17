package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
)

// isWeir reports whether the arguments are those that the benchmark gives Weir, so that the test binary stands in for it too: the code of Weir is in it
// anyway, and building the real one would take longer than the tests.
func isWeir(args []string) bool {
	return len(args) > 0 && slices.Contains([]string{"version", "check", "run", "reload"}, args[0])
}

// asWeir does what cmd/weir does with such arguments.
func asWeir(args []string) error {
	switch args[0] {
	case "version":
		fmt.Println("weir, as the tests have it")
		return nil
	case "reload": // reload --admin ADDRESS
		answer, err := http.Post("http://"+args[2]+"/v1/reload", "application/json", nil)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	}
	c, err := config.Load(args[2]) // check -c FILE, run -c FILE
	if err != nil || args[0] == "check" {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.Start(c, app.Options{Config: args[2], Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return a.Shutdown(context.Background(), false)
}

// Weir with each order of its queue, and with targets that come and go. How long anything waits on a busy machine is not for a test to say, but nothing may be lost.
func TestSmokeWeir(t *testing.T) {
	for cases, args := range map[string][]string{
		"equal,shortest": {"-requests", "30", "-speed", "5"},
		churn:            {"-requests", "240", "-speed", "10"},
	} {
		t.Run(cases, func(t *testing.T) {
			t.Parallel()
			r := smokeWeir(t, append(args, "-cases", cases)...)
			measured := make(map[string]bool)
			for _, w := range r.Rows {
				if w.Failed > 0 || w.Refused != "" {
					t.Errorf("%+v", w)
				}
				measured[w.Case] = measured[w.Case] || w.Requests > 0
			}
			for kind := range strings.SplitSeq(cases, ",") {
				if !measured[kind] {
					t.Errorf("nothing was measured of the case %s", kind)
				}
			}
			if cases == churn && r.Reloads == 0 {
				t.Error("no target came or went")
			}
		})
	}
}

func smokeWeir(t *testing.T, args ...string) (r report) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.json")
	cmd, output, _ := program(t, append(args, "-only", weir, "-weir", self, "-mixes", "two", "-loads", "0.8", "-json", file)...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
