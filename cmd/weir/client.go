package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/admin"
)

// remote is how the commands that talk to a running Weir reach it.
type remote struct {
	Admin string `help:"Address of the running Weir's admin API; https://HOST:PORT when it has admin.tls." default:"127.0.0.1:9900" env:"WEIR_ADMIN"`
	Token string `help:"Its token, when it asks for one." env:"WEIR_ADMIN_TOKEN"`
	CA    string `name:"ca" help:"File with the authority of its certificate, in PEM." env:"WEIR_ADMIN_CA" type:"path" placeholder:"FILE"`
	Cert  string `help:"File with the certificate to show, when it asks for one." env:"WEIR_ADMIN_CERT" type:"path" placeholder:"FILE"`
	Key   string `help:"File with the certificate's key." env:"WEIR_ADMIN_KEY" type:"path" placeholder:"FILE"`
}

// client speaks to the admin API, over TLS as the options say.
func (r remote) client() (*http.Client, error) {
	if r.CA == "" && r.Cert == "" {
		return http.DefaultClient, nil
	}
	c := &tls.Config{}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca: %w", err)}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError{fmt.Errorf("--ca %s: there is no certificate in it; it must be in PEM", r.CA)}
		}
	}
	if r.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			return nil, usageError{fmt.Errorf("--cert and --key: %w", err)}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, Proxy: http.ProxyFromEnvironment}}, nil
}

// do sends a request and returns the answer's body; what the API calls an error is one.
func (r remote) do(method, path string, body any) (io.ReadCloser, error) {
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return nil, err
		}
	}
	base := r.Admin
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	client, err := r.client()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, strings.TrimSuffix(base, "/")+path, &b)
	if err != nil {
		return nil, usageError{fmt.Errorf("--admin %s: %w", r.Admin, err)}
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		stop()
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("no Weir answers on %s (%w); start one with `weir run`, or say with --admin where it is", r.Admin, err)
	}
	if resp.StatusCode >= 400 {
		defer stop()
		defer resp.Body.Close()
		var e struct {
			Error struct{ Message string }
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if json.Unmarshal(text, &e) == nil && e.Error.Message != "" {
			text = []byte(e.Error.Message)
		}
		var prometheus struct{ Error string }
		if json.Unmarshal(text, &prometheus) == nil && prometheus.Error != "" {
			text = []byte(prometheus.Error)
		}
		return nil, fmt.Errorf("%s (%d)", bytes.TrimSpace(text), resp.StatusCode)
	}
	return answer{resp.Body, stop}, nil
}

// answer ends the signal's watch with the body.
type answer struct {
	io.ReadCloser
	stop func()
}

func (b answer) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// order sends a request whose answer holds nothing of interest.
func (r remote) order(method, path string, body any) error {
	b, err := r.do(method, path, body)
	if err != nil {
		return err
	}
	return b.Close()
}

func pathOf(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/v1/pools/" + strings.Join(parts, "/")
}

type statusCmd struct {
	remote
	JSON bool   `help:"Print the whole status as JSON."`
	Pool string `arg:"" optional:"" help:"Only this pool."`
}

func (statusCmd) Help() string {
	return `For example:

  weir status
  weir status chat
  weir status --json | jq '.pools[].queue'`
}

func (s *statusCmd) Run(o *output) error {
	b, err := s.do("GET", "/v1/status", nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if s.JSON {
		_, err = io.Copy(o.out, b)
		return err
	}
	var st admin.Status
	if err := json.NewDecoder(b).Decode(&st); err != nil {
		return fmt.Errorf("reading the status: %w", err)
	}
	if s.Pool != "" {
		st.Pools = slices.DeleteFunc(st.Pools, func(p admin.Pool) bool { return p.Name != s.Pool })
		if len(st.Pools) == 0 {
			return fmt.Errorf("there is no pool %s", s.Pool)
		}
	}
	printStatus(o.out, st)
	return nil
}

func printStatus(w io.Writer, st admin.Status) {
	fmt.Fprintf(w, "Weir %s, process %d, generation %d, up %v\n", st.Version, st.PID, st.Generation, st.Time.Sub(st.Started).Round(time.Second))
	for _, l := range st.Leaving {
		fmt.Fprintln(w, remains(l))
	}
	for _, l := range st.Listeners {
		fmt.Fprintf(w, "listening on %s, %d connections\n", l.Address, l.Connections)
	}
	for _, p := range st.Pools {
		slots := "no limit"
		if p.Slots > 0 {
			slots = fmt.Sprint(p.Slots)
		}
		fmt.Fprintf(w, "\npool %s · %s · %.1f requests/s · in flight %d of %s · queue %d of %d", p.Name, p.Balance, p.Rates.Requests, p.InFlight, slots, p.Queue.Depth, p.Queue.Limit)
		if p.Scale != nil {
			fmt.Fprintf(w, " · desired %d (%d to %d)", p.Scale.Desired, p.Scale.Min, p.Scale.Max)
			if p.Scale.Manual != nil {
				fmt.Fprint(w, ", set by hand")
			}
		}
		if p.FailedOpen {
			fmt.Fprint(w, " · FAILED OPEN: too few are healthy, requests go to all")
		}
		if c := p.Cost; c != nil {
			fmt.Fprintf(w, " · costs %.2f an hour, %.2f this month", c.PerHour, c.Month)
		}
		fmt.Fprintln(w)
		t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
		if len(p.Instances) > 0 {
			fmt.Fprintln(t, "  INSTANCE\tSTATE\tFOR\tIN FLIGHT\tCPU %\tMEMORY\tADDRESS\tWHY")
			for _, i := range p.Instances {
				why := i.Why
				if i.ETA > 0 {
					why = fmt.Sprintf("ready in about %.0f s", i.ETA)
				}
				for _, h := range i.Hooks {
					why = strings.TrimSuffix(waitsFor(h)+"; "+why, "; ")
				}
				if i.Protected {
					why = strings.TrimSuffix("protected; "+why, "; ")
				}
				fmt.Fprintf(t, "  %s\t%s\t%v\t%d\t%.0f\t%s\t%s\t%s\n", i.ID, i.State, st.Time.Sub(i.Since).Round(time.Second), i.InFlight, i.CPU, size(i.Memory), i.Address, why)
			}
		} else if len(p.Targets) > 0 {
			fmt.Fprintln(t, "  TARGET\tSTATE\tFOR\tIN FLIGHT\tREQUESTS\tFAILURES\tREASON")
			for _, x := range p.Targets {
				fmt.Fprintf(t, "  %s\t%s\t%v\t%d\t%d\t%d\t%s\n", x.ID, x.State, st.Time.Sub(x.Since).Round(time.Second), x.InFlight, x.Requests, x.Failures, x.Reason)
			}
		}
		t.Flush()
		if p.LaunchesBlocked != nil {
			fmt.Fprintf(w, "  launches are put off until %s: %s\n", p.LaunchesBlocked.Until.Local().Format(time.TimeOnly), p.LaunchesBlocked.Why)
		}
	}
}

// remains says what a process that was replaced still has to finish.
func remains(l admin.Leaving) string {
	until := ""
	if !l.Deadline.IsZero() {
		until = ", until " + l.Deadline.Local().Format(time.TimeOnly)
	}
	return fmt.Sprintf("process %d, which it has replaced, finishes %d requests on %d connections%s", l.PID, l.InFlight, l.Connections, until)
}

func size(b uint64) string {
	switch {
	case b >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(b)/(1<<30))
	case b >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(b)/(1<<20))
	}
	return fmt.Sprintf("%.0f KiB", float64(b)/(1<<10))
}

