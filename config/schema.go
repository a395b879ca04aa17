package config

import (
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"
)

// source is where the descriptions of the schema come from: the comments
// that the keys have in Go.
//
//go:embed config.go listen.go route.go pool.go template.go scale.go fleet.go lifecycle.go remedy.go knative.go predict.go metrics.go kube.go alarms.go refresh.go cost.go
var source embed.FS

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
	for _, one := range everyDefault() {
		addDefaults(structs, reflect.ValueOf(one))
	}
	refine(structs)
	for _, s := range structs {
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			allowShort(structs, p.Value)
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
	case reflect.TypeFor[Key]():
		return &jsonschema.Schema{Type: "string", Pattern: keyPattern}
	case reflect.TypeFor[Rate]():
		return &jsonschema.Schema{Type: "string", Pattern: ratePattern}
	case reflect.TypeFor[Quantity](), reflect.TypeFor[Seconds]():
		return &jsonschema.Schema{Extras: map[string]any{"type": []string{"string", "number"}}}
	case reflect.TypeFor[Time]():
		return &jsonschema.Schema{Type: "string", Pattern: timePattern}
	case reflect.TypeFor[Network]():
		network := &jsonschema.Schema{Type: "string", Pattern: networkPattern}
		allowEnv(network)
		return network
	case reflect.TypeFor[StatusList]():
		return oneOrList(&jsonschema.Schema{Type: "integer", Minimum: "100", Maximum: "599"})
	case reflect.TypeFor[StringList]():
		return oneOrList(&jsonschema.Schema{Type: "string"})
	}
	return nil
}

// oneOrList is the schema of a list that may be given as its only item.
func oneOrList(item *jsonschema.Schema) *jsonschema.Schema {
	allowEnv(item)
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{item, {Type: "array", Items: item}}}
}

// shorthands are all types that have one, by name.
var shorthands = map[string]shorthand{
	"Target": &Target{}, "Match": &Match{}, "Redirect": &Redirect{}, "Respond": &Respond{},
	"Mirror": &Mirror{}, "Priority": &Priority{}, "Deadline": &Deadline{}, "Hedge": &Hedge{}, "Remedy": &Remedy{},
}

// allowShort lets the shorthand of a struct stand where s refers to it.
func allowShort(structs map[string]*jsonschema.Schema, s *jsonschema.Schema) {
	for _, part := range []*jsonschema.Schema{s.Items, s.AdditionalProperties} {
		if part != nil {
			allowShort(structs, part)
		}
	}
	name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	if short := shorthands[name]; short != nil {
		one, _ := structs[name].Properties.Get(short.short())
		s.AnyOf = []*jsonschema.Schema{one, {Ref: s.Ref}}
		s.Ref = ""
	}
}

// refine adds the rules that tags cannot say.
func refine(structs map[string]*jsonschema.Schema) {
	needs := func(keys ...string) (each []*jsonschema.Schema) {
		for _, key := range keys {
			each = append(each, &jsonschema.Schema{Required: []string{key}})
		}
		return each
	}
	structs["Policy"].OneOf = needs(policyKeys()...)
	structs["TargetPolicy"].OneOf = needs("metric", "query")
	structs["StepPolicy"].OneOf = needs("metric", "query", "alarm")
	structs["SimplePolicy"].OneOf = needs("metric", "query", "alarm")
	structs["Alarm"].OneOf = needs("metric", "query", "rule")
	structs["AlarmAction"].OneOf = needs("webhook", "exec")
	structs["SchedulePolicy"].OneOf = needs("cron", "at")
	structs["SchedulePolicy"].AnyOf = needs("min", "max", "desired")
	structs["Route"].OneOf = needs("pool", "split", "redirect", "respond")
	structs["Route"].DependentRequired = map[string][]string{"split_by": {"split"}}
	structs["Match"].OneOf = needs("exact", "prefix", "regexp", "present")
	structs["RequestSize"].OneOf = needs("header", "json", "bytes")
	structs["Deadline"].AnyOf = needs("header", "after")
	structs["TLS"].AnyOf = needs("certificates", "acme")
	structs["TargetTLS"].DependentRequired = map[string][]string{"cert": {"key"}, "key": {"cert"}}
	pool := structs["Pool"]
	pool.OneOf = needs("targets", "template")
	pool.DependentRequired = map[string][]string{
		"scale": {"template"}, "liveness": {"template"},
		"hash_by": {"balance"}, "prefix": {"balance"}, "affinity": {"balance"}, "utilization": {"balance"},
	}
	allowCamel(structs)
	if pools, ok := structs["Config"].Properties.Get("pools"); ok {
		pools.MinProperties = new(uint64(1))
		pools.PropertyNames = &jsonschema.Schema{Pattern: `^[A-Za-z0-9_-]{1,63}$`}
	}
}

// allowCamel lets keys of Kubernetes be written as there. A key that is needed may then be there in either way, which only Parse checks.
func allowCamel(structs map[string]*jsonschema.Schema) {
	for _, name := range []string{
		"HPAPolicy", "HPAMetric", "HPASource", "HPATarget", "HPABehavior", "HPARules", "HPAScalingPolicy",
		"KEDAPolicy", "KEDATrigger", "KEDAMetadata", "KEDAFallback", "KEDAAdvanced",
	} {
		s := structs[name]
		var keys []string
		for p := s.Properties.Oldest(); p != nil; p = p.Next() {
			keys = append(keys, p.Key)
		}
		for _, key := range keys {
			if other := camel(key); other != key {
				property, _ := s.Properties.Get(key)
				s.Properties.Set(other, property)
			}
		}
		s.Required = slices.DeleteFunc(s.Required, func(key string) bool { return camel(key) != key })
	}
}

// allowEnv lets text with a ${NAME} stand for a number, a bool or one of an
// enum.
func allowEnv(s *jsonschema.Schema) {
	if s.Items != nil && s.Items.Enum != nil {
		allowEnv(s.Items)
	}
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
		if value.Kind() == reflect.Struct && value.Type() != reflect.TypeFor[Key]() {
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
		case string, int, float64, bool, StatusList, StringList:
			property.Default = x
		case []Network:
			var networks []string
			for _, n := range x {
				networks = append(networks, n.String())
			}
			property.Default = networks
		}
	}
}

// parseComments gives the doc comments of source by "Type." and
// "Type.Field", each on one line.
func parseComments() (map[string]string, error) {
	files, err := source.ReadDir(".")
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, f := range files {
		src, err := source.ReadFile(f.Name())
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), src, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if general, ok := decl.(*ast.GenDecl); ok {
				commentsOf(general, comments)
			}
		}
	}
	return comments, nil
}

// commentsOf adds the comments of the types that one declaration has.
func commentsOf(decl *ast.GenDecl, comments map[string]string) {
	for _, spec := range decl.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		comments[typ.Name.Name+"."] = oneLine(decl.Doc)
		structure, ok := typ.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, field := range structure.Fields.List {
			comments[typ.Name.Name+"."+field.Names[0].Name] = oneLine(field.Doc)
		}
	}
}

// oneLine gives the first paragraph of a comment without its line breaks.
func oneLine(doc *ast.CommentGroup) string {
	first, _, _ := strings.Cut(doc.Text(), "\n\n")
	return strings.Join(strings.Fields(first), " ")
}
