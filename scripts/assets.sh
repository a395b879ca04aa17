#!/bin/sh
# Puts the dashboard's charting library into admin/dashboard/lib, as the lock file pins it. Does nothing when it is there.
# Weir builds and serves without it: the dashboard then draws plainer charts, and says so.
set -eu
cd "$(dirname "$0")/.."
from=admin/dashboard
lib=$from/lib
# What the lock file pinned when the files were copied; a new pin fetches again.
want=$(cksum <"$from/package-lock.json")
if [ -s "$lib/uPlot.iife.min.js" ] && [ -s "$lib/uPlot.min.css" ] && [ "$(cat "$lib/.pin" 2>/dev/null)" = "$want" ]; then
	exit 0
fi
without() {
	echo "assets: $1; the dashboard is built with plain charts" >&2
	exit 0
}
if ! command -v npm >/dev/null 2>&1; then
	command -v apt-get >/dev/null 2>&1 || without "there is no npm and no apt-get to install it with"
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "assets: installing npm"
	export DEBIAN_FRONTEND=noninteractive
	{ $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends npm >/dev/null; } ||
		without "npm could not be installed"
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$from/package.json" "$from/package-lock.json" "$dir"
echo "assets: fetching uPlot"
(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) || without "npm could not fetch uPlot"
mkdir -p "$lib"
cp "$dir/node_modules/uplot/dist/uPlot.iife.min.js" "$dir/node_modules/uplot/dist/uPlot.min.css" "$lib/"
# Its licence asks that the notice goes with the copies.
cp "$dir/node_modules/uplot/LICENSE" "$lib/uPlot.LICENSE.txt"
echo "$want" >"$lib/.pin"
