#!/bin/sh
# What CI holds the code to beside the tests. Every check runs, so that one run names all there is to mend.
set -u
GO=${GO:-go}
status=0
fail() { echo "lint: $1" >&2; status=1; }

out=$(gofmt -l $(git ls-files '*.go')) && [ -z "$out" ] || fail "not gofmt'ed: $out"
$GO vet ./... || fail "go vet"
out=$($GO fix -diff ./... 2>&1) && [ -z "$out" ] || { echo "$out"; fail "go fix has something to modernize: run go fix ./..."; }
$GO tool staticcheck ./... || fail "staticcheck"
GOOS=darwin GOARCH=arm64 $GO build -o /dev/null ./cmd/weir || fail "does not build for macOS"
$GO mod tidy -diff >/dev/null || fail "go.mod is not tidy: run go mod tidy"
exit $status
