package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestDocs loads every YAML block of the README and the docs. A block that
// begins with ```yaml fragment shows only a part of a file and is skipped.
func TestDocs(t *testing.T) {
	paths, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	guides, err := filepath.Glob("../docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	paths = append(paths, guides...)
	if readme := "../README.md"; exists(readme) {
		paths = append(paths, readme)
	}
	for _, path := range paths {
		for i, block := range yamlBlocks(string(read(t, path))) {
			cfg, err := Parse(path, []byte(block), reader)
			if err != nil {
				t.Errorf("YAML block %d of %s:\n%v\n%s", i+1, path, err, block)
				continue
			}
			for _, w := range cfg.Warnings {
				t.Errorf("YAML block %d of %s warns: %v", i+1, path, w)
			}
		}
	}
}

// reader is the environment of somebody who tries the docs: a number may
// stand for a port, a count and a token, but not for a key.
func reader(name string) (string, bool) {
	if strings.HasSuffix(name, "_KEY") {
		return "thirty-two-letters-for-one-key--", true
	}
	return "8080", true
}

// TestDocsNameEveryKey keeps the reference complete.
func TestDocsNameEveryKey(t *testing.T) {
	reference := string(read(t, "../docs/config.md"))
	for _, key := range allKeys(reflect.TypeFor[Config]()) {
		if !strings.Contains(reference, "`"+key+"`") && !strings.Contains(reference, "`"+camel(key)+"`") {
			t.Errorf("docs/config.md does not explain the key %q", key)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// yamlBlocks gives what stands between "```yaml" and "```".
func yamlBlocks(markdown string) []string {
	var blocks []string
	var block strings.Builder
	inside := false
	for line := range strings.Lines(markdown) {
		switch fence := strings.TrimSpace(line); {
		case !inside && fence == "```yaml":
			inside = true
			block.Reset()
		case inside && fence == "```":
			inside = false
			blocks = append(blocks, block.String())
		case inside:
			block.WriteString(line)
		}
	}
	return blocks
}
