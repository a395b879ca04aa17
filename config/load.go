package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// maxFile bounds the size of a file, in bytes, so that a wrong path (a log, a
// model) is refused at once.
const maxFile = 1 << 20

// Load reads, checks and completes the file at path. The error is [Errors]
// when the file was read but has mistakes.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	return Parse(path, src, os.LookupEnv)
}

// Parse checks and completes src: what it returns has every default filled
// in, and every pool with a Template has a Scale. Name is what errors call
// the file; lookup finds the values of ${NAME}, as [os.LookupEnv] does. The
// error is always [Errors], with every mistake.
func Parse(name string, src []byte, lookup func(string) (string, bool)) (*Config, error) {
	// Windows editors begin files with a byte order mark; goccy takes it for text.
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	r := &report{
		file:     name,
		lines:    strings.Split(string(src), "\n"),
		where:    map[string]position{},
		expanded: map[string]*node{},
	}
	root := buildTree(r, src, lookup)
	if root == nil {
		return nil, r.errors()
	}
	cfg := Default()
	d := decoder{report: r, budget: maxValues}
	d.decode(root, reflect.ValueOf(&cfg).Elem(), "", field{})
	complete(r, &cfg)
	validate(r, &cfg)
	if len(r.errs) > 0 {
		return nil, r.errors()
	}
	cfg.Warnings = sorted(r.warnings)
	return &cfg, nil
}
