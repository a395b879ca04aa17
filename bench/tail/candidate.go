package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/weirlb/weir/bench/internal/child"
)

//go:embed *.tmpl
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "*.tmpl"))

// Programs that are measured. direct is this one, without any between it and the targets.
const (
	direct  = "direct"
	weir    = "weir"
	nginx   = "nginx"
	haproxy = "haproxy"
)

// candidate is one way to balance.
type candidate struct {
	title   string
	program string
	method  string // what the configuration's template makes of it
}

var (
	ownQueue       = candidate{"one queue, no proxy", direct, ""}
	weirDefault    = candidate{"Weir", weir, ""}
	weirResponse   = candidate{"Weir, least_response_time", weir, "least_response_time"}
	weirShortest   = candidate{"Weir, shortest_first", weir, "shortest_first"}
	nginxLeast     = candidate{"nginx least_conn", nginx, "least_conn"}
	nginxRobin     = candidate{"nginx round robin", nginx, "round_robin"}
	haproxyLeast   = candidate{"HAProxy leastconn", haproxy, ""}
	haproxyMaxconn = candidate{"HAProxy maxconn 1", haproxy, "queue"}
)

// site is one pool in a program's configuration, and the address in front of it.
type site struct {
	Name    string
	Port    int
	Method  string
	Targets []siteTarget
}

type siteTarget struct {
	Address string
	Port    int
	Weight  int
}

// proxy is a program that runs with some sites.
type proxy struct {
	program string
	path    string
	config  string // file
	settings
	process *child.Process
}

// settings are what a configuration's template is filled with.
type settings struct {
	Dir   string
	Admin int
	Root  bool
	Sites []*site
}

// templateOf is the name of each program's template.
var templateOf = map[string]string{weir: "weir.yaml.tmpl", nginx: "nginx.conf.tmpl", haproxy: "haproxy.cfg.tmpl"}

// launch starts a program with the sites and waits until the last one is there.
func launch(ctx context.Context, program, path, dir string, sites []*site) (*proxy, error) {
	dir, err := os.MkdirTemp(dir, program+"-")
	if err != nil {
		return nil, err
	}
	ports, err := child.FreePorts(len(sites) + 1)
	if err != nil {
		return nil, err
	}
	for i, s := range sites {
		s.Port = ports[i]
	}
	p := &proxy{program: program, path: path, settings: settings{Dir: dir, Admin: ports[len(sites)], Root: os.Geteuid() == 0, Sites: sites}}
	p.config = filepath.Join(dir, strings.TrimSuffix(templateOf[program], ".tmpl"))
	if err := p.write(); err != nil {
		return nil, err
	}
	if program == weir {
		if err := p.check(ctx); err != nil {
			return nil, err
		}
	}
	args := map[string][]string{
		weir:    {"run", "-c", p.config},
		nginx:   {"-p", dir, "-e", filepath.Join(dir, "nginx.err"), "-c", p.config},
		haproxy: {"-db", "-f", p.config},
	}[program]
	if p.process, err = child.Start(program, exec.Command(path, args...), filepath.Join(dir, program+".log"), nil); err != nil {
		return nil, err
	}
	for _, s := range sites {
		if err := p.process.AwaitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/health", s.Port)); err != nil {
			p.process.Stop()
			return nil, err
		}
	}
	return p, nil
}

// write writes the configuration from the sites as they are now.
func (p *proxy) write() error {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, templateOf[p.program], p.settings); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", p.program, err)
	}
	// By a rename, as an editor does it: nobody reads half a file.
	if err := os.WriteFile(p.config+".new", text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(p.config+".new", p.config)
}

// reload has a running Weir take the sites as they are now.
func (p *proxy) reload(ctx context.Context) error {
	if err := p.write(); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, p.path, "reload", "--admin", fmt.Sprintf("127.0.0.1:%d", p.Admin)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("weir reload: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// refusal is what Weir has against its configuration.
type refusal string

func (r refusal) Error() string { return "weir check: " + string(r) }

// check asks Weir whether it takes the configuration; what it has against it first is a refusal.
func (p *proxy) check(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, p.path, "check", "-c", p.config).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return refusal(line)
}
