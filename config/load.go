package config

import (
	"fmt"
	"os"
)

// Load reads, checks and completes the file at path. The error is [Errors]
// when the file was read but has mistakes.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the config: %w", err)
	}
	return Parse(path, src, os.LookupEnv)
}

// Parse checks and completes src. Name is what errors call the file; lookup
// finds the values of ${NAME}, as [os.LookupEnv] does. The error is always
// [Errors], with every mistake.
func Parse(name string, src []byte, lookup func(string) (string, bool)) (*Config, error) {
	return nil, Errors{{File: name, Message: "not read yet"}}
}