type logsCmd struct {
	remote
	Pool     string `arg:"" help:"The pool."`
	Instance string `arg:"" help:"The instance, as weir status names it."`
	Lines    int    `short:"n" help:"How many lines." default:"50"`
	Follow   bool   `short:"f" help:"Go on with what is written from now on."`
}

func (l *logsCmd) Run(o *output) error {
	b, err := l.do("GET", fmt.Sprintf("%s/logs?lines=%d&follow=%v", pathOf(l.Pool, "instances", l.Instance), l.Lines, l.Follow), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err = io.Copy(o.out, b); errors.Is(err, context.Canceled) {
		return nil // Ctrl-C ends a follow
	}
	return err
}

type drainCmd struct {
	remote
	Pool   string `arg:"" help:"The pool."`
	Target string `arg:"" help:"The target or instance, as weir status names it."`
	Undo   bool   `help:"Give it requests again."`
}

func (d *drainCmd) Run(o *output) error {
	method, did := "POST", "drains: nothing new, what is in flight finishes"
	if d.Undo {
		method, did = "DELETE", "takes requests again"
	}
	if err := d.order(method, pathOf(d.Pool, "targets", d.Target)+"/drain", nil); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s %s\n", d.Target, did)
	return nil
}

type scaleCmd struct {
	remote
	Pool    string        `arg:"" help:"The pool."`
	Desired int           `arg:"" optional:"" help:"Instances, within the pool's min and max." default:"-1"`
	For     time.Duration `help:"For how long; then the policies decide again. 0: until --auto." default:"30m"`
	Auto    bool          `help:"Let the policies decide again."`
}

func (scaleCmd) Help() string {
	return `For example:

  weir scale chat 6 --for 2h     # a launch at noon
  weir scale chat --auto         # back to the policies`
}

func (s *scaleCmd) Run(o *output) error {
	if s.Auto == (s.Desired >= 0) {
		return usageError{errors.New("weir scale: say either how many instances, or --auto")}
	}
	if s.Auto {
		if err := s.order("DELETE", pathOf(s.Pool, "scale"), nil); err != nil {
			return err
		}
		fmt.Fprintf(o.out, "%s is scaled by its policies again\n", s.Pool)
		return nil
	}
	if err := s.order("POST", pathOf(s.Pool, "scale"), map[string]any{"desired": s.Desired, "for": s.For.String()}); err != nil {
		return err
	}
	until := "until weir scale --auto"
	if s.For > 0 {
		until = "for " + s.For.String()
	}
	fmt.Fprintf(o.out, "%s is held at %d %s\n", s.Pool, s.Desired, until)
	return nil
}

type explainCmd struct {
	remote
	Pool string `arg:"" help:"The pool."`
	At   string `help:"The decision in force at this time (RFC 3339); without it, the latest."`

	Record bool `help:"Print what the latest decision that changed the capacity was made from, as JSON; weir decide --record makes it again."`
}

func (e *explainCmd) Run(o *output) error {
	q := url.Values{"pool": {e.Pool}}
	if e.At != "" {
		q.Set("at", e.At)
	}
	path := "/v1/explain?"
	if e.Record {
		path = "/v1/record?"
	}
	b, err := e.do("GET", path+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = io.Copy(o.out, b)
	return err
}
