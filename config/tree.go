package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A file becomes structs in two steps, because goccy's own decoder stops at
// the first mistake and forgets places: buildTree turns goccy's syntax tree
// into nodes, with anchors, merges and ${NAME} resolved; a decoder then fills
// the structs from the nodes.

// kind is what a node is.
type kind int

const (
	nullKind kind = iota
	stringKind
	intKind
	floatKind
	boolKind
	listKind
	mapKind
)

// node is a value in the file.
type node struct {
	kind    kind
	at      position
	text    string  // of a scalar, expanded
	source  string  // of a scalar, as in the file, when that had a ${NAME}; else empty
	entries []entry // of a mapping
	items   []*node // of a list
}

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	at    position
	value *node
}

// minimal is what the error about an empty file shows.
const minimal = `an empty file serves nothing; the shortest one that does is
    listen: [{address: ":8080", routes: [{pool: api}]}]
    pools:
      api: {targets: ["127.0.0.1:9001", "127.0.0.1:9002"]}`

// maxDepth bounds how deep a file nests on one line.
const maxDepth = 30

// tooDeep finds where tokens nest so deep that the parser, which recurses,
// would run out of stack: brackets, or "- - -" on one line. Indentation
// cannot get there in a file of maxFile.
func tooDeep(tokens token.Tokens) (at position, deep bool) {
	brackets, entries, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			entries, line = 0, tk.Position.Line
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			entries++
		}
		if brackets > maxDepth || entries > maxDepth {
			return place(tk), true
		}
	}
	return position{}, false
}

// buildTree parses src. It returns nil when nothing sensible can follow.
func buildTree(r *report, src []byte, lookup func(string) (string, bool)) *node {
	if len(src) > maxFile {
		r.fail("", "the file is larger than the %s a config may have; is this the right file?", Size(maxFile))
		return nil
	}
	tokens := lexer.Tokenize(string(src))
	if at, deep := tooDeep(tokens); deep {
		r.failAt(at, "", "this is nested more than %d deep; no key of Weir is", maxDepth)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		syntaxError(r, err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch _, directive := doc.Body.(*ast.DirectiveNode); {
		case doc.Body == nil || directive:
		case body != nil:
			r.failAt(start(doc.Body), "", "a second document begins here; keep one and remove the \"---\" between them")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		r.fail("", "%s", minimal)
		return nil
	}
	b := builder{report: r, lookup: lookup, anchors: map[string]*node{}}
	root := b.build(body, start(body), "")
	switch {
	case root.kind == nullKind && len(r.errs) == 0:
		r.fail("", "%s", minimal)
		return nil
	case root.kind != mapKind:
		if len(r.errs) == 0 {
			r.failAt(root.at, "", "the file is %s; it must be a mapping with the keys \"listen\" and \"pools\"", root.describe())
		}
		return nil
	}
	return root
}

// syntaxError records what the parser said, without its excerpt of the file.
func syntaxError(r *report, err error) {
	at, message := position{1, 1}, err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		message = e.GetMessage()
		if tk := e.GetToken(); tk != nil && tk.Position != nil {
			at = place(tk)
		}
	}
	at = r.within(at)
	switch line := r.lines[at.line-1]; {
	case strings.Contains(line, "{{") || strings.Contains(line, "${"):
		message += `; put text with braces in quotes, as in "${NAME}" or "{{.Port}}"`
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		message += "; indent with spaces"
	case strings.Contains(message, "mapping value is not allowed"):
		message += `; put text that holds ": " in quotes`
	}
	r.failAt(at, "", "this is not YAML: %s", message)
}

// builder turns syntax into nodes.
type builder struct {
	*report
	lookup  func(string) (string, bool)
	anchors map[string]*node
}

// build converts n, whose key or list item is at the given place and path.
// A mistake inside n is recorded and leaves a null in its place.
func (b *builder) build(n ast.Node, at position, path string) *node {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return &node{at: at}
	case *ast.StringNode:
		return b.text(n.Value, at, path)
	case *ast.LiteralNode:
		return b.text(n.Value.Value, at, path)
	case *ast.IntegerNode:
		return &node{kind: intKind, at: at, text: n.Token.Value}
	case *ast.FloatNode:
		return &node{kind: floatKind, at: at, text: n.Token.Value}
	case *ast.InfinityNode:
		return &node{kind: stringKind, at: at, text: n.Token.Value}
	case *ast.NanNode:
		return &node{kind: stringKind, at: at, text: n.Token.Value}
	case *ast.BoolNode:
		return &node{kind: boolKind, at: at, text: n.Token.Value}
	case *ast.SequenceNode:
		list := &node{kind: listKind, at: at}
		for i, v := range n.Values {
			list.items = append(list.items, b.build(v, start(v), item(path, i)))
		}
		return list
	case *ast.MappingNode:
		return b.mapping(n.Values, at, path)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, at, path)
	case *ast.AnchorNode:
		built := b.build(n.Value, at, path)
		b.anchors[n.Name.GetToken().Value] = built
		return built
	case *ast.AliasNode:
		// An anchor is known only once it is complete, so none can hold itself.
		name := n.Value.GetToken().Value
		if known := b.anchors[name]; known != nil {
			return known
		}
		b.failAt(at, path, "*%s names no anchor above it; write &%[1]s before the value it stands for", name)
	case *ast.TagNode:
		b.failAt(at, path, "tags such as %q mean nothing here; write the value alone, text in quotes", n.Start.Value)
	default:
		b.failAt(at, path, "this form of YAML (%s) is not used here; write a mapping, a list or a value", n.Type())
	}
	return &node{at: at}
}

