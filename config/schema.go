package config

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// source is where the descriptions of the schema come from: the comments
// that the keys have in Go.
//
//go:embed config.go
var source string

// fromEnv is the pattern of text that the environment completes, which may
// stand in the place of any value.
const fromEnv = `\$\{`

// Schema gives the JSON Schema (2020-12) of the file, for editors and for
// checks without Weir. It is generated from the types, their comments and
// their defaults. It accepts every file that Parse accepts; what only Parse
// can know, such as whether a route's pool exists, it does not refuse.
func Schema() ([]byte, error) {
	comments, err := parseComments()
	if err != nil {
		return nil, fmt.Errorf("generating the schema: %w", err)
	}
	reflector := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     special,
		LookupComment:              func(t reflect.Type, field string) string { return comments[t.Name()+"."+field] },
	}
	root := reflector.ReflectFromType(reflect.TypeFor[Config]())
	root.Title = "Weir's config"
	structs := maps.Clone(root.Definitions)
	structs["Config"] = root
	for _, one := range []any{Default(), DefaultPool(), DefaultTarget(), DefaultHealth(), DefaultCheck(), DefaultTemplate(), DefaultWarmUp(), DefaultScale(), DefaultQueuePolicy()} {
		addDefaults(structs, reflect.ValueOf(one))
	}
	refine(structs)
	for _, s := range structs {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			allowEnv(p.Value)
		}
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// special gives the schemas of types that a file writes in their own way.
func special(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Pattern: durationPattern, Extras: map[string]any{"type": []string{"string", "integer"}, "maximum": 0, "minimum": 0}}
	case reflect.TypeFor[Size]():
		return &jsonschema.Schema{Pattern: sizePattern, Extras: map[string]any{"type": []string{"string", "integer"}, "maximum": 0, "minimum": 0}}
	case reflect.TypeFor[StatusList]():
		code := &jsonschema.Schema{Type: "integer", Minimum: "100", Maximum: "599"}
		allowEnv(code)
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{code, {Type: "array", Items: code, MinItems: new(uint64(1))}}}
	}
	return nil
}

// refine adds the rules that tags cannot say.
func refine(structs map[string]*jsonschema.Schema) {
	needs := func(key string) *jsonschema.Schema { return &jsonschema.Schema{Required: []string{key}} }
	structs["Policy"].OneOf = []*jsonschema.Schema{needs("target"), needs("queue")}
	pool := structs["Pool"]
	pool.OneOf = []*jsonschema.Schema{needs("targets"), needs("template")}
	pool.DependentRequired = map[string][]string{"scale": {"template"}, "liveness": {"template"}}
	if targets, ok := pool.Properties.Get("targets"); ok {
		targets.Items = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, targets.Items}}
	}
	if pools, ok := structs["Config"].Properties.Get("pools"); ok {
		pools.MinProperties = new(uint64(1))
		pools.PropertyNames = &jsonschema.Schema{Pattern: `^[A-Za-z0-9_-]{1,63}$`}
	}
}

// allowEnv lets text with a ${NAME} stand for a number, a bool or one of an
// enum.
func allowEnv(s *jsonschema.Schema) {
	switch {
	case s.Enum != nil:
		s.AnyOf = []*jsonschema.Schema{{Enum: s.Enum}, {Pattern: fromEnv}}
		s.Enum = nil
	case s.Pattern != "":
		s.Pattern += "|" + fromEnv
	case s.Type == "integer" || s.Type == "number" || s.Type == "boolean":
		s.Extras = map[string]any{"type": []string{s.Type, "string"}}
		s.Type, s.Pattern = "", fromEnv
	}
}

// addDefaults notes the values of v, a struct, as the defaults of its keys.
func addDefaults(structs map[string]*jsonschema.Schema, v reflect.Value) {
	for _, f := range fields(v.Type()) {
		value := v.Field(f.index)
		if value.Kind() == reflect.Struct {
			addDefaults(structs, value)
			continue
		}
		property, ok := structs[v.Type().Name()].Properties.Get(f.name)
		if !ok || f.required || value.IsZero() {
			continue
		}
		switch x := value.Interface().(type) {
		case fmt.Stringer:
			property.Default = x.String()
		case string, int, StatusList:
			property.Default = x
		}
	}
}

// parseComments gives the doc comments of config.go by "Type." and
// "Type.Field", each on one line.
func parseComments() (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			typ, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			comments[typ.Name.Name+"."] = oneLine(general.Doc)
			structure, ok := typ.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range structure.Fields.List {
				comments[typ.Name.Name+"."+field.Names[0].Name] = oneLine(field.Doc)
			}
		}
	}
	return comments, nil
}

// oneLine gives the first paragraph of a comment without its line breaks.
func oneLine(doc *ast.CommentGroup) string {
	first, _, _ := strings.Cut(doc.Text(), "\n\n")
	return strings.Join(strings.Fields(first), " ")
}
