//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/proxy: this benchmark needs Linux: it pins cores, drives epoll and reads /proc; run it on a Linux machine or in a Linux container")
	os.Exit(1)
}
