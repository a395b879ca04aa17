package config

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("weir.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("weir.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON reads YAML as an editor does that checks it against a schema.
func asJSON(src []byte) (any, error) {
	raw, err := yaml.YAMLToJSON(bytes.TrimPrefix(src, []byte("\ufeff")))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	schema := compiled(t)
	for _, path := range append(files(t, "good"), files(t, "warn")...) {
		doc, err := asJSON(read(t, path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSchemaRefusesMostBadFiles(t *testing.T) {
	schema := compiled(t)
	var accepted []string
	paths := files(t, "bad")
	for _, path := range paths {
		doc, err := asJSON(read(t, path))
		if err == nil && schema.Validate(doc) == nil {
			accepted = append(accepted, filepath.Base(path))
		}
	}
	t.Logf("left to Parse, %d of %d: %v", len(accepted), len(paths), accepted)
	if len(accepted)*2 > len(paths) {
		t.Errorf("the schema accepts %d of %d bad files", len(accepted), len(paths))
	}
}

// TestSchemaDescribesEveryKey keeps comments in config.go complete: editors
// show them.
func TestSchemaDescribesEveryKey(t *testing.T) {
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties  map[string]struct{ Description string }
		Description string
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	schema.Defs["Config"] = schema.object
	seen := 0
	for name, def := range schema.Defs {
		if def.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for key, property := range def.Properties {
			seen++
			if property.Description == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
	if least := len(allKeys(reflect.TypeFor[Route]())); seen <= least || seen < 60 {
		t.Errorf("the schema has only %d keys", seen)
	}
}

// TestLaterKeysAreNotKeysToday keeps later.go from outliving what it says.
func TestLaterKeysAreNotKeysToday(t *testing.T) {
	for typ, keys := range laterKeys {
		for _, f := range fields(typ) {
			for _, key := range keys {
				if f.name == key {
					t.Errorf("%v has the key %q already", typ, key)
				}
			}
		}
	}
}
