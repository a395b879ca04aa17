package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/weirlb/weir/bench/internal/child"
)

//go:embed *.tmpl
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "*.tmpl"))

// candidate is a program to measure.
type candidate struct {
	name   string
	config string // template of its configuration; none when empty
	// command returns the program and its arguments.
	command func(e *env, config string, s site) []string
	// version returns a program and arguments that print its version.
	version func(e *env) []string
}

// site is what the configurations are made of.
type site struct {
	Dir         string // for files; fresh for each start
	Port        int    // to listen on
	TLSPort     int    // to listen on with TLS
	Cert, Key   string // files
	Pair        string // both in one file
	Admin       int
	Engine      string   // of Weir; its own choice when empty
	Many        []string // addresses of a pool without traffic
	Targets     []int
	Connections int // that must fit at once, both sides together
	Clients     int // of these
	Root        bool
}

var candidates = []candidate{
	{
		name: "floor",
		command: func(e *env, _ string, s site) []string {
			args := []string{e.self, "floor", strconv.Itoa(s.Port)}
			for _, port := range s.Targets {
				args = append(args, strconv.Itoa(port))
			}
			return args
		},
	},
	{
		name:   "nginx",
		config: "nginx.conf.tmpl",
		command: func(e *env, config string, s site) []string {
			return []string{e.programs["nginx"], "-p", s.Dir, "-e", filepath.Join(s.Dir, "nginx.err"), "-c", config}
		},
		version: func(e *env) []string { return []string{e.programs["nginx"], "-v"} },
	},
	{
		name:   "haproxy",
		config: "haproxy.cfg.tmpl",
		command: func(e *env, config string, _ site) []string {
			return []string{e.programs["haproxy"], "-db", "-f", config}
		},
		version: func(e *env) []string { return []string{e.programs["haproxy"], "-v"} },
	},
	{
		name:   "caddy",
		config: "caddy.json.tmpl",
		command: func(e *env, config string, _ site) []string {
			return []string{e.programs["caddy"], "run", "--config", config}
		},
		version: func(e *env) []string { return []string{e.programs["caddy"], "version"} },
	},
	{
		name:   "weir",
		config: "weir.yaml.tmpl",
		command: func(e *env, config string, _ site) []string {
			return []string{e.programs["weir"], "run", "-c", config}
		},
		version: func(e *env) []string { return []string{e.programs["weir"], "version"} },
	},
}

func candidateNames() []string {
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.name
	}
	return names
}

// running is a candidate that runs.
type running struct {
	*child.Process
	name   string
	site   site
	config string // file
}

// launch starts the candidate anew on the cores and waits until it answers.
// Many is how many targets a pool without traffic gets beside the one that is measured.
func (c candidate) launch(ctx context.Context, e *env, cores []int, many int) (*running, error) {
	dir, err := os.MkdirTemp(e.dir, c.name+"-")
	if err != nil {
		return nil, err
	}
	ports, err := child.FreePorts(3)
	if err != nil {
		return nil, err
	}
	r := &running{name: c.name, site: site{
		Dir: dir, Port: ports[0], Admin: ports[1], TLSPort: ports[2], Targets: e.targets, Engine: e.engine, Many: addresses(0, many),
		Cert: filepath.Join(e.dir, certFile), Key: filepath.Join(e.dir, keyFile), Pair: filepath.Join(e.dir, pairFile),
		Connections: e.connections, Clients: e.connections/2 + 100, Root: os.Geteuid() == 0,
	}}
	if c.config != "" {
		if r.config, err = writeConfig(c.config, r.site); err != nil {
			return nil, err
		}
	}
	if r.Process, err = e.start(c.name, cores, nil, c.command(e, r.config, r.site)...); err != nil {
		return nil, err
	}
	if err := r.AwaitReady(ctx, fmt.Sprintf("http://127.0.0.1:%d/predict", r.site.Port)); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

func writeConfig(name string, s site) (path string, err error) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, s); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	path = filepath.Join(s.Dir, strings.TrimSuffix(name, ".tmpl"))
	return path, os.WriteFile(path, text.Bytes(), 0o644)
}

// findPrograms locates nginx and HAProxy and builds Weir, as far as they are
// among the names.
func findPrograms(ctx context.Context, names []string, weir, dir string) (map[string]string, error) {
	programs := make(map[string]string)
	var missing []string
	for _, name := range names {
		switch name {
		case "nginx", "haproxy", "caddy":
			path, err := child.Find(name)
			if err != nil {
				missing = append(missing, name)
			}
			programs[name] = path
		case "weir":
			path, err := child.Weir(ctx, weir, dir)
			if err != nil {
				return nil, err
			}
			programs[name] = path
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s not found: apt-get install nginx haproxy caddy, or leave them out with -only",
			strings.Join(missing, " and "))
	}
	return programs, nil
}

// versions asks each candidate for its version; the first line is kept.
func (e *env) versions(ctx context.Context, chosen []candidate) map[string]string {
	versions := make(map[string]string)
	for _, c := range chosen {
		if c.version == nil {
			continue
		}
		args := c.version(e)
		versions[c.name] = child.Version(ctx, args[0], args[1:]...)
	}
	return versions
}
