package config

import (
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// WithScale returns pool with src, the text of a scale block, in place of its own; name is what errors call the text. The error is [Errors], with every
// mistake at its line of the text. Cfg stays as it is.
func (cfg *Config) WithScale(pool, name string, src []byte) (*Pool, error) {
	src = []byte(outdented(string(src)))
	r := &report{file: name, lines: strings.Split(string(src), "\n"), where: map[string]position{}, expanded: map[string]*node{}}
	root := buildTree(r, src, os.LookupEnv)
	if root == nil {
		errs := r.errors()
		for i := range errs {
			if errs[i].Message == minimal {
				errs[i].Message = "the text is empty; write what stands below scale, such as {min: 1, max: 4}"
			}
			errs[i].Message = strings.Replace(errs[i].Message, `a mapping with the keys "listen" and "pools"`, "what stands below scale, such as {min: 1, max: 4}", 1)
		}
		return nil, errs
	}
	if len(root.entries) == 1 && root.entries[0].key == "scale" { // the key was copied, too
		root = root.entries[0].value
	}
	path := child(child("pools", pool), "scale")
	r.where[path] = root.at
	p := *cfg.Pools[pool]
	p.Scale = nil
	d := decoder{report: r, budget: maxValues}
	d.decode(root, reflect.ValueOf(&p.Scale).Elem(), path, field{})
	if p.Scale != nil {
		completeScale(r, path, p.Scale)
		with := *cfg
		with.Pools = maps.Clone(cfg.Pools)
		with.Pools[pool] = &p
		v := checker{r}
		v.alarms(&with)
		v.scale(path, &p)
	}
	errs := slices.DeleteFunc(r.errors(), func(e Error) bool { return e.Path != "" && !strings.HasPrefix(e.Path, path) })
	if len(errs) > 0 {
		for i := range errs {
			errs[i].Path = strings.TrimPrefix(errs[i].Path, parent(path)+".")
		}
		return nil, errs
	}
	return &p, nil
}

// ScaleText is the text of a pool's scale block in a file, outdented, as a person would edit it.
func ScaleText(src []byte, pool string) (string, error) {
	file, err := parser.ParseBytes(src, parser.ParseComments)
	if err != nil {
		return "", err
	}
	for _, doc := range file.Docs {
		at := doc.Body
		for _, key := range []string{"pools", pool, "scale"} {
			at = valueOf(at, key)
		}
		if at != nil {
			return outdented(at.String()), nil
		}
	}
	return "", errors.New("the file does not write it out")
}

// valueOf is what a mapping has under a key; nil: nothing.
func valueOf(n ast.Node, key string) ast.Node {
	if a, ok := n.(*ast.AnchorNode); ok {
		n = a.Value
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return nil
	}
	for it := m.MapRange(); it.Next(); {
		if k := it.Key().GetToken(); k != nil && k.Value == key {
			return it.Value()
		}
	}
	return nil
}

// outdented takes the indentation away that all lines have.
func outdented(s string) string {
	lines := strings.Split(strings.Trim(strings.ReplaceAll(s, "\r\n", "\n"), "\n"), "\n")
	least := -1
	for _, l := range lines {
		if text := strings.TrimLeft(l, " "); text != "" && (least < 0 || len(l)-len(text) < least) {
			least = len(l) - len(text)
		}
	}
	for i, l := range lines {
		lines[i] = l[min(max(least, 0), len(l)-len(strings.TrimLeft(l, " "))):]
	}
	return strings.Join(lines, "\n") + "\n"
}