// mapping converts the entries of a mapping, refusing keys that come twice,
// and adds those of merged mappings (<<) that it does not have itself.
func (b *builder) mapping(values []*ast.MappingValueNode, at position, path string) *node {
	m := &node{kind: mapKind, at: at}
	seen := map[string]position{}
	var merged []*node
	for _, v := range values {
		at := start(v)
		switch v.Key.(type) {
		case *ast.MergeKeyNode:
			merged = append(merged, b.build(v.Value, at, child(path, "<<")))
			continue
		case *ast.MappingKeyNode, *ast.TagNode, *ast.AliasNode, *ast.AnchorNode:
			b.failAt(at, path, "a key must be plain text, without ?, tags or anchors")
			continue
		}
		key := v.Key.GetToken().Value
		path := child(path, key)
		if first, ok := seen[key]; ok {
			b.failAt(at, path, "%q is written twice, first on line %d; keep one of them", key, first.line)
			continue
		}
		seen[key] = at
		m.entries = append(m.entries, entry{key, at, b.build(v.Value, at, path)})
	}
	for _, source := range merged {
		b.merge(m, source, seen, path)
	}
	return m
}

// merge adds to m what it lacks of source, a mapping or a list of mappings.
func (b *builder) merge(m, source *node, seen map[string]position, path string) {
	switch source.kind {
	case mapKind:
		for _, e := range source.entries {
			if _, ok := seen[e.key]; !ok {
				seen[e.key] = e.at
				m.entries = append(m.entries, e)
			}
		}
	case listKind:
		for _, one := range source.items {
			if one.kind != mapKind {
				b.failAt(source.at, child(path, "<<"), "%s cannot be merged, only mappings can; write <<: *name, with &name before a mapping", one.describe())
				return
			}
			b.merge(m, one, seen, path)
		}
	default:
		if path := child(path, "<<"); !b.failed(path) {
			b.failAt(source.at, path, "%s cannot be merged, only mappings can; write <<: *name, with &name before a mapping", source.describe())
		}
	}
}

// text converts a string, expanding ${NAME}.
func (b *builder) text(s string, at position, path string) *node {
	expanded, problems := expand(s, b.lookup)
	for _, problem := range problems {
		b.failAt(at, path, "%s", problem)
	}
	if len(problems) > 0 {
		return &node{at: at}
	}
	n := &node{kind: stringKind, at: at, text: expanded}
	if expanded != s {
		n.source = s
	}
	return n
}

// describe names n in an error. It never shows what came from the
// environment, which may be a secret.
func (n *node) describe() string {
	switch n.kind {
	case nullKind:
		return "nothing"
	case listKind:
		return "a list"
	case mapKind:
		return "a mapping"
	case stringKind:
		if n.source != "" {
			return fmt.Sprintf("the value of %q", shorten(n.source))
		}
		return fmt.Sprintf("%q", shorten(n.text))
	}
	return shorten(n.text)
}

// shorten keeps an error on one line of a terminal.
func shorten(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// start is where n begins. Goccy gives mappings the place of a colon.
func start(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0])
		}
	case *ast.MappingValueNode:
		return start(n.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{1, 1}
	}
	return place(n.GetToken())
}

func place(tk *token.Token) position { return position{tk.Position.Line, tk.Position.Column} }
