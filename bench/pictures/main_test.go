package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPicturesAreOfTheseConfigs keeps a guide from showing a behaviour that Weir has no more.
func TestPicturesAreOfTheseConfigs(t *testing.T) {
	pictures, err := all()
	if err != nil {
		t.Fatal(err)
	}
	for name, picture := range pictures {
		d := xml.NewDecoder(strings.NewReader(picture))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		shown, err := os.ReadFile(filepath.Join("..", "..", "docs", "img", "policies", name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if string(shown) != picture {
			t.Errorf("%s behaves otherwise than docs/img/policies/%s.svg shows: run make pictures, look at it, and commit it", name, name)
		}
	}
}
